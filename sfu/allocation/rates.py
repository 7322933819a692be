"""Which encodings flow, and what each costs and shows: measured from the plane's counters, tick by tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from sfu.rows import MAX_ENCODINGS, MAX_TEMPORAL
from sfu.units import NS_PER_MS, NS_PER_S, Instant

if TYPE_CHECKING:
    from sfu.plane import PlaneStats
    from sfu.rows import StructArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
_Number = TypeVar("_Number", np.float64, np.bool_, np.int64)

STALLED_AFTER_S: Final = 2.0
"""An encoding without packets for this long does not flow (protocol: section 7.3). Lower: a screen share of a
still picture, a frame a second, stalls. Higher: viewers of a layer that ended look longer at a still."""

RETURN_AFTER_S: Final = 1.0
"""An encoding that stalled although somebody was given it counts again once it has flowed for this long.
Lower: a browser that tries its top layer again and again moves every viewer each time. Higher: a sharper
picture comes later. One that stopped while nobody was given it rests: it counts as soon as it flows."""

ASKED_FOR_S: Final = 2.0
"""One that rests and is given to somebody has failed when it does not come for this long. Lower: of a slow
client it is given up too early. Higher: what is given in its place may have been switched off meanwhile."""

RATE_WINDOW_S: Final = 1.0
"""Time constant of a measured rate. Lower: each key frame looks like a higher rate. Higher: a change of the
encoder's rate is seen late."""

SETTLED_AT: Final = 0.4
"""When so much of the window was measured, an encoding's rate is known; before, what is missing is assumed.
Higher: what was assumed counts for longer. Lower: its first key frame looks like its rate, and who joins is
given less."""

_ENCODING_BITS: Final = np.uint64(0xFF)
"""Of a key; the others are the track's."""

_STALLED_AFTER_NS: Final = int(STALLED_AFTER_S * NS_PER_S)
_RETURN_AFTER_NS: Final = int(RETURN_AFTER_S * NS_PER_S)
_ASKED_FOR_NS: Final = int(ASKED_FOR_S * NS_PER_S)

_LONG_AGO: Final = -(2**62)
"""In place of the time since when an encoding is back that did not fail, or not given that never was."""

MIN_STEP_MS: Final = 90
"""Counters closer together than this are not divided by their distance: every other tick is. Lower: more of a
core for the same rates. Higher: what a new encoding takes is known later."""


_BYTES: Final = 0
_TEMPORAL_BYTES: Final = slice(1, 1 + MAX_TEMPORAL)
_TEMPORAL_FRAMES: Final = slice(1 + MAX_TEMPORAL, 1 + 2 * MAX_TEMPORAL)
_COUNTERS: Final = 1 + 2 * MAX_TEMPORAL
"""Columns of what is counted of an encoding."""
_LEAST_WEIGHTS: Final = np.array([SETTLED_AT] * (1 + MAX_TEMPORAL) + [0.0] * MAX_TEMPORAL)
"""A key frame is many bytes, but one frame."""


RATES_DTYPE: Final = np.dtype(
    [
        ("keys", "<u8"),
        ("counted", "<i8", (_COUNTERS,)),
        ("counted_at", "<i8"),
        ("weights", "<f8"),
        ("sums", "<f8", (_COUNTERS,)),
        ("flowing", "?"),
        ("live", "?"),
        ("returned_at", "<i8"),
        ("given", "?"),
        ("given_or_not_at", "<i8"),
        ("failed", "?"),
        ("rests", "?"),
    ]
)
"""All that is remembered of one encoding: the fields of `EncodingRates` by these names."""


_PER_SECOND: Final = np.array([8.0] * (1 + MAX_TEMPORAL) + [1.0] * MAX_TEMPORAL)
"""Bits of a byte, frames of a frame."""
_ALL_KNOWN: Final = np.ones((), np.bool_)


@dataclass(frozen=True, slots=True)
class Measured:
    """What encodings do now; arrays are of any shape, the last two with one more axis of MAX_TEMPORAL."""

    rates_bps: FloatArray
    """Payload and headers of the original stream, NaN before it is known."""
    live: BoolArray
    """It flows, and not only since a moment after a stall."""
    flowing: BoolArray
    """A packet came within `STALLED_AFTER_S`."""
    rests: BoolArray
    """It stopped while nobody was given it: taken to come when somebody is, at the rate that it had."""
    temporal_bps: FloatArray
    """Of each temporal layer alone; NaN before it is known."""
    temporal_frame_rates: FloatArray
    """Frames a second of each temporal layer alone; NaN before it is known."""
    settled: FloatArray
    """Which part of the rate was measured, 0 to 1: of an encoding that has just begun, not all was."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where encodings stand in `EncodingRates.measured`, as long as its `layout` is the same."""

    at: IntArray
    found: BoolArray
    """False: never seen; its place is any."""


class EncodingRates:
    """Rates and liveness of every encoding that was ever bound.

    In most ticks no encoding comes, goes, stalls or returns: they compare a few columns, no more.
    """

    def __init__(self) -> None:
        self._seen = b"", b""
        """Which encodings the plane had last, in its order."""
        self._order = np.zeros(0, np.int64)
        self._keys = np.zeros(0, np.uint64)
        self._counted = np.zeros((0, _COUNTERS), np.int64)
        self._counted_at = np.zeros(0, np.int64)
        """Until when each is in its rates."""
        self._weights = np.zeros(0)
        """What part of the window was measured of each."""
        self._sums = np.zeros((0, _COUNTERS))
        """Over the window, of what was measured: divided by its part they are rates."""
        self._flowing = np.zeros(0, np.bool_)
        self._live = np.zeros(0, np.bool_)
        self._returned_at = np.zeros(0, np.int64)
        self._given = np.zeros(0, np.bool_)
        """To anybody."""
        self._given_or_not_at = np.zeros(0, np.int64)
        """Since when that is so."""
        self._failed = np.zeros(0, np.bool_)
        self._rests = np.zeros(0, np.bool_)
        self._is_awaiting = False
        self._is_returning = False
        """Some encoding flows and does not count yet."""
        self._measured: Measured | None = None
        """As it was asked for last; None: it is not that any more."""
        self._measured_at = 0
        self._now = 0
        self._changes = 0
        self._layout = 0

    @classmethod
    def resumed(cls, rows: StructArray, measured_at: Instant, now: Instant) -> EncodingRates:
        """One that goes on where another was: what it had `remembered`, its `measured_at` and `now`."""
        rates = cls()
        for name in RATES_DTYPE.names or ():
            setattr(rates, f"_{name}", rows[name].copy())
        rates._is_returning = bool((rates._flowing & ~rates._live).any())
        rates._look_for_awaited()
        rates._measured_at, rates._now = measured_at, now
        return rates

    @property
    def remembered(self) -> StructArray:
        """(encodings,) of `RATES_DTYPE`, what was found in all that was told."""
        rows = np.empty(len(self._keys), RATES_DTYPE)
        for name in RATES_DTYPE.names or ():
            rows[name] = getattr(self, f"_{name}")
        return rows

    @property
    def measured_at(self) -> Instant:
        """When rates were measured last."""
        return Instant(self._measured_at)

    @property
    def changes(self) -> int:
        """Grows when an encoding comes, goes, stalls or is back; not with every rate."""
        return self._changes

    @property
    def is_awaiting(self) -> bool:
        """Whether somebody is given an encoding that rests."""
        return self._is_awaiting

    @property
    def layout(self) -> int:
        """Grows when `Places` found before are no longer right."""
        return self._layout

    @property
    def now(self) -> Instant:
        """When the counters were read that came last."""
        return Instant(self._now)

    @property
    def encodings(self) -> IntArray:
        """(encodings,) the number of each in its track, in the order of `measured`."""
        return (self._keys & _ENCODING_BITS).astype(np.int64)

    @property
    def measured(self) -> Measured:
        """(encodings,) of all that there are, in an order of its own; one object until something changes."""
        if self._measured is None:
            weights, rates = self._weights[:, None], np.full_like(self._sums, np.nan)
            np.divide(self._sums, np.maximum(weights, _LEAST_WEIGHTS), out=rates, where=weights > 0)
            self._measured = Measured(
                rates_bps=rates[:, _BYTES],
                live=self._live,
                flowing=self._flowing,
                rests=self._rests,
                temporal_bps=rates[:, _TEMPORAL_BYTES],
                temporal_frame_rates=rates[:, _TEMPORAL_FRAMES],
                settled=np.minimum(self._weights / SETTLED_AT, 1.0),
            )
        return self._measured

    def update(self, stats: PlaneStats) -> None:
        """Take up the newest counters; encodings that are not in them any more are forgotten."""
        rows = stats.encodings
        known = _ALL_KNOWN
        # Compared as bytes: arrays of a call's size spend their time on being arrays.
        seen = rows["track"].tobytes(), rows["encoding"].tobytes()
        if seen != self._seen:
            known = self._sort(rows)
            self._seen = seen
        self._now = stats.now
        received_at = rows["last_received_at"][self._order]
        flowing = received_at >= stats.now - _STALLED_AFTER_NS
        if self._is_returning or self._is_awaiting or flowing.tobytes() != self._flowing.tobytes():
            self._update_liveness(received_at, flowing)
        if stats.now - self._measured_at >= MIN_STEP_MS * NS_PER_MS:
            self._update_rates(stats.now, _counted(rows, self._order), received_at, known)

    def give(self, tracks: NDArray[np.uint32], encodings: NDArray[np.integer]) -> None:
        """Take notice of what somebody is given now: (n,) tracks with an encoding each.

        Whether an encoding that stops has failed or rests depends on it.
        """
        at, found = _find(self._keys, _keys(tracks, encodings))
        self.give_at(at[found])

    def give_at(self, at: IntArray) -> None:
        """The same by place in `measured`, of encodings that are there."""
        is_given = np.zeros(len(self._keys), np.bool_)
        is_given[at] = True
        self._given_or_not_at = np.where(is_given == self._given, self._given_or_not_at, self._now)
        self._given = is_given
        self._look_for_awaited()

    def places(self, tracks: NDArray[np.uint32]) -> Places:
        """(MAX_ENCODINGS, tracks) where all encodings of these tracks stand."""
        columns = np.arange(MAX_ENCODINGS, dtype=np.uint64)
        return Places(*_find(self._keys, _keys(tracks, columns[:, None])))

    def of(self, tracks: NDArray[np.uint32]) -> Measured:
        """(tracks, MAX_ENCODINGS) what all encodings of these tracks do; of one never seen: nothing."""
        places, all_there_are = self.places(tracks), self.measured
        at, found = places.at.T, places.found.T
        if not len(self._keys):
            unknown = np.full((*found.shape, MAX_TEMPORAL), np.nan)
            return Measured(unknown[..., 0], found, found, found, unknown, unknown, unknown[..., 0])
        return Measured(
            rates_bps=np.where(found, all_there_are.rates_bps[at], np.nan),
            live=found & all_there_are.live[at],
            flowing=found & all_there_are.flowing[at],
            rests=found & all_there_are.rests[at],
            temporal_bps=np.where(found[..., None], all_there_are.temporal_bps[at], np.nan),
            temporal_frame_rates=np.where(found[..., None], all_there_are.temporal_frame_rates[at], np.nan),
            settled=np.where(found, all_there_are.settled[at], 0.0),
        )

    def _sort(self, rows: StructArray) -> BoolArray:
        """Carry over what is known of encodings that were there before; return which were.

        Those that are new are live at once: joining must not take a second longer.
        """
        keys = _keys(rows["track"], rows["encoding"])
        self._order = np.argsort(keys)
        keys = keys[self._order]
        at, found = _find(self._keys, keys)
        self._counted = _carried(self._counted, at, found, _counted(rows, self._order))
        self._counted_at = _carried(self._counted_at, at, found, np.full(len(keys), self._measured_at))
        self._weights = _carried(self._weights, at, found, np.zeros(len(keys)))
        self._sums = _carried(self._sums, at, found, np.zeros((len(keys), _COUNTERS)))
        self._flowing = _carried(self._flowing, at, found, np.ones(len(keys), np.bool_))
        self._live = _carried(self._live, at, found, np.ones(len(keys), np.bool_))
        self._returned_at = _carried(self._returned_at, at, found, np.full(len(keys), _LONG_AGO))
        self._given = _carried(self._given, at, found, np.zeros(len(keys), np.bool_))
        self._given_or_not_at = _carried(self._given_or_not_at, at, found, np.full(len(keys), _LONG_AGO))
        self._failed = _carried(self._failed, at, found, np.zeros(len(keys), np.bool_))
        self._rests = _carried(self._rests, at, found, np.zeros(len(keys), np.bool_))
        self._changes += not np.array_equal(keys, self._keys)
        self._keys = keys
        self._layout += 1
        self._measured = None
        return found

    def _update_liveness(self, received_at: IntArray, flowing: BoolArray) -> None:
        has_stalled = self._flowing & ~flowing
        begins_rest = has_stalled & self._live & self._was_spare(received_at)
        is_back = flowing & ~self._flowing
        was_resting = is_back & self._rests
        is_missed = self._rests & self._given & (self._now - self._given_or_not_at >= _ASKED_FOR_NS)
        is_missed &= ~is_back
        self._rests = (self._rests & ~is_back & ~is_missed) | begins_rest
        self._failed = np.where(has_stalled | is_missed, ~begins_rest, self._failed)
        returned_at = np.where(self._failed, received_at, _LONG_AGO)
        self._returned_at = np.where(is_back, returned_at, self._returned_at)
        # Unless it has rested, what it was before it stopped, and that it was nothing since, says nothing of
        # what it is now.
        is_anew = is_back & ~was_resting
        self._counted_at = np.where(was_resting, self._measured_at, self._counted_at)
        self._weights = np.where(is_anew, 0.0, self._weights)
        self._sums = np.where(is_anew[:, None], 0.0, self._sums)
        live = flowing & (received_at - self._returned_at >= _RETURN_AFTER_NS)
        is_same = np.array_equal(flowing, self._flowing) and np.array_equal(live, self._live)
        if not is_same or is_missed.any():
            self._changes += 1
            self._measured = None
        self._flowing, self._live = flowing, live
        self._is_returning = bool((flowing & ~live).any())
        self._look_for_awaited()

    def _look_for_awaited(self) -> None:
        self._is_awaiting = bool((self._rests & self._given).any())

    def _was_spare(self, at: IntArray) -> BoolArray:
        """(encodings,) nobody was given it at its time."""
        was_spare: BoolArray = self._given == (self._given_or_not_at > at)
        return was_spare

    def _update_rates(self, now: int, counted: IntArray, received_at: IntArray, known: BoolArray) -> None:
        # Silence is no lower rate before it is known for what: a layer that ends would look cheap meanwhile.
        is_kept = (received_at <= self._measured_at) & (self._flowing | self._rests) & known
        elapsed_s = (now - self._counted_at) / NS_PER_S
        newest = np.maximum(counted - self._counted, 0) * _PER_SECOND / elapsed_s[:, None]
        weight = np.where(is_kept, 0.0, -np.expm1(-elapsed_s / RATE_WINDOW_S))
        weights = self._weights + weight * (1.0 - self._weights)
        sums = self._sums + weight[:, None] * (newest - self._sums)
        # Of one that came with these counters, it is not known since when they count.
        self._weights = weights if known is _ALL_KNOWN else np.where(known, weights, 0.0)
        self._sums = sums if known is _ALL_KNOWN else np.where(known[:, None], sums, 0.0)
        self._counted = counted
        self._counted_at = np.where(is_kept, self._counted_at, now)
        self._measured = None
        self._measured_at = now


def _counted(rows: StructArray, order: IntArray) -> IntArray:
    """(encodings, _COUNTERS) in order of their keys."""
    counted = np.empty((len(rows), _COUNTERS), np.int64)
    counted[:, _BYTES] = rows["bytes_received"][order]
    counted[:, _TEMPORAL_BYTES] = rows["temporal_bytes_received"][order]
    counted[:, _TEMPORAL_FRAMES] = rows["temporal_frames_received"][order]
    return counted


def _carried(
    before: NDArray[_Number], at: IntArray, found: BoolArray, new: NDArray[_Number]
) -> NDArray[_Number]:
    """What was known of each, at its new place; `new` where nothing was."""
    new[found] = before[at[found]]
    return new


def _keys(tracks: NDArray[np.uint32], encodings: NDArray[np.integer]) -> NDArray[np.uint64]:
    return tracks.astype(np.uint64) << np.uint64(8) | encodings.astype(np.uint64)


def _find(haystack: NDArray[np.uint64], needles: NDArray[np.uint64]) -> tuple[IntArray, BoolArray]:
    """Where each needle stands in sorted keys, and whether it does; 0 where not."""
    if not len(haystack):
        return np.zeros(needles.shape, np.int64), np.zeros(needles.shape, np.bool_)
    at = np.minimum(np.searchsorted(haystack, needles), len(haystack) - 1)
    found = haystack[at] == needles
    return np.where(found, at, 0), found
