from __future__ import annotations

import numpy as np
import pytest

from sfu.bwe.falls import MAX_GAP_NS, MIN_GAP_NS, Falls
from sfu.units import NS_PER_S

from .arrays import at_ms, sized

GAP_S = MIN_GAP_NS / NS_PER_S


class Path:
    """One subscriber's, on a clock of ticks."""

    def __init__(self) -> None:
        self.falls = Falls()
        sized(self.falls.table, 1)
        self.ms = 0.0

    def tick(self, *, has_room: bool = False, fell: bool = False, is_clear: bool = False) -> bool:
        self.ms += 50
        flags = (np.array([has_room]), np.array([fell]), np.array([is_clear]))
        return bool(self.falls.update(at_ms(self.ms), has_room=flags[0], fell=flags[1], is_clear=flags[2])[0])

    def returns_after_s(self) -> float:
        """Fall with room, and be clear at once: how long it takes to return."""
        self.tick(has_room=True)
        self.tick(has_room=True, fell=True)
        began = self.ms
        while not self.tick(is_clear=True):
            assert self.ms - began < 100_000
        return (self.ms - began) / 1_000


def test_who_fell_with_room_returns_when_the_path_is_clear_and_once() -> None:
    path = Path()
    path.tick(has_room=True, is_clear=True)
    assert not path.tick(fell=True)
    assert not path.tick()
    assert not path.tick(fell=True)
    assert path.tick(is_clear=True)
    assert not path.tick(is_clear=True)


def test_who_used_what_was_known_to_pass_does_not() -> None:
    path = Path()
    path.tick(is_clear=True)
    path.tick(fell=True)
    assert not any(path.tick(is_clear=True) for _ in range(100))


def test_room_that_comes_of_the_fall_is_none() -> None:
    path = Path()
    path.tick()
    path.tick(has_room=True, fell=True)
    path.tick(has_room=True, fell=True)
    assert not any(path.tick(is_clear=True) for _ in range(100))


def test_returns_that_do_not_last_are_further_apart() -> None:
    path = Path()
    waits = [path.returns_after_s() for _ in range(6)]
    assert waits == pytest.approx([0, 2 * GAP_S, 4 * GAP_S, 8 * GAP_S, 30, 30], abs=0.3)
    assert MAX_GAP_NS == 30 * NS_PER_S


def test_one_that_lasted_is_followed_by_another_at_once() -> None:
    path = Path()
    path.returns_after_s()
    path.ms += 2_000 * GAP_S
    assert path.returns_after_s() < 0.1
