from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rows import LOST
from sfu.rtp.twcc import DELTA_NS, TransportFeedback
from sfu.streams.twcc_sender import MAX_AGE_S, MAX_NUMBERS, MAX_TICKS, Reported, TwccSender
from sfu.units import Instant, Ssrc, after_ms, after_s

START = Instant(10**13)
TURN_NS = 2**32 * DELTA_NS
"""The 24 bits of reference time."""


def feedback(*arrivals: tuple[int, int | None]) -> TransportFeedback:
    return TransportFeedback(Ssrc(9), Ssrc(10), 0, arrivals)


def stamped(count: int, first: int = 0) -> TwccSender:
    """A sender that has sent so many packets, of 100 bytes and more, a millisecond apart from START on."""
    sender = TwccSender()
    for _ in range(first):
        sender.stamp(START, 1, 0)
    for index in range(count):
        sender.stamp(after_ms(START, index), 100 + index, cluster=index % 3)
    return sender


def test_numbers_start_at_zero_and_wrap_at_16_bits_without_a_gap() -> None:
    sender = TwccSender()
    numbers = []
    for index in range(2**16 + 2):
        numbers.append(sender.next_number)
        assert sender.stamp(START, 1, 0) == index
    assert numbers == [*range(2**16), 0, 1]


def test_feedback_tells_of_each_packet_when_it_came_or_that_it_did_not() -> None:
    sender = stamped(3)
    now = after_ms(START, 100)
    first, last = 5_000 * DELTA_NS, 5_004 * DELTA_NS
    rows = sender.report(now, feedback((0, first), (1, None), (2, last)))
    assert rows == [
        Reported(0, 0, 100, START, TURN_NS + first),
        Reported(1, 1, 101, after_ms(START, 1), LOST),
        Reported(2, 2, 102, after_ms(START, 2), TURN_NS + last),
    ]


def test_a_packet_that_was_lost_and_comes_after_all_is_told_again_and_nothing_else_is() -> None:
    sender = stamped(2)
    first, _ = sender.report(START, feedback((0, None), (1, DELTA_NS)))
    assert first.arrived_at == LOST
    assert sender.report(START, feedback((0, None), (1, None))) == []
    (again,) = sender.report(START, feedback((0, 2 * DELTA_NS)))
    assert (again.seq, again.arrived_at) == (0, TURN_NS + 2 * DELTA_NS)
    assert sender.report(START, feedback((0, 3 * DELTA_NS), (0, None))) == []


def test_numbers_that_were_never_given_say_nothing() -> None:
    assert TwccSender().report(START, feedback((0, DELTA_NS), (65_535, None))) == []
    assert stamped(2).report(START, feedback((2, DELTA_NS), (65_535, DELTA_NS), (3, None))) == []


def test_what_is_forgotten_says_nothing() -> None:
    sender = stamped(2)
    sender.forget(0)
    sender.forget(0)
    sender.forget(77)
    rows = sender.report(START, feedback((0, DELTA_NS), (1, DELTA_NS)))
    assert [row.seq for row in rows] == [1]


def test_numbers_are_remembered_for_a_while_only() -> None:
    sender = stamped(MAX_NUMBERS + 1)
    assert sender.report(START, feedback((0, DELTA_NS))) == []
    (row,) = sender.report(START, feedback((1, DELTA_NS)))
    assert row.seq == 1
    late = after_s(after_ms(START, 2), MAX_AGE_S)
    assert sender.report(Instant(late + 1), feedback((2, DELTA_NS))) == []
    assert len(sender.report(late, feedback((2, DELTA_NS)))) == 1


@pytest.mark.parametrize("first", [0, 2**15 - 1, 2**15, 2**16 - 1])
def test_numbers_are_unwrapped(first: int) -> None:
    sender = stamped(4, first)
    arrivals = tuple(((first + index) % 2**16, index * DELTA_NS) for index in range(4))
    assert [row.seq for row in sender.report(START, feedback(*arrivals))] == [first + i for i in range(4)]


@given(
    start=st.integers(0, 2**32 - 1),
    steps=st.lists(st.integers(-(2**14), 2**30), min_size=1, max_size=20),
)
def test_arrivals_keep_their_differences_over_the_turn_of_the_peers_clock(
    start: int, steps: list[int]
) -> None:
    sender = stamped(len(steps) + 1)
    ticks = [start]
    for step in steps:
        ticks.append(ticks[-1] + step)
    told = []
    for index, tick in enumerate(ticks):
        rows = sender.report(START, feedback((index, tick % 2**32 * DELTA_NS)))
        told += [row.arrived_at for row in rows]
    assert [at - told[0] for at in told] == [(tick - start) * DELTA_NS for tick in ticks]


def test_a_peer_that_plays_with_its_clock_never_leaves_64_bits() -> None:
    sender, at = TwccSender(), 0
    highest = 0
    for index in range(3 * MAX_TICKS // 2**31):
        sender.stamp(START, 1, 0)
        at = (at + 2**31 - 1) % 2**32
        (row,) = sender.report(START, feedback((index % 2**16, at * DELTA_NS)))
        highest = max(highest, row.arrived_at)
    assert 2**60 < highest < MAX_TICKS * DELTA_NS < 2**63
