from __future__ import annotations

import numpy as np

from sfu.bwe.delay import Delays
from sfu.bwe.overuse import (
    MIN_QUEUE_MS,
    MIN_THRESHOLD_MS,
    PROBED_QUEUE_MS,
    RIVAL_THRESHOLD_MS,
    OveruseDetector,
    Signal,
)

from .arrays import at_ms, sized

ALONE = np.zeros(1, np.bool_)
BESIDE = np.ones(1, np.bool_)
QUIET = np.zeros(1, np.bool_)
PROBED = np.ones(1, np.bool_)


def detector_of() -> OveruseDetector:
    detector = OveruseDetector()
    sized(detector.table, 1)
    return detector


def delays(
    growth_ms: float,
    queue_ms: float = 50.0,
    *,
    error_ms: float = 0.0,
    noise_ms: float = 0.0,
    is_new: bool = True,
) -> Delays:
    return Delays(
        np.array([queue_ms]),
        np.array([growth_ms]),
        np.array([error_ms]),
        np.array([noise_ms]),
        np.array([is_new]),
    )


def test_growth_is_overuse_and_its_opposite_is_underuse() -> None:
    detector = detector_of()
    assert detector.update(at_ms(0), delays(40), ALONE, QUIET)[0] == Signal.OVER
    assert detector.update(at_ms(50), delays(-40), ALONE, QUIET)[0] == Signal.UNDER
    assert detector.update(at_ms(100), delays(0), ALONE, QUIET)[0] == Signal.NORMAL


def test_growth_of_a_queue_that_is_short_is_no_overuse() -> None:
    assert detector_of().update(at_ms(0), delays(40, MIN_QUEUE_MS - 1), ALONE, QUIET)[0] == Signal.NORMAL


def test_what_may_be_jitter_is_neither() -> None:
    for growth_ms in (40, -40):
        told = delays(growth_ms, error_ms=14)
        assert detector_of().update(at_ms(0), told, ALONE, QUIET)[0] == Signal.NORMAL
    assert detector_of().update(at_ms(0), delays(40, error_ms=13), ALONE, QUIET)[0] == Signal.OVER
    long, short = (delays(40, queue_ms, noise_ms=20) for queue_ms in (41, 39))
    assert detector_of().update(at_ms(0), long, ALONE, QUIET)[0] == Signal.OVER
    assert detector_of().update(at_ms(0), short, ALONE, QUIET)[0] == Signal.NORMAL


def test_without_news_the_last_word_holds() -> None:
    detector = detector_of()
    detector.update(at_ms(0), delays(40), ALONE, QUIET)
    assert detector.update(at_ms(50), delays(0, is_new=False), ALONE, QUIET)[0] == Signal.OVER


def test_the_threshold_follows_what_is_a_little_above_it() -> None:
    detector = detector_of()
    assert detector.update(at_ms(0), delays(20), ALONE, QUIET)[0] == Signal.OVER
    for tick in range(1, 100):
        detector.update(at_ms(50 * tick), delays(20), ALONE, QUIET)
    assert 19 < detector.table.rows["threshold_ms"][0] <= 20


def test_the_threshold_does_not_follow_a_sudden_overuse() -> None:
    detector = detector_of()
    before = detector.table.rows["threshold_ms"][0]
    for tick in range(20):
        assert detector.update(at_ms(50 * tick), delays(200), ALONE, QUIET)[0] == Signal.OVER
    assert detector.table.rows["threshold_ms"][0] == before


def test_the_threshold_falls_to_its_least_in_peace() -> None:
    detector = detector_of()
    for tick in range(100):
        detector.update(at_ms(50 * tick), delays(0), ALONE, QUIET)
    assert detector.table.rows["threshold_ms"][0] == MIN_THRESHOLD_MS


def test_slow_growth_beside_a_rival_is_the_rivals() -> None:
    growth = RIVAL_THRESHOLD_MS - 1
    assert detector_of().update(at_ms(0), delays(growth), ALONE, QUIET)[0] == Signal.OVER
    assert detector_of().update(at_ms(0), delays(growth), BESIDE, QUIET)[0] == Signal.NORMAL
    assert detector_of().update(at_ms(0), delays(growth + 2), BESIDE, QUIET)[0] == Signal.OVER


def test_what_a_probe_left_is_no_overuse_and_more_is() -> None:
    assert detector_of().update(at_ms(0), delays(40, PROBED_QUEUE_MS - 1), ALONE, PROBED)[0] == Signal.NORMAL
    assert detector_of().update(at_ms(0), delays(40, PROBED_QUEUE_MS + 1), ALONE, PROBED)[0] == Signal.OVER
