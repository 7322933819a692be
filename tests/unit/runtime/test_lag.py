from __future__ import annotations

import asyncio

import pytest

from sfu.metrics import Metrics
from sfu.runtime.lag import SAMPLE_EVERY_S, watch_lag
from sfu.units import Instant
from tests.support.virtual_time import clock, virtually


async def lag_s(lost_each_time_s: float) -> tuple[float, float]:
    """Samples that were taken in a while, and the mean of them, where the clock is later each time."""
    metrics = Metrics()
    lost_ns = 0

    def late_clock() -> Instant:
        nonlocal lost_ns
        lost_ns += round(lost_each_time_s * 1e9)
        return Instant(clock() + lost_ns)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch_lag(late_clock, metrics))
        await asyncio.sleep(10 * SAMPLE_EVERY_S + 0.01)
        task.cancel()
    count = metrics.registry.get_sample_value("focus_event_loop_lag_seconds_count") or 0
    total = metrics.registry.get_sample_value("focus_event_loop_lag_seconds_sum") or 0
    return count, total / count


@virtually
async def test_an_idle_loop_has_no_lag() -> None:
    samples, mean_s = await lag_s(0)
    assert samples == 10
    assert mean_s == pytest.approx(0, abs=1e-6)


@virtually
async def test_what_the_loop_was_late_by_is_observed() -> None:
    samples, mean_s = await lag_s(0.3)
    assert samples == 10
    assert mean_s == pytest.approx(0.3)
