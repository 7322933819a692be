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
    """(MAX_ENCODINGS, rows) it flows; of audio the only one is always taken to."""
    best: IntArray
    """(rows,) the encoding that is given where the budget allows it; `PAUSED`: none can be."""
    usable: BoolArray
    """(LAYERS, rows) what may be given: nothing above the best."""
    offered: BoolArray
    """(LAYERS, rows) the same with what is larger than the tile needs."""
    costs_bps: FloatArray
    """(LAYERS, rows)."""
    frame_rates: FloatArray
    """(LAYERS, rows)."""
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
        encoding, temporal = np.divmod(layer, MAX_TEMPORAL)
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


def flow_of(layout: Layout, rates: EncodingRates, places: Places) -> Flow:
    """Join what is wanted with what was measured."""
    is_audio = layout.rows["is_audio"]
    measured, layers = rates.measured, layers_of(rates.measured, rates.encodings)
    at, found = places.at, places.found
    live, flowing = found & _taken(measured.live, at), found & _taken(measured.flowing, at)
    # After a stall of the whole track nothing is live yet: then what flows is good enough at once.
    sent = np.where(live.any(axis=0), live, flowing)
    sent = np.where(is_audio, _IS_FIRST, sent)
    permitted = sent & layout.permitted
    best = _nearest(permitted, layout.allowed)
    costs, frame_rates = _layered(layers.costs_bps, at), _layered(layers.frame_rates, at)
    is_assumed = is_audio & ~(found[0] & _taken(layers.is_known, at[0]))
    costs[0] = np.where(is_assumed, AUDIO_BPS, costs[0])
    is_there = np.where(is_audio, np.arange(LAYERS)[:, None] == 0, _layered(layers.is_there, at))
    is_offered = permitted & ~(layout.is_beyond_last_n | layout.is_unheard)
    offered = np.repeat(is_offered, MAX_TEMPORAL, axis=0) & is_there
    return Flow(
        sent=sent,
        best=best,
        usable=offered & np.repeat(best >= _ENCODINGS, MAX_TEMPORAL, axis=0),
        offered=offered,
        costs_bps=costs,
        frame_rates=frame_rates,
        top=np.where(found, _taken(layers.top, at), 0),
    )


def picked(values: NDArray[_Any], at: IntArray) -> NDArray[_Any]:
    """(rows,) of (n, rows) values one for each row, that of 0 where `at` is `PAUSED`.

    As `values[at, rows]`, in a third of the time.
    """
    return values.ravel().take(np.maximum(at, 0) * len(at) + np.arange(len(at)))


def _nearest(permitted: BoolArray, allowed: IntArray) -> IntArray:
    """(rows,) the highest encoding at or below `allowed`, else the nearest above it, else `PAUSED`."""
    best = np.full(len(allowed), PAUSED, np.int64)
    for encoding in reversed(range(MAX_ENCODINGS)):
        best = np.where(
            permitted[encoding] & ((encoding >= allowed) | (best > allowed) | (best == PAUSED)),
            encoding,
            best,
        )
    return best


def _taken(values: NDArray[_Any], at: IntArray) -> NDArray[_Any]:
    """Values of encodings by row; zeros where there are none at all."""
    return values.take(at) if len(values) else np.zeros(at.shape, values.dtype)


def _layered(values: NDArray[_Any], at: IntArray) -> NDArray[_Any]:
    """(LAYERS, rows) of (MAX_TEMPORAL, encodings) values; ones where there are none at all."""
    layered = np.ones((MAX_ENCODINGS, MAX_TEMPORAL, at.shape[1]), values.dtype)
    if values.shape[1]:
        for encoding in range(MAX_ENCODINGS):
            values.take(at[encoding], axis=1, out=layered[encoding], mode="clip")
    return layered.reshape(LAYERS, -1)
