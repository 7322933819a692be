from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.vp8 import Vp8Descriptor, parse_vp8
from sfu.streams.clock import StreamClock
from sfu.streams.offsets import MAX_GAP
from sfu.streams.rewriter import (
    MAX_DEVIATION_S,
    MAX_REPORT_WAIT_S,
    SequenceRewriter,
    TimestampMapper,
    Vp8Rewriter,
)
from sfu.units import NS_PER_S, Instant, Ssrc, after_ms, after_s

if TYPE_CHECKING:
    from random import Random

WRAPS = (0, 2**15 - 1, 2**15, 2**16 - 1)
TS_WRAPS = (0, 2**31 - 1, 2**32 - 45_000, 2**32 - 1)
A, B, C = Ssrc(1), Ssrc(2), Ssrc(3)
START = Instant(1_000 * NS_PER_S)
RATE = 90_000
FRAME = 3_000


# --- sequence numbers -------------------------------------------------------------------------------------


@given(
    start=st.sampled_from(WRAPS), first=st.integers(0, 2**15 - 1), keep=st.lists(st.booleans(), max_size=300)
)
def test_receiver_sees_no_gap_whatever_we_drop(start: int, first: int, keep: list[bool]) -> None:
    rewriter = SequenceRewriter(first)
    out = [rewriter.forward(A, start)]
    for seq, kept in enumerate(keep, start + 1):
        if kept:
            out.append(rewriter.forward(A, seq))
        else:
            rewriter.drop(A, seq)
    assert out == list(range(first, first + len(out)))
    assert rewriter.next_seq == first + len(out)


@given(
    starts=st.lists(st.sampled_from(WRAPS), min_size=3, max_size=3),
    runs=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9), st.integers(0, 3)), max_size=60),
)
def test_receiver_sees_no_gap_over_switches(starts: list[int], runs: list[tuple[int, int, int]]) -> None:
    rewriter = SequenceRewriter(5)
    seqs = list(starts)
    out: list[int | None] = []
    for which, forwarded, dropped in runs:
        for _ in range(forwarded):
            out.append(rewriter.forward(Ssrc(which), seqs[which]))
            seqs[which] += 1
        for _ in range(dropped):
            rewriter.drop(Ssrc(which), seqs[which])
            seqs[which] += 1
        seqs = [seq + (100 if other != which else 0) for other, seq in enumerate(seqs)]
    # Where a run follows one of the same source, nothing is skipped between them either.
    assert out == list(range(5, 5 + len(out)))


@given(
    start=st.sampled_from(WRAPS),
    fates=st.lists(st.sampled_from(("forward", "drop", "lost", "late")), max_size=150),
)
def test_a_lost_packet_is_a_gap_that_its_late_arrival_fills(start: int, fates: list[str]) -> None:
    rewriter = SequenceRewriter(0)
    sent = {start: rewriter.forward(A, start)}
    for seq, fate in enumerate(fates, start + 1):
        if fate == "forward":
            sent[seq] = rewriter.forward(A, seq)
        elif fate == "drop":
            rewriter.drop(A, seq)
    last = start + len(fates) + 1
    sent[last] = rewriter.forward(A, last)
    for seq, fate in enumerate(fates, start + 1):
        if fate == "late":
            sent[seq] = rewriter.forward(A, seq)
    expected = 0
    for seq in range(start, last + 1):
        fate = "forward" if seq in (start, last) else fates[seq - start - 1]
        if fate == "drop":
            continue
        if fate != "lost":
            assert sent[seq] == expected
        expected += 1


def test_packets_from_before_a_switch_never_pass() -> None:
    rewriter = SequenceRewriter(0)
    rewriter.forward(A, 100)
    rewriter.forward(B, 50)
    assert rewriter.forward(B, 49) is None
    assert rewriter.next_seq == 2


def test_dropping_of_another_source_leaves_no_trace() -> None:
    rewriter = SequenceRewriter(0)
    rewriter.drop(A, 1)
    rewriter.forward(A, 100)
    rewriter.drop(B, 500)
    assert rewriter.forward(A, 101) == 1


def test_what_passed_during_a_pause_is_no_gap() -> None:
    rewriter = SequenceRewriter(0)
    rewriter.forward(A, 100)
    rewriter.pause()
    assert rewriter.forward(A, 600) == 1
    assert rewriter.forward(A, 599) is None


def test_an_outage_too_long_to_repair_is_no_gap() -> None:
    rewriter = SequenceRewriter(0)
    rewriter.forward(A, 0)
    assert rewriter.forward(A, 20_000) == 1
    assert rewriter.forward(A, 20_000 + MAX_GAP + 1) == 2 + MAX_GAP


# --- timestamps -------------------------------------------------------------------------------------------


@dataclass
class Encoding:
    """An encoder of the test: its RTP clock starts anywhere, and its publisher's NTP clock is one for all."""

    first_ts: int
    clock: StreamClock
    rate: int = RATE

    def ts(self, captured_at: Instant) -> int:
        return self.first_ts + round((captured_at - START) * self.rate / NS_PER_S)

    def report(self, captured_at: Instant, *, ntp_error: int = 0) -> None:
        self.clock.sender_report(captured_at, ntp(captured_at) + ntp_error, self.ts(captured_at) % 2**32)


def ntp(at: Instant) -> int:
    return (0xE000_0000 << 32) + (at - START) * 2**32 // NS_PER_S


def encoding(first_ts: int, *, reported: bool = True, first_at: Instant = START) -> Encoding:
    made = Encoding(first_ts, StreamClock(RATE, first_at, first_ts))
    if reported:
        made.report(START)
    return made


def truth(first: int, captured_at: Instant) -> float:
    return first + (captured_at - START) * RATE / NS_PER_S


@given(
    first=st.sampled_from(TS_WRAPS),
    starts=st.lists(st.sampled_from(TS_WRAPS), min_size=3, max_size=3),
    choices=st.lists(st.integers(0, 2), min_size=1, max_size=80),
    rng=st.randoms(use_true_random=False),
)
def test_timestamps_continue_within_a_tick_of_the_truth_over_switches(
    first: int, starts: list[int], choices: list[int], rng: Random
) -> None:
    encodings = [encoding(start + 2**32) for start in starts]
    mapper = TimestampMapper(first)
    for number, choice in enumerate(choices):
        captured_at = after_ms(START, 33.3 * number)
        arrived_at = after_ms(captured_at, rng.uniform(5, 200))
        chosen = encodings[choice]
        chosen.clock.received(chosen.ts(captured_at))
        assert mapper.ready(arrived_at, chosen.clock)
        out = mapper.map(arrived_at, chosen.clock, chosen.ts(captured_at))
        # The encoder rounds to its own clock, at the first packet too: half a tick each, and one of ours.
        assert abs(out - truth(first, captured_at)) <= 2
        if rng.random() < 0.1:
            encodings[rng.randrange(3)].report(captured_at)


@given(lag_ms=st.integers(0, 500), start=st.sampled_from(TS_WRAPS))
def test_an_encoding_that_lags_never_takes_time_back_and_is_soon_right(lag_ms: int, start: int) -> None:
    before, after = encoding(7), encoding(start + 2**32)
    mapper = TimestampMapper(0)
    sent = [
        mapper.map(at, before.clock, before.ts(at))
        for at in (after_ms(START, 33 * number) for number in range(30))
    ]
    switched_at = after_ms(START, 33 * 29)
    for number in range(60):
        captured_at = after_ms(switched_at, 33 * number - lag_ms)
        at = after_ms(switched_at, 33 * number + 1)
        sent.append(mapper.map(at, after.clock, after.ts(captured_at)))
        if 33 * number > 2 * lag_ms:
            assert abs(sent[-1] - truth(0, captured_at)) <= 2
    assert all(later > earlier for earlier, later in pairwise(sent))


def test_packets_of_a_frame_get_one_timestamp_even_while_catching_up() -> None:
    before, after = encoding(0), encoding(0)
    mapper = TimestampMapper(0)
    mapper.map(START, before.clock, 90_000)
    frames = [mapper.map(START, after.clock, ts) for ts in (45_000, 48_000, 45_000, 48_000)]
    assert frames == [1, 1_501, 1, 1_501]


def test_a_frame_from_before_the_first_keeps_its_distance() -> None:
    stream = encoding(2**32)
    mapper = TimestampMapper(1_000_000)
    assert mapper.map(START, stream.clock, 2**32) == 1_000_000
    assert mapper.map(START, stream.clock, 2**32 - 960) == 1_000_000 - 960


def test_time_goes_on_over_the_wrap_of_the_publishers_clock() -> None:
    stream = encoding(2**32 - FRAME)
    mapper = TimestampMapper(50)
    out = [mapper.map(START, stream.clock, 2**32 - FRAME + number * FRAME) for number in range(4)]
    assert out == [50, 50 + FRAME, 50 + 2 * FRAME, 50 + 3 * FRAME]


def test_resuming_the_same_encoding_shows_the_time_that_passed() -> None:
    stream = encoding(0)
    mapper = TimestampMapper(10)
    mapper.map(START, stream.clock, 0)
    assert mapper.map(after_s(START, 60), stream.clock, 60 * RATE) == 10 + 60 * RATE


def test_the_first_encoding_waits_for_nothing() -> None:
    silent = encoding(0, reported=False)
    mapper = TimestampMapper(0)
    assert mapper.ready(START, silent.clock)
    mapper.map(START, silent.clock, 0)
    assert mapper.ready(START, silent.clock)


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True), (False, False)])
def test_a_switch_waits_a_second_for_reports_of_both(before: bool, after: bool) -> None:
    now = after_s(START, 10)
    old = encoding(0, reported=before, first_at=now)
    new = encoding(0, reported=after, first_at=now)
    mapper = TimestampMapper(0)
    mapper.map(now, old.clock, 0)
    end = after_s(now, MAX_REPORT_WAIT_S)
    assert not mapper.ready(Instant(end - 1), new.clock)
    assert mapper.ready(end, new.clock)


def test_with_reports_a_switch_is_ready_at_once() -> None:
    mapper = TimestampMapper(0)
    mapper.map(START, encoding(0).clock, 0)
    assert mapper.ready(START, encoding(5).clock)


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True), (False, False)])
def test_without_reports_time_goes_on_by_arrival(before: bool, after: bool) -> None:
    old, new = encoding(0, reported=before), encoding(12_345, reported=after)
    mapper = TimestampMapper(100)
    mapper.map(START, old.clock, 0)
    switched_at = after_ms(START, 2_000)
    assert mapper.map(switched_at, new.clock, 999) == 100 + 2 * RATE
    assert mapper.map(switched_at, new.clock, 999 + FRAME) == 100 + 2 * RATE + FRAME


def test_by_arrival_too_time_moves_by_a_tick_at_least() -> None:
    old, new = encoding(0, reported=False), encoding(0, reported=False)
    mapper = TimestampMapper(0)
    mapper.map(START, old.clock, 0)
    assert mapper.map(START, new.clock, 999) == 1


@pytest.mark.parametrize("error_s", [-1e6, -MAX_DEVIATION_S - 1, MAX_DEVIATION_S + 1, 1e6])
def test_reports_that_contradict_arrival_are_not_believed(error_s: float) -> None:
    old, new = encoding(0), encoding(0)
    new.report(START, ntp_error=round(error_s * 2**32))
    mapper = TimestampMapper(0)
    mapper.map(START, old.clock, 0)
    at = after_ms(START, 100)
    assert mapper.map(at, new.clock, new.ts(at)) == RATE // 10


@given(choices=st.lists(st.integers(0, 2), min_size=1, max_size=30), start=st.sampled_from(TS_WRAPS))
def test_sound_and_picture_stay_in_step_over_switches(choices: list[int], start: int) -> None:
    """The outgoing sender report names the timestamp that the picture of that instant was sent with."""
    encodings = [encoding(start + 2**32 + 1_000 * which) for which in range(3)]
    mapper = TimestampMapper(start)
    for number, choice in enumerate(choices):
        captured_at = after_ms(START, 33 * number)
        chosen = encodings[choice]
        out = mapper.map(captured_at, chosen.clock, chosen.ts(captured_at))
        reported = mapper.sender_report_timestamp(ntp(captured_at))
        assert reported is not None
        assert abs(reported - out) <= 1


def test_no_sender_report_can_be_made_before_there_is_one() -> None:
    mapper = TimestampMapper(0)
    assert mapper.sender_report_timestamp(ntp(START)) is None
    silent = encoding(0, reported=False)
    mapper.map(START, silent.clock, 0)
    assert mapper.sender_report_timestamp(ntp(START)) is None
    silent.report(START)
    assert mapper.sender_report_timestamp(ntp(after_s(START, 1))) == RATE


def test_a_publishers_clock_that_runs_fast_is_followed_through_its_reports() -> None:
    """50 ppm over an hour are 180 ms: what counts is the report of now, not the first."""
    fast, slow = encoding(0), encoding(0)
    fast.rate = round(RATE * 1.00005)
    mapper = TimestampMapper(0)
    mapper.map(START, fast.clock, 0)
    hour = after_s(START, 3_600)
    last = mapper.map(hour, fast.clock, fast.ts(hour))
    for stream in (fast, slow):
        stream.clock.received(stream.ts(hour))
        stream.report(hour)
    later = after_ms(hour, 33)
    assert abs(mapper.map(later, slow.clock, slow.ts(later)) - (last + 33 * 90)) <= 1


# --- VP8 descriptors --------------------------------------------------------------------------------------


def vp8(
    picture_id: int | None, *, tl0: int | None = None, key: int | None = None, bits: int = 15
) -> tuple[bytes, Vp8Descriptor]:
    flags = (picture_id is not None) << 7 | (tl0 is not None) << 6 | (key is not None) << 4
    payload = bytearray((0x90, flags))
    if picture_id is not None:
        payload += (0x8000 | picture_id).to_bytes(2, "big") if bits == 15 else bytes((picture_id,))
    if tl0 is not None:
        payload.append(tl0)
    if key is not None:
        payload.append(key)
    payload += b"\x01rest"
    return bytes(payload), parse_vp8(bytes(payload))


def rewritten(
    rewriter: Vp8Rewriter, source: Ssrc, seq: int, picture: tuple[bytes, Vp8Descriptor]
) -> Vp8Descriptor:
    payload = rewriter.rewrite(source, seq, *picture)
    assert payload is not None
    assert payload.endswith(b"\x01rest")
    return parse_vp8(payload)


def test_the_first_source_passes_as_it_is() -> None:
    picture = vp8(4_711, tl0=200, key=31)
    assert Vp8Rewriter().rewrite(A, 1, *picture) == picture[0]


def test_a_descriptor_without_numbers_passes_as_it_is() -> None:
    payload = b"\x10\x01rest"
    assert Vp8Rewriter().rewrite(A, 1, payload, parse_vp8(payload)) == payload


@given(
    starts=st.lists(st.sampled_from((0, 2**7 - 1, 2**15 - 2, 2**15 - 1)), min_size=3, max_size=3),
    runs=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=60),
    packets=st.integers(1, 3),
)
def test_picture_ids_continue_over_switches(
    starts: list[int], runs: list[tuple[int, int]], packets: int
) -> None:
    rewriter = Vp8Rewriter()
    pictures, seqs = list(starts), [0, 0, 0]
    out: list[tuple[int | None, int | None, int | None]] = []
    for which, count in runs:
        for _ in range(count):
            number = pictures[which]
            picture = vp8(number % 2**15, tl0=number % 2**8, key=number % 2**5)
            same = set()
            for _ in range(packets):
                seqs[which] += 1
                got = rewritten(rewriter, Ssrc(which), seqs[which], picture)
                same.add((got.picture_id, got.tl0_pic_idx, got.key_idx))
            assert len(same) == 1
            out.extend(same)
            pictures[which] += 1
        for other in range(3):
            pictures[other] += 50 * (other != which)
    first = starts[runs[0][0]]
    assert out == [((first + n) % 2**15, (first + n) % 2**8, (first + n) % 2**5) for n in range(len(out))]


@given(start=st.sampled_from((0, 127, 2**15 - 1)), keep=st.lists(st.booleans(), max_size=200))
def test_picture_ids_continue_whatever_we_drop(start: int, keep: list[bool]) -> None:
    rewriter = Vp8Rewriter()
    out = [rewritten(rewriter, A, 0, vp8(start)).picture_id]
    for n, kept in enumerate(keep, 1):
        picture = vp8((start + n) % 2**15)
        if kept:
            out.append(rewritten(rewriter, A, n, picture).picture_id)
        else:
            rewriter.drop(A, n, picture[1])
            assert rewriter.rewrite(A, n, *picture) is None
    assert out == [(start + n) % 2**15 for n in range(len(out))]


def test_a_lost_picture_leaves_a_gap_that_it_fills_when_it_comes() -> None:
    rewriter = Vp8Rewriter()
    rewritten(rewriter, A, 1, vp8(10, tl0=1))
    rewriter.drop(A, 2, vp8(11)[1])
    assert rewritten(rewriter, A, 4, vp8(13, tl0=3)).picture_id == 12
    late = rewritten(rewriter, A, 3, vp8(12, tl0=2))
    assert (late.picture_id, late.tl0_pic_idx) == (11, 2)


def test_late_packets_keep_the_numbers_of_their_picture() -> None:
    rewriter = Vp8Rewriter()
    rewritten(rewriter, B, 1, vp8(500, tl0=50, key=5))
    for seq, number in ((1, 100), (2, 101), (4, 102)):
        rewritten(rewriter, A, seq, vp8(number, tl0=number - 100, key=1))
    late = rewritten(rewriter, A, 3, vp8(101, tl0=1, key=1))
    assert (late.picture_id, late.tl0_pic_idx, late.key_idx) == (502, 52, 6)
    after = rewritten(rewriter, C, 1, vp8(7, tl0=7, key=7))
    assert (after.picture_id, after.tl0_pic_idx, after.key_idx) == (504, 54, 7)


def test_seven_bits_become_fifteen_and_go_on_at_their_wrap() -> None:
    rewriter = Vp8Rewriter()
    out = [rewritten(rewriter, A, n, vp8(n % 128, bits=7)) for n in range(300)]
    assert [(descriptor.picture_id, descriptor.picture_id_bits) for descriptor in out] == [
        (n, 15) for n in range(300)
    ]


def test_an_encoder_that_starts_anew_within_its_stream_goes_on() -> None:
    rewriter = Vp8Rewriter()
    for n in range(5):
        rewritten(rewriter, A, n, vp8(1_000 + n, tl0=100 + n, key=3))
    again = rewritten(rewriter, A, 5, vp8(20, tl0=9, key=30))
    assert (again.picture_id, again.tl0_pic_idx, again.key_idx) == (1_005, 105, 4)
    rewriter.drop(A, 6, vp8(3)[1])
    assert rewritten(rewriter, A, 7, vp8(4)).picture_id == 1_006


def test_pictures_of_a_pause_leave_no_gap() -> None:
    rewriter = Vp8Rewriter()
    rewritten(rewriter, A, 1, vp8(10, tl0=4))
    rewriter.pause()
    resumed = rewritten(rewriter, A, 400, vp8(90, tl0=70))
    assert (resumed.picture_id, resumed.tl0_pic_idx) == (11, 5)
    assert rewriter.rewrite(A, 399, *vp8(89)) is None


def test_dropped_pictures_of_another_source_leave_no_trace() -> None:
    rewriter = Vp8Rewriter()
    rewritten(rewriter, A, 1, vp8(10))
    rewriter.drop(B, 5, vp8(11)[1])
    rewriter.drop(A, 2, vp8(None, tl0=1)[1])
    assert rewritten(rewriter, A, 3, vp8(11)).picture_id == 11


def test_fields_that_come_after_a_switch_only_start_as_they_are() -> None:
    rewriter = Vp8Rewriter()
    rewritten(rewriter, A, 1, vp8(10))
    got = rewritten(rewriter, B, 1, vp8(99, tl0=77, key=9))
    assert (got.picture_id, got.tl0_pic_idx, got.key_idx) == (11, 77, 9)
