"""Several calls under test that are one: joined by trunks, on one hand-set clock, with layers that flow.

Everything that signalling would carry is carried at once: descriptions, announcements, demands. Media is
counters: what a client publishes flows, and on a trunk flows what the origin's allocator gives it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.allocate import Allocator
from sfu.allocation.budgets import NO_BUDGETS
from sfu.allocation.rates import EncodingRates
from sfu.allocation.table import DemandTable
from sfu.conference.turn import DropDemand, SetDemand
from sfu.conference.values import (
    DecisionsExplained,
    DescriptionType,
    FarDecision,
    GuestDescription,
    LayersDemanded,
    LayersWanted,
    SendDescription,
    SpeakersChanged,
    ViewChanged,
)
from sfu.plane import RemoveRoute, RemoveTrack, SetRoute, SetTrack, StreamBound
from sfu.rows import PAUSED, ROUTE_DTYPE
from sfu.units import Instant, Kind, Ssrc, after_ms
from tests.unit.allocation.arrays import budgets_of, stats_of
from tests.unit.conference.caller import Call, Caller, described, report_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.conference.conference import ConferenceOutput
    from sfu.conference.values import Explanation, Speaker, StreamDescription, Wish
    from sfu.rows import StructArray
    from sfu.units import RouteId, TrackHandle, TransportId

TICK_MS: Final = 100
RATES_BPS: Final = (100_000, 300_000, 1_500_000)
"""Of the encodings of a picture, lowest first."""
SOUND_BPS: Final = 40_000


@dataclass
class Site:
    """One focus."""

    name: str
    call: Call = field(default_factory=Call)
    trunks: dict[TransportId, tuple[Site, TransportId]] = field(default_factory=dict)
    """Where each leads."""
    keys: dict[TransportId, str] = field(default_factory=dict)
    """Of its own people."""
    relays: dict[str, frozenset[TransportId]] = field(default_factory=dict)
    """To which trunks guests may go on, by key."""
    demand: DemandTable = field(default_factory=DemandTable)
    demands: dict[RouteId, SetDemand] = field(default_factory=dict)
    routes: dict[RouteId, SetRoute] = field(default_factory=dict)
    tracks: dict[TrackHandle, SetTrack] = field(default_factory=dict)
    given: dict[RouteId, int] = field(default_factory=dict)
    """The encoding that flows on each route."""
    carried: dict[TransportId, dict[TrackHandle, dict[int, int]]] = field(default_factory=dict)
    """Bytes that each trunk has carried, by track and encoding of this side."""
    budgets_bps: dict[int, float] = field(default_factory=dict)
    silent: set[TrackHandle] = field(default_factory=set)
    loud: set[TrackHandle] = field(default_factory=set)
    told: list[ConferenceOutput] = field(default_factory=list)
    speakers: tuple[Speaker, ...] = ()
    _rates: EncodingRates = field(default_factory=EncodingRates)
    _allocator: Allocator = field(default_factory=Allocator)
    _bytes: dict[tuple[int, int], int] = field(default_factory=dict)
    _last_at: dict[tuple[int, int], Instant] = field(default_factory=dict)

    def track(self, owner: TransportId, kind: Kind) -> TrackHandle:
        """The handle of what somebody here publishes."""
        return next(one.track for one in self.tracks.values() if one.transport == owner and one.kind is kind)

    def guest(self, key: str) -> TransportId:
        """The id of somebody elsewhere."""
        return next(guest for guest, known in self.call.conference.guests.items() if known == key)

    def layers(self, leg: TransportId) -> list[int]:
        """The encodings of pictures that flow to a leg now."""
        return sorted(
            self.given[route]
            for route, one in self.routes.items()
            if one.transport == leg
            and self.tracks[one.track].kind is Kind.VIDEO
            and self.given.get(route, PAUSED) != PAUSED
        )

    def demanded(self) -> list[LayersDemanded]:
        """What was demanded since this was asked last."""
        found = [one for one in self.told if isinstance(one, LayersDemanded)]
        self.told = [one for one in self.told if not isinstance(one, LayersDemanded)]
        return found

    def sent_layers(self, leg: TransportId) -> list[str]:
        """The encodings that a publisher of one picture was told last to send."""
        told = [one for one in self.told if isinstance(one, LayersWanted) and one.leg == leg]
        return [str(rid) for rid in told[-1].tracks[0].rids]

    def note(self, one: ConferenceOutput) -> None:
        """Perform what is for the plane and the allocator, and remember what is told."""
        match one:
            case SetTrack():
                self.tracks[one.track] = one
            case RemoveTrack(track):
                del self.tracks[track]
                self.routes = {route: it for route, it in self.routes.items() if it.track != track}
            case SetRoute():
                assert one.track in self.tracks
                self.routes[one.route] = one
            case RemoveRoute(route):
                self.routes.pop(route, None)
                self.given.pop(route, None)
            case SetDemand():
                self.demands[one.route] = one
                self.demand.set(one)
            case DropDemand(route):
                del self.demands[route]
                self.demand.drop(route)
            case SpeakersChanged(speakers):
                self.speakers = speakers
            case _:
                self.told.append(one)

    def flow(self, now: Instant) -> None:
        """A tick's media arrives."""
        for track, one in self.tracks.items():
            for number, spec in enumerate(one.encodings):
                encoding = number
                if one.transport in self.trunks:
                    other, leg = self.trunks[one.transport]
                    if (found := other.sending(leg, spec.ssrc)) is None:
                        continue
                    encoding = found
                elif track in self.silent:
                    continue
                rate_bps = SOUND_BPS if one.kind is Kind.AUDIO else RATES_BPS[encoding]
                size = rate_bps * TICK_MS // 8_000
                self._bytes[track, number] = self._bytes.get((track, number), 0) + size
                self._last_at[track, number] = now
                if one.transport in self.trunks:
                    carried = self.carried.setdefault(one.transport, {}).setdefault(track, {})
                    carried[number] = carried.get(number, 0) + size

    def sending(self, leg: TransportId, ssrc: Ssrc | None) -> int | None:
        """The encoding that flows to a leg under an SSRC; None: none."""
        for route, one in self.routes.items():
            if one.transport == leg and one.ssrc == ssrc and self.given.get(route, PAUSED) != PAUSED:
                encoding = self.given[route]
                return encoding if self._last_at.get((one.track, encoding)) is not None else None
        return None

    def decide(self, now: Instant) -> list[ConferenceOutput]:
        """A tick: what flows is measured, layers are chosen, the call is told."""
        known = {key: size for key, size in self._bytes.items() if key[0] in self.tracks}
        stats = stats_of(now, known, self._last_at)
        stats.encodings["audio_level"] = 127
        for row in stats.encodings:
            if self.tracks[row["track"]].kind is Kind.AUDIO:
                row["audio_level"] = 25 if self._is_loud(row["track"]) else 80
        self._rates.update(stats)
        budgets = budgets_of(self.budgets_bps) if self.budgets_bps else NO_BUDGETS
        decisions = self._allocator.decide(self.demand, self._rates, budgets)
        self.given = dict(
            zip(decisions["route"].tolist(), decisions["chosen_encoding"].tolist(), strict=True)
        )
        return self.call.conference.report(
            now,
            report_of(now, encodings=stats.encodings, routes=self._route_rows(), decisions=decisions.copy()),
        )

    def _is_loud(self, track: TrackHandle) -> bool:
        one = self.tracks[track]
        if one.transport not in self.trunks:
            return track in self.loud
        other, leg = self.trunks[one.transport]
        ssrc = one.encodings[0].ssrc
        sent = [it.track for it in other.routes.values() if (it.transport, it.ssrc) == (leg, ssrc)]
        return bool(sent) and other._is_loud(sent[0])

    def _route_rows(self) -> StructArray:
        rows = np.zeros(len(self.routes), ROUTE_DTYPE)
        for row, (route, one) in zip(rows, self.routes.items(), strict=True):
            row["route"], row["track"], row["transport"] = route, one.track, one.transport
            row["encoding"] = row["target_encoding"] = self.given.get(route, PAUSED)
        return rows


def _far(one: Explanation) -> FarDecision:
    """What a focus tells its own people of itself, as another one hears it."""
    limit = one.limit if one.hop is None else one.hop.limit
    return FarDecision(one.wish.stream_id, one.wish.track_id, one.layer, one.reason, limit)


class Net:
    """Foci of one call."""

    def __init__(self, *names: str) -> None:
        self.now = Instant(1_000_000_000)
        self.sites = [Site(name) for name in names]

    def connect(self, dialler: Site, callee: Site) -> tuple[TransportId, TransportId]:
        """A trunk is dialled, answered, and has its channel."""
        there, answered = callee.call.conference.add_trunk(self.now, dials=False)
        here, offered = dialler.call.conference.add_trunk(self.now, dials=True)
        dialler.trunks[here] = callee, there
        callee.trunks[there] = dialler, here
        self.carry(callee, answered)
        self.carry(dialler, offered)
        for site, trunk in ((dialler, here), (callee, there)):
            self.carry(site, site.call.conference.channel_ready(self.now, trunk))
            self.announce(site, trunk)
        return here, there

    def cut(self, site: Site, trunk: TransportId) -> None:
        """A trunk is over, at both ends."""
        other, there = site.trunks.pop(trunk)
        del other.trunks[there]
        self.carry(site, site.call.conference.remove_leg(self.now, trunk))
        self.carry(other, other.call.conference.remove_leg(self.now, there))

    def join(
        self, site: Site, name: str, kinds: str = "audio video", codecs: tuple[str, ...] = ()
    ) -> TransportId:
        """Somebody joins, with a camera of three encodings and a microphone, and is connected."""
        caller = Caller.with_media(name, kinds, codecs)
        streams = described(name, *kinds.split()) if kinds else ()
        leg, added = site.call.conference.add_leg(self.now, admitted=True)
        site.call.callers[leg] = caller
        site.keys[leg] = name
        self.carry(site, added)
        outputs = site.call.conference.offer_received(self.now, leg, caller.offer(), streams)
        self.carry(site, outputs)
        self.carry(site, site.call.conference.channel_ready(self.now, leg))
        for one in [one for one in site.tracks.values() if one.transport == leg]:
            for encoding in range(len(one.encodings)):
                event = StreamBound(one.track, encoding, Ssrc(1 + encoding))
                self.carry(site, site.call.conference.plane_event(self.now, event))
        return leg

    def leave(self, site: Site, leg: TransportId) -> None:
        """Somebody leaves."""
        self.carry(site, site.call.conference.remove_leg(self.now, leg))

    def mute(self, site: Site, leg: TransportId, *, video: bool) -> None:
        """Somebody mutes their camera, or unmutes it."""
        streams = described(site.keys[leg], video_muted=video)
        self.carry(site, site.call.conference.streams_described(self.now, leg, streams))

    def subscribe(self, site: Site, leg: TransportId, *wishes: Wish) -> None:
        """Somebody wants tracks."""
        self.carry(site, site.call.conference.subscribe(self.now, leg, wishes))

    def unsubscribe(self, site: Site, leg: TransportId, *ids: tuple[str, str]) -> None:
        """Somebody wants tracks no more."""
        self.carry(site, site.call.conference.unsubscribe(self.now, leg, ids))

    def announce(self, site: Site, trunk: TransportId) -> None:
        """A trunk is told what it may subscribe to."""
        other, there = site.trunks[trunk]
        streams: dict[str, list[StreamDescription]] = {}
        guests: Mapping[TransportId, str] = site.call.conference.guests
        for one in site.call.conference.view(trunk):
            key = site.keys.get(one.owner) or guests[one.owner]
            streams.setdefault(key, []).append(one.stream)
        described = [
            GuestDescription(key, tuple(told), other.relays.get(key, frozenset()))
            for key, told in streams.items()
        ]
        self.carry(other, other.call.conference.guests_described(self.now, there, described))

    def carry(self, site: Site, outputs: Iterable[ConferenceOutput]) -> None:
        """Do everything that is to be done, wherever it leads."""
        queue = deque((site, one) for one in outputs)
        while queue:
            here, one = queue.popleft()
            conference = here.call.conference
            match one:
                case SendDescription(leg, kind, sdp) if leg in here.trunks:
                    other, there = here.trunks[leg]
                    receive = (
                        other.call.conference.offer_received
                        if kind is DescriptionType.OFFER
                        else other.call.conference.answer_received
                    )
                    queue.extend((other, it) for it in receive(self.now, there, sdp, None))
                case SendDescription(leg, DescriptionType.OFFER, sdp):
                    answer = here.call.callers[leg].answer(sdp)
                    given = conference.answer_received(self.now, leg, answer, None)
                    queue.extend((here, it) for it in given)
                case ViewChanged(legs):
                    for leg in legs:
                        if leg in here.trunks:
                            self.announce(here, leg)
                case LayersDemanded(leg, wanted, unwanted) if leg in here.trunks:
                    here.note(one)
                    other, there = here.trunks[leg]
                    far = other.call.conference
                    queue.extend((other, it) for it in far.unsubscribe(self.now, there, unwanted))
                    queue.extend((other, it) for it in far.subscribe(self.now, there, wanted))
                case DecisionsExplained(leg, explanations) if leg in here.trunks:
                    here.note(one)
                    other, there = here.trunks[leg]
                    other.call.conference.trunk_explained(there, map(_far, explanations))
                case _:
                    here.note(one)

    def pass_s(self, seconds: float) -> None:
        """Time passes, tick by tick."""
        for _ in range(round(seconds * 1_000 / TICK_MS)):
            self.now = after_ms(self.now, TICK_MS)
            for site in self.sites:
                self.carry(site, site.call.conference.handle_timeout(self.now))
            for site in self.sites:
                site.flow(self.now)
            for site in self.sites:
                self.carry(site, site.decide(self.now))
