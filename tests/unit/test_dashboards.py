"""Dashboards ask for metrics that exist, and say what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sfu.metrics import Metrics
from tests.support.dashboards import metric_names, panels

if TYPE_CHECKING:
    from tests.support.dashboards import Panel

PANELS = list(panels())
SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
    "info": ("_info",),
}


def existing_names() -> set[str]:
    return {
        f"{family.name}{suffix}"
        for family in Metrics().registry.collect()
        for suffix in SUFFIXES[family.type]
    }


def test_there_are_dashboards() -> None:
    assert len(PANELS) > 10


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_asks_for_metrics_that_exist(panel: Panel) -> None:
    existing = existing_names()
    for query in panel.queries:
        assert metric_names(query) or query.startswith("sum(up{"), query
        assert metric_names(query) <= existing


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: Panel) -> None:
    assert panel.description.endswith(".")
    assert panel.unit


def test_titles_are_told_apart() -> None:
    titles = [(panel.dashboard, panel.title) for panel in PANELS]
    assert len(set(titles)) == len(titles)
