"""The legs that were recorded in real calls, and the documents made of them (`tests/e2e/traces.py`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from signalling.trace.lines import read_recording

if TYPE_CHECKING:
    from signalling.trace.lines import Recording

_ROOT: Final = Path(__file__).parents[2]
TRACES: Final = _ROOT / "tests" / "vectors" / "traces"
TRANSCRIPTS: Final = _ROOT / "docs" / "protocol" / "transcripts"


def names() -> list[str]:
    """Of the recordings."""
    return sorted(path.stem for path in TRACES.glob("*.jsonl"))


def recording(name: str) -> Recording:
    """One of them."""
    with (TRACES / f"{name}.jsonl").open(encoding="utf-8") as file:
        return read_recording(file)


def raw_lines(name: str) -> list[dict[str, Any]]:
    """The same as JSON, with its header and its end."""
    text = (TRACES / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
