"""Invites (protocol: sections 4.3 and 11)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.conference.turn import CloseLeg, SetCaps, StartDtls
from sfu.config import AllocationConfig, LimitsConfig, SfuConfig
from sfu.plane import AddTransport, SetTrack
from signalling.events.data_channel import MetadataChanged, SubscribedTrack, TrackSubscription
from signalling.events.to_device import Answer, Candidate, Candidates, Hangup, Reject, SelectAnswer
from signalling.focus.caps import CapRule
from signalling.focus.joining import MAX_WAITING
from signalling.focus.restart import REPLIES_AT_ONCE
from signalling.focus.settings import CallSettings
from signalling.focus.turn import KeepLeg, Level, MessageReceived, Note, SendToDevice, ShuttingDown
from tests.unit.conference.caller import of_type
from tests.unit.focus.stage import (
    CONF,
    FOCUS_DEVICE,
    HOUR_MS,
    OTHER_ROOM,
    ROOM,
    Client,
    Stage,
    call_event,
    closed,
    counted,
    letters,
    member_event,
    membership,
)

MALFORMED_SDP = "v=0\r\nthis is no line of SDP\r\n"


def in_grace(stage: Stage, name: str = "alice", room: str = ROOM) -> Client:
    """Somebody joined to a room with the call, whose member event has not come."""
    client = stage.client(name)
    stage.state(call_event(), membership(client.user_id), room=room)
    return client


def rejected(outputs: list[object]) -> list[str]:
    """Why invites were rejected, as clients are told and as it is counted."""
    reasons = [one.reason for one in letters(outputs, Reject)]
    assert reasons == [one["reason"] for one in counted(outputs, "invites_refused")]
    assert letters(outputs, Hangup) == []  # clients ignore a hangup instead of an answer
    return reasons


# --- answered -----------------------------------------------------------------------------------------------


def test_an_invite_is_answered_with_everything_that_the_client_needs() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    outputs = stage.invite(alice)
    answer, end = (one.message for one in of_type(outputs, SendToDevice))
    assert isinstance(answer, Answer)
    assert answer.sdp.startswith("v=0")
    assert answer.metadata == ()
    envelope = answer.envelope
    assert (envelope.call_id, envelope.conf_id, envelope.dest_session_id) == (
        alice.call_id,
        CONF,
        alice.session_id,
    )
    assert (envelope.party_id, envelope.seq) == (FOCUS_DEVICE, 0)
    # All candidates are in the answer, so their end is told at once (MSC2746), and once.
    assert isinstance(end, Candidates)
    assert end.candidates == (Candidate(""),)
    assert "a=candidate:" in answer.sdp
    kinds = [type(one) for one in outputs]
    assert kinds.index(KeepLeg) < kinds.index(AddTransport) < kinds.index(SendToDevice)
    assert kinds.index(AddTransport) < kinds.index(StartDtls)
    assert {"step": "invite", "outcome": "ok"} in counted(outputs, "joins")


def test_a_call_is_on_one_worker_and_its_clients_are_told_of_that_ones_port() -> None:
    stage = Stage(workers=2)
    places = []
    for name, conf_id in (("alice", CONF), ("bob", "conf-2"), ("carol", "conf-2")):
        client = stage.client(name, conf_id=conf_id)
        stage.enter(client)
        outputs = stage.invite(client)
        (answer,) = letters(outputs, Answer)
        ports = {line.split()[5] for line in answer.sdp.splitlines() if line.startswith("a=candidate:")}
        (added,) = of_type(outputs, AddTransport)
        places.append((added.worker, ports))
    assert places == [(0, {"10000"}), (1, {"10001"}), (1, {"10001"})]


def test_the_answer_lists_the_streams_of_all_others_and_whose_they_are() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    (stream,) = bob.last(Answer).metadata or ()
    assert (stream.stream_id, stream.user_id, stream.device_id) == (
        "alice-stream",
        "@alice:example.org",
        "ALICE",
    )
    assert [track.kind for track in stream.tracks] == ["audio", "video"]


def test_an_encrypted_invite_is_answered_encrypted() -> None:
    stage = Stage()
    alice = stage.client("alice", is_encrypted=True)
    stage.enter(alice)
    outputs = stage.invite(alice)
    assert [one.is_encrypted for one in of_type(outputs, SendToDevice)] == [True, True]


def test_a_client_without_metadata_publishes_its_first_stream() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice, metadata=None)
    stage.connect(alice)
    bob = stage.join("bob")
    assert list(stage.told(bob)) == ["alice-stream"]


# --- the member event is late -------------------------------------------------------------------------------


def test_an_invite_may_overtake_its_member_event() -> None:
    """CAP: the invite leaves 0.09 to 0.24 s after the member event, and may be here before it."""
    stage = Stage()
    alice = stage.join("alice")
    bob = in_grace(stage, "bob")
    outputs = stage.invite(bob)
    assert bob.last(Answer).metadata == ()
    outputs += stage.connect(bob)
    outputs += stage.say(bob, TrackSubscription((SubscribedTrack("alice-stream", "alice-video", 640, 360),)))
    outputs += stage.pass_ms(5_000)
    assert stage.told(bob) == {}
    assert [one.metadata for one in of_type(alice.received, MetadataChanged)] == [()]
    assert "alice-video" not in repr(of_type(outputs, SetTrack))
    assert "SetRoute" not in repr(outputs)

    outputs = stage.state(member_event(bob.user_id, bob.named, expires_at=stage.wall + HOUR_MS))
    outputs += stage.pass_ms(1_000)
    assert list(stage.told(bob)) == ["alice-stream"]
    assert list(stage.told(alice)) == ["bob-stream"]
    assert "SetRoute" in repr(outputs)
    assert {"step": "admission", "outcome": "ok"} in counted(outputs, "joins")


def test_a_member_event_that_does_not_come_ends_the_leg() -> None:
    stage = Stage(CallSettings(member_grace_s=10.0))
    alice = in_grace(stage)
    stage.invite(alice)
    stage.connect(alice)
    assert closed(stage.pass_ms(9_999)) == []
    outputs = stage.pass_ms(1)
    assert closed(outputs) == [alice.leg]
    assert alice.last(Hangup).reason == "unknown_error"
    assert counted(outputs, "leaves") == [{"reason": "not_announced"}]
    assert {"step": "admission", "outcome": "not_announced"} in counted(outputs, "joins")


@pytest.mark.parametrize(
    "event",
    [
        member_event("@alice:example.org", ("OTHER", "alice-session")),
        member_event("@alice:example.org", ("ALICE", "older-session")),
        member_event("@alice:example.org", ("ALICE", "alice-session"), expires_at=-300_001),
        member_event("@bob:example.org", ("ALICE", "alice-session")),
    ],
)
def test_a_member_event_that_names_something_else_admits_nobody(event: object) -> None:
    stage = Stage()
    alice = in_grace(stage)
    stage.state(event)  # type: ignore[arg-type]
    stage.invite(alice)
    stage.connect(alice)
    outputs = stage.pass_ms(10_000)
    assert counted(outputs, "leaves") == [{"reason": "not_announced"}]


def test_in_its_grace_a_leg_is_ended_at_once_when_the_call_ends() -> None:
    stage = Stage()
    alice = in_grace(stage)
    stage.invite(alice)
    assert closed(stage.state(call_event(terminated=True))) == [alice.leg]


# --- which room ---------------------------------------------------------------------------------------------


def test_a_stranger_is_rejected_at_once() -> None:
    """CAP: a hangup instead of an answer is ignored, and so is silence: before an answer use only reject."""
    stage = Stage()
    stage.join("alice")
    eve = stage.client("eve")
    outputs = stage.invite(eve)
    assert rejected(outputs) == ["not_in_call"]
    assert eve.last(Reject).envelope.seq == 0
    assert eve.leg is None
    assert not of_type(outputs, AddTransport)


def test_somebody_who_left_the_room_is_rejected() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    stage.state(membership(alice.user_id, "leave"))
    assert rejected(stage.invite(alice)) == ["not_in_call"]


def test_the_same_conf_id_in_two_rooms_is_two_calls() -> None:
    """Whoever copies a call's id into a room of their own gets into their own call only."""
    stage = Stage()
    alice = stage.join("alice")
    eve = stage.client("eve")
    stage.enter(eve, room=OTHER_ROOM)
    stage.invite(eve)
    stage.connect(eve)
    stage.pass_ms(1_000)
    assert stage.told(eve) == {}
    assert stage.told(alice) == {}
    assert {call["room_id"] for call in stage.focus.snapshot()["calls"]} == {ROOM, OTHER_ROOM}


def test_a_member_of_both_is_in_the_one_that_its_member_event_is_in() -> None:
    stage = Stage()
    stage.join("eve")
    stage.state(call_event(), membership("@alice:example.org"), room=ROOM)
    alice = stage.client("alice")
    stage.enter(alice, room=OTHER_ROOM)
    stage.invite(alice)
    stage.connect(alice)
    stage.pass_ms(1_000)
    assert stage.told(alice) == {}


def test_who_is_named_in_two_rooms_is_rejected() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice, room=ROOM)
    stage.enter(alice, room=OTHER_ROOM)
    assert rejected(stage.invite(alice)) == ["ambiguous"]


def test_while_two_rooms_fit_an_invite_waits_for_its_member_event() -> None:
    stage = Stage()
    alice = in_grace(stage, room=ROOM)
    stage.state(call_event(), membership(alice.user_id), room=OTHER_ROOM)
    assert stage.invite(alice) == []
    assert stage.focus.snapshot()["counts"]["invites_waiting"] == 1
    stage.send(alice, Candidates(alice.envelope(), ()))
    stage.pass_ms(8_000)
    stage.state(member_event(alice.user_id, alice.named), room=OTHER_ROOM)
    assert alice.leg is not None
    assert stage.focus.snapshot()["calls"][0]["room_id"] == OTHER_ROOM
    # Its candidates had been kept, so its next message is in order.
    stage.send(alice, SelectAnswer(alice.envelope(), "another"))
    assert stage.focus.snapshot()["calls"] == []


def test_an_invite_that_waits_in_vain_is_rejected_and_its_candidates_are_not_answered() -> None:
    stage = Stage()
    alice = in_grace(stage, room=ROOM)
    stage.state(call_event(), membership(alice.user_id), room=OTHER_ROOM)
    invite = alice.invite()
    stage.send(alice, invite)
    outputs = stage.send(alice, Candidates(alice.envelope(), ()))
    assert counted(stage.send(alice, invite), "signalling_messages")[0]["outcome"] == "repeated"
    outputs += stage.pass_ms(9_999)
    assert outputs == []
    assert rejected(stage.pass_ms(1)) == ["not_announced"]
    assert stage.pass_ms(60_000) == []


def test_an_invite_that_waits_can_be_taken_back() -> None:
    stage = Stage()
    alice = in_grace(stage, room=ROOM)
    stage.state(call_event(), membership(alice.user_id), room=OTHER_ROOM)
    stage.invite(alice)
    stage.send(alice, Hangup(alice.envelope()))
    assert stage.state(member_event(alice.user_id, alice.named)) == []
    assert stage.pass_ms(60_000) == []


def test_an_invite_that_waits_is_answered_when_one_room_is_left_that_fits() -> None:
    stage = Stage()
    alice = in_grace(stage, room=ROOM)
    stage.state(call_event(), membership(alice.user_id), room=OTHER_ROOM)
    stage.invite(alice)
    stage.pass_ms(4_000)
    stage.state(membership(alice.user_id, "leave"), room=ROOM)
    assert alice.leg is not None
    # Its grace is what is left of it.
    assert closed(stage.pass_ms(5_999)) == []
    assert closed(stage.pass_ms(1)) == [alice.leg]


def test_a_leg_in_its_grace_that_turns_out_to_be_of_another_room_is_ended() -> None:
    stage = Stage()
    alice = in_grace(stage, room=ROOM)
    stage.invite(alice)
    stage.connect(alice)
    stage.state(call_event(), membership(alice.user_id), room=OTHER_ROOM)
    outputs = stage.state(member_event(alice.user_id, alice.named), room=OTHER_ROOM)
    assert closed(outputs) == [alice.leg]
    assert counted(outputs, "leaves") == [{"reason": "ambiguous"}]


def test_invites_that_wait_are_bounded() -> None:
    stage = Stage(limits=LimitsConfig(invites_per_s=1_000.0))
    alice = in_grace(stage, room=ROOM)
    stage.state(call_event(), membership(alice.user_id), room=OTHER_ROOM)
    for number in range(MAX_WAITING):
        assert stage.redial(alice, f"call-{number}") == []
    assert rejected(stage.redial(alice, "one-more")) == ["too_many_legs"]


# --- redial and session -------------------------------------------------------------------------------------


def test_a_redial_replaces_the_leg_and_wishes_are_kept_only_if_asked_again() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    stage.subscribe(bob, ("alice-stream", "alice-video"))
    before = bob.leg
    outputs = stage.redial(bob, "bob-call-2")
    assert closed(outputs) == [before]
    assert counted(outputs, "leaves") == [{"reason": "replaced"}]
    assert letters(outputs, Hangup) == []
    stage.connect(bob)
    outputs = stage.pass_ms(1_000)
    assert "SetRoute" not in repr(outputs)
    members = stage.focus.snapshot()["calls"][0]["members"]
    assert [(one["user_id"], one["subscriptions"]) for one in members][1] == (bob.user_id, [])
    assert "SetRoute" in repr(stage.subscribe(bob, ("alice-stream", "alice-video")))


def test_a_new_session_drops_the_old_leg_before_it_is_answered() -> None:
    stage = Stage()
    alice = stage.join("alice")
    before = alice.leg
    stage.clients[0].session_id = "restarted"
    outputs = stage.redial(alice, "alice-call-2")
    assert counted(outputs, "leaves") == [{"reason": "new_session"}]
    kinds = [type(one) for one in outputs]
    assert kinds.index(CloseLeg) < kinds.index(AddTransport)
    assert closed(outputs) == [before]
    assert letters(outputs, Hangup)[0].envelope.dest_session_id == "alice-session"


def test_a_redial_in_a_full_call_finds_its_own_place() -> None:
    limits = LimitsConfig(calls=1, legs=2, legs_per_call=2, legs_per_user=1)
    stage = Stage(limits=limits)
    alice, _ = stage.join("alice"), stage.join("bob")
    outputs = stage.redial(alice, "alice-call-2")
    assert rejected(outputs) == []
    assert alice.leg is not None


def test_the_last_one_may_redial_while_no_other_call_may_begin() -> None:
    stage = Stage(limits=LimitsConfig(calls=1))
    alice = stage.join("alice")
    stage.redial(alice, "alice-call-2")
    assert alice.leg is not None


def test_a_client_that_dials_for_ever_leaves_nothing_behind() -> None:
    stage = Stage()
    alice = stage.join("alice")
    for number in range(50):
        stage.redial(alice, f"again-{number}")
        stage.pass_ms(5_000)
    snapshot = stage.focus.snapshot()
    assert snapshot["counts"]["participants"] == 1
    stage.pass_ms(60_000)
    assert stage.focus.snapshot()["calls"] == []
    assert stage.focus.next_timeout() is None


def test_an_invite_is_not_taken_twice() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    invite = alice.invite()
    stage.send(alice, invite)
    leg = alice.leg
    again = stage.send(alice, invite)
    assert [one["outcome"] for one in counted(again, "signalling_messages")] == ["late"]
    unnumbered = replace(invite, envelope=replace(invite.envelope, seq=None))
    again = stage.send(alice, unnumbered)
    assert [one["outcome"] for one in counted(again, "signalling_messages")] == ["repeated"]
    assert alice.leg == leg
    stage.send(alice, Hangup(alice.envelope()))
    again = stage.send(alice, invite)
    assert [one["outcome"] for one in counted(again, "signalling_messages")] == ["ended"]
    assert stage.focus.snapshot()["calls"] == []


# --- refused ------------------------------------------------------------------------------------------------


def test_an_invite_older_than_its_lifetime_is_dropped_in_silence() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    outputs = stage.send(alice, alice.invite(lifetime_ms=60_000), age_ms=60_000)
    assert [one["outcome"] for one in counted(outputs, "signalling_messages")] == ["expired"]
    assert of_type(outputs, SendToDevice) == []
    outputs = stage.send(alice, Candidates(alice.envelope(), ()))
    assert of_type(outputs + stage.pass_ms(60_000), SendToDevice) == []
    stage.redial(alice, "alice-call-2")
    assert alice.leg is not None


def test_a_flood_of_invites_is_rejected_and_then_not_even_that() -> None:
    stage = Stage(limits=LimitsConfig(invites_per_s=5.0))
    eve, bob = stage.client("eve"), stage.client("bob")
    for one in (eve, bob):
        stage.enter(one)
    outputs = []
    for number in range(100):
        outputs += stage.redial(eve, f"eve-{number}")
    assert len(letters(outputs, Answer)) == 5
    assert len(counted(outputs, "invites_refused")) == 95
    rejects = letters(outputs, Reject)
    assert {one.reason for one in rejects} == {"too_many_invites"}
    assert len(rejects) == REPLIES_AT_ONCE
    stage.invite(bob)
    assert bob.leg is not None
    stage.pass_ms(1_000)
    stage.redial(eve, "after a second")
    assert eve.leg is not None


@pytest.mark.parametrize(
    ("limits", "reason", "level"),
    [
        (LimitsConfig(legs=2), "too_many_legs", Level.WARNING),
        (LimitsConfig(legs_per_call=2), "too_many_in_call", Level.WARNING),
        (LimitsConfig(legs_per_user=1), None, None),
    ],
)
def test_a_full_house_is_said_politely(limits: LimitsConfig, reason: str | None, level: Level | None) -> None:
    stage = Stage(limits=limits)
    stage.join("alice")
    stage.join("bob")
    carol = stage.client("carol")
    stage.enter(carol)
    outputs = stage.invite(carol)
    assert rejected(outputs) == ([] if reason is None else [reason])
    if level is not None:
        assert [one.level for one in of_type(outputs, Note)] == [level]
    assert stage.focus.snapshot()["counts"]["participants"] == (3 if reason is None else 2)


def test_too_many_devices_of_one_user_are_rejected() -> None:
    stage = Stage(limits=LimitsConfig(legs_per_user=2))
    stage.join("alice", device_id="A1")
    stage.join("alice", device_id="A2", call_id="call-2")
    third = stage.client("alice", device_id="A3", call_id="call-3")
    stage.enter(third)
    assert rejected(stage.invite(third)) == ["too_many_of_user"]


def test_too_many_calls_are_rejected() -> None:
    stage = Stage(limits=LimitsConfig(calls=1))
    stage.join("alice")
    bob = stage.client("bob", conf_id="conf-2")
    stage.enter(bob)
    assert rejected(stage.invite(bob)) == ["too_many_calls"]


@pytest.mark.parametrize("sdp", [MALFORMED_SDP, "", "v=0\r\n", "x" * 9_000])
def test_an_offer_that_can_not_be_answered_is_rejected_and_nothing_is_left_of_it(sdp: str) -> None:
    stage = Stage(limits=LimitsConfig(sdp_bytes=8_192))
    alice = stage.client("alice")
    stage.enter(alice)
    outputs = stage.invite(alice, sdp=sdp)
    assert rejected(outputs) == ["bad_offer"]
    assert not of_type(outputs, AddTransport)
    assert not of_type(outputs, KeepLeg)
    assert stage.focus.snapshot()["calls"] == []
    assert stage.focus.next_timeout() is None
    stage.redial(alice, "alice-call-2")
    assert alice.leg is not None


def test_a_redial_with_a_bad_offer_is_rejected_and_the_old_leg_is_over() -> None:
    stage = Stage()
    alice = stage.join("alice")
    before = alice.leg
    alice.call_id, alice.seq = "alice-call-2", 0
    outputs = stage.invite(alice, sdp=MALFORMED_SDP)
    assert closed(outputs) == [before]
    assert [one.reason for one in letters(outputs, Reject)] == ["bad_offer"]
    facts = [one.facts for one in of_type(outputs, Note) if one.event == "invite_rejected"]
    assert facts == [{"reason": "bad_offer", "text": "not_sdp"}]
    assert stage.focus.snapshot()["calls"] == []


def test_a_bad_offer_touches_nobody_else() -> None:
    stage = Stage()
    alice = stage.join("alice")
    bob = stage.client("bob")
    stage.enter(bob)
    stage.invite(bob, sdp=MALFORMED_SDP)
    assert [one["leg"] for one in stage.focus.snapshot()["calls"][0]["members"]] == [alice.leg]


def test_where_olm_is_required_clear_text_is_rejected() -> None:
    stage = Stage(CallSettings(require_olm=True))
    alice = stage.client("alice")
    stage.enter(alice)
    assert rejected(stage.invite(alice)) == ["olm_required"]
    stage.redial(alice, "alice-call-2", is_encrypted=True)
    assert alice.leg is not None


def test_a_device_can_not_speak_for_another_one() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    outputs = stage.give(MessageReceived(alice.user_id, alice.invite(), "MALLORY"))
    assert rejected(outputs) == ["wrong_device"]
    assert [one.device_id for one in of_type(outputs, SendToDevice)] == ["MALLORY"]


def test_a_leg_has_the_ceilings_of_its_user_its_room_and_everybody() -> None:
    config = SfuConfig(allocation=AllocationConfig(max_bps=5_000_000, max_videos=9))
    rules = (
        CapRule(user="@alice:example.org", max_bps=1_000_000),
        CapRule(room=ROOM, max_videos=4),
        CapRule(user="@bob:example.org", room=OTHER_ROOM, max_height=180),
    )
    stage = Stage(config=config, caps=rules)
    given = {}
    for name, room in (("alice", ROOM), ("bob", ROOM), ("alice", OTHER_ROOM)):
        client = stage.client(name, conf_id=f"conf-{room}", call_id=f"call-{room}")
        stage.enter(client, room=room)
        (caps,) = of_type(stage.invite(client), SetCaps)
        given[name, room] = (caps.max_bps, caps.max_height, caps.max_videos)
    assert given == {
        ("alice", ROOM): (1_000_000, 0, 4),
        ("bob", ROOM): (5_000_000, 0, 4),
        ("alice", OTHER_ROOM): (1_000_000, 0, 9),
    }


def test_who_is_shutting_down_takes_nobody_in() -> None:
    stage = Stage()
    alice, bob = in_grace(stage, room=ROOM), stage.client("bob")
    stage.state(call_event(), membership(alice.user_id), room=OTHER_ROOM)
    stage.enter(bob)
    stage.invite(alice)
    assert rejected(stage.give(ShuttingDown())) == ["shutting_down"]
    assert rejected(stage.invite(bob)) == ["shutting_down"]


def test_a_mistake_of_our_own_leaves_no_half_a_leg(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(config=SfuConfig())
    alice = stage.client("alice")
    stage.enter(alice)

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("sfu.negotiation.negotiation.Negotiation.offer_received", broken)
        with pytest.raises(RuntimeError, match="a bug"):
            stage.invite(alice)
    assert stage.focus.snapshot()["calls"] == []
    assert stage.focus.next_timeout() is None
