"""Test pictures that say who sent them, which layer they are and which frame.

A picture is a grid of 8 x 8 dark and light cells, 64 bits, most significant first and row by row: sender
(16), source (2), layer (2), counter (28), CRC-16 of these (16). The cells are large and flat, so that VP8
keeps them readable at a few kilobits a second and at 160 x 90. A picture that was put together from two
senders' packets fails its checksum, and one that went to the wrong subscriber names its true sender: that
is how the load test proves whose frames arrived.
"""

from __future__ import annotations

import binascii
import enum
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID: Final = 8
MAX_SENDER: Final = 2**16 - 1
MAX_COUNTER: Final = 2**28 - 1
MIN_SIDE: Final = 32
"""Smallest width or height whose cells survive the encoder's quantiser."""

_DARK, _LIGHT, _THRESHOLD = 40, 200, 128
_CONTENT_BITS, _CHECK_BITS = 48, 16
_BARS: Final = 6


class Source(enum.IntEnum):
    """What a picture was taken of."""

    CAMERA = 0
    SCREEN = 1


@dataclass(frozen=True, slots=True)
class FrameLabel:
    """What a picture says of itself; `layer` counts from 0, the smallest."""

    sender: int
    source: Source
    layer: int
    counter: int

    def bits(self) -> int:
        """The 64 bits of the grid, checksum included."""
        content = (self.sender << 32) | (self.source << 30) | (self.layer << 28) | self.counter
        return (content << _CHECK_BITS) | _checksum(content)


def draw(label: FrameLabel, width: int, height: int) -> NDArray[np.uint8]:
    """Draw one picture.

    Args:
        label: what it says.
        width: in pixels, even, `MIN_SIDE` or more.
        height: likewise.

    Returns:
        (height * 3 / 2, width): planar YUV 4:2:0, grey chroma.
    """
    if not 0 <= label.sender <= MAX_SENDER or not 0 <= label.counter <= MAX_COUNTER:
        raise ValueError(f"{label}: does not fit into a picture")
    if min(width, height) < MIN_SIDE or width % 2 or height % 2:
        raise ValueError(f"{width} x {height}: too small or odd")
    word = np.array([label.bits()], dtype=">u8").view(np.uint8)
    cells = np.unpackbits(word).reshape(GRID, GRID) * np.uint8(_LIGHT - _DARK) + np.uint8(_DARK)
    rows = np.arange(height) * GRID // height
    columns = np.arange(width) * GRID // width
    picture = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    picture[:height] = cells[rows][:, columns]
    # A textured bar that wanders down gives the encoder some work, so that larger layers cost more bits.
    bar = height // _BARS
    top = label.counter * 4 % (height - bar)
    picture[top : top + bar] += ((np.arange(width) * 7 + label.counter * 5) % 48).astype(np.uint8)
    return picture


def read(luma: NDArray[np.uint8]) -> FrameLabel | None:
    """Read a decoded picture; None where it is none of ours or its checksum is wrong.

    Args:
        luma: (height, width), any size.
    """
    height, width = luma.shape
    if min(height, width) < MIN_SIDE:
        return None
    word = np.packbits(luma[_patches(height, width)].mean(axis=0) > _THRESHOLD)
    bits = int.from_bytes(word.tobytes(), "big")
    content = bits >> _CHECK_BITS
    if _checksum(content) != bits & (2**_CHECK_BITS - 1):
        return None
    source = (content >> 30) & 3
    if source > max(Source):
        return None
    return FrameLabel(content >> 32, Source(source), (content >> 28) & 3, content & MAX_COUNTER)


@functools.lru_cache(16)
def _patches(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where to look: a 3 x 3 patch at each cell's centre, so that a damaged pixel flips no bit."""
    across, down = np.meshgrid((-1, 0, 1), (-1, 0, 1))
    rows = (np.arange(GRID) * 2 + 1) * height // (2 * GRID)
    columns = (np.arange(GRID) * 2 + 1) * width // (2 * GRID)
    return rows[:, None] + down.reshape(-1, 1, 1), columns[None, :] + across.reshape(-1, 1, 1)


def _checksum(content: int) -> int:
    # Not zero for an all-dark picture, so that a black frame is no sender 0.
    return binascii.crc_hqx(content.to_bytes(_CONTENT_BITS // 8, "big"), 0xFFFF)
