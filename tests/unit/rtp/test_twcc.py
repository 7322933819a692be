from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.rtp.twcc import (
    DELTA_NS,
    MAX_STATUSES,
    REFERENCE_NS,
    TransportFeedback,
    parse_feedback,
    serialise_feedback,
    split_arrivals,
)
from sfu.units import Ssrc
from tests.unit.rtp.packets import refusal

SENDER, MEDIA = Ssrc(1), Ssrc(2)
WRAPS = (0, 2**15 - 1, 2**15, 2**16 - 1)
HEAD = SENDER.to_bytes(4, "big") + MEDIA.to_bytes(4, "big")

gaps = st.integers(0, 40) | st.integers(0, 0x7FFF) | st.integers(-40, 0)
"""In units of the wire: from one arrival to the next."""
statuses = st.lists(st.one_of(st.none(), gaps), min_size=1, max_size=400) | st.lists(
    st.sampled_from([None, 1]), min_size=1, max_size=60
)


def feedback_of(arrivals: list[tuple[int, int | None]], count: int = 0) -> TransportFeedback:
    return TransportFeedback(SENDER, MEDIA, count, tuple(arrivals))


def parsed(body: bytes) -> TransportFeedback:
    return parse_feedback(SENDER, MEDIA, body)


def body_of(base: int, count: int, reference: int, rest: bytes) -> bytes:
    return (
        HEAD
        + base.to_bytes(2, "big")
        + count.to_bytes(2, "big")
        + reference.to_bytes(3, "big")
        + b"\x00"
        + rest
    )


def reason_of(body: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        parsed(body)
    return caught.value.reason


@given(
    base=st.sampled_from(WRAPS),
    start=st.integers(41 * 400, 2**31),
    steps=statuses,
    count=st.integers(0, 255),
)
def test_feedback_survives_the_wire(base: int, start: int, steps: list[int | None], count: int) -> None:
    ticks, arrivals = start, []
    for index, step in enumerate(steps):
        ticks += step or 0
        arrivals.append(((base + index) % 2**16, None if step is None else ticks * DELTA_NS))
    feedback = feedback_of(arrivals, count)
    body = serialise_feedback(feedback)
    assert len(body) % 4 == 0
    assert parsed(body) == feedback


@given(offset=st.lists(st.integers(0, 10 * DELTA_NS), min_size=1, max_size=200))
def test_times_are_rounded_to_the_unit_and_errors_do_not_add_up(offset: list[int]) -> None:
    at, arrivals = 10**9, []
    for index, step in enumerate(offset):
        at += step
        arrivals.append((index, at))
    read = parsed(serialise_feedback(feedback_of(list(arrivals)))).arrivals
    assert all(
        time is not None and abs(time - true) <= DELTA_NS // 2
        for (_, time), (_, true) in zip(read, arrivals, strict=True)
    )


@pytest.mark.parametrize("ticks", [7, 2**44 + 7])
def test_times_are_rounded_to_the_nearest_unit_after_any_time_of_running(ticks: int) -> None:
    for nanoseconds, rounded in ((-125_000, 0), (-124_999, 0), (124_999, 0), (125_000, 1)):
        arrivals: list[tuple[int, int | None]] = [
            (0, (ticks - 1) * DELTA_NS),
            (1, ticks * DELTA_NS + nanoseconds),
        ]
        first, second = (at for _, at in parsed(serialise_feedback(feedback_of(arrivals))).arrivals)
        assert first is not None
        assert second is not None
        assert second - first == (1 + rounded) * DELTA_NS


def test_numbers_left_out_did_not_arrive() -> None:
    read = parsed(
        serialise_feedback(feedback_of([(65_534, None), (65_535, REFERENCE_NS), (3, REFERENCE_NS)]))
    )
    assert read.arrivals == (
        (65_534, None),
        (65_535, REFERENCE_NS),
        (0, None),
        (1, None),
        (2, None),
        (3, REFERENCE_NS),
    )


def test_what_is_told_twice_is_told_once() -> None:
    read = parsed(serialise_feedback(feedback_of([(7, REFERENCE_NS), (7, None), (8, REFERENCE_NS)])))
    assert read.arrivals == ((7, REFERENCE_NS), (8, REFERENCE_NS))


def test_a_delta_that_does_not_fit_is_told_as_not_received() -> None:
    far = REFERENCE_NS + 0x8000 * DELTA_NS
    read = parsed(serialise_feedback(feedback_of([(7, REFERENCE_NS), (8, far), (9, REFERENCE_NS)])))
    assert read.arrivals == ((7, REFERENCE_NS), (8, None), (9, REFERENCE_NS))


def test_nothing_received_is_told_too() -> None:
    feedback = feedback_of([(number, None) for number in range(30)])
    assert parsed(serialise_feedback(feedback)) == feedback


def test_the_reference_time_wraps() -> None:
    turn = REFERENCE_NS << 24
    read = parsed(serialise_feedback(feedback_of([(1, turn + REFERENCE_NS + DELTA_NS)])))
    assert read.arrivals == ((1, REFERENCE_NS + DELTA_NS),)


def test_a_feedback_packet_is_written_as_the_draft_draws_it() -> None:
    arrivals: list[tuple[int, int | None]] = [(0x0102, 3 * REFERENCE_NS + 2 * DELTA_NS)]
    arrivals += [(0x0103, None), (0x0104, 3 * REFERENCE_NS + 258 * DELTA_NS)]
    arrivals += [(0x0105, 3 * REFERENCE_NS + 257 * DELTA_NS)]
    # Base, count, reference, feedback count; two-bit vector 1 0 2 2; deltas 2, 256, -1; padding.
    expected = HEAD + bytes.fromhex("0102 0004 000003 09 d280 02 0100 ffff 00")
    assert serialise_feedback(feedback_of(arrivals, 9)) == expected


@pytest.mark.parametrize(
    ("steps", "chunks"),
    [
        ([1] * 20, "2014"),
        ([None] * 300, "012c"),
        ([1] * 7, "2007"),
        ([1] * 14 + [300] * 9, "200e 4009"),
        ([1, None] * 7, "aaaa"),
        ([1] * 6 + [None] * 8, "bf00"),
        ([1] + [300] * 9, "daaa ea00"),
    ],
)
def test_each_kind_of_chunk_is_used_where_it_is_short(steps: list[int | None], chunks: str) -> None:
    ticks, arrivals = 2_560, []
    for number, step in enumerate(steps):
        ticks += step or 0
        arrivals.append((number, None if step is None else ticks * DELTA_NS))
    body = serialise_feedback(feedback_of(arrivals))
    expected = bytes.fromhex(chunks)
    assert body[16 : 16 + len(expected)] == expected
    assert parsed(body).arrivals == tuple(arrivals)


def test_each_kind_of_chunk_is_read() -> None:
    # 5 not received; one-bit 0 11111 000 111 00; two-bit small, large, not received, small, 3 not received.
    rest = bytes.fromhex("0005 9f1c d840") + bytes([1] * 9) + bytes.fromhex("ff00 02")
    read = parsed(body_of(100, 5 + 14 + 7, 1, rest)).arrivals
    assert [number for number, _ in read] == list(range(100, 126))
    told = [(number - 100, (at - REFERENCE_NS) // DELTA_NS) for number, at in read if at is not None]
    assert told == [
        (6, 1),
        (7, 2),
        (8, 3),
        (9, 4),
        (10, 5),
        (14, 6),
        (15, 7),
        (16, 8),
        (19, 9),
        (20, 9 - 256),
        (22, 11 - 256),
    ]


def test_more_statuses_than_are_told_of_are_not_read() -> None:
    read = parsed(body_of(0, 2, 1, bytes.fromhex("bfff 04 04")))
    assert read.arrivals == ((0, REFERENCE_NS + 4 * DELTA_NS), (1, REFERENCE_NS + 8 * DELTA_NS))
    read = parsed(body_of(0, 2, 1, bytes.fromhex("3fff 04 04")))
    assert len(read.arrivals) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        body_of(0, 1, 0, b"\x20"),
        body_of(0, 0, 0, bytes(4)),
        body_of(0, MAX_STATUSES + 1, 0, bytes.fromhex("1fff0000")),
        body_of(0, 8_000, 0, bytes.fromhex("1fff0000")),
        body_of(0, 40, 0, bytes.fromhex("2008 0102")),  # chunks end early
        body_of(0, 1, 0, bytes.fromhex("0000 0000")),  # an empty run
        body_of(0, 3, 0, bytes.fromhex("2003 0102")),  # deltas end early
        body_of(0, 1, 0, bytes.fromhex("4001 01")),  # half a delta
        body_of(0, 1, 0, bytes.fromhex("6001 0000")),  # a reserved status in a run
        body_of(0, 2, 0, bytes.fromhex("f000 0000")),  # and in a vector
    ],
)
def test_what_contradicts_itself_is_refused(body: bytes) -> None:
    assert reason_of(body) == "twcc"


def test_as_many_statuses_as_are_allowed_are_read() -> None:
    body = body_of(0, MAX_STATUSES, 0, MAX_STATUSES.to_bytes(2, "big") + bytes(2))
    assert len(parsed(body).arrivals) == MAX_STATUSES


@given(rest=st.binary(max_size=60), count=st.integers(0, 100))
def test_any_bytes_are_feedback_or_refused(rest: bytes, count: int) -> None:
    assert refusal(parsed, body_of(65_530, count, 5, rest)) in {None, "twcc"}
    assert refusal(parsed, rest) in {None, "twcc"}


@given(
    start=st.integers(0, 2**40),
    steps=st.lists(st.tuples(st.integers(1, 700), st.integers(-(10**10), 10**10)), max_size=80),
    limit=st.integers(1, 600),
)
def test_each_run_of_a_split_fits_one_packet(start: int, steps: list[tuple[int, int]], limit: int) -> None:
    number, at, arrivals = start, 10**13, []
    for ahead, later in steps:
        number, at = number + ahead, at + later
        arrivals.append((number, at))
    runs = split_arrivals(arrivals, limit)
    assert [pair for run in runs for pair in run] == arrivals
    for run in runs:
        assert run[-1][0] - run[0][0] < limit
        wire = feedback_of([(number % 2**16, at) for number, at in run])
        read = parsed(serialise_feedback(wire)).arrivals
        assert sum(at is not None for _, at in read) == len(run)


def test_a_split_cuts_only_where_it_must() -> None:
    steady = [(number, number * 10**6) for number in range(500)]
    assert split_arrivals(steady) == [tuple(steady)]
    assert [len(run) for run in split_arrivals([*steady, (500, 5 * 10**8)])] == [500, 1]
    assert split_arrivals([]) == []
