"""Whatever clients do, in whatever order: what a conference tells the plane fits together."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.conference.turn import CloseLeg, DropDemand, SetDemand
from sfu.conference.values import LegUnusable, Source, StreamDescription, TrackDescription, Wish
from sfu.plane import AddTransport, RemoveRoute, RemoveTrack, SetRoute, SetTrack, StreamBound
from sfu.units import Ssrc, TransportId
from tests.unit.conference.caller import DATA, Call, Caller, Section, of_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.units import RouteId, TrackHandle

NAMES: Final = ("a", "b", "c")
MIDS: Final = ("0", "1", "3")


class Plane:
    """What a plane and an allocator would have after everything they were told."""

    def __init__(self) -> None:
        self.transports: set[TransportId] = set()
        self.tracks: dict[TrackHandle, SetTrack] = {}
        self.routes: dict[RouteId, SetRoute] = {}
        self.demands: dict[RouteId, SetDemand] = {}
        self.gone: set[RemoveTrack | RemoveRoute] = set()
        self.ssrcs: dict[tuple[TransportId, Ssrc], RouteId] = {}

    def apply(self, outputs: Iterable[object]) -> None:
        for one in outputs:
            match one:
                case AddTransport():
                    self.transports.add(one.transport)
                case SetTrack():
                    assert one.transport in self.transports
                    assert RemoveTrack(one.track) not in self.gone
                    self.tracks[one.track] = one
                case RemoveTrack(track):
                    assert not [route for route in self.routes.values() if route.track == track]
                    del self.tracks[track]
                    self.gone.add(one)
                case SetRoute():
                    self._set_route(one)
                case RemoveRoute(route):
                    del self.routes[route]
                    self.gone.add(one)
                case SetDemand():
                    assert self.routes[one.route].transport == one.subscriber
                    assert self.routes[one.route].track == one.track
                    self.demands[one.route] = one
                case DropDemand(route):
                    del self.demands[route]
                case CloseLeg(leg):
                    assert not [one for one in self.routes.values() if one.transport == leg]
                    assert not [one for one in self.tracks.values() if one.transport == leg]
                    self.transports.remove(leg)
                case _:
                    pass
        assert self.demands.keys() == self.routes.keys()

    def _set_route(self, route: SetRoute) -> None:
        assert RemoveRoute(route.route) not in self.gone
        assert route.transport in self.transports
        assert self.tracks[route.track].transport != route.transport
        for ssrc in (route.ssrc, route.rtx_ssrc):
            if ssrc is not None:
                assert self.ssrcs.setdefault((route.transport, ssrc), route.route) == route.route
        others = [one for one in self.routes.values() if one.transport == route.transport]
        assert not [one for one in others if one.mid == route.mid and one.route != route.route]
        self.routes[route.route] = route


class Clients:
    """Clients that do as the dice say."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # a test must repeat itself
        self.call = Call()
        self.plane = Plane()
        self.admitted: set[TransportId] = set()
        self.unusable: set[TransportId] = set()

    def step(self) -> None:
        legs = list(self.call.conference.legs)
        actions = [self.join] if len(legs) < 3 else []
        if legs:
            actions += [self.publish, self.publish, self.describe, self.flow, self.flow, self.subscribe]
            actions += [self.subscribe, self.subscribe, self.unsubscribe, self.channel, self.admit]
            actions += [self.leave, self.answer_late]
        self.dice.choice(actions)()
        self.follow(self.call.pass_ms(self.dice.choice([0, 20, 150, 400, 400, 6_000])))

    def follow(self, outputs: Sequence[object]) -> None:
        self.plane.apply(outputs)
        self.unusable |= {one.leg for one in of_type(outputs, LegUnusable)}
        for route in self.plane.routes.values():
            assert {route.transport, self.plane.tracks[route.track].transport} <= self.admitted

    def leg(self) -> TransportId:
        return self.dice.choice(list(self.call.conference.legs))

    def join(self) -> None:
        admitted = self.dice.random() < 0.7
        leg, outputs = self.call.conference.add_leg(self.call.now, admitted=admitted)
        if admitted:
            self.admitted.add(leg)
        name = self.dice.choice(NAMES)
        sections = [
            Section(kind, mid, "sendrecv", f"{name}-S", f"{name}-{track}")
            for kind, mid, track in (("audio", "0", "x"), ("video", "1", "y"))
        ]
        caller = self.call.callers[leg] = Caller(name, [*sections, DATA])
        self.follow(outputs)
        self.follow(self.call.offer(leg, caller.offer(), self.streams(caller)))
        self.follow(self.call.conference.channel_ready(self.call.now, leg))

    def publish(self) -> None:
        leg = self.leg()
        caller = self.call.callers[leg]
        known = {section.mid for section in caller.sections}
        mid = self.dice.choice([*MIDS, *sorted(known - {DATA.mid})])
        fields = {
            "direction": self.dice.choice(["sendrecv", "sendonly", "recvonly", "inactive"]),
            "stream_id": f"{caller.name}-{self.dice.choice('ST')}",
            "track_id": f"{caller.name}-{self.dice.choice('xyz')}",
        }
        if mid not in known:
            caller.sections.append(Section(self.dice.choice(["audio", "video"]), mid, "inactive"))
        self.follow(self.call.offer(leg, caller.change(mid, **fields), self.streams(caller)))

    def streams(self, caller: Caller) -> tuple[StreamDescription, ...] | None:
        if self.dice.random() < 0.2:
            return None
        tracks = [f"{caller.name}-{name}" for name in "xyz" if self.dice.random() < 0.8]
        return (
            StreamDescription(
                f"{caller.name}-{self.dice.choice('ST')}",
                self.dice.choice(list(Source)),
                tuple(TrackDescription(track, None, 1280, 720) for track in tracks),
            ),
        )

    def describe(self) -> None:
        leg = self.leg()
        streams = self.streams(self.call.callers[leg]) or ()
        self.follow(self.call.conference.streams_described(self.call.now, leg, streams))

    def flow(self) -> None:
        for track in list(self.plane.tracks):
            self.follow(self.call.conference.plane_event(self.call.now, StreamBound(track, 0, Ssrc(1))))

    def subscribe(self) -> None:
        leg = self.leg()
        wishes = [Wish(*ids, self.dice.choice([0, 320]), 180) for ids in sorted(self.call.ids(leg))]
        wishes.append(Wish("a-S", f"a-{self.dice.choice('xyz')}", 10, 10))
        self.follow(self.call.subscribe(leg, *wishes))

    def unsubscribe(self) -> None:
        leg = self.leg()
        gone = [ids for ids in sorted(self.call.ids(leg)) if self.dice.random() < 0.5]
        self.follow(self.call.unsubscribe(leg, *gone))

    def channel(self) -> None:
        conference, leg = self.call.conference, self.leg()
        change = conference.channel_lost if self.dice.random() < 0.2 else conference.channel_ready
        self.follow(self.call.follow(change(self.call.now, leg)))

    def admit(self) -> None:
        leg = self.leg()
        self.admitted.add(leg)
        self.follow(self.call.follow(self.call.conference.admit(self.call.now, leg)))

    def leave(self) -> None:
        if self.dice.random() < 0.5:
            self.follow(self.call.follow(self.call.conference.remove_leg(self.call.now, self.leg())))

    def answer_late(self) -> None:
        """From now on offers are answered again, or left without an answer until they are repeated."""
        self.call.answers_offers = self.dice.random() < 0.7


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_what_the_plane_is_told_fits_together_and_nothing_is_left_in_the_end(seed: int) -> None:
    clients = Clients(seed)
    for _ in range(40):
        clients.step()
    for leg in list(clients.call.conference.legs):
        clients.follow(clients.call.conference.remove_leg(clients.call.now, leg))
    clients.follow(clients.call.settle())
    plane = clients.plane
    assert not plane.transports | plane.tracks.keys() | plane.routes.keys() | plane.demands.keys()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_when_clients_calm_down_every_wish_for_an_announced_track_is_fulfilled(seed: int) -> None:
    clients = Clients(seed)
    for _ in range(40):
        clients.step()
    call = clients.call
    call.answers_offers = True
    for leg in call.conference.legs:
        clients.follow(call.follow(call.conference.channel_ready(call.now, leg)))
    clients.follow(call.pass_ms(30_000))
    for member in call.conference.snapshot().legs:
        if member.leg not in clients.unusable:
            announced = call.ids(member.leg)
            for one in member.subscriptions:
                assert (one.route is not None) == ((one.stream_id, one.track_id) in announced)


def test_the_dice_do_reach_the_interesting_states() -> None:
    live = ended = unusable = 0
    for seed in range(30):
        clients = Clients(seed)
        for _ in range(60):
            clients.step()
        live += len(clients.plane.routes)
        ended += len([one for one in clients.plane.gone if isinstance(one, RemoveRoute)])
        unusable += len(clients.unusable)
    assert live > 5
    assert ended > 30
    assert unusable > 0
