from __future__ import annotations

import numpy as np

from sfu.bwe.delay import Delays
from sfu.bwe.rivals import AFTER_NS, GONE_MS, STANDING_MS, Rivals
from sfu.units import NS_PER_MS

from .arrays import at_ms, sized

AFTER_MS = AFTER_NS // NS_PER_MS


def rivals_of() -> Rivals:
    rivals = Rivals()
    sized(rivals.table, 1)
    return rivals


def play(rivals: Rivals, queue_ms: float, begin_ms: int, end_ms: int, *, is_new: bool = True) -> bool:
    has_rival = False
    for ms in range(begin_ms, end_ms, 50):
        delays = Delays(np.array([queue_ms]), np.zeros(1), np.zeros(1), np.zeros(1), np.array([is_new]))
        has_rival = bool(rivals.update(at_ms(ms), delays)[0])
    assert rivals.has_rival[0] == has_rival
    return has_rival


def test_a_queue_that_stays_is_somebody_elses() -> None:
    rivals = rivals_of()
    assert not play(rivals, 2 * STANDING_MS, 0, AFTER_MS)
    assert play(rivals, 2 * STANDING_MS, AFTER_MS, AFTER_MS + 100)


def test_one_that_is_gone_before_is_ours() -> None:
    rivals = rivals_of()
    play(rivals, 2 * STANDING_MS, 0, AFTER_MS - 500)
    play(rivals, STANDING_MS - 1, AFTER_MS - 500, AFTER_MS)
    assert not play(rivals, 2 * STANDING_MS, AFTER_MS, 2 * AFTER_MS - 100)


def test_a_rival_stays_while_there_is_a_queue_and_is_gone_with_it() -> None:
    rivals = rivals_of()
    play(rivals, 2 * STANDING_MS, 0, AFTER_MS + 100)
    assert play(rivals, GONE_MS + 1, AFTER_MS + 100, 2 * AFTER_MS)
    assert not play(rivals, GONE_MS - 1, 2 * AFTER_MS, 2 * AFTER_MS + 50)


def test_silence_is_no_queue() -> None:
    assert not play(rivals_of(), 2 * STANDING_MS, 0, 2 * AFTER_MS, is_new=False)


def test_one_that_has_shown_itself_otherwise_stays_as_long() -> None:
    rivals = rivals_of()
    rivals.meet(np.array([True]))
    assert play(rivals, GONE_MS + 1, 0, 100)
    assert not play(rivals, GONE_MS - 1, 100, 150)
