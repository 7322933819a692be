"""The recorded client, line by line (`tests/vectors/element_call/README.md`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS: Final = Path(__file__).parents[1] / "vectors"
RUNS: Final = ("run1", "run2", "run5", "run6")


def recorded(run: str, *kinds: str) -> Iterator[dict[str, Any]]:
    """The lines of a run, of these kinds or of all."""
    with (VECTORS / "element_call" / f"{run}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            if not kinds or entry["kind"] in kinds:
                yield entry
