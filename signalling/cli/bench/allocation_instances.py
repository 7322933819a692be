"""Seeded allocation problems: people with cameras and screen shares, looked at in tiles of all sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.problem import LAYERS, NEVER, Problem
from sfu.allocation.wanted import TOLERANCE
from sfu.rows import MAX_ENCODINGS, MAX_TEMPORAL, PAUSED
from sfu.units import Instant

if TYPE_CHECKING:
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray

_CAMERA_SCALES: Final = np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.25, 0.5, 1.0]])
_SCREEN_SCALES: Final = np.array([[1.0, 0.0, 0.0], [1 / 1.5, 1.0, 0.0], [1 / 3, 1 / 1.5, 1.0]])
_PARTS: Final = np.array([[1.0, 0.0, 0.0], [0.6, 1.0, 0.0], [0.4, 0.6, 1.0]])
"""Of an encoding's bits, with the temporal layers below included, by their number."""
_HALVINGS: Final = np.array([[0, 0, 0], [1, 0, 0], [2, 1, 0]])
_TILES: Final = np.array([90, 180, 270, 360, 540, 720, 1080])
_HD_BPS: Final = 1_500_000.0
"""Of 720 lines at 30 frames a second."""
_LINES_POWER: Final = 1.6
_SPREAD: Final = 0.3
"""Of rates between people, as a natural logarithm."""


@dataclass(frozen=True, slots=True)
class Tracks:
    """What publishers send."""

    is_screen: BoolArray
    """(tracks,)."""
    heights: FloatArray
    """(tracks, LAYERS) lines; 0: not there."""
    frame_rates: FloatArray
    costs_bps: FloatArray


def tracks(rng: np.random.Generator, count: int) -> Tracks:
    """So many tracks of one to three encodings and temporal layers each; a fifth are screens."""
    is_screen = rng.random(count) < 0.2
    encodings, temporal = rng.integers(0, MAX_ENCODINGS, count), rng.integers(0, MAX_TEMPORAL, count)
    scales = np.where(is_screen[:, None], _SCREEN_SCALES[encodings], _CAMERA_SCALES[encodings])
    full = np.where(is_screen, 1080, rng.choice([480, 720, 1080], count))
    frames = np.where(is_screen, rng.choice([5, 15, 30], count), rng.choice([15, 24, 30], count))
    heights = full[:, None] * scales
    person = np.exp(rng.normal(0, _SPREAD, count))[:, None] * np.exp(rng.normal(0, _SPREAD / 2, scales.shape))
    rates = person * _HD_BPS * (heights / 720) ** _LINES_POWER
    parts, halvings = _PARTS[temporal], _HALVINGS[temporal]
    is_there = (scales[:, :, None] > 0) & (parts[:, None, :] > 0)
    layered = (count, LAYERS)
    return Tracks(
        is_screen,
        (heights[:, :, None] * is_there).reshape(layered),
        (frames[:, None, None] / 2.0 ** halvings[:, None, :] * is_there).reshape(layered),
        np.where(is_there, rates[:, :, None] * parts[:, None, :], 1.0).reshape(layered),
    )


def problem(rng: np.random.Generator, sent: Tracks, seen: IntArray, subscriber: IntArray) -> Problem:
    """Somebody looks at tracks, and has had nothing yet. Budgets are between next to nothing and enough.

    Args:
        rng: chance.
        sent: what there is.
        seen: (rows,) index of the track.
        subscriber: (rows,) sorted, from 0 on, none left out.
    """
    rows = len(seen)
    heights = sent.heights[seen]
    tile = rng.choice(_TILES, rows).astype(np.float64)
    is_enough = heights * (1 + TOLERANCE) >= tile[:, None]
    enough = np.where(is_enough.any(axis=1), np.where(is_enough, heights, np.inf).min(axis=1), np.inf)
    usable = (heights > 0) & (heights <= enough[:, None])
    costs = sent.costs_bps[seen]
    starts = np.flatnonzero(np.diff(subscriber, prepend=-1))
    count = len(starts)
    dearest = np.bincount(subscriber, np.where(usable, costs, 0.0).max(axis=1), count)
    cheapest = np.full(count, np.inf)
    np.minimum.at(cheapest, subscriber, np.where(usable, costs, np.inf).min(axis=1))
    budget = np.exp(rng.uniform(np.log(1.01 * cheapest), np.log(1.1 * dearest)))
    return Problem(
        now=Instant(0),
        subscriber=subscriber,
        track=seen,
        rank=np.arange(rows),
        is_audio=np.zeros(rows, np.bool_),
        is_screen=sent.is_screen[seen],
        is_pinned=rng.random(rows) < 0.1,
        is_visible=np.ones(rows, np.bool_),
        speaker=np.arange(rows) - starts[subscriber],
        width=tile * 16 / 9,
        height=tile,
        layer_widths=heights * 16 / 9,
        layer_heights=heights,
        frame_rates=sent.frame_rates[seen],
        costs_bps=costs,
        usable=usable,
        previous=np.full(rows, PAUSED),
        previous_at=np.full(rows, NEVER),
        changed=np.ones(rows, np.bool_),
        lowered_at=np.full(rows, NEVER),
        keep_bps=budget,
        change_bps=budget,
        reordered=np.ones(count, np.bool_),
        decided_at=np.full(count, NEVER),
        decided_bps=np.zeros(count),
    )
