"""Which encodings flow, and how much each costs: measured from the plane's counters, tick by tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from sfu.plane import MAX_ENCODINGS
from sfu.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from sfu.plane import PlaneStats

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

STALLED_AFTER_S: Final = 2.0
"""An encoding without packets for this long does not flow (protocol: section 7.3). Lower: a screen share of a
still picture, a frame a second, stalls. Higher: viewers of a layer that ended look longer at a still."""

RETURN_AFTER_S: Final = 1.0
"""An encoding that stalled although somebody wanted it counts again once it has flowed for this long. Lower:
a browser that tries its top layer again and again moves every viewer each time. Higher: a sharper picture
comes later. One that stopped while nobody wanted it was switched off: it counts as soon as it flows."""

RATE_WINDOW_S: Final = 1.0
"""Time constant of a measured rate. Lower: each key frame looks like a higher rate. Higher: a change of the
encoder's rate is seen late."""

_NOBODY: Final = np.iinfo(np.int64).max
"""In place of the time since when somebody wants an encoding."""

_LONG_AGO: Final = -(2**62)
"""In place of the time since when an encoding is back that did not fail."""

MIN_STEP_MS: Final = 20
"""Counters closer together than this are not divided by their distance."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What encodings of some tracks do now; every array is (tracks, MAX_ENCODINGS)."""

    rates_bps: FloatArray
    """Payload and headers of the original stream, NaN before it is known."""
    live: BoolArray
    """It flows, and not only since a moment after a stall."""
    flowing: BoolArray
    """A packet came within `STALLED_AFTER_S`."""


class EncodingRates:
    """Rates and liveness of every encoding that was ever bound."""

    def __init__(self) -> None:
        self._keys = np.zeros(0, np.uint64)
        self._bytes = np.zeros(0, np.int64)
        self._rates_bps = np.zeros(0)
        self._flowing = np.zeros(0, np.bool_)
        self._live = np.zeros(0, np.bool_)
        self._returned_at = np.zeros(0, np.int64)
        self._wanted_at = np.zeros(0, np.int64)
        self._failed = np.zeros(0, np.bool_)
        self._measured_at = 0
        self._now = 0
        self._changes = 0

    @property
    def changes(self) -> int:
        """Grows when an encoding comes, goes, stalls or is back; not with every rate."""
        return self._changes

    def update(self, stats: PlaneStats) -> None:
        """Take up the newest counters; encodings that are not in them any more are forgotten."""
        keys = _keys(stats.encodings["track"], stats.encodings["encoding"])
        order = np.argsort(keys)
        keys, rows = keys[order], stats.encodings[order]
        at, found = _find(self._keys, keys)
        before = (self._keys, self._flowing, self._live)
        self._update_liveness(stats.now, at, found, rows["last_received_at"])
        self._update_rates(stats.now, at, found, rows["bytes_received"].astype(np.int64))
        self._keys = keys
        self._now = stats.now
        self._changes += not all(map(np.array_equal, before, (keys, self._flowing, self._live)))

    def want(self, tracks: NDArray[np.uint32], encodings: NDArray[np.integer]) -> None:
        """Take notice of what is wanted now, flowing or not: (n,) tracks with an encoding each.

        Whether an encoding that stops has failed or was switched off depends on it.
        """
        at, found = _find(self._keys, _keys(tracks, encodings))
        is_wanted = np.zeros(len(self._keys), np.bool_)
        is_wanted[at[found]] = True
        since = np.where(self._wanted_at == _NOBODY, self._now, self._wanted_at)
        self._wanted_at = np.where(is_wanted, since, _NOBODY)

    def of(self, tracks: NDArray[np.uint32]) -> Measured:
        """What all encodings of these tracks do; of one never seen: nothing."""
        columns = np.arange(MAX_ENCODINGS, dtype=np.uint64)
        at, found = _find(self._keys, _keys(tracks[:, None], columns[None, :]))
        if not len(self._keys):
            nothing = np.zeros(found.shape, np.bool_)
            return Measured(np.full(found.shape, np.nan), nothing, nothing)
        return Measured(
            rates_bps=np.where(found, self._rates_bps[at], np.nan),
            live=found & self._live[at],
            flowing=found & self._flowing[at],
        )

    def _update_liveness(self, now: int, at: IntArray, found: BoolArray, received_at: IntArray) -> None:
        # One that is seen for the first time is live at once: joining must not take a second longer.
        flowing = now - received_at <= STALLED_AFTER_S * NS_PER_S
        was_flowing = np.ones(len(at), np.bool_)
        was_flowing[found] = self._flowing[at[found]]
        returned_at = np.full(len(at), _LONG_AGO, np.int64)
        returned_at[found] = self._returned_at[at[found]]
        wanted_at = np.full(len(at), _NOBODY, np.int64)
        wanted_at[found] = self._wanted_at[at[found]]
        failed = np.zeros(len(at), np.bool_)
        failed[found] = self._failed[at[found]]
        failed = np.where(was_flowing & ~flowing, wanted_at <= received_at, failed)
        is_back = flowing & ~was_flowing
        returned_at[is_back] = np.where(failed[is_back], received_at[is_back], _LONG_AGO)
        self._returned_at, self._wanted_at, self._failed = returned_at, wanted_at, failed
        self._flowing = flowing
        self._live = flowing & (received_at - returned_at >= RETURN_AFTER_S * NS_PER_S)

    def _update_rates(self, now: int, at: IntArray, found: BoolArray, received: IntArray) -> None:
        elapsed_ns = now - self._measured_at
        is_step = elapsed_ns >= MIN_STEP_MS * NS_PER_MS
        before = received.copy()
        before[found] = self._bytes[at[found]]
        rates = np.full(len(at), np.nan)
        rates[found] = self._rates_bps[at[found]]
        if is_step:
            elapsed_s = elapsed_ns / NS_PER_S
            newest = np.maximum(received - before, 0) * 8 / elapsed_s
            weight = -np.expm1(-elapsed_s / RATE_WINDOW_S)
            smoothed = np.where(np.isnan(rates), newest, rates + weight * (newest - rates))
            rates = np.where(found, smoothed, np.nan)
            self._measured_at = now
        self._rates_bps = rates
        self._bytes = received if is_step else before


def _keys(tracks: NDArray[np.uint32], encodings: NDArray[np.integer]) -> NDArray[np.uint64]:
    return tracks.astype(np.uint64) << np.uint64(8) | encodings.astype(np.uint64)


def _find(haystack: NDArray[np.uint64], needles: NDArray[np.uint64]) -> tuple[IntArray, BoolArray]:
    """Where each needle stands in sorted keys, and whether it does; 0 where not."""
    if not len(haystack):
        return np.zeros(needles.shape, np.int64), np.zeros(needles.shape, np.bool_)
    at = np.minimum(np.searchsorted(haystack, needles), len(haystack) - 1)
    found = haystack[at] == needles
    return np.where(found, at, 0), found
