"""Which encoding fits the size of a subscriber's tile.

The picture is fitted into the tile and must not be scaled up by more than `TOLERANCE`: the smallest encoding
that is large enough is wanted. Compared with Waterfall's rule (protocol: section 7.3), which divides sums of
width and height and wants the highest encoding only at a ratio of 1 or less:

| published | tile | Waterfall | here |
| --- | --- | --- | --- |
| 1280x720 | 640x480 | medium | medium: the picture is 640x360 in that tile |
| 1280x720 | 320x240 | low | low |
| 1920x1080 | 320x240 | low | low |
| 1920x1080 | 1900x1000 | medium | high: 540 lines on 1000 are visibly soft, by a rounding of the ratio |
| unknown | 640x360 | low | medium: the usual capture is assumed, or whoever says no size stays a thumbnail |

No size, or 0: the lowest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.rows import MAX_ENCODINGS

if TYPE_CHECKING:
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray
    from sfu.allocation.table import Demand
    from sfu.rows import StructArray

TOLERANCE: Final = 0.1
"""How much a picture may be scaled up. Lower: a tile two pixels too tall costs the next encoding, three times
the bits. Higher: soft pictures."""

ASSUMED_CAMERA: Final = (1280, 720)
ASSUMED_SCREEN: Final = (1920, 1080)
"""Sizes where the publisher says none: what clients of this dialect capture (protocol: section 7.2)."""
_ASPECT: Final = 16 / 9

_CAMERA_SCALES: Final = ((1.0, 0.0, 0.0), (0.5, 1.0, 0.0), (0.25, 0.5, 1.0))
_SCREEN_SCALES: Final = ((1.0, 0.0, 0.0), (1 / 1.5, 1.0, 0.0), (1 / 3, 1 / 1.5, 1.0))
_SCALES: Final = np.array([_CAMERA_SCALES, _SCREEN_SCALES])
"""(camera or screen, number of encodings - 1, encoding): part of the full height, 0 beyond the number."""


def scales(rows: StructArray) -> FloatArray:
    """(rows, MAX_ENCODINGS): each encoding's size as a part of the full one, by position; 0: not there."""
    chosen: FloatArray = _SCALES[rows["is_screen"].astype(np.int64), rows["encodings"].astype(np.int64) - 1]
    return chosen


def full_sizes(rows: StructArray) -> tuple[FloatArray, FloatArray]:
    """(rows,) width and (rows,) height of the highest encoding; what is unknown is assumed."""
    width, height = rows["full_width"].astype(np.float64), rows["full_height"].astype(np.float64)
    assumed_width = np.where(rows["is_screen"], ASSUMED_SCREEN[0], ASSUMED_CAMERA[0])
    assumed_height = np.where(rows["is_screen"], ASSUMED_SCREEN[1], ASSUMED_CAMERA[1])
    return (
        np.where(width > 0, width, np.where(height > 0, height * _ASPECT, assumed_width)),
        np.where(height > 0, height, np.where(width > 0, width / _ASPECT, assumed_height)),
    )


def encoding_size(encoding: int, demand: Demand) -> tuple[int, int]:
    """Width and height of one encoding of the track that is demanded, as the arrays below have them."""
    assumed_width, assumed_height = ASSUMED_SCREEN if demand.screen_share else ASSUMED_CAMERA
    width: float = demand.full_width or demand.full_height * _ASPECT or assumed_width
    height: float = demand.full_height or demand.full_width / _ASPECT or assumed_height
    part = float(_SCALES[int(demand.screen_share), demand.encodings - 1, encoding])
    return round(width * part), round(height * part)


def wanted_encodings(rows: StructArray) -> IntArray:
    """(rows,) index of the encoding that fits the tile; audio has only one."""
    width, height = full_sizes(rows)
    needed = np.minimum(
        np.where(rows["width"] > 0, rows["width"] / width, np.inf),
        np.where(rows["height"] > 0, rows["height"] / height, np.inf),
    )
    needed = np.where(np.isinf(needed), 0.0, needed)
    parts = scales(rows)
    is_enough = (parts > 0) & (parts * (1 + TOLERANCE) >= needed[:, None])
    highest = rows["encodings"].astype(np.int64) - 1
    return np.where(is_enough.any(axis=1), is_enough.argmax(axis=1), highest)


def below_ceiling(rows: StructArray) -> BoolArray:
    """(rows, MAX_ENCODINGS): whether an encoding exists and keeps below `max_height`.

    A track's lowest encoding always does: a ceiling is there to spare links, not to hide people whose client
    sends a single encoding.
    """
    parts = scales(rows)
    _, height = full_sizes(rows)
    lines = np.floor(parts * height[:, None])
    is_below = (rows["max_height"] == 0)[:, None] | (lines <= rows["max_height"][:, None])
    is_lowest = np.arange(MAX_ENCODINGS) == 0
    below: BoolArray = (parts > 0) & (is_below | is_lowest)
    return below
