"""Rooms full of people on links that waver, as an allocator sees them: wishes, counters, budgets, speakers.

All of it is drawn from one seed, and nothing depends on what is given: every policy sees the same.

- Cameras have three encodings of three temporal layers, in half of the rooms somebody shares a screen. Rates
  go up and down by a few per cent within a second or so, and now and then a top encoding fails for some
  seconds.
- A subscriber's capacity steps every half a minute. The estimate of it wavers, falls by 15 % now and then as
  if a queue had been seen, and climbs back; a subscriber's stable budget is the lowest of the last 2.5 to 5
  s.
- Somebody else speaks every few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.budgets import BUDGET_DTYPE
from sfu.allocation.speech import speech_of
from sfu.allocation.table import DemandTable
from sfu.conference.turn import SetDemand
from sfu.plane import PlaneStats
from sfu.rows import ENCODING_DTYPE, MAX_ENCODINGS, MAX_TEMPORAL, ROUTE_DTYPE, TRANSPORT_DTYPE, StructArray
from sfu.units import NS_PER_S, Instant, Kind, RouteId, TrackHandle, TransportId

if TYPE_CHECKING:
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray

_BEGIN: Final = Instant(1_000 * NS_PER_S)
_CAMERA_BPS: Final = (120_000.0, 350_000.0, 1_500_000.0)
_SCREEN_BPS: Final = (200_000.0, 500_000.0, 1_800_000.0)
_CAMERA_TILES: Final = (((320, 180), 0), ((480, 270), 1), ((640, 360), 1), ((1280, 720), 2))
"""Sizes, and the encodings that fit them."""
_SCREEN_TILE: Final = (1600, 900)
_PARTS: Final = np.array([0.4, 0.2, 0.4])
_FRAMES: Final = np.array([7.5, 7.5, 15.0])
_AUDIO_BPS: Final = 32_000.0

_RATE_SPREAD: Final = 0.1
"""Of an encoding's rate, as a natural logarithm."""
_RATE_TIME_S: Final = 1.5
"""How long a rate stays where it is, about."""
_FAILS_EVERY_S: Final = 90.0
_FAILS_FOR_S: Final = (4.0, 15.0)
_STEP_EVERY_S: Final = 30.0
_CAPACITY: Final = (0.15, 1.2)
"""Of what a subscriber would be given without a limit."""
_ESTIMATE_SPREAD: Final = 0.04
_ESTIMATE_TIME_S: Final = 1.0
_FALLS_EVERY_S: Final = 15.0
_FALL: Final = 0.85
_CLIMB: Final = 0.08
"""Of the estimate, a second."""
_SPEAKS_FOR_S: Final = 6.0
_PINS: Final = 0.25
"""Part of subscribers who have pinned somebody."""
_GENERATION_NS: Final = int(2.5 * NS_PER_S)


@dataclass(frozen=True, slots=True)
class Moment:
    """What an allocator is told in one tick."""

    stats: PlaneStats
    budgets: StructArray
    """(subscribers,) of `BUDGET_DTYPE`."""
    capacity_bps: FloatArray
    """(subscribers,) what the links carry in truth."""
    speech: StructArray


class Scene:
    """So many rooms of so many people, of whom each publishes a camera and a microphone and sees all others.

    Args:
        seed: of all chance.
        rooms: calls.
        members: of each.
    """

    def __init__(self, seed: int, rooms: int, members: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.demand = DemandTable()
        self._now = _BEGIN
        self._routes = 0
        self._rooms = np.arange(rooms * members).reshape(rooms, members)
        """Numbers of members, and of their cameras; microphones come behind, then screens."""
        self._needs = np.zeros(self._rooms.size)
        for room, people in enumerate(self._rooms):
            for subscriber in people:
                self._subscribe(int(subscriber), people, self._screen(room))
        sent = self._published()
        self._encodings = np.zeros(len(sent), ENCODING_DTYPE)
        self._encodings["track"] = [track for track, _, _ in sent]
        self._encodings["encoding"] = [encoding for _, encoding, _ in sent]
        self._usual_bps = np.array([rate for _, _, rate in sent])
        self._is_audio = self._usual_bps == _AUDIO_BPS
        self._is_top = self._encodings["encoding"] == MAX_ENCODINGS - 1
        self._waver = self._rng.normal(0, _RATE_SPREAD, len(sent))
        self._bits = np.zeros((len(sent), MAX_TEMPORAL))
        self._frames = np.zeros((len(sent), MAX_TEMPORAL))
        self._fails_until = np.zeros(len(sent), np.int64)
        self._capacity_bps = self._needs * self._rng.uniform(*_CAPACITY, self._needs.size)
        self._estimate_waver = np.zeros(self._needs.size)
        self._after_fall = np.ones(self._needs.size)
        self._lowest = np.full((2, self._needs.size), np.inf)
        """Estimates of the generation before, and of this one."""
        self._spoke = [list(map(int, people)) for people in self._rooms]
        """In each room, who spoke last first."""

    @property
    def subscribers(self) -> int:
        """How many there are; they are numbered from 0 on."""
        return self._needs.size

    def after(self, elapsed_s: float) -> Moment:
        """Let time pass."""
        before, self._now = self._now, Instant(self._now + round(elapsed_s * NS_PER_S))
        is_new_generation = before // _GENERATION_NS != self._now // _GENERATION_NS
        budgets = self._estimate(elapsed_s, is_new_generation=is_new_generation)
        return Moment(self._count(elapsed_s), budgets, self._capacity_bps, self._speak(elapsed_s))

    def _screen(self, room: int) -> int | None:
        return 2 * self._rooms.size + room if room % 2 == 0 else None

    def _published(self) -> list[tuple[int, int, float]]:
        """Track, encoding and usual rate."""
        count = self._rooms.size
        screens = [track for room in range(len(self._rooms)) if (track := self._screen(room)) is not None]
        ladders = [
            (range(count), _CAMERA_BPS),
            (range(count, 2 * count), (_AUDIO_BPS,)),
            (screens, _SCREEN_BPS),
        ]
        return [
            (track, encoding, rate)
            for tracks, ladder in ladders
            for track in tracks
            for encoding, rate in enumerate(ladder)
        ]

    def _subscribe(self, subscriber: int, people: IntArray, screen: int | None) -> None:
        others = [int(track) for track in people if track != subscriber]
        pinned = others[0] if self._rng.random() < _PINS else None
        for track in others:
            size, encoding = _CAMERA_TILES[int(self._rng.integers(len(_CAMERA_TILES)))]
            self._want(subscriber, track, size, (1280, 720), is_pinned=track == pinned)
            self._want(subscriber, self._rooms.size + track)
            self._needs[subscriber] += _CAMERA_BPS[encoding] + _AUDIO_BPS
        if screen is not None:
            self._want(subscriber, screen, _SCREEN_TILE, (1920, 1080), screen_share=True)
            self._needs[subscriber] += _SCREEN_BPS[-1]

    def _want(
        self,
        subscriber: int,
        track: int,
        tile: tuple[int, int] = (0, 0),
        full: tuple[int, int] = (0, 0),
        *,
        is_pinned: bool = False,
        screen_share: bool = False,
    ) -> None:
        self._routes += 1
        is_audio = tile == (0, 0)
        self.demand.set(
            SetDemand(
                RouteId(self._routes),
                TransportId(subscriber),
                TrackHandle(track),
                Kind.AUDIO if is_audio else Kind.VIDEO,
                *tile,
                *full,
                encodings=1 if is_audio else MAX_ENCODINGS,
                screen_share=screen_share,
                is_pinned=is_pinned,
            )
        )

    def _happens(self, count: int, elapsed_s: float, every_s: float) -> BoolArray:
        return self._rng.random(count) < elapsed_s / every_s

    def _count(self, elapsed_s: float) -> PlaneStats:
        """Counters after some more time."""
        rows, rng = self._encodings.copy(), self._rng
        self._waver = _wavered(rng, self._waver, elapsed_s / _RATE_TIME_S, _RATE_SPREAD)
        fails = self._is_top & self._happens(len(rows), elapsed_s, _FAILS_EVERY_S)
        until = self._now + rng.uniform(*_FAILS_FOR_S, len(rows)) * NS_PER_S
        self._fails_until = np.where(fails, until.astype(np.int64), self._fails_until)
        flows = self._fails_until <= self._now
        rates_bps = self._usual_bps * np.exp(np.where(self._is_audio, 0.0, self._waver)) * flows
        self._bits += np.outer(rates_bps * elapsed_s, _PARTS)
        self._frames += np.outer(flows * elapsed_s, _FRAMES)
        rows["last_received_at"] = np.where(flows, self._now, rows["last_received_at"])
        self._encodings["last_received_at"] = rows["last_received_at"]
        rows["bytes_received"] = self._bits.sum(axis=1) / 8
        layered = np.where(self._is_audio[:, None], 0.0, 1.0)
        rows["temporal_bytes_received"] = self._bits / 8 * layered
        rows["temporal_frames_received"] = self._frames * layered
        nothing = np.zeros(0, TRANSPORT_DTYPE), np.zeros(0, ROUTE_DTYPE)
        return PlaneStats(self._now, nothing[0], rows, nothing[1], {})

    def _estimate(self, elapsed_s: float, *, is_new_generation: bool) -> StructArray:
        rng, count = self._rng, self._needs.size
        steps = self._happens(count, elapsed_s, _STEP_EVERY_S)
        self._capacity_bps = np.where(steps, self._needs * rng.uniform(*_CAPACITY, count), self._capacity_bps)
        self._estimate_waver = _wavered(
            rng, self._estimate_waver, elapsed_s / _ESTIMATE_TIME_S, _ESTIMATE_SPREAD
        )
        falls = self._happens(count, elapsed_s, _FALLS_EVERY_S)
        climbed = np.minimum(self._after_fall * (1 + _CLIMB * elapsed_s), 1.0)
        self._after_fall = np.where(falls, _FALL, climbed)
        # An estimate that is too high soon is not: it wavers below the truth.
        estimate = self._capacity_bps * self._after_fall * np.exp(-np.abs(self._estimate_waver))
        if is_new_generation:
            self._lowest = np.array([self._lowest[1], np.full(count, np.inf)])
        self._lowest[1] = np.minimum(self._lowest[1], estimate)
        budgets = np.empty(count, BUDGET_DTYPE)
        budgets["transport"] = np.arange(count)
        budgets["keep_bps"] = estimate
        budgets["change_bps"] = self._lowest.min(axis=0)
        return budgets

    def _speak(self, elapsed_s: float) -> StructArray:
        """Of all rooms, the cameras of those who spoke, who did last first."""
        for room in np.flatnonzero(self._happens(len(self._spoke), elapsed_s, _SPEAKS_FOR_S)):
            people = self._spoke[room]
            people.insert(0, people.pop(int(self._rng.integers(len(people)))))
        return speech_of((people, ()) for people in self._spoke)


def _wavered(rng: np.random.Generator, before: FloatArray, steps: float, spread: float) -> FloatArray:
    """A value that is drawn back to 0 and pushed away from it; `spread` is how far it gets."""
    kept = np.exp(-steps)
    found: FloatArray = before * kept + rng.normal(0, spread * np.sqrt(1 - kept**2), len(before))
    return found
