from __future__ import annotations

import numpy as np
import pytest

from sfu.allocation.rotation import TURN_NS, first_in_turn, has_turn, is_one_in
from sfu.units import Instant


@pytest.mark.parametrize("ticks_between", [1, 2, 4, 20, 64])
@pytest.mark.parametrize("count", [64, 100, 128])
def test_everybody_has_a_turn_soon_whatever_ticks_are_left_out(count: int, ticks_between: int) -> None:
    at_once, seen = 16, np.zeros(count, np.bool_)
    for turn in range(4 * count // at_once):
        seen |= has_turn(count, at_once, Instant(10**15 + turn * ticks_between * TURN_NS))
    assert seen.all()


def test_so_many_have_a_turn_at_once() -> None:
    for turn in range(30):
        assert has_turn(10, 3, Instant(turn * TURN_NS)).sum() == 3
        assert has_turn(2, 3, Instant(turn * TURN_NS)).all()
        assert 0 <= first_in_turn(7, Instant(turn * TURN_NS)) < 7
    assert len(has_turn(0, 3, Instant(0))) == 0


@pytest.mark.parametrize("ticks_between", [1, 2, 4, 20])
def test_one_turn_in_so_many_is_any(ticks_between: int) -> None:
    turns = [Instant(10**15 + turn * ticks_between * TURN_NS) for turn in range(400)]
    mine = [now for now in turns if is_one_in(4, now)]
    assert 80 <= len(mine) <= 120
    assert {first_in_turn(8, now) for now in mine} == set(range(8))
