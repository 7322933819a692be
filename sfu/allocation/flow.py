"""What flows of all that is wanted: which layers each row could be given now, and what they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from sfu.allocation.layers import AUDIO_BPS, layers_of
from sfu.allocation.problem import LAYERS
from sfu.rows import ALL_TEMPORAL, MAX_ENCODINGS, MAX_TEMPORAL, PAUSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfu.allocation.layout import Layout
    from sfu.allocation.rates import BoolArray, EncodingRates, FloatArray, IntArray, Places

_Any = TypeVar("_Any", bound=np.generic)

_ENCODINGS: Final = np.arange(MAX_ENCODINGS)[:, None]
_IS_FIRST: Final = _ENCODINGS == 0


@dataclass(frozen=True, slots=True)
class Flow:
    """One tick, in the order of a layout."""

    sent: BoolArray
    """(MAX_ENCODINGS, rows) it flows, or rests; of audio the only one is always taken to."""
    best: IntArray
    """(rows,) the encoding that is given where the budget allows it; `PAUSED`: none can be."""
    whole: IntArray
    """(rows,) all of that: its highest layer; `PAUSED`: none."""
    usable: BoolArray
    """(LAYERS, rows) what may be given: nothing above the best."""
    offered: BoolArray
    """(LAYERS, rows) the same with what is larger than the tile needs."""
    costs_bps: FloatArray
    """(LAYERS + 1, rows); the last, which `PAUSED` is the index of, are of nothing, and 0."""
    frame_rates: FloatArray
    """(LAYERS + 1, rows), likewise."""
    top: IntArray
    """(MAX_ENCODINGS, rows) the highest temporal layer that is there to be left out, 0: none."""

    def layer(self, encoding: IntArray, temporal: IntArray) -> IntArray:
        """(rows,) the layer that a target means now; `PAUSED` where it is none."""
        top = picked(self.top, encoding)
        return np.where(encoding == PAUSED, PAUSED, encoding * MAX_TEMPORAL + np.minimum(temporal, top))

    def targets(self, layer: IntArray) -> tuple[IntArray, IntArray]:
        """(rows,) encoding and temporal layer to ask the plane for: all of it where it is the highest.

        So a temporal layer that begins later is forwarded, too.
        """
        encoding = layer // MAX_TEMPORAL
        temporal = layer - encoding * MAX_TEMPORAL
        is_all = temporal >= picked(self.top, encoding)
        is_paused = layer == PAUSED
        return np.where(is_paused, PAUSED, encoding), np.where(is_all | is_paused, ALL_TEMPORAL, temporal)


@dataclass(frozen=True, slots=True)
class Chosen:
    """(rows,) what a policy answered."""

    layer: IntArray
    encoding: IntArray
    """`PAUSED`: none."""
    temporal: IntArray
    """The target: `ALL_TEMPORAL`, or the highest to give."""
    short: IntArray
    """The `Cause` where a budget is the reason: `BUDGET`, or why somebody else comes first."""


SLOW: Final = 0.5
"""What rests and showed less than this part of the frames of what flows is not believed: its encoder was
still beginning. Of a picture that stutters nobody would be given it, and nobody would see that it no longer
does. Lower: such a one stays off for good. Higher: where fewer frames are meant, it is asked for in vain."""


def flow_of(layout: Layout, rates: EncodingRates, places: Places) -> Flow:
    """Join what is wanted with what was measured."""
    is_audio = layout.is_audio
    measured = rates.measured
    layers = layers_of(measured, rates.encodings)
    at, found = places.at, places.found
    live, flowing = found & _taken(measured.live, at), found & _taken(measured.flowing, at)
    shown = _taken(layers.frame_rates[-1], at)
    is_slow = shown < SLOW * (shown * flowing).max(axis=0)
    rests = found & _taken(measured.rests, at) & ~is_slow
    # After a stall of the whole track nothing is live yet: then what flows is good enough at once. And of a
    # track of which nothing flows, what rests will not come either.
    sent = np.where(live.any(axis=0), live | rests, flowing)
    sent = np.where(is_audio, _IS_FIRST, sent)
    permitted = sent & layout.permitted
    best = _nearest(permitted, layout.allowed)
    costs, frame_rates = _layered(layers.costs_bps, at), _layered(layers.frame_rates, at)
    is_assumed = is_audio & ~(found[0] & _taken(layers.is_known, at[0]))
    costs[0] = np.where(is_assumed, AUDIO_BPS, costs[0])
    is_there = _layered(layers.is_there, at)[:LAYERS]
    is_there[0] |= is_audio
    is_there[1:] &= ~is_audio
    is_offered = permitted & ~(layout.is_beyond_last_n | layout.is_unheard)
    top = np.where(found, _taken(layers.top, at), 0)
    offered = np.repeat(is_offered, MAX_TEMPORAL, axis=0) & is_there
    return Flow(
        sent=sent,
        best=best,
        whole=np.where(best == PAUSED, PAUSED, best * MAX_TEMPORAL + picked(top, best)),
        usable=offered & np.repeat(best >= _ENCODINGS, MAX_TEMPORAL, axis=0),
        offered=offered,
        costs_bps=costs,
        frame_rates=frame_rates,
        top=top,
    )


def picked(values: NDArray[_Any], at: IntArray) -> NDArray[_Any]:
    """(rows,) of (n, rows) values one for each row, the last where `at` is `PAUSED`.

    As `values[at, rows]`, in half the time.
    """
    return values.reshape(-1).take(at * len(at) + np.arange(len(at)))


def _nearest(permitted: BoolArray, allowed: IntArray) -> IntArray:
    """(rows,) the highest encoding at or below `allowed`, else the nearest above it, else `PAUSED`."""
    best, allowed = np.full(len(allowed), PAUSED, np.int8), allowed.astype(np.int8)
    for encoding in reversed(range(MAX_ENCODINGS)):
        is_nearer = (encoding >= allowed) | (best > allowed) | (best == PAUSED)
        np.copyto(best, np.int8(encoding), where=permitted[encoding] & is_nearer)
    return best.astype(np.int64)


def _taken(values: NDArray[_Any], at: IntArray) -> NDArray[_Any]:
    """Values of encodings by row; zeros where there are none at all."""
    return values.take(at) if len(values) else np.zeros(at.shape, values.dtype)


def _layered(values: NDArray[_Any], at: IntArray) -> NDArray[_Any]:
    """(LAYERS + 1, rows) of (MAX_TEMPORAL, encodings) values, and 0; ones where there are none at all."""
    layered = np.ones((LAYERS + 1, at.shape[1]), values.dtype)
    layered[LAYERS] = 0
    if values.shape[1]:
        for encoding, of_encoding in enumerate(np.split(layered[:LAYERS], MAX_ENCODINGS)):
            values.take(at[encoding], axis=1, out=of_encoding, mode="clip")
    return layered
