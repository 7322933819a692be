"""What a bench leaves behind: flat keys, what they were measured on, and all raw values."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Figures:
    """The result of one bench.

    `values` are the keys that the bench is known for; None is a figure that could not be had. `raw` is what
    they come from.
    """

    values: dict[str, float | None]
    raw: dict[str, object]
    rounds: int
    plane: str | None
    about: dict[str, object] = field(default_factory=dict)
    """What else matters for reading the figures: versions, sizes."""
    digits: int = 1
    """After the point of each value."""
    faults: tuple[str, ...] = ()
    """Why the measurement is not valid; none where it is."""

    def content(self) -> dict[str, object]:
        """As it stands in the JSON file."""
        return {
            **{
                key: None if value is None else round(value, self.digits)
                for key, value in self.values.items()
            },
            "faults": list(self.faults),
            "plane": self.plane,
            "machine": machine(),
            "commit": commit(),
            "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "rounds": self.rounds,
            **self.about,
            "raw": self.raw,
        }

    def write(self, path: Path) -> None:
        """Write the JSON file.

        Raises:
            OSError: it cannot be written.
        """
        path.write_text(json.dumps(self.content(), indent=1) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        """Print the keys, and what makes them void."""
        table = Table(show_header=False, box=None, pad_edge=False)
        for key, value in self.values.items():
            table.add_row(key, "-" if value is None else f"{value:,.{self.digits}f}")
        console.print(table)
        for fault in self.faults:
            console.print(Text(f"not valid: {fault}", style="red"))


def percentile(values: Sequence[float], rank: float) -> float | None:
    """The percentile of a sample, None of an empty one; between two values it lies on the line."""
    return float(np.percentile(values, rank)) if values else None


def highest(values: Sequence[float]) -> float | None:
    """The highest of a sample, None of an empty one."""
    return max(values, default=None)


def machine() -> dict[str, object]:
    """What this runs on."""
    return {"cores": len(os.sched_getaffinity(0)), "cpu": _cpu(), "kernel": platform.release()}


def commit() -> str | None:
    """The commit of this source tree; None where it is none."""
    try:
        asked = subprocess.run(  # noqa: S603  # asks git about our own folder
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],  # noqa: S607
            check=False,
            capture_output=True,
            text=True,
        )
    except OSError:
        return None
    return asked.stdout.strip() or None


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
