"""The commands `focus bench ...`: our own parts against their limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

EXIT_FAILED: Final = 1

_JsonOption = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]
_RoundsOption = Annotated[int, typer.Option("--rounds", min=1, help="Medians are over so many.")]

app = typer.Typer(help="Measure this installation's own parts.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure this installation's own parts."""


@app.command()
def plane(json: _JsonOption = None, rounds: _RoundsOption = 5) -> None:
    """Measure what forwarding a packet costs, beside what the system lets it cost at best.

    Everything is on the loopback and in this process; nothing else should run on the machine. Exit 1: the
    measurement is not valid.
    """
    try:
        # Heavy, and there only where the native plane was built.
        from sfu.figures import Figures  # noqa: PLC0415
        from signalling.cli.bench.plane import measure  # noqa: PLC0415
    except ImportError as error:
        typer.echo(f"bench: the native plane was not built ({error})", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    try:
        values, raw = measure(rounds, lambda line: typer.echo(line, err=True))
    except (OSError, TimeoutError) as error:
        typer.echo(f"bench: not valid: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from error
    figures = Figures(values, dict(raw), rounds, "native", digits=3)
    if json is not None:
        figures.write(json)
    figures.show(Console())
