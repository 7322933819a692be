from __future__ import annotations

import numpy as np

from sfu.bwe.lowest import GENERATION_NS, LowestTargets
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
