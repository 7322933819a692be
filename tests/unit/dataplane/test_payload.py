from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dataplane.payload import PayloadFacts, inspect
from sfu.errors import ParseError
from sfu.plane import Codec
from tests.unit.rtp.packets import h264_frames, vp8_frames

PLAIN = b"\xc0\x00\x01"
STRUCTURED = int("11" + "0" * 22 + "1" + "0" * 15 + "11" + "10" + "0" * 100, 2).to_bytes(18, "big")
"""A dependency descriptor with a structure: it stands on a key frame's first packet and nowhere else."""
ENCRYPTED = b"\xa7" * 50


def starts(codec: Codec, payload: bytes, descriptor: bytes | None = None) -> bool:
    return inspect(codec, payload, descriptor).starts_key_frame


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
    assert inspect(Codec.OPUS, b"\x10\x00", STRUCTURED) == PayloadFacts()


@pytest.mark.parametrize("codec", [Codec.VP9, Codec.H264, Codec.AV1])
def test_a_dependency_descriptor_says_it_of_payloads_that_are_encrypted(codec: Codec) -> None:
    assert starts(codec, ENCRYPTED, STRUCTURED)
    assert not starts(codec, b"\x08\x65", PLAIN)


def test_a_dependency_descriptor_says_it_of_vp8_and_the_layers_are_the_payloads() -> None:
    payload = b"\x90\xe0\x80\x05\x01\xa0" + ENCRYPTED
    facts = inspect(Codec.VP8, payload, STRUCTURED)
    assert facts.starts_key_frame
    assert (facts.temporal, facts.layer_sync) == (2, True)
    assert facts.vp8 is not None
    assert not starts(Codec.VP8, b"\x10\x00rest", PLAIN)


@pytest.mark.parametrize("descriptor", [b"", b"\xc0", STRUCTURED[:5]])
def test_a_descriptor_that_ends_early_says_nothing(descriptor: bytes) -> None:
    assert starts(Codec.VP8, b"\x10\x00rest", descriptor)
    assert not starts(Codec.VP8, b"\x10\x01rest", descriptor)


@given(
    codec=st.sampled_from(Codec),
    payload=st.binary(min_size=1, max_size=30),
    descriptor=st.none() | st.binary(max_size=30),
)
def test_any_bytes_give_facts_or_a_parse_error(
    codec: Codec, payload: bytes, descriptor: bytes | None
) -> None:
    with contextlib.suppress(ParseError):
        assert isinstance(inspect(codec, payload, descriptor), PayloadFacts)
