"""A recorder writes what was said to one leg and by it, and nothing of anybody else."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from sfu.conference.turn import DataRefused, LegFailed
from sfu.config import ConferenceConfig, LimitsConfig
from sfu.units import NS_PER_S, Instant
from signalling.events import data_channel, to_device
from signalling.events.room_state import FocusDevice
from signalling.focus.settings import CallSettings
from signalling.focus.turn import DrainAsked, DrainCancelled, MessageReceived, RoomGone, ShuttingDown
from signalling.trace.around import ADMITTED, SNAPSHOT
from signalling.trace.lines import Began, Direction, Header, Line, Recording, Via, written
from signalling.trace.recorder import LINGER_S, Recorder
from signalling.trace.replay import Replay, differences
from signalling.trace.subject import Subject
from signalling.trace.traced import Traced
from tests.support.schemas import check_lines, validator
from tests.unit.focus.stage import (
    FOCUS_DEVICE,
    FOCUS_USER,
    ROOM,
    Stage,
    call_event,
    member_event,
    membership,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

ALICE = Subject("@alice:example.org")


class RecordedStage(Stage):
    """A stage with a recorder."""

    def __init__(self) -> None:
        super().__init__()
        self.surroundings = self.focus.surroundings
        self.traced = Traced(self.focus)
        self.focus = cast("Any", self.traced)
        self.lines: list[Line] = []
        self.header: Header | None = None
        self.recorder: Recorder | None = None

    def record(self, subject: Subject = ALICE) -> None:
        self.recorder = Recorder(subject, (FOCUS_USER, FOCUS_DEVICE), self.surroundings, "1.2.3")
        first = self.recorder.begin(self.now, self.wall, CallSettings(), ConferenceConfig(), LimitsConfig())
        for one in first:
            if isinstance(one, Header):
                self.header = one
            else:
                self.lines.append(one)
        self.traced.tap = self

    def turn(self, now: Instant, given: Any, outputs: Sequence[Any]) -> None:  # noqa: ANN401
        assert self.recorder is not None
        self.lines += self.recorder.turn(now, given, outputs)

    def failed(self, now: Instant, given: Any, error: Exception) -> None:  # noqa: ANN401
        assert self.recorder is not None
        self.lines += self.recorder.failed(now, given, error)

    def told(self, *vias: Via, direction: Direction | None = None) -> list[str]:  # type: ignore[override]
        return [
            one.type
            for one in self.lines
            if (not vias or one.via in vias) and direction in {None, one.direction}
        ]


def recorded(subject: Subject = ALICE) -> RecordedStage:
    stage = RecordedStage()
    stage.record(subject)
    return stage


def test_a_join_is_recorded_from_the_room_state_on() -> None:
    stage = recorded()
    stage.join("alice")
    assert stage.told()[:11] == [
        "m.room.member",
        "org.matrix.msc3401.call.member",
        "m.room.member",
        "org.matrix.msc3401.call",
        "org.matrix.msc3401.call.member",
        "m.call.invite",
        "leg_opened",
        "m.call.answer",
        "dtls_started",
        "m.call.candidates",
        "pair_selected",
    ]
    assert {"connected", "channel_opened", "stream_bound", "m.call.sdp_stream_metadata_changed"} <= set(
        stage.told()
    )
    assert stage.header is not None
    assert stage.header.began is Began.BEFORE
    assert stage.header.settings["calls"]["member_grace_s"] == 10.0


def test_every_line_fits_the_schema_of_lines_and_every_message_its_own() -> None:
    stage = recorded()
    stage.join("alice")
    bob = stage.join("bob")
    stage.say(bob, data_channel.Ping())
    assert stage.header is not None
    lines = [json.loads(written(stage.header)), *(json.loads(written(one)) for one in stage.lines)]
    for line in lines:
        validator("trace.json").validate(line)
    assert check_lines(lines[1:]).faults == []


def test_what_is_recorded_of_any_turn_of_events_happens_again() -> None:
    stage = recorded()
    alice = stage.join("alice")
    early = stage.client("bob")
    stage.state(membership(early.user_id))
    stage.invite(early)
    stage.connect(early)
    stage.pass_ms(1_000)
    assert "others" not in stage.told()
    stage.enter(early)  # his member event comes late: what flows already is told of at once
    assert [one.facts.get("note") for one in stage.lines if one.type == "others"] == [ADMITTED]
    stage.subscribe(alice, ("bob-stream", "bob-video"))
    carol = stage.join("carol", "audio")
    stage.subscribe(alice, ("carol-stream", "carol-audio"))
    stage.say(carol, data_channel.MetadataChanged(carol.metadata(audio_muted=True)))
    stage.pass_ms(1_000)
    stage.redial(early, "bob-call-2")
    stage.connect(early)
    stage.pass_ms(1_000)
    stage.say(alice, "{")
    stage.send(carol, to_device.Hangup(carol.envelope()))
    stage.pass_ms(45_000)  # nobody answers a ping
    assert stage.header is not None
    told = Recording(stage.header, tuple(stage.lines))
    assert types_of(told).keys() >= {
        "m.call.hangup",
        "m.call.negotiate",
        "org.matrix_focus.error",
        "leg_closed",
    }
    assert list(differences(told, Replay(told).run())) == []


def types_of(told: Recording) -> Counter[str]:
    return Counter(one.type for one in told.lines)


def test_nobody_else_is_in_it_but_by_what_they_publish() -> None:
    stage = recorded()
    stage.join("alice")
    before = len(stage.lines)
    stage.join("bob")
    said = stage.lines[before:]
    # The event of the call is written again in this test, and concerns everybody.
    assert {one.type for one in said} == {
        "org.matrix.msc3401.call",
        "others",
        "m.call.sdp_stream_metadata_changed",
    }
    others = [one for one in said if one.type == "others"][-1]
    assert others.direction is Direction.BESIDE
    (member,) = others.content["members"]
    assert [(one["kind"], one["purpose"], one["encodings"]) for one in member["tracks"]] == [
        ("audio", "m.usermedia", 1),
        ("video", "m.usermedia", 3),
    ]


def test_names_secrets_and_addresses_are_in_no_line() -> None:
    stage = recorded()
    alice = stage.join("alice")
    stage.join("bob")
    stage.send(alice, to_device.Hangup(alice.envelope()))
    text = "".join(written(one) for one in stage.lines)
    personal = ("example.org", "alice", "ALICE", "192.0.2.1 10000", "CD:CD", "!room:")
    assert [word for word in personal if word in text] == []


def test_a_second_device_and_another_call_can_be_left_out() -> None:
    stage = recorded(Subject("@alice:example.org", "ALICE", "conf-1"))
    stage.join("alice")
    before = len(stage.lines)
    stage.join("alice", device_id="PHONE", session_id="phone-session", call_id="phone-call")
    assert "m.call.invite" not in {one.type for one in stage.lines[before:]}


def test_who_is_in_the_call_already_is_told_before_the_invite() -> None:
    stage = RecordedStage()
    stage.join("bob")
    stage.record()
    stage.join("alice")
    types = stage.told(Via.CALL, Via.TO_DEVICE)
    assert types.index("others") < types.index("m.call.invite")


def test_a_recording_that_begins_later_says_so_and_how_rooms_stand() -> None:
    stage = RecordedStage()
    stage.join("alice")
    stage.record()
    assert stage.header is not None
    assert stage.header.began is Began.DURING
    assert [(one.type, one.facts["note"]) for one in stage.lines] == [
        ("m.room.member", SNAPSHOT),
        ("org.matrix.msc3401.call", SNAPSHOT),
        ("org.matrix.msc3401.call.member", SNAPSHOT),
    ]
    device = stage.lines[-1].content["m.calls"][0]["m.devices"][0]
    assert (device["device_id"], device["session_id"]) == ("DEVICE1", "session1")


def test_a_complete_state_tells_what_is_not_there_any_more() -> None:
    stage = recorded()
    stage.join("alice")
    stage.lines.clear()
    stage.state(complete=True)
    assert [
        (one.type, one.content.get("membership"), one.content.get("m.terminated")) for one in stage.lines
    ][:2] == [
        ("m.room.member", "leave", None),
        ("org.matrix.msc3401.call", None, "absent"),
    ]
    assert "leg_closed" in stage.told()


def test_state_of_others_and_of_other_rooms_is_not_recorded() -> None:
    stage = recorded()
    stage.state(call_event(), membership("@bob:example.org"), member_event("@bob:example.org", ("B", "s")))
    stage.give(RoomGone("!elsewhere:example.org"))
    assert stage.lines == []


def test_a_room_that_the_focus_leaves_is_told() -> None:
    stage = recorded()
    stage.join("alice")
    stage.lines.clear()
    stage.give(RoomGone(ROOM))
    assert stage.told()[:2] == ["room_gone", "leg_closed"]
    assert stage.lines[1].content == {"reason": "room_gone"}


def test_what_was_refused_is_marked_and_why() -> None:
    stage = recorded()
    alice = stage.join("alice")
    assert alice.leg is not None
    stage.lines.clear()
    stage.say(alice, "{")
    stage.say(alice, json.dumps({"type": "m.call.negotiate", "content": {}}))
    stage.give(DataRefused(alice.leg, 0, "too_fast"))
    given = [one for one in stage.lines if one.direction is Direction.IN]
    assert [(one.type, one.facts.get("refused")) for one in given] == [
        ("", ["malformed"]),
        ("m.call.negotiate", ["malformed"]),
        ("data_refused", None),
    ]
    assert given[2].content == {"reason": "too_fast", "channel": 0}


def test_a_message_is_recorded_as_it_came() -> None:
    stage = recorded()
    client = stage.client("alice")
    stage.enter(client)
    invite = client.invite()
    content = invite.content() | {"version": 1, "org.example.secret": "word"}
    stage.give(_received(client.user_id, invite, content))
    (line,) = [one for one in stage.lines if one.type == "m.call.invite"]
    assert line.content["version"] == 1
    assert line.content["org.example.secret"] == "redacted"


def test_it_is_over_when_the_leg_has_been_gone_for_a_while() -> None:
    stage = recorded()
    assert stage.recorder is not None
    alice = stage.join("alice")
    assert alice.leg is not None
    assert not stage.recorder.is_over(stage.now)
    stage.give(LegFailed(alice.leg, "dtls_closed"))
    assert not stage.recorder.is_over(stage.now)
    assert stage.recorder.is_over(Instant(stage.now + round((LINGER_S + 1) * NS_PER_S)))
    stage.redial(alice, "alice-call-2")
    assert not stage.recorder.is_over(Instant(stage.now + round((LINGER_S + 1) * NS_PER_S)))


def test_a_mistake_of_ours_is_told() -> None:
    stage = recorded()
    alice = stage.join("alice")
    stage.lines.clear()
    failing = _received(alice.user_id, to_device.Hangup(alice.envelope()), None)
    assert stage.recorder is not None
    stage.failed(stage.now, failing, ValueError("secret"))
    stage.failed(stage.now, None, ValueError("secret"))
    assert [(one.type, one.content.get("type")) for one in stage.lines] == [
        ("m.call.hangup", None),
        ("internal_failure", "ValueError"),
    ]


def test_everybodys_recording_has_all_messages_and_nothing_beside() -> None:
    stage = recorded(Subject())
    stage.join("alice")
    stage.join("bob")
    assert Via.CALL not in {one.via for one in stage.lines}
    assert stage.told(Via.TO_DEVICE, direction=Direction.IN).count("m.call.invite") == 2
    assert {one.facts["sender"] for one in stage.lines if one.type == "m.call.invite"} == {
        "@user1:server1",
        "@user2:server1",
    }


def test_ticks_of_media_leave_no_line() -> None:
    stage = recorded()
    stage.join("alice")
    before = len(stage.lines)
    stage.turn(stage.now, None, [])
    assert len(stage.lines) == before


def _received(
    sender: str, message: to_device.ReceivedMessage, content: dict[str, Any] | None
) -> MessageReceived:
    return MessageReceived(sender, message, content=content)


def test_an_invite_that_could_not_be_read_can_not_be_read_again_either() -> None:
    stage = recorded()
    client = stage.client("alice")
    stage.enter(client)
    content = client.invite().content() | {"offer": {"sdp": "v=0\r\n" + "x" * to_device.MAX_SDP_LENGTH}}
    message = to_device.parse_to_device(to_device.INVITE, content)
    assert message is not None
    stage.give(_received(client.user_id, message, content))
    assert stage.header is not None
    told = Recording(stage.header, tuple(stage.lines))
    assert types_of(told)["m.call.reject"] == 1
    (invite,) = [one for one in told.lines if one.type == to_device.INVITE]
    assert invite.facts["refused"] == ["malformed"]
    assert list(differences(told, Replay(told).run())) == []


def test_a_drain_and_the_end_of_the_focus_happen_again() -> None:
    stage = recorded()
    stage.join("alice")
    stage.give(DrainAsked(60.0, (FocusDevice("@focus2:example.org", "F2"),)))
    stage.give(DrainCancelled())
    stage.give(DrainAsked(5.0))
    stage.give(ShuttingDown())
    assert stage.header is not None
    told = Recording(stage.header, tuple(stage.lines))
    assert types_of(told).keys() >= {
        "drain_asked",
        "drain_cancelled",
        "shutting_down",
        "org.matrix_focus.drain",
    }
    assert list(differences(told, Replay(told).run())) == []
