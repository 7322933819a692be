"""One announced track on its way to one leg: as a single stream, or to a trunk as a stream for each layer.

A client is given the encoding that fits, on one stream. Another focus gives its own people what fits each of
them, so it asks for encodings by name; each has its SSRC and its row for the allocator, and what is not asked
for now stands by: its stream is there, and nothing is sent on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sfu.allocation.wanted import encoding_size
from sfu.conference.turn import SetDemand
from sfu.conference.values import Source
from sfu.units import Kind, RouteId

if TYPE_CHECKING:
    from sfu.conference.values import Wish
    from sfu.conference.view import AnnouncedTrack
    from sfu.negotiation.parameters import SendSection
    from sfu.plane import SetRoute
    from sfu.units import Rid, Ssrc, TransportId

ANY: Final = -1
"""In place of an encoding: the one that fits."""

NO_ROUTE: Final = RouteId(0)
"""Of what has none yet."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One RTP stream that a section carries."""

    ssrc: Ssrc
    rtx_ssrc: Ssrc | None
    only: int
    """The encoding that it is for, or `ANY`."""


@dataclass(slots=True)
class Lane:
    """A stream with its route, and what the allocator was told of it."""

    route: SetRoute
    only: int = ANY
    demand: SetDemand | None = None


@dataclass(slots=True)
class Forwarding:
    """An announced track on its way to the leg."""

    key: int
    """`SendTrack.key`."""
    announced: AnnouncedTrack
    codec_keys: tuple[str, ...]
    """As they were offered: a publisher that adds one is offered anew."""
    rids: tuple[Rid, ...] = ()
    """Encodings that are offered as a stream each, lowest first; empty: one stream for all."""
    lanes: tuple[Lane, ...] = ()
    """Of the section that the client has agreed to; empty: of none."""
    refusal: str | None = None
    """`codec` or `refused`: why the client does not get it."""

    @property
    def shown(self) -> Lane | None:
        """What is told of it is told of this one: of several the highest that is wanted."""
        for lane in reversed(self.lanes):
            if lane.demand is not None and lane.demand.is_visible:
                return lane
        return self.lanes[0] if self.lanes else None

    @property
    def wanted(self) -> tuple[Lane, ...]:
        """Those that are for a layer by itself which is wanted, lowest first."""
        return tuple(
            lane
            for lane in self.lanes
            if lane.only != ANY and lane.demand is not None and lane.demand.is_visible
        )

    @property
    def explained(self) -> tuple[Lane | None, ...]:
        """What is told of it one by one: each layer that is wanted, or the one lane that is shown."""
        return self.wanted or (self.shown,)

    @property
    def demand(self) -> SetDemand | None:
        """That of the lane which is shown."""
        shown = self.shown
        return None if shown is None else shown.demand

    def streams(self, section: SendSection) -> list[Stream]:
        """What a section carries of it; where the other side takes no simulcast, one stream for all."""
        named = [one for one in section.encodings if one.rid in self.rids]
        if not named:
            return [Stream(section.ssrc, section.rtx_ssrc, ANY)]
        return [Stream(one.ssrc, one.rtx_ssrc, self.rids.index(one.rid)) for one in named]

    def lane_demand(self, lane: Lane, wish: Wish, leg: TransportId, max_height: int) -> SetDemand:
        """What the allocator is to be told of a lane."""
        demand = demand_of(self.announced, wish, leg, max_height, lane.route.route)
        if lane.only == ANY:
            return demand
        width, height = encoding_size(lane.only, demand)
        return replace(
            demand,
            width=width,
            height=height,
            is_visible=wish.is_visible and self.rids[lane.only] in wish.layers,
            only=lane.only,
        )


def demand_of(
    announced: AnnouncedTrack, wish: Wish, leg: TransportId, max_height: int, route: RouteId = NO_ROUTE
) -> SetDemand:
    """What a wish for a track comes to.

    Args:
        announced: the track.
        wish: for it.
        leg: whose.
        max_height: the operator's ceiling for the leg, 0: none.
        route: on which it is fulfilled.
    """
    is_video = announced.kind is Kind.VIDEO
    return SetDemand(
        route=route,
        subscriber=leg,
        track=announced.track,
        kind=announced.kind,
        # Some clients give audio a size, too.
        width=wish.width if is_video else 0,
        height=wish.height if is_video else 0,
        full_width=announced.width if is_video else 0,
        full_height=announced.height if is_video else 0,
        encodings=announced.encodings,
        max_height=max_height if is_video else 0,
        screen_share=announced.source is Source.SCREEN,
        # Sound needs neither a place nor an eye.
        is_pinned=is_video and wish.is_pinned,
        is_visible=not is_video or wish.is_visible,
    )
