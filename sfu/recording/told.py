"""What a control is told between its ticks, as values that go into a file and out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import msgspec

from sfu.units import ConferenceId, Kind, RouteId, TrackHandle, TransportId  # noqa: TC001  # msgspec reads them

if TYPE_CHECKING:
    from sfu.allocation.table import Demand
    from sfu.control import Control


class DemandSet(msgspec.Struct, tag="demand_set", array_like=True, frozen=True):
    """Somebody wants a track, or wants it otherwise: the fields of `sfu.allocation.table.Demand`."""

    route: RouteId
    subscriber: TransportId
    track: TrackHandle
    kind: Kind
    width: int
    height: int
    full_width: int
    full_height: int
    encodings: int
    max_height: int
    screen_share: bool
    is_pinned: bool
    is_visible: bool
    only: int

    @classmethod
    def of(cls, demand: Demand) -> DemandSet:
        """The same as a value of this kind."""
        return cls(*(getattr(demand, name) for name in cls.__struct_fields__))


class DemandDropped(msgspec.Struct, tag="demand_dropped", array_like=True, frozen=True):
    """Somebody wants a track no more."""

    route: RouteId


class CapsSet(msgspec.Struct, tag="caps_set", array_like=True, frozen=True):
    """The operator gives a leg at most this."""

    leg: TransportId
    max_bps: float
    max_height: int
    max_videos: int


class SpeechSet(msgspec.Struct, tag="speech_set", array_like=True, frozen=True):
    """Who speaks in a call."""

    conference: ConferenceId
    cameras: tuple[TrackHandle, ...]
    unheard: tuple[TrackHandle, ...]


class RouteChanged(msgspec.Struct, tag="route_changed", array_like=True, frozen=True):
    """These peers are somewhere else now."""

    legs: tuple[TransportId, ...]


class LegForgotten(msgspec.Struct, tag="leg_forgotten", array_like=True, frozen=True):
    """A leg is over."""

    leg: TransportId


Told = DemandSet | DemandDropped | CapsSet | SpeechSet | RouteChanged | LegForgotten


def tell(control: Control, told: Told) -> None:
    """Tell a control the same again."""
    match told:
        case DemandSet():
            control.set_demand(told)
        case DemandDropped(route):
            control.drop_demand(route)
        case CapsSet(leg, max_bps, max_height, max_videos):
            control.set_caps(leg, max_bps, max_height, max_videos)
        case SpeechSet(conference, cameras, unheard):
            control.set_speech(conference, cameras, unheard)
        case RouteChanged(legs):
            control.route_changed(legs)
        case LegForgotten(leg):
            control.forget(leg)
        case _:
            assert_never(told)
