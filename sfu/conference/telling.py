"""What a tick gives to tell: wanted layers to publishers and trunks, reasons and figures to subscribers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.conference.explanations import explain
from sfu.conference.leg_stats import MAX_PER_TICK, leg_stats
from sfu.conference.reports import NEXT_REPORT
from sfu.conference.sender_layers import EveryLayer, SenderLayers, WantedLayers
from sfu.conference.values import DecisionsExplained, LayersDemanded, LayersWanted, LegStats, TrackLayers
from sfu.units import Kind, earliest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sfu.conference.demands import Demands
    from sfu.conference.forwarding import Lane
    from sfu.conference.hops import Hops
    from sfu.conference.leg import Leg
    from sfu.conference.outcomes import Outcome, Outcomes
    from sfu.conference.reports import Reports
    from sfu.conference.routes import Routes
    from sfu.conference.subscriptions import Subscription
    from sfu.conference.values import Explanation
    from sfu.plane import SetTrack
    from sfu.units import Instant, Rid, TrackHandle, TransportId

MAX_EXPLAINED: Final = 200
"""Wishes of one call that are looked at in one tick; the others in the next ones. Lower: in a large call that
changes its layout, people read later why. Higher: that tick takes longer, and the next ones come late."""

Told = LayersWanted | LayersDemanded | DecisionsExplained | LegStats


class Telling:
    """Of one call. A tick in which nothing has changed costs a comparison of arrays.

    Args:
        routes: of the call.
        demands: what its trunks are asked for.
        hops: what they say of it.
        sender_layers: publishers are told which encodings they need send.
    """

    def __init__(self, routes: Routes, demands: Demands, hops: Hops, *, sender_layers: bool) -> None:
        self.routes = routes
        self._demands = demands
        self._hops = hops
        self._layers: SenderLayers = WantedLayers() if sender_layers else EveryLayer()
        self._rids: dict[TrackHandle, tuple[Rid, ...]] = {}
        self._owners: dict[TrackHandle, TransportId] = {}
        self._publishers: set[TransportId] = set()
        """Who is to be told of other layers."""

    def set_track(self, now: Instant, track: SetTrack, *, is_guests: bool = False) -> None:
        """A track is received, or received in other encodings; who publishes a guest's is told elsewhere."""
        self._owners[track.track] = track.transport
        self._rids[track.track] = tuple(encoding.rid for encoding in track.encodings)
        if is_guests or track.kind is not Kind.VIDEO:
            return
        if self._layers.set(now, track.track, len(track.encodings)):
            self._publishers.add(track.transport)

    def drop_track(self, track: TrackHandle) -> None:
        """A track is received no more."""
        del self._owners[track], self._rids[track]
        self._layers.drop(track)

    def channel_ready(self, member: Leg) -> list[Told]:
        """A client that can be told things, or another focus, begins to know nothing."""
        member.subscriptions.explanations.begin_anew(member.subscriptions.wished)
        if member.is_trunk:
            return [*self._demands.everything(member.transport)]
        return self._layers_of(member)

    def report(self, now: Instant, reports: Reports, legs: Mapping[TransportId, Leg]) -> list[Told]:
        """Take a tick's counters and decisions; return what to tell.

        Args:
            now: of the tick.
            reports: what was counted and decided.
            legs: everybody in the call.
        """
        outcomes = reports.newest.outcomes
        due_at = self.due_at(legs)
        if (due_at is None or now < due_at) and not self.routes.has_news(outcomes):
            return []
        changed = self.routes.report(outcomes)
        self._follow_demand(now, outcomes, is_changed=changed is not None)
        for leg, ids in changed or ():
            legs[leg].subscriptions.explanations.touch(ids)
        self._touch_far(legs)
        publishers, self._publishers = self._publishers, set()
        told: list[Told] = []
        for leg in publishers & legs.keys():
            if legs[leg].channel_is_ready:
                told += self._layers_of(legs[leg])
        told += self._demands.news()
        return [*told, *self._reasons(now, outcomes, legs), *self._figures(now, reports, legs)]

    def due_at(self, legs: Mapping[TransportId, Leg]) -> Instant | None:
        """When a report would be worth telling of though there is no news of the call in it.

        Args:
            legs: everybody in the call.
        """
        if self.routes.is_stale or self._demands.is_stale or self._hops.is_stale or self._publishers:
            return NEXT_REPORT
        due_at = earliest(self._layers.next_timeout(), self._demands.next_timeout())
        for member in legs.values():
            reasons_at = member.subscriptions.explanations.due_at if member.channel_is_ready else None
            figures_at = None if member.stats is None else member.stats.due_at
            due_at = earliest(due_at, reasons_at, figures_at)
        return due_at

    def _touch_far(self, legs: Mapping[TransportId, Leg]) -> None:
        """Who looks on is told anew where another focus has said something else."""
        if not self._hops.is_stale:
            return
        changed = self._hops.changed()
        for member in legs.values():
            for ids in sorted(member.subscriptions.wished & changed):
                member.subscriptions.explanations.touch(ids)

    def _follow_demand(self, now: Instant, outcomes: Outcomes, *, is_changed: bool) -> None:
        due_at = self._layers.next_timeout()
        if is_changed or (due_at is not None and now >= due_at):
            for track in self._layers.want(now, self.routes.wanted_layers(outcomes)):
                self._publishers.add(self._owners[track])
        due_at = self._demands.next_timeout()
        if is_changed or self._demands.is_stale or (due_at is not None and now >= due_at):
            self._demands.follow(now, outcomes)

    def _layers_of(self, member: Leg) -> list[Told]:
        tracks = tuple(
            TrackLayers(
                one.section.stream_id if one.stream is None else one.stream.stream_id,
                one.section.track_id,
                tuple(one.section.encodings[index].rid for index in active),
            )
            for one in member.publications
            if (active := self._layers.active(one.track)) is not None
        )
        return [LayersWanted(member.transport, tracks)] if tracks else []

    def _figures(self, now: Instant, reports: Reports, legs: Mapping[TransportId, Leg]) -> list[Told]:
        due = [
            (member.stats.due_at, leg)
            for leg, member in legs.items()
            if member.stats is not None and now >= member.stats.due_at
        ]
        told: list[Told] = []
        for _, leg in sorted(due)[:MAX_PER_TICK]:
            member = legs[leg]
            assert member.stats is not None  # noqa: S101  # it was due
            member.stats.told(now)
            told.append(leg_stats(leg, member.subscriptions, self._rids, reports))
        return told

    def _reasons(self, now: Instant, outcomes: Outcomes, legs: Mapping[TransportId, Leg]) -> list[Told]:
        """Explain to those who have waited longest, until it is enough for one tick."""
        due = [
            (due_at, leg)
            for leg, member in legs.items()
            if (due_at := member.subscriptions.explanations.due_at) is not None
            and now >= due_at
            and member.channel_is_ready
        ]
        told: list[Told] = []
        left = MAX_EXPLAINED
        for _, leg in sorted(due):
            if not left:
                break
            subscriptions = legs[leg].subscriptions
            taken = subscriptions.explanations.take(now, left)
            left -= len(taken)
            wished = {ids: one for ids in taken if (one := subscriptions.get(ids)) is not None}
            explained = self._explained(now, outcomes, list(wished.values()))
            news = subscriptions.explanations.news(zip(wished, explained, strict=True))
            if news:
                told.append(DecisionsExplained(leg, news))
        return told

    def _explained(
        self, now: Instant, outcomes: Outcomes, wished: list[Subscription]
    ) -> Iterator[tuple[Explanation, ...]]:
        """What is to be told of each wish; a trunk is told of each layer that it wants."""
        lanes = [one.explained for one in wished]
        routes = [0 if lane is None else lane.route.route for several in lanes for lane in several]
        decided = iter(outcomes.outcomes(np.array(routes, np.uint32)))
        for one, several in zip(wished, lanes, strict=True):
            yield tuple(self._explanation(now, one, lane, next(decided)) for lane in several)

    def _explanation(
        self, now: Instant, one: Subscription, lane: Lane | None, outcome: Outcome | None
    ) -> Explanation:
        demand = None if lane is None else lane.demand
        hop = None if one.announced is None else self._hops.limiting(one.announced, demand, outcome)
        track = None if one.forwarding is None else one.forwarding.announced.track
        if track is None:
            return explain(one, None, None, (), is_expected=False, hop=hop)
        is_expected = outcome is not None and (
            self._layers.is_expected(now, track, outcome.allowed)
            or self._demands.is_expected(now, track, outcome.allowed)
        )
        return explain(one, lane, outcome, self._rids.get(track, ()), is_expected=is_expected, hop=hop)
