from __future__ import annotations

from structlog.testing import capture_logs

from sfu.metrics import Metrics
from sfu.runtime.failures import LOGGED_AT_ONCE, Failures
from sfu.units import Instant, after_s

START = Instant(5_000_000_000)


def test_each_failure_is_counted_where_it_happened_and_logged_with_its_facts() -> None:
    metrics = Metrics()
    failures = Failures(metrics, lambda: START)
    error = ValueError("41 after 57")
    with capture_logs() as logs:
        failures.note("turn", error, leg=7)
    assert logs == [
        {
            "event": "internal_failure",
            "log_level": "error",
            "where": "turn",
            "unlogged_before": 0,
            "exc_info": error,
            "leg": 7,
        }
    ]
    assert metrics.registry.get_sample_value("focus_internal_failures_total", {"where": "turn"}) == 1


def test_a_storm_of_failures_is_counted_in_full_and_logged_in_part() -> None:
    metrics = Metrics()
    now = [START]
    failures = Failures(metrics, lambda: now[0])
    with capture_logs() as logs:
        for _ in range(1_000):
            failures.note("tick", ValueError())
        assert len(logs) == LOGGED_AT_ONCE
        now[0] = after_s(START, 2)
        failures.note("tick", ValueError())
    assert logs[-1]["unlogged_before"] == 1_000 - LOGGED_AT_ONCE
    assert metrics.registry.get_sample_value("focus_internal_failures_total", {"where": "tick"}) == 1_001
