from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dataplane.payload import PayloadFacts, inspect
from sfu.errors import ParseError
from sfu.plane import Codec
from sfu.rtp.dependency_descriptor import parse_dependency_descriptor
from sfu.streams.descriptor_reader import PacketDescriptor
from tests.support.descriptors import L1T3, key_frame, packet
from tests.unit.rtp.packets import h264_frames, vp8_frames

if TYPE_CHECKING:
    from sfu.rtp.dependency_descriptor import Structure

PLAIN = packet(3, 1)
STRUCTURED = key_frame(L1T3)
"""A dependency descriptor with a structure: it stands on a key frame's first packet and nowhere else."""
ENCRYPTED = b"\xa7" * 50


def starts(codec: Codec, payload: bytes, descriptor: bytes | None = None) -> bool:
    return facts_of(codec, payload, descriptor).starts_key_frame


def facts_of(
    codec: Codec, payload: bytes, descriptor: bytes | None, known: Structure | None = None
) -> PayloadFacts:
    if descriptor is None:
        return inspect(codec, payload, None)
    fields = parse_dependency_descriptor(descriptor, known)
    return inspect(codec, payload, PacketDescriptor(descriptor, fields, fields.frame_number))


def test_key_frames_of_real_encoders_start_with_their_first_packet() -> None:
    for codec, frames in ((Codec.VP8, vp8_frames()), (Codec.H264, h264_frames())):
        for number, frame in enumerate(frames):
            assert starts(codec, frame[0]) == (number in (0, 3))
            if codec is Codec.VP8:
                assert not any(starts(codec, packet) for packet in frame[1:])


def test_vp9_and_av1_say_it_in_their_first_byte() -> None:
    assert starts(Codec.VP9, b"\x08rest")
    assert not starts(Codec.VP9, b"\x48rest")
    assert not starts(Codec.VP9, b"\x00rest")
    assert starts(Codec.AV1, b"\x18rest")
    assert not starts(Codec.AV1, b"\x10rest")


def test_audio_has_none() -> None:
    assert facts_of(Codec.OPUS, b"\x10\x00", STRUCTURED) == PayloadFacts()


@pytest.mark.parametrize("codec", [Codec.VP9, Codec.H264, Codec.AV1])
def test_a_dependency_descriptor_says_it_of_payloads_that_are_encrypted(codec: Codec) -> None:
    assert starts(codec, ENCRYPTED, STRUCTURED)
    assert not starts(codec, b"\x08\x65", PLAIN)


def test_a_dependency_descriptor_says_it_of_vp8_and_the_layer_too() -> None:
    payload = b"\x90\xe0\x80\x05\x01\xa0" + ENCRYPTED
    facts = facts_of(Codec.VP8, payload, STRUCTURED)
    assert facts.starts_key_frame
    assert facts.temporal == 0
    assert facts.vp8 is not None
    assert not starts(Codec.VP8, b"\x10\x00rest", PLAIN)


def test_vp8_tells_its_layer_where_the_descriptor_does_not() -> None:
    payload = b"\x90\xe0\x80\x05\x01\xa0" + ENCRYPTED
    for descriptor in (None, PLAIN):
        facts = facts_of(Codec.VP8, payload, descriptor)
        assert (facts.temporal, facts.layer_sync) == (2, True)


@pytest.mark.parametrize("codec", [Codec.VP9, Codec.H264, Codec.AV1])
def test_a_dependency_descriptor_tells_the_layer_of_payloads_that_are_encrypted(codec: Codec) -> None:
    assert facts_of(codec, ENCRYPTED, PLAIN, L1T3).temporal == 2
    assert facts_of(codec, ENCRYPTED, STRUCTURED) == PayloadFacts(starts_key_frame=True, temporal=0)
    assert facts_of(codec, ENCRYPTED, PLAIN).temporal is None
    assert facts_of(codec, ENCRYPTED, None).temporal is None


@given(
    codec=st.sampled_from(Codec),
    payload=st.binary(min_size=1, max_size=30),
    descriptor=st.none() | st.binary(max_size=30),
)
def test_any_bytes_give_facts_or_a_parse_error(
    codec: Codec, payload: bytes, descriptor: bytes | None
) -> None:
    with contextlib.suppress(ParseError):
        assert isinstance(facts_of(codec, payload, descriptor), PayloadFacts)
