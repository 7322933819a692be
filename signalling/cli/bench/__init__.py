"""The commands `focus bench ...`: our own parts against their limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from signalling.cli.ending import EXIT_FAILED


def _writable(path: Path | None) -> Path | None:
    """What takes minutes to measure must not be lost for a folder that is not there."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{path.parent}: no such folder")
    return path


_JsonOption = Annotated[
    Path | None,
    typer.Option("--json", dir_okay=False, callback=_writable, help="Write all figures to this file."),
]
_RoundsOption = Annotated[int, typer.Option("--rounds", min=1, help="Medians are over so many.")]
_ScenarioOption = Annotated[
    list[str] | None, typer.Option("--scenario", help="Only this one, by name; may be repeated.")
]
_PlotsOption = Annotated[Path | None, typer.Option("--plots", help="Draw each scenario into this folder.")]

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


@app.command()
def bwe(
    json: _JsonOption = None,
    rounds: _RoundsOption = 3,
    scenario: _ScenarioOption = None,
    plots: _PlotsOption = None,
) -> None:
    """Play what networks do to a call, and measure what the estimate makes of it.

    Time is virtual: what else runs on the machine makes it slower, and changes no figure. Exit 1: a scenario
    did not show what it is about, so that its figures mean nothing.
    """
    # Heavy: numpy and the planes.
    from sfu.figures import Figures  # noqa: PLC0415
    from signalling.cli.bench.bwe import ALL, measure, table  # noqa: PLC0415
    from signalling.cli.bench.plots import draw  # noqa: PLC0415

    unknown = [name for name in scenario or () if name not in ALL]
    if unknown:
        typer.echo(f"bench: no scenario {', '.join(unknown)}; there are {', '.join(ALL)}", err=True)
        raise typer.Exit(EXIT_FAILED)
    chosen = [ALL[name] for name in scenario] if scenario else list(ALL.values())
    outcome = measure(chosen, rounds, lambda line: typer.echo(line, err=True))
    figures = Figures(
        outcome.values, dict(outcome.raw), rounds, outcome.plane, digits=4, faults=tuple(outcome.faults)
    )
    if json is not None:
        figures.write(json)
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)
        for recording in outcome.recordings:
            (plots / f"{recording.scenario.name}.svg").write_text(draw(recording), encoding="utf-8")
    Console().print(table(outcome))
    for fault in outcome.faults:
        typer.echo(f"bench: not valid: {fault}", err=True)
    if outcome.faults:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def allocation(json: _JsonOption = None, rounds: _RoundsOption = 3) -> None:
    """Measure who gets which layer: how long it takes, how good it is, and how other policies do.

    Nothing is sent. One core is enough, and nothing else should run on it.
    """
    # Heavy, and for this command only.
    from sfu.figures import Figures  # noqa: PLC0415
    from signalling.cli.bench.allocation import measure  # noqa: PLC0415

    measured = measure(rounds, lambda line: typer.echo(line, err=True))
    figures = Figures(
        measured.values, measured.raw, rounds, plane=None, about=dict(measured.by_policy), digits=4
    )
    if json is not None:
        figures.write(json)
    console = Console()
    figures.show(console)
    table = Table("policy", *measured.by_policy, box=None, pad_edge=False)
    for name in next(iter(measured.by_policy.values())):
        table.add_row(name, *(f"{by_name[name]:.3f}" for by_name in measured.by_policy.values()))
    console.print(table)
