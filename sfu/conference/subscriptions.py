"""What one leg receives: its wishes, and what has become of each.

A wish names a track by its announced ids and may come before the track does. Where the track is announced,
the wish becomes a *forwarding*: the track is offered, and once the client has agreed to a section, a route is
set and the allocator gets a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, zip_longest
from typing import TYPE_CHECKING

from sfu.conference.explanations import Explanations
from sfu.conference.forwarding import ANY, Forwarding, Lane, demand_of
from sfu.conference.turn import DropDemand, SetDemand
from sfu.negotiation.parameters import SendTrack
from sfu.plane import RemoveRoute, SetRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, KeysView, Sequence

    from sfu.conference.ids import IdSource
    from sfu.conference.routes import Routes
    from sfu.conference.values import Wish
    from sfu.conference.view import AnnouncedTrack, TrackIds
    from sfu.negotiation.parameters import LegParameters, SendSection
    from sfu.units import Rid, RouteId, TrackHandle, TransportId

SubscriptionOutput = SetRoute | RemoveRoute | SetDemand | DropDemand


@dataclass(slots=True)
class Subscription:
    """A wish, and its forwarding while the track is there."""

    wish: Wish
    announced: AnnouncedTrack | None = None
    """What it is for; it need not be received now, or not yet. None: nobody whom the leg may see has it."""
    forwarding: Forwarding | None = None

    @property
    def route(self) -> RouteId | None:
        """On which it is fulfilled, of several routes the one to tell of; None: not yet."""
        shown = None if self.forwarding is None else self.forwarding.shown
        return None if shown is None else shown.route.route

    @property
    def explained(self) -> tuple[Lane | None, ...]:
        """What is told of it one by one; None: of what has no route yet."""
        return (None,) if self.forwarding is None else self.forwarding.explained


class Subscriptions:
    """The wishes of one leg, at most `limit`; those of a trunk may be for each layer by itself."""

    def __init__(
        self,
        leg: TransportId,
        ids: IdSource,
        routes: Routes,
        *,
        limit: int,
        max_height: int,
        is_trunk: bool = False,
    ) -> None:
        self.explanations = Explanations()
        self._leg = leg
        self._ids = ids
        self._routes = routes
        self._limit = limit
        self._max_height = max_height
        self._is_trunk = is_trunk
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

    def demand_of(self, wish: Wish, announced: AnnouncedTrack) -> SetDemand:
        """What a wish will come to, though there is no route yet."""
        return demand_of(announced, wish, self._leg, self._max_height)

    def reconcile(
        self,
        ids: Iterable[TrackIds],
        find: Callable[[TrackIds], AnnouncedTrack | None],
        is_received: Callable[[TrackHandle], bool] = lambda _: True,
    ) -> list[SubscriptionOutput]:
        """Begin, end or change the forwardings of these wishes, by what is announced now, and received."""
        outputs: list[SubscriptionOutput] = []
        for one in ids:
            subscription = self._by_ids.get(one)
            if subscription is None:
                continue
            self.explanations.touch(one)
            announced = find(one)
            subscription.announced = announced
            if announced is None or announced.owner == self._leg or not is_received(announced.track):
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
                rids=forwarding.rids,
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
            or self._is_otherwise(subscription.wish, announced, forwarding)
        ):
            outputs += self._end(subscription)
        if subscription.forwarding is None:
            rids = self._rids(subscription.wish, announced)
            subscription.forwarding = Forwarding(next(self._keys), announced, announced.codec_keys, rids)
            self._by_track[announced.track] = subscription
            return outputs
        subscription.forwarding.announced = announced
        return [*outputs, *self._demand(subscription, subscription.forwarding)]

    def _rids(self, wish: Wish, announced: AnnouncedTrack) -> tuple[Rid, ...]:
        """The encodings of a track that go out as a stream each."""
        return announced.rids if self._is_trunk and wish.layers else ()

    def _is_otherwise(self, wish: Wish, announced: AnnouncedTrack, forwarding: Forwarding) -> bool:
        """Whether other streams are wanted than are offered; what is out of sight is wanted as it was."""
        if forwarding.rids and forwarding.rids != announced.rids:
            return True
        return wish.is_visible and self._rids(wish, announced) != forwarding.rids

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
        streams = forwarding.streams(section)
        outputs: list[SubscriptionOutput] = []
        if [one.route.ssrc for one in forwarding.lanes] != [one.ssrc for one in streams]:
            # The section went down and came up again: other RTP streams, so other routes.
            outputs += self._stop(forwarding)
        lanes: list[Lane] = []
        for before, stream in zip_longest(forwarding.lanes, streams):
            route = SetRoute(
                route=self._ids.route() if before is None else before.route.route,
                track=forwarding.announced.track,
                transport=self._leg,
                mid=section.mid,
                ssrc=stream.ssrc,
                # Clients take RTX out of a section that they come to share their screen on, and back in.
                rtx_ssrc=stream.rtx_ssrc if before is None else before.route.rtx_ssrc,
                formats=section.formats,
                extensions=section.extensions,
                cname=section.cname,
                mixed_extensions=mixed,
            )
            if before is None:
                self._routes.set(route.route, self._leg, ids, is_fixed=stream.only != ANY)
            if before is None or before.route != route:
                outputs.append(route)
            demand = None if before is None else before.demand
            lanes.append(Lane(route, stream.only, demand))
        forwarding.lanes = tuple(lanes)
        return outputs

    def _demand(self, subscription: Subscription, forwarding: Forwarding) -> list[SubscriptionOutput]:
        outputs: list[SubscriptionOutput] = []
        for lane in forwarding.lanes:
            demand = forwarding.lane_demand(lane, subscription.wish, self._leg, self._max_height)
            if demand != lane.demand:
                lane.demand = demand
                outputs.append(demand)
        return outputs

    def _stop(self, forwarding: Forwarding) -> list[SubscriptionOutput]:
        lanes, forwarding.lanes = forwarding.lanes, ()
        outputs: list[SubscriptionOutput] = []
        for lane in lanes:
            self._routes.drop(lane.route.route)
            outputs += [DropDemand(lane.route.route), RemoveRoute(lane.route.route)]
        return outputs
