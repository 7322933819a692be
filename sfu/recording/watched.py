"""A control that can be watched. While nobody watches, each call of it costs one more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sfu.recording.told import CapsSet, DemandDropped, DemandSet, LegForgotten, RouteChanged, SpeechSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.allocation.table import Demand
    from sfu.control import Control, ControlUpdate
    from sfu.plane import PlaneStats
    from sfu.recording.told import Told
    from sfu.rows import StructArray
    from sfu.units import ConferenceId, Instant, RouteId, TrackHandle, TransportId


class Tap(Protocol):
    """Is told of everything, after it has happened. It must not raise, and not wait."""

    def told(self, given: Told) -> None:
        """The control was told something."""
        ...

    def ticked(
        self,
        now: Instant,
        stats: PlaneStats,
        feedback: StructArray,
        update: ControlUpdate,
        *,
        is_full: bool,
    ) -> None:
        """It has advanced to now."""
        ...

    def allocated(self, now: Instant, decisions: StructArray) -> None:
        """It has decided everything anew between two ticks."""
        ...

    def failed(self) -> None:
        """A tick or an allocation has ended in a mistake of ours; what it did before that is not known."""
        ...


class NoTap:
    """Nobody watches."""

    def told(self, given: Told) -> None:
        """Nothing."""

    def ticked(
        self,
        now: Instant,
        stats: PlaneStats,
        feedback: StructArray,
        update: ControlUpdate,
        *,
        is_full: bool,
    ) -> None:
        """Nothing."""

    def allocated(self, now: Instant, decisions: StructArray) -> None:
        """Nothing."""

    def failed(self) -> None:
        """Nothing."""


class WatchedControl:
    """A `Control` as its clock sees it, around another one, which tells its `tap` of everything.

    Args:
        control: does the work.
    """

    def __init__(self, control: Control) -> None:
        self.control = control
        self.tap: Tap = NoTap()

    @property
    def is_stale(self) -> bool:
        """As `Control.is_stale`."""
        return self.control.is_stale

    @property
    def is_calm(self) -> bool:
        """As `Control.is_calm`."""
        return self.control.is_calm

    def set_demand(self, demand: Demand) -> None:
        """As `Control.set_demand`."""
        self.control.set_demand(demand)
        self.tap.told(DemandSet.of(demand))

    def drop_demand(self, route: RouteId) -> None:
        """As `Control.drop_demand`."""
        self.control.drop_demand(route)
        self.tap.told(DemandDropped(route))

    def set_caps(self, leg: TransportId, max_bps: float, max_height: int, max_videos: int) -> None:
        """As `Control.set_caps`."""
        self.control.set_caps(leg, max_bps, max_height, max_videos)
        self.tap.told(CapsSet(leg, max_bps, max_height, max_videos))

    def set_speech(
        self, conference: ConferenceId, cameras: Sequence[TrackHandle], unheard: Sequence[TrackHandle]
    ) -> None:
        """As `Control.set_speech`."""
        self.control.set_speech(conference, cameras, unheard)
        self.tap.told(SpeechSet(conference, tuple(cameras), tuple(unheard)))

    def route_changed(self, legs: Sequence[TransportId]) -> None:
        """As `Control.route_changed`."""
        self.control.route_changed(legs)
        self.tap.told(RouteChanged(tuple(legs)))

    def forget(self, leg: TransportId) -> None:
        """As `Control.forget`."""
        self.control.forget(leg)
        self.tap.told(LegForgotten(leg))

    def tick(
        self, now: Instant, stats: PlaneStats, feedback: StructArray, *, is_full: bool = False
    ) -> ControlUpdate:
        """As `Control.tick`."""
        try:
            update = self.control.tick(now, stats, feedback, is_full=is_full)
        except Exception:
            self.tap.failed()
            raise
        self.tap.ticked(now, stats, feedback, update, is_full=is_full)
        return update

    def allocate(self, now: Instant) -> StructArray:
        """As `Control.allocate`, at a time that a recording is told."""
        try:
            targets = self.control.allocate()
        except Exception:
            self.tap.failed()
            raise
        self.tap.allocated(now, self.control.decisions)
        return targets
