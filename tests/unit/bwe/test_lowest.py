from __future__ import annotations

import numpy as np

from sfu.bwe.lowest import GENERATION_NS, PROVEN, LowestTargets
from sfu.units import NS_PER_MS

from .arrays import at_ms, sized

GENERATION_MS = GENERATION_NS // NS_PER_MS


def test_a_low_target_counts_for_one_to_two_generations() -> None:
    lowest = LowestTargets()
    sized(lowest.table, 1)
    seen = {}
    for ms in range(0, 4 * GENERATION_MS, 50):
        target = 100.0 if ms == GENERATION_MS else 500.0
        seen[ms] = float(lowest.update(at_ms(ms), np.array([target]))[0])
    assert seen[GENERATION_MS - 50] == 500
    assert {seen[ms] for ms in seen if GENERATION_MS <= ms < 2 * GENERATION_MS} == {100}
    assert {seen[ms] for ms in seen if ms >= 3 * GENERATION_MS} == {500}


def test_a_first_target_is_the_lowest_even_if_it_is_infinite() -> None:
    lowest = LowestTargets()
    sized(lowest.table, 2)
    assert lowest.update(at_ms(0), np.array([np.inf, 7.0])).tolist() == [np.inf, 7.0]


def test_what_a_probe_has_proven_counts_at_once() -> None:
    lowest = LowestTargets()
    sized(lowest.table, 2)
    lowest.update(at_ms(0), np.array([100.0, 100.0]))
    lowest.raise_to(np.array([1_000.0, np.nan]))
    assert lowest.update(at_ms(50), np.full(2, 1_000.0)).tolist() == [PROVEN * 1_000, 100]


def test_a_proof_lowers_nothing_and_holds_no_longer_than_the_target() -> None:
    lowest = LowestTargets()
    sized(lowest.table, 1)
    lowest.update(at_ms(0), np.array([500.0]))
    lowest.raise_to(np.array([100.0]))
    assert lowest.update(at_ms(50), np.array([500.0])).tolist() == [500]
    lowest.raise_to(np.array([1_000.0]))
    assert lowest.update(at_ms(100), np.array([600.0])).tolist() == [600]
