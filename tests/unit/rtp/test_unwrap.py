from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.unwrap import Unwrapper

BITS = (8, 15, 16, 32)


def wraps(bits: int) -> list[int]:
    return [0, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1]


@given(
    bits=st.sampled_from(BITS), wrap=st.integers(0, 3), steps=st.lists(st.integers(-100, 120), max_size=300)
)
def test_whatever_the_steps_the_full_numbers_follow_them(bits: int, wrap: int, steps: list[int]) -> None:
    start = wraps(bits)[wrap]
    unwrapper = Unwrapper(bits)
    first = unwrapper.unwrap(start)
    true, highest = start, start
    for step in steps:
        true += step
        if highest - true > 127:  # further back than half a turn of 8 bits: nobody can tell
            true = highest
        highest = max(highest, true)
        assert unwrapper.unwrap(true % 2**bits) - first == true - start


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("wrap", range(4))
def test_the_full_number_is_the_wire_number_in_some_turn_and_never_negative(bits: int, wrap: int) -> None:
    start = wraps(bits)[wrap]
    for number in wraps(bits):
        unwrapper = Unwrapper(bits)
        assert unwrapper.unwrap(start) % 2**bits == start
        full = unwrapper.unwrap(number)
        assert full >= 0
        assert full % 2**bits == number


def test_what_was_sent_before_the_first_is_below_it() -> None:
    unwrapper = Unwrapper(16)
    first = unwrapper.unwrap(1)
    assert [unwrapper.unwrap(number) - first for number in (65_535, 0, 2)] == [-2, -1, 1]


def test_an_old_number_does_not_pull_the_others_back() -> None:
    unwrapper = Unwrapper(16)
    first = unwrapper.unwrap(0)
    unwrapper.unwrap(65_536 - 30_000)
    assert unwrapper.unwrap(32_000) == first + 32_000


@given(bits=st.sampled_from(BITS), numbers=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
def test_hearing_of_a_number_says_the_same_and_moves_nothing(bits: int, numbers: list[int]) -> None:
    unwrapper = Unwrapper(bits)
    for number in numbers:
        heard = [unwrapper.nearest(other % 2**bits) for other in numbers]
        assert heard == [unwrapper.nearest(other % 2**bits) for other in numbers]
        assert unwrapper.nearest(number % 2**bits) == unwrapper.unwrap(number % 2**bits)


def test_half_a_turn_away_is_old() -> None:
    unwrapper = Unwrapper(16)
    first = unwrapper.unwrap(100)
    assert unwrapper.unwrap(100 + 2**15) == first - 2**15
    assert unwrapper.unwrap(100 + 2**15 - 1) == first + 2**15 - 1
