"""Whatever happens in whatever order: nothing is left behind, nobody is served who has no place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.conference.turn import CloseLeg, DataChannelClosed, LegFailed
from sfu.plane import AddTransport, RemoveTrack, SetRoute, SetTrack
from signalling.events.data_channel import MetadataChanged, Negotiate, Pong
from signalling.events.to_device import Candidates, Hangup, SelectAnswer
from signalling.events.to_device import Negotiate as ToDeviceNegotiate
from signalling.focus.admission import Gone
from signalling.focus.leg import Admitted
from signalling.focus.turn import ForgetLeg, KeepLeg, RoomGone
from tests.unit.focus.stage import (
    FOCUS_DEVICE,
    HOUR_MS,
    OTHER_ROOM,
    ROOM,
    Client,
    Stage,
    call_event,
    member_event,
    membership,
)

if TYPE_CHECKING:
    from sfu.units import TransportId

NAMES = ("alice", "bob", "carol")
ACTIONS = (
    "enter",
    "enter elsewhere",
    "invite",
    "redial",
    "restart",
    "connect",
    "subscribe",
    "mute",
    "offer",
    "offer by to-device",
    "bad offer",
    "pong",
    "candidates",
    "select",
    "other party",
    "hangup",
    "leave call",
    "leave room",
    "join room",
    "end call",
    "begin call",
    "room gone",
    "fail",
    "close channel",
    "wait",
    "wait long",
)
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2), st.integers(0, 2)), max_size=60)


class World:
    """A stage on which anything may happen, and what must be true of it."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.people = [self.stage.client(name) for name in NAMES]
        self.forwarded = 0
        self.open: set[TransportId] = set()
        self.kept: set[str] = set()
        self.tracks: dict[int, TransportId] = {}
        self.dials = 0
        for who in (0, 1):
            for action in ("enter", "invite", "connect", "wait"):
                self.step(action, who, 0)

    def step(self, action: str, who: int, other: int) -> None:
        client, peer = self.people[who], self.people[other]
        self._follow(self._do(action, client, peer))
        self._check()

    def end(self) -> None:
        """Everybody's place is gone: so is everything else."""
        for room in (ROOM, OTHER_ROOM):
            self._follow(self.stage.give(RoomGone(room)))
        self._follow(self.stage.pass_ms(60_000))
        assert self.open == set()
        assert self.kept == set()
        assert self.tracks == {}
        assert self.stage.focus._calls._by_track == {}
        assert self.stage.focus.snapshot()["calls"] == []
        assert self.stage.focus.next_timeout() is None

    def _do(self, action: str, client: Client, peer: Client) -> list[Any]:  # noqa: PLR0911, PLR0912  # a table
        stage = self.stage
        is_live = client.leg in self.open
        match action:
            case "enter":
                stage.enter(client)
            case "enter elsewhere":
                stage.enter(client, room=OTHER_ROOM)
            case "invite":
                return stage.invite(client)
            case "redial":
                return self._redial(client)
            case "restart":
                client.session_id += "'"
                return self._redial(client)
            case "connect" if is_live:
                return stage.connect(client)
            case "subscribe" if is_live:
                ids = ((f"{peer.name}-stream", f"{peer.name}-{kind}") for kind in ("audio", "video"))
                return stage.subscribe(client, *ids)
            case "mute" if is_live:
                return stage.say(client, MetadataChanged(client.metadata(audio_muted=True)))
            case "offer" if is_live:
                return stage.say(client, Negotiate("offer", client.caller.offer(), client.metadata()))
            case "offer by to-device":
                offer = client.caller.offer()
                return stage.send(client, ToDeviceNegotiate(client.envelope(), "offer", offer))
            case "bad offer" if is_live:
                return stage.say(client, Negotiate("offer", "v=0\r\nbad"))
            case "pong" if is_live:
                return stage.say(client, Pong())
            case "candidates":
                return stage.send(client, Candidates(client.envelope(), ()))
            case "select":
                return stage.send(client, SelectAnswer(client.envelope(), FOCUS_DEVICE))
            case "other party":
                return stage.send(client, SelectAnswer(client.envelope(), "ANOTHER"))
            case "hangup":
                return stage.send(client, Hangup(client.envelope()))
            case "leave call":
                return stage.state(member_event(client.user_id))
            case "leave room":
                return stage.state(membership(client.user_id, "leave"))
            case "join room":
                event = member_event(client.user_id, client.named, expires_at=stage.wall + HOUR_MS)
                return stage.state(membership(client.user_id), event)
            case "end call":
                return stage.state(call_event(terminated=True))
            case "begin call":
                return stage.state(call_event())
            case "room gone":
                return stage.give(RoomGone(OTHER_ROOM))
            case "fail" if is_live and client.leg is not None:
                return stage.give(LegFailed(client.leg, "dtls_timeout"))
            case "close channel" if is_live and client.leg is not None:
                return stage.give(DataChannelClosed(client.leg, 0))
            case "wait":
                return stage.pass_ms(700)
            case "wait long":
                return stage.pass_ms(12_000)
            case _:
                pass
        return []

    def _redial(self, client: Client) -> list[Any]:
        self.dials += 1
        return self.stage.redial(client, f"{client.name}-again-{self.dials}")

    def _follow(self, _: list[Any]) -> None:
        outputs, self.stage.outputs = self.stage.outputs, []
        for one in outputs:
            match one:
                case AddTransport(transport):
                    assert transport not in self.open
                    self.open.add(transport)
                case CloseLeg(transport):
                    self.open.remove(transport)
                case KeepLeg(key):
                    self.kept.add(key)
                case ForgetLeg(key):
                    self.kept.remove(key)
                case SetTrack(track, transport):
                    assert transport in self.open
                    self.tracks[track] = transport
                case RemoveTrack(track):
                    del self.tracks[track]
                case SetRoute():
                    assert one.track in self.tracks
                    self.forwarded += 1
                    self._may_forward(self.tracks[one.track], one.transport)
                case _:
                    pass

    def _may_forward(self, publisher: TransportId, subscriber: TransportId) -> None:
        legs = {leg.transport: leg for leg in self.stage.focus._calls.legs}
        ends = [legs[one] for one in (publisher, subscriber) if one in legs]
        assert all(isinstance(one.standing, Admitted) for one in ends)
        assert len({one.key.call for one in ends}) <= 1

    def _check(self) -> None:
        focus = self.stage.focus
        assert {leg.transport for leg in focus._calls.legs} == self.open
        assert len(self.kept) == len(self.open)
        shown = {one["leg"] for call in focus.snapshot()["calls"] for one in call["members"]}
        assert shown == self.open
        for leg in focus._calls.legs:
            if isinstance(leg.standing, Admitted):
                place = focus._places._admission.place(self.stage.wall, leg.key, leg.session_id)
                assert not isinstance(place, Gone)
        due = focus.next_timeout()
        assert due is None or due >= self.stage.now


@settings(max_examples=60)
@given(STEPS)
def test_nothing_is_left_behind_and_nobody_is_served_who_has_no_place(
    steps: list[tuple[str, int, int]],
) -> None:
    world = World()
    for action, who, other in steps:
        world.step(action, who, other)
    world.end()


def test_these_worlds_are_not_empty() -> None:
    world = World()
    for who, other in ((0, 1), (1, 0)):
        world.step("subscribe", who, other)
    assert world.forwarded == 4
