from __future__ import annotations

import random

import numpy as np
import pytest

from sfu.bwe.delay import BASE_S, PLACES, RIVAL_BASE_S, STALE_NS, TREND_MS, Delays, DelayTrend
from sfu.units import NS_PER_MS

from .arrays import at_ms, packet, reports_of, sized

ALONE = np.zeros(1, np.bool_)
BESIDE = np.ones(1, np.bool_)


def trend_of() -> DelayTrend:
    trend = DelayTrend()
    sized(trend.table, 1)
    return trend


def play(trend: DelayTrend, delays_ms: list[float], begin_ms: float = 0, gap_ms: float = 10) -> Delays:
    """A packet each `gap_ms`, all in one report."""
    packets = [packet(begin_ms + i * gap_ms, delay, seq=i) for i, delay in enumerate(delays_ms)]
    return trend.update(at_ms(begin_ms), reports_of(packets), ALONE)


def test_a_queue_that_grows_shows_by_how_much() -> None:
    # 1 ms in each 10: on the receiver's clock 1 in 11.
    delays = play(trend_of(), [20 + i for i in range(60)])
    assert delays.growth_ms[0] == pytest.approx(TREND_MS / 11, rel=0.02)
    assert delays.queue_ms[0] == pytest.approx(50, abs=2)


def test_a_queue_that_stands_does_not_grow() -> None:
    trend = trend_of()
    play(trend, [20.0] * 20)
    delays = play(trend, [70.0] * 60, begin_ms=200)
    assert delays.growth_ms[0] == pytest.approx(0, abs=1e-6)
    assert delays.queue_ms[0] == pytest.approx(50)


def test_jitter_alone_is_no_queue() -> None:
    rng = random.Random(1)
    delays = play(trend_of(), [20 + 20 * rng.random() for _ in range(200)], gap_ms=5)
    assert delays.queue_ms[0] < 5


def test_what_a_batch_waits_for_itself_is_no_queue() -> None:
    trend = trend_of()
    packets = [
        packet(frame * 33, 20 + place * 3, seq=frame * 10 + place)
        for frame in range(10)
        for place in range(frame % 4 + 1)
    ]
    delays = trend.update(at_ms(0), reports_of(packets), ALONE)
    assert delays.growth_ms[0] == pytest.approx(0, abs=1e-6)
    assert delays.queue_ms[0] == 0


def test_a_few_samples_say_nothing_about_growth() -> None:
    assert play(trend_of(), [20, 30, 40]).growth_ms[0] == 0
    assert play(trend_of(), [20.0 + i for i in range(20)], gap_ms=0.1).growth_ms[0] == 0


def test_the_least_delay_grows_old() -> None:
    trend = trend_of()
    play(trend, [20.0])
    for second in range(1, int(3 * BASE_S)):
        delays = play(trend, [70.0], begin_ms=1_000 * second)
        assert delays.queue_ms[0] == (50 if second < 2 * BASE_S else 0)


def test_beside_a_rival_the_least_delay_is_kept_for_longer() -> None:
    trend = trend_of()
    delays = play(trend, [20.0])
    for second in range(1, int(RIVAL_BASE_S)):
        delays = trend.update(
            at_ms(1_000 * second), reports_of([packet(1_000 * second, 70, seq=second)]), BESIDE
        )
    assert delays.queue_ms[0] == 50


def test_without_news_nothing_is_new() -> None:
    trend = trend_of()
    play(trend, [20.0] * 10)
    assert not trend.update(at_ms(500), reports_of([]), ALONE).is_new[0]


def test_a_path_of_which_nobody_tells_has_no_queue() -> None:
    trend = trend_of()
    play(trend, [20.0 + i for i in range(30)])
    delays = trend.update(at_ms(STALE_NS / NS_PER_MS), reports_of([]), ALONE)
    assert (delays.queue_ms[0], delays.growth_ms[0], delays.is_new[0]) == (0, 0, True)


def test_another_clock_begins_anew() -> None:
    trend = trend_of()
    play(trend, [20.0] * 10)
    assert play(trend, [50_000.0] * 10, begin_ms=200).queue_ms[0] == 0


def test_more_samples_than_places_leave_the_newest() -> None:
    delays = play(trend_of(), [500.0] * PLACES + [20.0] * PLACES, gap_ms=5)
    assert delays.queue_ms[0] == 0
    assert delays.growth_ms[0] == pytest.approx(0, abs=1e-6)
