from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.rtcp import parse_compound, serialise_compound
from sfu.rtp.twcc import TransportFeedback
from sfu.streams.twcc_receiver import (
    FEEDBACK_INTERVAL_MS,
    MAX_LEADING_LOST,
    MAX_PENDING,
    TwccReceiver,
)
from sfu.units import Instant, Ssrc, after_ms

WRAPS = (0, 2**15 - 1, 2**15, 2**16 - 1)
OURS, THEIRS = Ssrc(1), Ssrc(0xBEEF)
START = Instant(64_000_000 * 1_000)


def polled(receiver: TwccReceiver, now: Instant = START) -> list[TransportFeedback]:
    return receiver.poll(after_ms(now, FEEDBACK_INTERVAL_MS))


def told(feedbacks: list[TransportFeedback]) -> list[tuple[int, int | None]]:
    return [entry for feedback in feedbacks for entry in feedback.arrivals]


def test_nothing_is_told_while_nothing_came() -> None:
    receiver = TwccReceiver(OURS)
    assert receiver.next_timeout() is None
    assert polled(receiver) == []


def test_feedback_comes_an_interval_after_the_first_arrival() -> None:
    receiver = TwccReceiver(OURS)
    receiver.received(START, THEIRS, 7)
    later = after_ms(START, 10)
    receiver.received(later, THEIRS, 8)
    due_at = after_ms(START, FEEDBACK_INTERVAL_MS)
    assert receiver.next_timeout() == due_at
    assert receiver.poll(Instant(due_at - 1)) == []
    assert receiver.poll(due_at) == [TransportFeedback(OURS, THEIRS, 0, ((7, START), (8, later)))]
    assert receiver.next_timeout() is None
    assert receiver.poll(due_at) == []


@given(
    start=st.sampled_from(WRAPS),
    rounds=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=20), min_size=1, max_size=8),
)
def test_every_number_is_told_once_and_in_order(start: int, rounds: list[list[int]]) -> None:
    receiver = TwccReceiver(OURS)
    number, now = start, START
    came: list[int] = []
    entries: list[tuple[int, int | None]] = []
    for steps in rounds:
        for step in steps:
            number += 1 + step
            now = after_ms(now, 0.25)
            receiver.received(now, THEIRS, number % 2**16)
            came.append(number % 2**16)
        now = after_ms(now, FEEDBACK_INTERVAL_MS)
        packets = serialise_compound(receiver.poll(now))
        for packet in parse_compound(packets):
            assert isinstance(packet, TransportFeedback)
            entries.extend(packet.arrivals)
    assert [entry for entry, at in entries if at is not None] == came
    assert all((after - before) % 2**16 == 1 for (before, _), (after, _) in pairwise(entries))


def test_what_is_lost_between_two_feedbacks_is_told_by_the_second() -> None:
    receiver = TwccReceiver(OURS)
    receiver.received(START, THEIRS, 1)
    polled(receiver)
    receiver.received(START, THEIRS, 4)
    assert told(polled(receiver)) == [(2, None), (4, START)]


def test_arrival_times_survive_the_wire_to_a_quarter_of_a_millisecond() -> None:
    receiver = TwccReceiver(OURS)
    arrivals = [after_ms(START, 0.25 * number + 0.1 * (number % 2)) for number in range(100)]
    for number, at in enumerate(arrivals):
        receiver.received(at, THEIRS, number)
    (packet,) = parse_compound(serialise_compound(polled(receiver)))
    assert isinstance(packet, TransportFeedback)
    for (_, sent_at), at in zip(packet.arrivals, arrivals, strict=True):
        assert sent_at is not None
        assert abs(sent_at - at) <= 125_000


def test_a_reordered_packet_stands_in_its_place() -> None:
    receiver = TwccReceiver(OURS)
    for number in (65_535, 1, 0):
        receiver.received(START, THEIRS, number)
    assert told(polled(receiver)) == [(65_535, START), (0, START), (1, START)]


def test_late_packets_are_told_by_themselves() -> None:
    receiver = TwccReceiver(OURS)
    for number in (1, 10):
        receiver.received(START, THEIRS, number)
    polled(receiver)
    for number in (3, 4, 7, 11):
        receiver.received(START, THEIRS, number)
    assert [feedback.arrivals for feedback in polled(receiver)] == [
        ((3, START), (4, START)),
        ((7, START),),
        ((11, START),),
    ]


def test_a_packet_that_comes_twice_keeps_its_first_time() -> None:
    receiver = TwccReceiver(OURS)
    receiver.received(START, THEIRS, 1)
    receiver.received(after_ms(START, 1), THEIRS, 1)
    assert told(polled(receiver)) == [(1, START)]


def test_probes_with_ssrc_zero_are_told_of() -> None:
    receiver = TwccReceiver(OURS)
    receiver.received(START, Ssrc(0), 1)
    (feedback,) = polled(receiver)
    assert (feedback.media_ssrc, feedback.arrivals) == (0, ((1, START),))
    receiver.received(START, THEIRS, 2)
    receiver.received(START, Ssrc(0), 3)
    (feedback,) = polled(receiver)
    assert (feedback.media_ssrc, feedback.arrivals) == (THEIRS, ((2, START), (3, START)))


def test_feedback_packets_are_counted_in_a_byte() -> None:
    receiver = TwccReceiver(OURS)
    counts = []
    for number in range(258):
        receiver.received(START, THEIRS, number)
        counts += [feedback.feedback_count for feedback in polled(receiver)]
    assert counts == [*range(256), 0, 1]


@pytest.mark.parametrize(
    ("jump", "leading"), [(MAX_LEADING_LOST + 1, 1), (MAX_LEADING_LOST + 2, 0), (30_000, 0)]
)
def test_a_jump_is_not_told_as_so_many_losses(jump: int, leading: int) -> None:
    receiver = TwccReceiver(OURS)
    receiver.received(START, THEIRS, 1)
    polled(receiver)
    receiver.received(START, THEIRS, 1 + jump)
    assert len(told(polled(receiver))) == 1 + leading


def test_a_jump_between_two_feedbacks_gives_two_packets() -> None:
    receiver = TwccReceiver(OURS)
    receiver.received(START, THEIRS, 1)
    receiver.received(START, THEIRS, 20_000)
    assert [feedback.arrivals for feedback in polled(receiver)] == [((1, START),), ((20_000, START),)]


def test_a_counter_that_starts_anew_further_down_is_told_in_one_packet() -> None:
    receiver = TwccReceiver(OURS)
    receiver.received(START, THEIRS, 20_000)
    polled(receiver)
    for number in range(100):
        receiver.received(START, THEIRS, number)
    (feedback,) = polled(receiver)
    assert len(feedback.arrivals) == 100


def test_arrivals_waiting_to_be_told_are_bounded() -> None:
    receiver = TwccReceiver(OURS)
    for number in range(2 * MAX_PENDING):
        receiver.received(START, THEIRS, number)
    assert len(receiver._pending) == MAX_PENDING
    assert len(told(polled(receiver))) == MAX_PENDING
