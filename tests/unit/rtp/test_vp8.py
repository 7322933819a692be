from __future__ import annotations

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.rtp.vp8 import Vp8Descriptor, frame_size, parse_vp8, rewrite_vp8
from tests.unit.rtp.packets import HEIGHT, WIDTH, refusal, vp8_frames

KEY_FRAME = bytes.fromhex("10 02 00 9d012a 4201 b600")
"""First bytes of a key frame of 322 x 182 (RFC 6386 section 9.1)."""
DELTA_FRAME = b"\x11\x02\x00"


def field(most: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(0, most)


descriptors = st.builds(
    VpxPayloadDescriptor,
    partition_start=st.integers(0, 1),
    partition_id=st.integers(0, 7),
    picture_id=field(2**15 - 1),
    tl0picidx=field(255),
    tid=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 1)),
    keyidx=field(31),
)


@given(theirs=descriptors, rest=st.binary(max_size=10))
def test_we_read_what_aiortc_writes(theirs: VpxPayloadDescriptor, rest: bytes) -> None:
    head = bytes(theirs)
    ours = parse_vp8(head + rest)
    assert ours == Vp8Descriptor(
        size_bytes=len(head),
        start_of_partition=bool(theirs.partition_start),
        partition=theirs.partition_id,
        non_reference=False,
        picture_id=theirs.picture_id,
        picture_id_bits=0 if theirs.picture_id is None else 15,
        tl0_pic_idx=theirs.tl0picidx,
        temporal_id=None if theirs.tid is None else theirs.tid[0],
        layer_sync=theirs.tid is not None and bool(theirs.tid[1]),
        key_idx=theirs.keyidx,
        starts_key_frame=theirs.partition_start == 1
        and theirs.partition_id == 0
        and rest != b""
        and rest[0] % 2 == 0,
    )


@given(payload=st.binary(max_size=12) | st.binary(max_size=12).map(lambda rest: b"\x90" + rest))
def test_any_bytes_are_a_descriptor_or_refused(payload: bytes) -> None:
    refused = refusal(parse_vp8, payload)
    assert refused in {None, "vp8"}
    if refused is None:
        descriptor = parse_vp8(payload)
        frame_size(payload, descriptor)
        assert 1 <= descriptor.size_bytes <= len(payload)
        theirs, rest = VpxPayloadDescriptor.parse(payload)
        assert rest == payload[descriptor.size_bytes :]
        assert theirs.picture_id == descriptor.picture_id
        assert theirs.tl0picidx == descriptor.tl0_pic_idx
        assert theirs.keyidx == descriptor.key_idx


@pytest.mark.parametrize("payload", ["90f081020304", "90800102", "9080ffff", "904007", "902040", "901005"])
def test_every_beginning_of_a_descriptor_is_refused(payload: str) -> None:
    data = bytes.fromhex(payload)
    size = parse_vp8(data).size_bytes
    for end in range(size):
        with pytest.raises(ParseError, match="vp8"):
            parse_vp8(data[:end])


def test_the_descriptor_is_where_the_rfc_puts_it() -> None:
    payload = bytes.fromhex("b0f0 8123 45 a7") + KEY_FRAME
    assert parse_vp8(payload) == Vp8Descriptor(
        size_bytes=6,
        start_of_partition=True,
        partition=0,
        non_reference=True,
        picture_id=0x123,
        picture_id_bits=15,
        tl0_pic_idx=0x45,
        temporal_id=2,
        layer_sync=True,
        key_idx=7,
        starts_key_frame=True,
    )


def test_a_short_picture_id_has_seven_bits() -> None:
    descriptor = parse_vp8(bytes.fromhex("908045"))
    assert (descriptor.picture_id, descriptor.picture_id_bits) == (0x45, 7)


def test_the_temporal_layer_counts_only_where_it_is_told() -> None:
    descriptor = parse_vp8(bytes.fromhex("9010e3"))
    assert (descriptor.temporal_id, descriptor.layer_sync, descriptor.key_idx) == (None, False, 3)
    descriptor = parse_vp8(bytes.fromhex("9020e3"))
    assert (descriptor.temporal_id, descriptor.layer_sync, descriptor.key_idx) == (3, True, None)


@pytest.mark.parametrize(
    ("payload", "starts_frame", "starts_key_frame"),
    [
        (b"\x10" + KEY_FRAME, True, True),
        (b"\x10" + DELTA_FRAME, True, False),
        (b"\x10", True, False),
        (b"\x00" + KEY_FRAME, False, False),
        (b"\x11" + KEY_FRAME, False, False),
        (b"\x30" + KEY_FRAME[:1] + b"encrypted", True, True),
    ],
)
def test_a_key_frame_starts_with_its_first_packet(
    payload: bytes, starts_frame: bool, starts_key_frame: bool
) -> None:
    descriptor = parse_vp8(payload)
    assert descriptor.starts_frame is starts_frame
    assert descriptor.starts_key_frame is starts_key_frame


def test_the_packets_of_a_real_encoder_are_told_apart() -> None:
    frames = vp8_frames()
    assert len(frames[0]) > 1
    for number, frame in enumerate(frames):
        descriptors = [parse_vp8(payload) for payload in frame]
        assert [descriptor.starts_frame for descriptor in descriptors] == [True] + [False] * (len(frame) - 1)
        assert descriptors[0].starts_key_frame is (number in (0, 3))
        assert not any(descriptor.starts_key_frame for descriptor in descriptors[1:])
        assert len({descriptor.picture_id for descriptor in descriptors}) == 1
        size = frame_size(frame[0], descriptors[0])
        assert size == ((WIDTH, HEIGHT) if number in (0, 3) else None)


def test_a_size_is_read_without_the_scaling_bits() -> None:
    payload = b"\x10" + KEY_FRAME[:6] + bytes.fromhex("42c1 b640")
    assert frame_size(payload, parse_vp8(payload)) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "frame", [KEY_FRAME[:-1], KEY_FRAME[:3], KEY_FRAME[:3] + b"\x9d\x01\x2b" + KEY_FRAME[6:], DELTA_FRAME * 4]
)
def test_a_size_that_is_not_there_is_not_made_up(frame: bytes) -> None:
    assert frame_size(b"\x10" + frame, parse_vp8(b"\x10" + frame)) is None


@given(
    theirs=descriptors,
    rest=st.binary(max_size=10),
    picture_id=st.integers(0, 2**15 - 1),
    tl0_pic_idx=st.integers(0, 255),
    key_idx=st.integers(0, 31),
)
def test_a_rewrite_changes_the_numbers_that_are_there_and_nothing_else(
    theirs: VpxPayloadDescriptor, rest: bytes, picture_id: int, tl0_pic_idx: int, key_idx: int
) -> None:
    payload = bytes(theirs) + rest
    theirs.picture_id = None if theirs.picture_id is None else picture_id
    theirs.tl0picidx = None if theirs.tl0picidx is None else tl0_pic_idx
    theirs.keyidx = None if theirs.keyidx is None else key_idx
    rewritten = rewrite_vp8(payload, parse_vp8(payload), picture_id, tl0_pic_idx, key_idx)
    assert rewritten == bytes(theirs) + rest


@given(payload=st.binary(max_size=12))
def test_a_rewrite_to_the_same_numbers_changes_nothing_but_short_ids(payload: bytes) -> None:
    if refusal(parse_vp8, payload) is not None:
        return
    descriptor = parse_vp8(payload)
    same = descriptor.picture_id or 0, descriptor.tl0_pic_idx or 0, descriptor.key_idx or 0
    rewritten = rewrite_vp8(payload, descriptor, *same)
    if descriptor.picture_id_bits == 7:
        assert len(rewritten) == len(payload) + 1
        assert rewritten[:2] == payload[:2]
        assert rewritten[4:] == payload[3:]
    else:
        assert rewritten == payload


def test_a_short_picture_id_grows_and_the_rest_stays() -> None:
    payload = bytes.fromhex("b0f0 7f 45 a7") + KEY_FRAME
    rewritten = rewrite_vp8(payload, parse_vp8(payload), 5, 6, 9)
    assert rewritten == bytes.fromhex("b0f0 8005 06 a9") + KEY_FRAME
