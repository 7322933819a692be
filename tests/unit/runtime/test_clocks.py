from __future__ import annotations

import time

from sfu.runtime.clocks import monotonic_clock, wall_clock


def test_the_monotonic_clock_counts_as_the_planes_do() -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert before <= monotonic_clock() <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_the_wall_clock_counts_milliseconds_since_the_epoch() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= wall_clock() <= time.time_ns() // 1_000_000
