"""The dashboards of `grafana/` as data: panels and what they ask Prometheus."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(__file__).parents[2] / "grafana" / "dashboards"
ROW: Final = "row"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel that shows something."""

    dashboard: str
    title: str
    description: str
    unit: str
    queries: tuple[str, ...]


def panels() -> Iterator[Panel]:
    """Every panel of every dashboard, rows left out."""
    for path in sorted(FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            if panel["type"] != ROW:
                yield _panel(path.name, panel)


def _panel(dashboard: str, source: dict[str, Any]) -> Panel:
    return Panel(
        dashboard,
        source["title"],
        source["description"],
        source["fieldConfig"]["defaults"]["unit"],
        tuple(target["expr"] for target in source["targets"]),
    )


def filled_in(query: str, window: str) -> str:
    """A query with Grafana's variables replaced: all instances, rates over `window`."""
    filled = query.replace("$__rate_interval", window).replace("$instance", ".*")
    assert "$" not in filled, filled
    return filled


def metric_names(query: str) -> set[str]:
    """The names of our metrics in a query."""
    return set(re.findall(r"\bfocus_\w+", query)) | set(re.findall(r"\bprocess_\w+", query))
