from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dataplane.frames import (
    MAX_QUEUED_BYTES,
    MAX_QUEUED_FOR_LARGE_BYTES,
    MAX_SMALL_BYTES,
    FrameQueue,
    FrameReader,
)
from sfu.dataplane.wire import MAX_DATAGRAM_BYTES
from sfu.errors import ParseError

LARGE = bytes(1_200)
SMALL = bytes(MAX_SMALL_BYTES)


def fill(queue: FrameQueue, datagram: bytes) -> int:
    """Push until there is no room: how many found some."""
    count = 0
    while queue.push(datagram):
        count += 1
    return count


@given(
    datagrams=st.lists(st.binary(max_size=60), max_size=30),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
def test_datagrams_come_out_as_they_went_in_however_the_stream_is_cut(
    datagrams: list[bytes], cuts: list[int]
) -> None:
    queue, reader, came = FrameQueue(), FrameReader(), []
    assert all(queue.push(one) for one in datagrams)
    lengths = itertools.cycle(cuts)
    while queue:
        part = bytes(queue.waiting[: next(lengths)])
        came += reader.feed(part)
        queue.consume(len(part))
    assert came == [one for one in datagrams if one]


@given(st.binary(max_size=4_000))
def test_any_stream_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ParseError):
        assert all(FrameReader().feed(data))


def test_a_frame_that_is_too_long_ends_the_stream() -> None:
    reader = FrameReader()
    longest = bytes(MAX_DATAGRAM_BYTES)
    assert reader.feed(MAX_DATAGRAM_BYTES.to_bytes(2, "big")) == []
    assert reader.feed(longest) == [longest]
    with pytest.raises(ParseError, match=r"frame_too_long: 1501"):
        reader.feed((MAX_DATAGRAM_BYTES + 1).to_bytes(2, "big"))


def test_a_datagram_that_no_frame_holds_is_not_sent() -> None:
    assert not FrameQueue().push(bytes(1 << 16))


def test_large_datagrams_leave_room_for_small_ones() -> None:
    queue = FrameQueue()
    assert fill(queue, LARGE) == MAX_QUEUED_FOR_LARGE_BYTES // (2 + len(LARGE))
    assert fill(queue, SMALL) > 50
    assert MAX_QUEUED_BYTES - len(SMALL) - 2 < len(queue) <= MAX_QUEUED_BYTES
    assert not queue.push(LARGE)
    queue.consume(len(queue))
    assert queue.push(LARGE)
