"""The command `focus`: serve calls, and ask a running focus about them."""

from __future__ import annotations

import json
import time
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

from sfu.config import AUTO
from sfu.errors import ConfigError, TransportError
from signalling.cli import bench, media, trace
from signalling.cli.admin import DEFAULT_URL, UrlOption, ask
from signalling.cli.ending import EXIT_CONFIG, fail
from signalling.cli.hops import hops_of, hops_tables
from signalling.cli.registration import make_registration
from signalling.cli.tables import calls_tree, status_table
from signalling.cli.why import pairs_of, why_lines
from signalling.config import example_toml, load_config, load_secrets
from signalling.web.paths import CALLS, DRAIN, STATUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

ReadT = TypeVar("ReadT")

_ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Configuration file (TOML).")]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(
    help="A group-call media server (SFU) for Matrix: an MSC3401 focus.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(trace.app, name="trace")
app.add_typer(media.app, name="media")
app.add_typer(bench.app, name="bench")


@app.command()
def serve(config: _ConfigOption = Path("focus.toml")) -> None:
    """Serve calls until SIGTERM or SIGINT.

    The account's secret is in the environment: FOCUS_PASSWORD or FOCUS_ACCESS_TOKEN (or the path of a file
    with it in FOCUS_PASSWORD_FILE or FOCUS_ACCESS_TOKEN_FILE).
    """
    try:
        settings, secrets = load_config(config), load_secrets()
        # The other commands need none of the server, and are there at once without it.
        from signalling import process  # noqa: PLC0415

        trouble = process.serve(settings, secrets, typer.echo)
    except ConfigError as error:
        fail(f"configuration: {error}", EXIT_CONFIG)
    if trouble is not None:
        fail(trouble)


@app.command()
def status(url: UrlOption = DEFAULT_URL, as_json: _JsonOption = False) -> None:
    """Show how a running focus is."""
    _show(_ask(url, STATUS), status_table, as_json=as_json)


@app.command()
def calls(url: UrlOption = DEFAULT_URL, as_json: _JsonOption = False) -> None:
    """Show who is in which call, what they send and what they receive."""
    _show(_ask(url, CALLS), lambda answer: calls_tree(answer["calls"]), as_json=as_json)


@app.command()
def why(
    subscriber: Annotated[str, typer.Argument(help="USER_ID, or its local part; or USER_ID/DEVICE_ID.")],
    track: Annotated[
        str | None,
        typer.Argument(help="Whose: USER_ID, USER_ID/camera, …/microphone, …/screen; or a track id. [all]"),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: _JsonOption = False,
) -> None:
    """Say why somebody gets a track the way they do, and by which numbers that was decided."""
    answer = _ask(url, CALLS)
    pairs = _read(lambda: pairs_of(answer["calls"], subscriber, track))
    if not pairs:
        wanted = f"{subscriber} wants nothing" if track is None else f"{subscriber} wants no track {track}"
        fail(f"{wanted} now: `focus calls` shows who wants what")
    _show({"pairs": pairs}, lambda answer: why_lines(answer["pairs"]), as_json=as_json)


@app.command()
def hops(
    call: Annotated[str | None, typer.Argument(help="Its id, or the id of its room. [all]")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: _JsonOption = False,
) -> None:
    """Show the trunks to other foci: how they are, who is behind them, what goes over them each way."""
    answer = _ask(url, CALLS)
    found = _read(lambda: hops_of(answer["calls"], call))
    if call is not None and not found:
        fail(f"there is no call {call} now: `focus calls` shows those that there are")
    _show({"calls": found}, lambda answer: hops_tables(answer["calls"], time.time() * 1_000), as_json=as_json)


@app.command()
def drain(
    url: UrlOption = DEFAULT_URL,
    deadline: Annotated[
        int, typer.Option(min=0, max=86_400, help="Seconds after which who is left is hung up.")
    ] = 300,
    focus: Annotated[
        list[str] | None,
        typer.Option(help="Another focus that clients may dial, as USER_ID/DEVICE_ID; may be repeated."),
    ] = None,
    *,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take invites again.")] = False,
    as_json: _JsonOption = False,
) -> None:
    """Take a focus away by and by: no new invites, a word to every client, an end to those left then."""
    foci = [_focus(one) for one in focus or ()]
    body: dict[str, Any] = {"cancel": True} if cancel else {"deadline_s": deadline, "foci": foci}
    _show(_ask(url, DRAIN, body), status_table, as_json=as_json)


@app.command()
def registration(
    config: _ConfigOption = Path("focus.toml"),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write. [default: appservice.registration]"),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Where the homeserver reaches this focus. [default: appservice.host and .port]"),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
) -> None:
    """Write the file by which a homeserver knows this focus as an application service; say what is to do.

    Its tokens are new. The file is secret, and both sides read it.
    """
    try:
        text = make_registration(load_config(config), url, output, overwrite=force)
    except ConfigError as error:
        fail(f"configuration: {error}", EXIT_CONFIG)
    typer.echo(text, nl=False)


@app.command()
def config() -> None:
    """Print a configuration file with every setting, its default, effect and legal range."""
    typer.echo(example_toml(), nl=False)


@app.command()
def version() -> None:
    """Print the version, and the data plane that runs where the configuration leaves the choice."""
    # As for `serve`: only who needs the server waits for it.
    from sfu.runtime.planes import choose_plane  # noqa: PLC0415

    choice = choose_plane(AUTO)
    typer.echo(f"matrix-focus {version_of('matrix-focus')}\ndata plane: {choice.name}")
    if choice.warning:
        typer.echo(f"focus: {choice.warning}", err=True)


def main() -> None:
    """The console script."""
    app()


def _focus(text: str) -> dict[str, str]:
    user_id, _, device_id = text.rpartition("/")
    if not user_id or not device_id:
        fail(f"--focus {text}: must be USER_ID/DEVICE_ID")
    return {"user_id": user_id, "device_id": device_id}


def _ask(url: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return ask(url, path, body)
    except TransportError as error:
        fail(str(error))


def _show(
    answer: dict[str, Any], render: Callable[[dict[str, Any]], RenderableType], *, as_json: bool
) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    Console().print(_read(lambda: render(answer)))


def _read(reading: Callable[[], ReadT]) -> ReadT:
    """What is made of an answer."""
    try:
        return reading()
    except (KeyError, TypeError, ValueError, AttributeError):
        fail("that focus is of another version; --json shows what it answers")
