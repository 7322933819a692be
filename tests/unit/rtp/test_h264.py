from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.h264 import starts_h264_key_frame
from tests.unit.rtp.packets import h264_frames

IDR, SLICE, SPS, PPS, SEI = b"\x65idr", b"\x41slice", b"\x67sps", b"\x68pps", b"\x06sei"


def aggregate(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


@pytest.mark.parametrize(
    "payload",
    [
        IDR,
        SPS,
        aggregate(SPS, PPS),
        aggregate(SEI, IDR),
        aggregate(PPS, SPS, IDR),
        b"\x7c\x85start of an IDR",
    ],
)
def test_a_key_frame_starts(payload: bytes) -> None:
    assert starts_h264_key_frame(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        SLICE,
        PPS,
        SEI,
        aggregate(),
        aggregate(SLICE, SEI),
        aggregate(SEI, SPS)[:8],
        b"\x78\x00",
        b"\x78\x00\x01",
        b"\x78\x00\x09" + SEI + b"\x00\x03" + IDR,
        b"\x7c",
        b"\x7c\x05middle of an IDR",
        b"\x7c\x45end of an IDR",
        b"\x5c\x81start of a slice",
        b"\x79\x85STAP-B",
    ],
)
def test_no_key_frame_starts(payload: bytes) -> None:
    assert not starts_h264_key_frame(payload)


@given(payload=st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"\x78" + rest))
def test_any_bytes_start_a_key_frame_or_none(payload: bytes) -> None:
    assert starts_h264_key_frame(payload) in {True, False}


def test_the_packets_of_a_real_encoder_are_told_apart() -> None:
    frames = h264_frames()
    starts = [[starts_h264_key_frame(payload) for payload in frame] for frame in frames]
    for number in (0, 3):
        parameters, *slices = frames[number]
        assert parameters[0] & 0x1F == 24
        assert starts[number][0]
        # Every slice of an IDR picture is a start; its later fragments are none.
        assert starts[number][1:] == [bool(payload[1] & 0x80) for payload in slices]
        assert starts[number].count(False) > 1
    assert not any(starts[1] + starts[2])
