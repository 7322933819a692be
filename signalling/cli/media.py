"""The commands `focus media …`: record what layers are chosen by, look at it, let another policy choose."""

from __future__ import annotations

import http.client
import json
import math
import signal
import sys
import urllib.parse
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from sfu.errors import ConfigError, ParseError, TransportError
from signalling.cli.admin import DEFAULT_URL, UrlOption, streaming
from signalling.cli.ending import EXIT_DIFFERENT, fail, fail_at, recording_ended, say
from signalling.web.paths import MEDIA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfu.allocation.problem import Policy
    from sfu.recording.replay import Recording

_PIECE_BYTES: Final = 1 << 20

_FileArgument = Annotated[Path, typer.Argument(help="A recording.")]

app = typer.Typer(
    help="Record what layers are chosen by; look at it, and let another policy choose.", no_args_is_help=True
)


@app.command()
def record(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write; - is standard output.")],
    seconds: Annotated[float | None, typer.Option(help="End after this long.", min=0)] = None,
    max_mb: Annotated[
        float | None, typer.Option(help="End at this size, in MB. [default: 100]", min=0)
    ] = None,
    url: UrlOption = DEFAULT_URL,
    *,
    packets: Annotated[
        bool, typer.Option("--packets", help="Also what subscribers tell of each packet; ten times as large.")
    ] = False,
) -> None:
    """Record all calls until Ctrl-C or SIGTERM: what is wanted, what flows, what fits, and what is chosen.

    No media is recorded, and no name, address or key: everything has a number that means nothing elsewhere.
    """
    query = {"seconds": seconds, "max_mb": max_mb, "packets": 1 if packets else None}
    told = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
    try:
        with _opened(output) as file:
            end = _copy(f"{url.rstrip('/')}{MEDIA}?{told}", file)
    except (TransportError, ParseError) as error:
        fail(str(error))
    except OSError as error:
        fail_at(output, error)
    recording_ended(end)


@app.command()
def show(recording: _FileArgument) -> None:
    """Print all that is in a recording, as JSON lines: the header, then one line a step."""
    from signalling.cli.media_tables import step_json  # noqa: PLC0415  # it brings numpy

    with _reading(recording) as read:
        typer.echo(json.dumps({"version": read.header.version, "policy": read.header.policy}))
        began_at = read.memory.counted_at
        for step in read.steps:
            typer.echo(json.dumps(step_json(step, began_at)))


@app.command()
def replay(
    recording: _FileArgument,
    policy: Annotated[
        str | None, typer.Option("--policy", help="The name of a policy, or a .py file. [none]")
    ] = None,
    recorded: Annotated[
        str | None,
        typer.Option(
            "--recorded", help="The same for what it was recorded with. [default: as the file says]"
        ),
    ] = None,
    *,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Estimate paths again, of the packets in the recording.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let a recording happen again, to its policy and to another one; print how each subscriber fares.

    Both see the same wishes, the same encodings and the same estimates. Ends with status 3 where the
    recording's own policy chooses anything else now, unless paths are estimated again.
    """
    from sfu.recording.replay import Replay  # noqa: PLC0415  # it brings numpy and more
    from signalling.cli.media_tables import outcomes_json, outcomes_table  # noqa: PLC0415

    with _reading(recording) as read:
        then = recorded or read.header.policy
        names = [then] if policy in {None, then} else [then, str(policy)]
        replays = {name: Replay(read.memory, _policy(name), is_estimating=estimate) for name in names}
        for step in read.steps:
            for one in replays.values():
                one.step(step)
    if as_json:
        typer.echo(json.dumps(_finite(outcomes_json(replays)), indent=2))
    else:
        Console().print(outcomes_table(replays))
    agreement = replays[then].agreement
    if estimate:
        off = f"on average {agreement.targets_off:.1%} off what was found then"
        say(f"of paths that began in the recording, {agreement.targets} estimates are {off}")
        return
    if agreement.different_steps:
        first = f"the first after {agreement.first_at_s or 0:.1f} s"
        say(
            f"{then} chooses otherwise now in {agreement.different_steps} of {agreement.steps} steps, {first}"
        )
        raise typer.Exit(EXIT_DIFFERENT)
    say(f"{then} chooses the same now, {agreement.decisions} times in {agreement.seconds:.0f} s")


def _copy(url: str, file: IO[bytes]) -> str:
    """Copy a recording as it comes, in whole frames; return why it ended.

    Raises:
        TransportError: nothing answers there, or the focus refuses.
        ParseError: something else answers.
    """
    from sfu.recording.file import MAGIC, End, contents_of, frame_of, framed, written  # noqa: PLC0415

    last = b""
    # Who records in the background, where a shell has Ctrl-C ignored, ends it politely too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with streaming(url) as answer:
            say("recording; Ctrl-C ends it")
            file.write(MAGIC)
            for content in contents_of(iter(lambda: answer.read1(_PIECE_BYTES), b"")):
                last = content
                file.write(framed(content))
                file.flush()
    except KeyboardInterrupt:
        file.write(written(End("stopped")))
        return "stopped"
    except (OSError, http.client.HTTPException):
        # Cut off: what there is, is a recording.
        return "the focus is gone"
    frame = frame_of(last) if last else None
    return frame.why if isinstance(frame, End) else "the focus is gone"


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        yield sys.stdout.buffer
    else:
        with path.open("wb") as file:
            yield file


@contextmanager
def _reading(path: Path) -> Iterator[Recording]:
    from sfu.recording.replay import read_recording  # noqa: PLC0415

    try:
        file = path.open("rb")
    except OSError as error:
        fail_at(path, error)
    with file:
        try:
            yield read_recording(iter(lambda: file.read(_PIECE_BYTES), b""))
        except ParseError as error:
            fail(f"{path}: {error}")


def _policy(name: str) -> Policy:
    from sfu.runtime.policies import choose_policy  # noqa: PLC0415
    from sfu.units import Instant  # noqa: PLC0415

    try:
        # Time stands still: in a replay nobody is too slow.
        return choose_policy(name, lambda: Instant(0))
    except ConfigError as error:
        fail(str(error))


def _finite(value: Any) -> Any:  # noqa: ANN401  # JSON
    """The same with null in place of what is no number."""
    match value:
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
