"""What one leg receives: its wishes, and what has become of each.

A wish names a track by its announced ids and may come before the track does. Where the track is announced,
the wish becomes a *forwarding*: the track is offered, and once the client has agreed to a section, a route is
set and the allocator gets a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from sfu.conference.explanations import Explanations
from sfu.conference.turn import DropDemand, SetDemand
from sfu.conference.values import Source
from sfu.negotiation.parameters import SendTrack
from sfu.plane import RemoveRoute, SetRoute
from sfu.units import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, KeysView, Sequence

    from sfu.conference.ids import IdSource
    from sfu.conference.routes import Routes
    from sfu.conference.values import Wish
    from sfu.conference.view import AnnouncedTrack, TrackIds
    from sfu.negotiation.parameters import LegParameters, SendSection
    from sfu.units import RouteId, TrackHandle, TransportId

SubscriptionOutput = SetRoute | RemoveRoute | SetDemand | DropDemand


@dataclass(slots=True)
class Forwarding:
    """An announced track on its way to the leg."""

    key: int
    """`SendTrack.key`."""
    announced: AnnouncedTrack
    codec_keys: tuple[str, ...]
    """As they were offered: a publisher that adds one is offered anew."""
    route: SetRoute | None = None
    """None: the client has not agreed to a section."""
    demand: SetDemand | None = None
    refusal: str | None = None
    """`codec` or `refused`: why the client does not get it."""


@dataclass(slots=True)
class Subscription:
    """A wish, and its forwarding while the track is there."""

    wish: Wish
    forwarding: Forwarding | None = None

    @property
    def route(self) -> RouteId | None:
        """On which it is fulfilled; None: not yet."""
        if self.forwarding is None or self.forwarding.route is None:
            return None
        return self.forwarding.route.route


class Subscriptions:
    """The wishes of one leg, at most `limit`."""

    def __init__(
        self, leg: TransportId, ids: IdSource, routes: Routes, *, limit: int, max_height: int
    ) -> None:
        self.explanations = Explanations()
        self._leg = leg
        self._ids = ids
        self._routes = routes
        self._limit = limit
        self._max_height = max_height
        self._keys = count()
        self._by_ids: dict[TrackIds, Subscription] = {}
        self._by_track: dict[TrackHandle, Subscription] = {}
        self._retired: dict[int, TrackIds] = {}
        """Keys whose sections may still be up, with what their msid says."""

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self._by_ids.values())

    def get(self, ids: TrackIds) -> Subscription | None:
        """The wish for a track."""
        return self._by_ids.get(ids)

    @property
    def wished(self) -> KeysView[TrackIds]:
        """The ids of all wishes."""
        return self._by_ids.keys()

    def wish(self, wishes: Iterable[Wish]) -> int:
        """Remember wishes, or their new sizes; return how many found no room.

        A wish whose track is not there makes room for a new one, the oldest first: tracks come and go under
        new ids all call long, and nobody takes back wishes for those that went. Those asked for together make
        no room for one another.
        """
        refused = 0
        asked: set[TrackIds] = set()
        for wish in wishes:
            ids = wish.stream_id, wish.track_id
            asked.add(ids)
            subscription = self._by_ids.get(ids)
            if subscription is not None:
                subscription.wish = wish
            elif len(self._by_ids) < self._limit or self._forget_oldest(asked):
                self._by_ids[ids] = Subscription(wish)
            else:
                refused += 1
                continue
            self.explanations.touch(ids)
        return refused

    def unwish(self, ids: Iterable[TrackIds]) -> list[SubscriptionOutput]:
        """Forget wishes; what nobody wished for is ignored."""
        outputs: list[SubscriptionOutput] = []
        for one in ids:
            subscription = self._by_ids.pop(one, None)
            if subscription is not None:
                outputs += self._end(subscription)
                self.explanations.forget(one)
        return outputs

    def reconcile(
        self, ids: Iterable[TrackIds], find: Callable[[TrackIds], AnnouncedTrack | None]
    ) -> list[SubscriptionOutput]:
        """Begin, end or change the forwardings of these wishes, by what is announced now."""
        outputs: list[SubscriptionOutput] = []
        for one in ids:
            subscription = self._by_ids.get(one)
            if subscription is None:
                continue
            self.explanations.touch(one)
            announced = find(one)
            if announced is None or announced.owner == self._leg:
                outputs += self._end(subscription)
                continue
            outputs += self._begin_or_change(subscription, announced)
        return outputs

    def agree(self, parameters: LegParameters) -> list[SubscriptionOutput]:
        """Set routes for the sections that the client agreed to, end those of sections that are gone."""
        sections = {section.key: section for section in parameters.send}
        outputs: list[SubscriptionOutput] = []
        for ids, subscription in self._by_ids.items():
            forwarding = subscription.forwarding
            if forwarding is None:
                continue
            section = sections.get(forwarding.key)
            self.explanations.touch(ids)
            if section is None:
                outputs += self._stop(forwarding)
                continue
            forwarding.refusal = None
            outputs += self._route(ids, forwarding, section, mixed=parameters.mixed_extensions)
            outputs += self._demand(subscription, forwarding)
        return outputs

    def refuse(self, key: int, reason: str) -> TrackIds | None:
        """The negotiation can't bring a track to the client; return which; None: not wanted any more."""
        for subscription in self._by_ids.values():
            if subscription.forwarding is not None and subscription.forwarding.key == key:
                subscription.forwarding.refusal = reason
                self.explanations.touch(subscription.forwarding.announced.ids)
                return subscription.forwarding.announced.ids
        return None

    def drop_track(self, track: TrackHandle) -> list[SubscriptionOutput]:
        """The plane stops receiving a track."""
        subscription = self._by_track.get(track)
        return [] if subscription is None else self._end(subscription)

    def close(self) -> list[SubscriptionOutput]:
        """The leg leaves."""
        return self.unwish(tuple(self._by_ids))

    def send_tracks(self, parameters: LegParameters, *, is_stable: bool) -> list[SendTrack]:
        """The complete wanted downstream set.

        A track is held back while a section with the same msid is still up for an earlier key: a client shows
        ids again that went away only if the section was inactive in between (protocol: section 5, rule 1).

        Args:
            parameters: what is agreed on now.
            is_stable: whether no offer of ours is unanswered.
        """
        if is_stable:
            up = {section.key for section in parameters.send}
            self._retired = {key: ids for key, ids in self._retired.items() if key in up}
        held = set(self._retired.values())
        return [
            SendTrack(
                key=forwarding.key,
                kind=forwarding.announced.kind,
                stream_id=forwarding.announced.stream_id,
                track_id=forwarding.announced.track_id,
                codec_keys=forwarding.codec_keys,
                cname=forwarding.announced.cname,
            )
            for subscription in self._by_ids.values()
            if (forwarding := subscription.forwarding) is not None and forwarding.announced.ids not in held
        ]

    def _begin_or_change(
        self, subscription: Subscription, announced: AnnouncedTrack
    ) -> Sequence[SubscriptionOutput]:
        outputs: list[SubscriptionOutput] = []
        forwarding = subscription.forwarding
        if forwarding is not None and (
            forwarding.announced.track != announced.track
            or not set(announced.codec_keys) <= set(forwarding.codec_keys)
        ):
            outputs += self._end(subscription)
        if subscription.forwarding is None:
            subscription.forwarding = Forwarding(next(self._keys), announced, announced.codec_keys)
            self._by_track[announced.track] = subscription
            return outputs
        subscription.forwarding.announced = announced
        if subscription.forwarding.route is not None:
            outputs += self._demand(subscription, subscription.forwarding)
        return outputs

    def _end(self, subscription: Subscription) -> list[SubscriptionOutput]:
        forwarding = subscription.forwarding
        if forwarding is None:
            return []
        subscription.forwarding = None
        if self._by_track.get(forwarding.announced.track) is subscription:
            del self._by_track[forwarding.announced.track]
        self._retired[forwarding.key] = forwarding.announced.ids
        self.explanations.touch(forwarding.announced.ids)
        return self._stop(forwarding)

    def _forget_oldest(self, kept: set[TrackIds]) -> bool:
        """Forget the oldest wish whose track is not there, but for those kept."""
        oldest = next(
            (ids for ids, one in self._by_ids.items() if one.forwarding is None and ids not in kept), None
        )
        if oldest is None:
            return False
        del self._by_ids[oldest]
        self.explanations.forget(oldest)
        return True

    def _route(
        self, ids: TrackIds, forwarding: Forwarding, section: SendSection, *, mixed: bool
    ) -> list[SubscriptionOutput]:
        before = forwarding.route
        outputs: list[SubscriptionOutput] = []
        if before is not None and before.ssrc != section.ssrc:
            # The section went down and came up again: another RTP stream, so another route.
            outputs += self._stop(forwarding)
            before = None
        route = SetRoute(
            route=self._ids.route() if before is None else before.route,
            track=forwarding.announced.track,
            transport=self._leg,
            mid=section.mid,
            ssrc=section.ssrc,
            # Clients take RTX out of a section that they come to share their screen on, and back in later.
            rtx_ssrc=section.rtx_ssrc if before is None else before.rtx_ssrc,
            formats=section.formats,
            extensions=section.extensions,
            cname=section.cname,
            mixed_extensions=mixed,
        )
        forwarding.route = route
        if before is None:
            self._routes.set(route.route, self._leg, ids)
        return outputs if route == before else [*outputs, route]

    def _demand(self, subscription: Subscription, forwarding: Forwarding) -> list[SubscriptionOutput]:
        assert forwarding.route is not None  # noqa: S101  # only routes have demands
        announced, wish = forwarding.announced, subscription.wish
        is_video = announced.kind is Kind.VIDEO
        demand = SetDemand(
            route=forwarding.route.route,
            subscriber=self._leg,
            track=announced.track,
            kind=announced.kind,
            # Some clients give audio a size, too.
            width=wish.width if is_video else 0,
            height=wish.height if is_video else 0,
            full_width=announced.width if is_video else 0,
            full_height=announced.height if is_video else 0,
            encodings=announced.encodings,
            max_height=self._max_height if is_video else 0,
            screen_share=announced.source is Source.SCREEN,
            # Sound needs neither a place nor an eye.
            is_pinned=is_video and wish.is_pinned,
            is_visible=not is_video or wish.is_visible,
        )
        if demand == forwarding.demand:
            return []
        forwarding.demand = demand
        return [demand]

    def _stop(self, forwarding: Forwarding) -> list[SubscriptionOutput]:
        if forwarding.route is None:
            return []
        route = forwarding.route.route
        forwarding.route = forwarding.demand = None
        self._routes.drop(route)
        return [DropDemand(route), RemoveRoute(route)]
