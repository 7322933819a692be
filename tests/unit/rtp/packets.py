"""Bytes to try parsers on: payloads of real encoders, cut into packets by aiortc, and how parsers refuse."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import av
import numpy as np
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder

from sfu.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 322, 182


def refusal(parse: Callable[[bytes], object], data: bytes) -> str | None:
    """The reason of a `ParseError`; None where the bytes were read. Anything else that is raised goes on."""
    try:
        parse(data)
    except ParseError as error:
        return error.reason
    return None


@cache
def vp8_frames() -> tuple[tuple[bytes, ...], ...]:
    """A key frame, two delta frames, and a key frame that was asked for; each in packets."""
    encoder = Vp8Encoder()
    return tuple(
        tuple(encoder.encode(_picture(number), force_keyframe=number in (0, 3))[0]) for number in range(4)
    )


@cache
def h264_frames() -> tuple[tuple[bytes, ...], ...]:
    """The same of H.264: aggregated parameter sets, single units, fragments."""
    encoder = H264Encoder()
    return tuple(
        tuple(encoder.encode(_picture(number), force_keyframe=number in (0, 3))[0]) for number in range(4)
    )


def _picture(number: int) -> av.VideoFrame:
    noise = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base = number * 3_000, Fraction(1, 90_000)
    return frame
