"""How much a layer is worth to who sees it: what `utility` makes large, and benches compare.

`weight x sharpness x smoothness`, each of them concave: the first lines and frames are worth more than the
last.

- Sharpness: the part of the tile's lines that the picture has, to a power below 1.
- Smoothness: the part of 30 frames a second, to a lower power. Of a screen share the text counts: its
  sharpness comes before its frame rate, and a still one loses nothing.
- Weight: what is looked at. A large tile more than a small one, the screen share and who is pinned more than
  others, who speaks more than who listens; what is out of sight is worth nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from sfu.rows import MAX_TEMPORAL

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import FloatArray, IntArray

ShortArray = NDArray[np.float32]
"""Worths and costs while it is computed with them: half the memory is half the time."""

CAMERA_SHARPNESS: Final = 0.5
"""Power of the part of the lines. Lower: many thumbnails are worth more than one sharp face. Higher: the
large tile takes it all."""
CAMERA_SMOOTHNESS: Final = 0.3
"""Power of the part of the frames. Lower: sharp pictures that stutter. Higher: smooth ones that are soft."""
SCREEN_SHARPNESS: Final = 0.8
SCREEN_SMOOTHNESS: Final = 0.1

USUAL_FRAME_RATE: Final = 30.0
"""Frames a second of a layer that loses nothing; more are worth more."""

PIN_WEIGHT: Final = 4.0
"""Lower: who is pinned shares the loss. Higher: the others vanish for its last frames."""
SCREEN_WEIGHT: Final = 3.0
SPEAKER_WEIGHT: Final = 2.0
"""Of who speaks; those who spoke before come down to 1 in their order. Lower: a change of speakers moves no
layer. Higher: each change moves some."""

TILE_WEIGHT: Final = 0.5
"""Power of the tile's height in the weight. Lower: small tiles count like large ones. Higher: they starve."""
USUAL_TILE: Final = 360.0
"""Lines of a tile of weight 1."""
SMALLEST_TILE: Final = 90.0
"""Lines that are assumed where no size was asked for."""


def worths(problem: Problem) -> FloatArray:
    """(rows, LAYERS) what each layer is worth, 0 where it is of no use; unusable ones and audio are 0."""
    return short_worths(problem, np.arange(len(problem.rank))).T.astype(np.float64)


def short_worths(problem: Problem, rows: IntArray) -> ShortArray:
    """(LAYERS, len(rows)) the same of some rows: numpy is faster along rows, and with half the width."""
    is_screen, is_pinned = problem.is_screen[rows], problem.is_pinned[rows]
    heights = turned(problem.layer_heights[:, ::MAX_TEMPORAL], rows)
    widths = turned(problem.layer_widths[:, ::MAX_TEMPORAL], rows)
    tile = _tile_lines(problem.width[rows], problem.height[rows], widths.max(axis=0), heights.max(axis=0))
    weight = (tile / USUAL_TILE) ** TILE_WEIGHT
    weight *= np.where(is_pinned, PIN_WEIGHT, 1.0) * np.where(is_screen, SCREEN_WEIGHT, 1.0)
    weight *= 1.0 + (SPEAKER_WEIGHT - 1.0) / (1.0 + problem.speaker[rows])
    weight *= (problem.is_visible & ~problem.is_audio)[rows]
    sharpness = np.where(is_screen, SCREEN_SHARPNESS, CAMERA_SHARPNESS).astype(np.float32)
    smoothness = np.where(is_screen, SCREEN_SMOOTHNESS, CAMERA_SMOOTHNESS).astype(np.float32)
    lines = np.minimum(np.maximum(heights, 1.0) / tile.astype(np.float32), 1.0)
    worth = turned(problem.frame_rates, rows)
    np.maximum(worth, 0.1, out=worth)
    worth /= USUAL_FRAME_RATE
    np.log(worth, out=worth)
    worth *= smoothness
    worth += np.repeat(sharpness * np.log(lines), MAX_TEMPORAL, axis=0)
    np.exp(worth, out=worth)
    worth *= weight
    worth *= problem.usable.T.take(rows, axis=1)
    return worth


def turned(values: FloatArray, rows: IntArray) -> ShortArray:
    """Some rows of (rows, layers) as (layers, rows), and in half the width."""
    return values.T.take(rows, axis=1).astype(np.float32)


def _tile_lines(width: FloatArray, height: FloatArray, widest: ShortArray, tallest: ShortArray) -> FloatArray:
    """(rows,) lines of the picture as it fits the tile, by the shape of its layers."""
    by_width = np.where(width > 0, width * np.maximum(tallest, 1.0) / np.maximum(widest, 1.0), np.inf)
    lines = np.minimum(by_width, np.where(height > 0, height, np.inf))
    return np.maximum(np.where(np.isinf(lines), 0.0, lines), SMALLEST_TILE)
