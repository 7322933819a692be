from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from loadtest.bench.comparison import Comparison, Result, Spread
from tests.unit.loadtest.peers.test_trial import GOOD


def result(number: int, sfu: str, us_per_packet: float, workload: str = "burst8") -> Result:
    run_time_ns = round(us_per_packet * 1_000 * GOOD.packets_received)
    return Result(number, workload, sfu, replace(GOOD, run_time_ns=run_time_ns))


def compared(*results: Result) -> Comparison:
    return Comparison(results, ["burst8", "single"], "ours", ["theirs", "absent"])


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    """Rounds on a slower machine count as much as others; medians of each server would give 4 / 10."""
    comparison = compared(
        result(0, "ours", 4.0),
        result(0, "theirs", 10.0),
        result(1, "ours", 3.0),
        result(1, "theirs", 10.0),
        result(2, "ours", 12.0),
        result(2, "theirs", 40.0),
    )
    assert comparison.ratios()["burst8_vs_theirs"] == pytest.approx(0.3)
    spread = comparison.ratio("burst8", "theirs")
    assert spread is not None
    assert (spread.low, spread.high) == pytest.approx((0.3, 0.4))


def test_what_was_never_measured_is_no_figure() -> None:
    ratios = compared(result(0, "ours", 4.0), result(0, "theirs", 10.0)).ratios()
    assert ratios == {
        "burst8_vs_theirs": pytest.approx(0.4),
        "burst8_vs_absent": None,
        "single_vs_theirs": None,
        "single_vs_absent": None,
    }


def test_rounds_that_only_one_of_two_has_are_not_compared() -> None:
    comparison = compared(result(0, "ours", 4.0), result(1, "theirs", 10.0))
    assert comparison.ratio("burst8", "theirs") is None
    assert comparison.cost("burst8", "ours") == Spread(4.0, 4.0, 4.0)


def test_the_file_tells_of_every_server_and_every_measurement() -> None:
    comparison = compared(result(0, "ours", 4.0), result(0, "theirs", 10.0), result(1, "ours", 5.0))
    content = comparison.content()
    assert content == {
        "burst8": {
            "ours": {
                "us_per_packet": {"median": 4.5, "low": 4.0, "high": 5.0},
                "delay_p50_ms": {"median": 0.3, "low": 0.3, "high": 0.3},
                "delay_p99_ms": {"median": 1.2, "low": 1.2, "high": 1.2},
            },
            "theirs": {
                "us_per_packet": {"median": 10.0, "low": 10.0, "high": 10.0},
                "delay_p50_ms": {"median": 0.3, "low": 0.3, "high": 0.3},
                "delay_p99_ms": {"median": 1.2, "low": 1.2, "high": 1.2},
                "ratio": {"median": 0.4, "low": 0.4, "high": 0.4},
            },
            "absent": None,
        },
        "single": {"ours": None, "theirs": None, "absent": None},
    }
    raw = comparison.raw()
    assert [(row["round"], row["sfu"], row["us_per_packet"]) for row in raw] == [
        (0, "ours", 4.0),
        (0, "theirs", 10.0),
        (1, "ours", 5.0),
    ]
    assert raw[0]["packets_received"] == 80_000


def test_the_table_has_a_line_for_whoever_was_measured() -> None:
    console = Console(record=True, width=120, file=StringIO())
    console.print(compared(result(0, "ours", 4.0)).table())
    shown = [line.split() for line in console.export_text().splitlines()]
    assert ["burst8", "ours", "4.00", "4.00-4.00", "0.30", "1.20"] in shown
    assert not [line for line in shown if "absent" in line]
