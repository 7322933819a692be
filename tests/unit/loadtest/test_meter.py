from __future__ import annotations

import pytest

from loadtest.meter import RateMeter
from sfu.units import Instant, after_ms

T0 = Instant(10**12)


def test_a_rate_is_that_of_the_last_two_seconds() -> None:
    meter = RateMeter()
    rates = [meter.rate(after_ms(T0, n * 500), "key", n * 10) for n in range(5)]
    assert rates == [0.0, 20.0, 20.0, 20.0, 20.0]
    stopped = [meter.rate(after_ms(T0, 2_000 + n * 500), "key", 40) for n in range(1, 6)]
    assert stopped == pytest.approx([15.0, 10.0, 5.0, 0.0, 0.0])


def test_counters_do_not_touch_each_other() -> None:
    meter = RateMeter()
    meter.rate(T0, "a", 0)
    meter.rate(T0, "b", 100)
    later = after_ms(T0, 1_000)
    assert (meter.rate(later, "a", 7), meter.rate(later, "b", 100)) == (7.0, 0.0)


def test_two_readings_at_once_are_no_rate() -> None:
    meter = RateMeter()
    meter.rate(T0, "a", 0)
    assert meter.rate(T0, "a", 5) == 0.0
