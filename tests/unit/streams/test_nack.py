from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.streams.nack import (
    DEFAULT_ROUND_TRIP_MS,
    MAX_MISSING,
    MAX_ROUND_TRIP_MS,
    MAX_TRIES,
    MIN_RETRY_MS,
    REORDER_TOLERANCE_MS,
    NackGenerator,
)
from sfu.units import Instant, after_ms

WRAPS = (0, 2**15 - 1, 2**15, 2**16 - 1)
START = Instant(0)
DUE = after_ms(START, REORDER_TOLERANCE_MS)


def fed(*seqs: int) -> NackGenerator:
    nack = NackGenerator()
    for seq in seqs:
        assert not nack.received(START, seq)
    return nack


def test_nothing_is_asked_for_while_nothing_is_missing() -> None:
    nack = fed(1, 2, 3)
    assert nack.next_timeout() is None
    assert nack.poll(DUE) == []


@given(start=st.sampled_from(WRAPS), gap=st.integers(1, 50))
def test_what_is_missing_is_asked_for_after_the_tolerance(start: int, gap: int) -> None:
    nack = fed(start, start + gap + 1)
    assert nack.next_timeout() == DUE
    assert nack.poll(Instant(DUE - 1)) == []
    assert nack.poll(DUE) == list(range(start + 1, start + gap + 1))
    assert nack.nack_count == gap


def test_a_reordered_packet_is_not_asked_for() -> None:
    nack = fed(1, 3)
    assert nack.missing_count == 1
    nack.received(START, 2)
    assert nack.missing_count == 0
    assert nack.next_timeout() is None
    assert nack.poll(DUE) == []


def test_packets_from_before_the_first_are_not_of_interest() -> None:
    nack = fed(10, 5, 11)
    assert nack.missing_count == 0


@pytest.mark.parametrize(
    ("measured_ms", "retry_ms"),
    [
        (None, DEFAULT_ROUND_TRIP_MS),
        (1.0, MIN_RETRY_MS),
        (50.0, 50.0),
        (1e9, MAX_ROUND_TRIP_MS),
    ],
)
def test_a_request_is_repeated_after_a_round_trip(measured_ms: float | None, retry_ms: float) -> None:
    nack = fed(1, 3)
    if measured_ms is not None:
        nack.set_round_trip_time(measured_ms)
    assert nack.poll(DUE) == [2]
    again = after_ms(DUE, retry_ms)
    assert nack.next_timeout() == again
    assert nack.poll(Instant(again - 1)) == []
    assert nack.poll(again) == [2]


def test_a_packet_is_given_up_after_so_many_tries() -> None:
    nack = fed(1, 3)
    asked = 0
    now = DUE
    while (due_at := nack.next_timeout()) is not None:
        now = due_at
        asked += len(nack.poll(now))
    assert asked == MAX_TRIES == nack.nack_count
    assert nack.missing_count == 0


def test_each_gap_keeps_its_own_time() -> None:
    nack = fed(1, 3)
    later = after_ms(START, 5)
    nack.received(later, 5)
    assert nack.poll(DUE) == [2]
    assert nack.next_timeout() == after_ms(later, REORDER_TOLERANCE_MS)
    assert nack.poll(after_ms(later, REORDER_TOLERANCE_MS)) == [4]


@pytest.mark.parametrize("jump", [MAX_MISSING + 2, 30_000, 2**40])
def test_a_jump_too_wide_to_repair_asks_for_a_key_frame_instead(jump: int) -> None:
    nack = fed(1, 3)
    assert nack.received(START, 3 + jump)
    assert nack.missing_count == 0
    assert nack.next_timeout() is None
    assert nack.poll(DUE) == []
    assert not nack.received(START, 4 + jump)


def test_the_missing_are_bounded() -> None:
    nack = fed(0, MAX_MISSING + 1)
    assert nack.missing_count == MAX_MISSING
    assert not nack.received(START, MAX_MISSING + 2)
    assert nack.received(START, MAX_MISSING + 4)
    assert nack.missing_count == 0
