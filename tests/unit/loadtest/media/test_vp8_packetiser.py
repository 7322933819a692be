from __future__ import annotations

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from loadtest.media.vp8_packetiser import MAX_PAYLOAD_BYTES, Vp8Packetiser, depacketise

KEY, DELTA = b"\x10", b"\x11"
"""First bytes of a key frame and of another one."""


@pytest.mark.parametrize("size", [1, MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES + 1, 5 * MAX_PAYLOAD_BYTES + 3])
def test_a_frame_comes_back_from_its_payloads(size: int) -> None:
    frame = KEY + bytes(size - 1)
    payloads = Vp8Packetiser(picture_id=77).payloads(frame, is_key=True)
    parts = [depacketise(payload) for payload in payloads]
    assert b"".join(part.data for part in parts if part is not None) == frame
    assert [part.starts_frame for part in parts if part is not None] == [True] + [False] * (len(parts) - 1)
    assert max(map(len, payloads)) <= MAX_PAYLOAD_BYTES + 6


def test_aiortc_reads_our_descriptor() -> None:
    packetiser = Vp8Packetiser(picture_id=300, tl0_picture_index=255)
    (payload,) = packetiser.payloads(KEY + b"abc", is_key=True)
    descriptor, rest = VpxPayloadDescriptor.parse(payload)
    assert rest == KEY + b"abc"
    assert (descriptor.partition_start, descriptor.partition_id) == (1, 0)
    assert (descriptor.picture_id, descriptor.tl0picidx, descriptor.tid, descriptor.keyidx) == (
        300,
        255,
        (0, 0),
        1,
    )


def test_we_read_aiortcs_descriptor() -> None:
    descriptor = VpxPayloadDescriptor(1, 0, picture_id=12, tl0picidx=3, tid=(2, 1), keyidx=9)
    read = depacketise(bytes(descriptor) + DELTA)
    assert read is not None
    assert (read.picture_id, read.tl0_picture_index, read.temporal_id, read.key_index) == (12, 3, 2, 9)
    assert read.starts_frame
    assert not read.is_key_start


def test_numbers_rise_with_each_frame_and_wrap() -> None:
    packetiser = Vp8Packetiser(picture_id=2**15 - 1, tl0_picture_index=2**8 - 1)
    first = depacketise(packetiser.payloads(KEY, is_key=True)[0])
    second = depacketise(packetiser.payloads(DELTA, is_key=False)[0])
    assert first is not None
    assert second is not None
    assert (first.picture_id, second.picture_id) == (2**15 - 1, 0)
    assert (first.tl0_picture_index, second.tl0_picture_index) == (255, 0)
    assert (first.key_index, second.key_index) == (1, 1)


def test_a_key_frame_is_told_by_its_first_byte() -> None:
    for first, is_key in ((KEY, True), (DELTA, False)):
        read = depacketise(Vp8Packetiser().payloads(first + b"x", is_key=is_key)[0])
        assert read is not None
        assert read.is_key_start is is_key


def test_a_bare_descriptor_is_enough() -> None:
    read = depacketise(b"\x10" + KEY)
    assert read is not None
    assert (read.picture_id, read.tl0_picture_index, read.temporal_id) == (None, None, None)


@given(payload=st.binary(max_size=12))
def test_any_bytes_give_a_payload_or_none(payload: bytes) -> None:
    read = depacketise(payload)
    assert read is None or payload.endswith(read.data)


@pytest.mark.parametrize("payload", [b"", b"\x90", b"\x90\x80\x81", b"\x90\xf0\x81\x01\x02"])
def test_a_payload_cut_within_its_descriptor_is_none(payload: bytes) -> None:
    assert depacketise(payload) is None
