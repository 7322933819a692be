"""Simulates ten foci with a thousand people, as a mesh and as a tree, and writes what was seen as JSON.

    .venv/bin/python scripts/cascade_crowd.py [--people N] [--mesh-people N] [--seconds S] [--json FILE]

Real engines over the real plane's core, on a virtual clock over simulated lines: what it says of time is what
messages and round trips take, not processors. `tests/support/simulation/crowd.py` says what is stood in for.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

if TYPE_CHECKING:
    from sfu.figures import Figures

ROOT: Final = Path(__file__).resolve().parent.parent


def main() -> int:
    """Simulate; 1 where the figures are not valid."""
    sys.path.insert(0, str(ROOT))
    from tests.support.simulation.crowd import FOCI, measure  # noqa: PLC0415  # not importable before

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000, help="one of them publishes")
    parser.add_argument("--mesh-people", type=int, default=100, help=f"{FOCI} of them publish")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each call, on the virtual clock")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args()
    console = Console()
    begun = time.monotonic()
    figures: Figures = measure(
        people=given.people,
        mesh_people=given.mesh_people,
        seconds=given.seconds,
        seed=given.seed,
        tell=lambda text: console.print(f"{time.monotonic() - begun:6.0f} s  {text}"),
    )
    figures.show(console)
    if given.json is not None:
        figures.write(given.json)
    return bool(figures.faults)


if __name__ == "__main__":
    sys.exit(main())
