"""The command `focus`: serve calls, and ask a running focus about them."""

from __future__ import annotations

import asyncio
import json
import signal
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import structlog
import typer
import uvloop
from rich.console import Console

from sfu.errors import ConfigError, TransportError
from signalling.cli.admin import ask
from signalling.cli.tables import calls_tree, status_table
from signalling.config import Config, Secrets, example_toml, load_config, load_secrets
from signalling.logs import set_up_logs
from signalling.service import Service
from signalling.web.private import API

if TYPE_CHECKING:
    from rich.console import RenderableType

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2

_log = structlog.get_logger()

_ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Configuration file (TOML).")]
_UrlOption = Annotated[
    str, typer.Option("--url", envvar="FOCUS_ADMIN_URL", help="Private listener of the focus.")
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_DEFAULT_URL: Final = "http://127.0.0.1:9190"

app = typer.Typer(
    help="A group-call media server (SFU) for Matrix: an MSC3401 focus.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def serve(config: _ConfigOption = Path("focus.toml")) -> None:
    """Serve calls until SIGTERM or SIGINT."""
    try:
        settings, secrets = load_config(config), load_secrets()
        set_up_logs(settings.log)
        _serve(settings, secrets)
    except ConfigError as error:
        _fail(f"configuration: {error}", EXIT_CONFIG)


@app.command()
def status(url: _UrlOption = _DEFAULT_URL, as_json: _JsonOption = False) -> None:
    """Show how a running focus is."""
    answer = _ask(url, f"{API}/status")
    _show(status_table(answer), answer if as_json else None)


@app.command()
def calls(url: _UrlOption = _DEFAULT_URL, as_json: _JsonOption = False) -> None:
    """Show who is in which call, what they send and what they receive."""
    answer = _ask(url, f"{API}/calls")
    _show(calls_tree(answer["calls"]), answer if as_json else None)


@app.command()
def config() -> None:
    """Print a configuration file with every setting, its default, effect and legal range."""
    typer.echo(example_toml(), nl=False)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(version_of("matrix-focus"))


def main() -> None:
    """The console script."""
    app()


def _serve(settings: Config, secrets: Secrets) -> None:
    """Run the service on an event loop of its own; what ends it unasked becomes one line and an exit code."""
    failure: BaseException | None = None
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signal(settings, secrets))
    except* ConfigError as group:
        failure = _first(group)
    except* asyncio.CancelledError as group:
        failure = _first(group)
    except* Exception as group:  # noqa: BLE001  # the last supervisor
        _log.error("focus_crashed", exc_info=group)
        failure = _first(group)
    match failure:
        case None:
            return
        case ConfigError():
            raise failure
        case asyncio.CancelledError():
            _fail("ended by a second signal, without telling anybody", EXIT_FAILED)
        case _:
            _fail(f"crashed: {type(failure).__name__}: {failure}", EXIT_FAILED)


async def _until_signal(settings: Config, secrets: Secrets) -> None:
    stop = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        # The second one means it: no more goodbyes.
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await Service(settings, secrets, typer.echo).run(stop)


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first error in a group, however deep."""
    first: BaseException = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _ask(url: str, path: str) -> dict[str, Any]:
    try:
        return ask(url, path)
    except TransportError as error:
        _fail(str(error), EXIT_FAILED)


def _show(rendered: RenderableType, as_json: object) -> None:
    if as_json is not None:
        typer.echo(json.dumps(as_json, indent=2))
    else:
        Console().print(rendered)


def _fail(text: str, code: int) -> NoReturn:
    typer.echo(f"focus: {text}", err=True)
    raise typer.Exit(code)
