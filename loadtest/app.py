"""The console script `loadtest`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import uvloop
from rich.console import Console

from loadtest.bench.browser import BrowserBenchSettings, bench_browser
from loadtest.bench.cascade.bench import CascadeBenchSettings, bench_cascade
from loadtest.bench.cascade.figures import KEYS as CASCADE_PARTS
from loadtest.bench.peers import OURS, PEERS, PeersBenchSettings, bench_peers
from loadtest.bench.tab import BrowserMissingError, NothingSeenError
from loadtest.client.accounts import AccountsError, Credentials, parse_accounts
from loadtest.demo import DemoSettings, demo
from loadtest.ending import Ending
from loadtest.fleet.native import SwarmMissingError
from loadtest.focus_process import FocusProcessError
from loadtest.homeserver.install import HomeserverError
from loadtest.media.clips import VideoFormat
from loadtest.run import RunSettings, parse_focus, run
from loadtest.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from loadtest.report import Report
    from sfu.figures import Figures
    from signalling.events.room_state import FocusDevice

FAILED = 1
SIGNALLED = 128
"""Added to the number of the signal that ended a run before its time, as shells do."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Synthetic participants for Matrix group calls, who prove what they see and hear.",
)

Participants = Annotated[int, typer.Option(min=1, max=500, help="How many people take part.")]
Seconds = Annotated[
    float | None,
    typer.Option(min=1, help="How long they stay once all are there. Without it, until Ctrl-C."),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Judge: each one must decode each other's audio and video, else the exit status is 1.",
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", dir_okay=False, help="Write what was measured into this file.")
]
Logs = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Keep the logs of homeserver and focus in this folder."),
]
Width = Annotated[int, typer.Option(help="Of each camera's largest layer.")]
Height = Annotated[int, typer.Option(help="Likewise.")]
Fps = Annotated[int, typer.Option(min=1, max=60, help="Pictures a second.")]


@app.command("demo")
def demo_command(
    participants: Participants = 3,
    seconds: Seconds = None,
    *,
    check: Check = False,
    json_file: JsonFile = None,
    width: Width = 640,
    height: Height = 360,
    fps: Fps = 15,
    logs: Logs = None,
    homeservers: Annotated[
        int,
        typer.Option(
            min=1, max=8, help="With a focus on each; participants are spread over them, in one call."
        ),
    ] = 1,
) -> None:
    """Start a homeserver, a focus and participants, and show who receives whom."""
    _check_options(participants, json_file, check=check)
    if participants < homeservers:
        raise typer.BadParameter(
            f"{homeservers} for {participants} participants: nobody is on one of them",
            param_hint="--homeservers",
        )
    settings = DemoSettings(participants, seconds, _video(width, height, fps), logs, homeservers)
    _perform(lambda stage, ending: demo(settings, stage, ending), seconds, json_file, check=check)


@app.command("run")
def run_command(  # noqa: PLR0913  # the options of a command
    homeserver: Annotated[str, typer.Option(help="Base URL of the client-server API.")],
    room: Annotated[str, typer.Option(help="Id or alias of the call's room.")],
    participants: Participants = 3,
    seconds: Seconds = None,
    focus: Annotated[
        str | None,
        typer.Option(
            help="USER/DEVICE to dial. Without it, what others in the call use, or what is announced."
        ),
    ] = None,
    *,
    check: Check = False,
    json_file: JsonFile = None,
    width: Width = 640,
    height: Height = 360,
    fps: Fps = 15,
    registration_shared_secret: Annotated[
        str | None,
        typer.Option(
            envvar="REGISTRATION_SHARED_SECRET",
            help="Synapse's registration_shared_secret. Without it, accounts are registered openly.",
        ),
    ] = None,
    accounts: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Accounts that exist, one a line: USER PASSWORD."),
    ] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(
            help="Address of this machine for ICE. Without it, the one that leads to the homeserver."
        ),
    ] = None,
) -> None:
    """Let participants join a call on any homeserver."""
    _check_options(participants, json_file, check=check)
    if registration_shared_secret is not None and accounts is not None:
        raise typer.BadParameter("either a shared secret or accounts", param_hint="--accounts")
    if not homeserver.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{homeserver}: not a URL", param_hint="--homeserver")
    if not room.startswith(("!", "#")):
        raise typer.BadParameter(f"{room}: neither !id nor #alias:server", param_hint="--room")
    settings = RunSettings(
        homeserver.rstrip("/"),
        room,
        participants,
        seconds,
        _focus(focus),
        _video(width, height, fps),
        registration_shared_secret,
        _lent(accounts, participants),
        tuple(address or ()),
    )
    _perform(lambda stage, ending: run(settings, stage, ending), seconds, json_file, check=check)


bench = typer.Typer(no_args_is_help=True, help="Figures about a focus, seen from outside.")
app.add_typer(bench, name="bench")


@bench.command("browser")
def bench_browser_command(
    json_file: JsonFile = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often each is measured.")] = 10,
    chromium: Annotated[str, typer.Option(help="The browser.")] = "/usr/bin/chromium",
    logs: Logs = None,
) -> None:
    """Measure what people with a browser wait for: joining, switching, reloading, changing networks."""
    _check_json_file(json_file)
    settings = BrowserBenchSettings(rounds, chromium, logs)
    _measure(lambda stage: bench_browser(settings, stage), json_file)


@bench.command("peers")
def bench_peers_command(  # the options of a command
    json_file: JsonFile = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often each is measured.")] = 4,
    receivers: Annotated[int, typer.Option(min=1, max=200, help="How many one publisher is sent to.")] = 20,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="Of media in each measurement.")] = 4.0,
    sfu: Annotated[
        list[str] | None, typer.Option(help="Measure this one, and others that are named; else all.")
    ] = None,
    logs: Logs = None,
) -> None:
    """Measure what forwarding costs, beside the media servers that `make peers` builds."""
    _check_json_file(json_file)
    unknown = set(sfu or ()) - {OURS, *PEERS}
    if unknown:
        raise typer.BadParameter(f"{min(unknown)}: not one of {OURS}, {', '.join(PEERS)}", param_hint="--sfu")
    chosen = tuple(name for name in (OURS, *PEERS) if not sfu or name in sfu)
    settings = PeersBenchSettings(rounds, receivers, seconds, chosen, logs)
    _measure(lambda stage: bench_peers(settings, stage), json_file)


@bench.command("cascade")
def bench_cascade_command(  # the options of a command
    json_file: JsonFile = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often each is measured.")] = 3,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Measure this part, and others that are named; else all: {', '.join(CASCADE_PARTS)}."
        ),
    ] = None,
    viewers: Annotated[int, typer.Option(min=2, max=200, help="How many are behind one trunk.")] = 20,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Of media that is counted.")] = 8.0,
    logs: Logs = None,
) -> None:
    """Measure what a call over several foci costs, and how it takes a cut and a restart."""
    _check_json_file(json_file)
    unknown = set(part or ()) - CASCADE_PARTS.keys()
    if unknown:
        raise typer.BadParameter(
            f"{min(unknown)}: not one of {', '.join(CASCADE_PARTS)}", param_hint="--part"
        )
    chosen = tuple(name for name in CASCADE_PARTS if not part or name in part)
    settings = CascadeBenchSettings(rounds, chosen, viewers, seconds, logs)
    _measure(lambda stage: bench_cascade(settings, stage), json_file)


def main() -> None:
    """Run the command line."""
    app()


def _perform(
    work: Callable[[Stage, Ending], Awaitable[Report]],
    seconds: float | None,
    json_file: Path | None,
    *,
    check: bool,
) -> None:
    ending = Ending()
    with Stage(Console(), Console(stderr=True)) as stage:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                report = runner.run(_until_ended(work, stage, ending))
        except asyncio.CancelledError:
            sys.exit(SIGNALLED + (ending.signal or 0))
        except (AccountsError, FocusProcessError, HomeserverError) as error:
            stage.say(f"loadtest: {error}")
            sys.exit(FAILED)
        report.show(stage.console, checked=check)
        try:
            if json_file is not None:
                report.write(json_file)
        except OSError as error:
            stage.say(f"loadtest: {error}")
            sys.exit(FAILED)
    if ending.signal is not None and seconds is not None:
        sys.exit(SIGNALLED + ending.signal)
    verdict = report.verdict
    if verdict.troubles or (check and not verdict.is_good):
        sys.exit(FAILED)


def _measure(bench: Callable[[Stage], Coroutine[object, object, Figures]], json_file: Path | None) -> None:
    """Run a bench; exit status 1 where there is no valid measurement."""
    with Stage(Console(), Console(stderr=True)) as stage:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                figures = runner.run(bench(stage))
            if json_file is not None:
                figures.write(json_file)
        except (
            BrowserMissingError,
            FocusProcessError,
            HomeserverError,
            NothingSeenError,
            SwarmMissingError,
            OSError,
        ) as error:
            stage.say(f"loadtest: {error}")
            sys.exit(FAILED)
        figures.show(stage.console)
    if figures.faults:
        sys.exit(FAILED)


async def _until_ended(
    work: Callable[[Stage, Ending], Awaitable[Report]], stage: Stage, ending: Ending
) -> Report:
    with ending:
        return await work(stage, ending)


def _check_options(participants: int, json_file: Path | None, *, check: bool) -> None:
    if check and participants == 1:
        raise typer.BadParameter("one alone has nobody to receive", param_hint="--participants")
    _check_json_file(json_file)


def _check_json_file(json_file: Path | None) -> None:
    if json_file is not None and not json_file.parent.is_dir():
        raise typer.BadParameter(f"{json_file.parent}: no such folder", param_hint="--json")


def _video(width: int, height: int, fps: int) -> VideoFormat:
    try:
        return VideoFormat.of_size(width, height, fps)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--width, --height") from error


def _focus(text: str | None) -> FocusDevice | None:
    try:
        return None if text is None else parse_focus(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--focus") from error


def _lent(path: Path | None, participants: int) -> tuple[Credentials, ...]:
    if path is None:
        return ()
    try:
        lent = parse_accounts(path.read_text(encoding="utf-8"))
    except (AccountsError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--accounts") from error
    if len(lent) < participants:
        raise typer.BadParameter(
            f"{path}: {len(lent)} accounts for {participants} participants", param_hint="--accounts"
        )
    return tuple(lent)
