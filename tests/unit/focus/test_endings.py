"""How legs end (protocol: sections 2.2, 6.5, 7.7 and 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sfu.conference.turn import DropDemand, LegConnected, LegFailed
from sfu.plane import ConsentLost, PairSelected, RemoveRoute, RemoveTrack
from sfu.units import after_ms
from signalling.events.data_channel import Ping, Pong
from signalling.events.to_device import Answer, Hangup
from signalling.focus.admission import Gone
from signalling.focus.endings import Ending, ending_of_failure, ending_of_loss
from signalling.focus.settings import CallSettings
from signalling.focus.turn import (
    ForgetLeg,
    KeepLeg,
    Level,
    Note,
    RoomGone,
    SendToDevice,
    ShuttingDown,
    StateEvent,
)
from tests.unit.conference.caller import of_type
from tests.unit.focus.stage import (
    HOUR_MS,
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

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE = "@alice:example.org"
TOMBSTONE = StateEvent("m.room.tombstone", "", ALICE, {"replacement_room": "!new:x"})

STATE_ENDINGS: list[tuple[str, Callable[[Stage], list[Any]]]] = [
    ("not_joined", lambda stage: stage.state(membership(ALICE, "leave"))),
    ("not_joined", lambda stage: stage.state(membership(ALICE, "ban"))),
    ("not_named", lambda stage: stage.state(member_event(ALICE))),
    ("not_named", lambda stage: stage.state(member_event(ALICE, ("OTHER", "x")))),
    ("new_session", lambda stage: stage.state(member_event(ALICE, ("ALICE", "restarted")))),
    ("call_ended", lambda stage: stage.state(call_event(terminated=True))),
    ("room_upgraded", lambda stage: stage.state(TOMBSTONE)),
    ("room_gone", lambda stage: stage.give(RoomGone(ROOM))),
    ("call_ended", lambda stage: stage.state(complete=True)),
]


def has_ended(client: Client, outputs: list[Any], ending: str, told: str | None) -> None:
    """The leg and all that it was is over in this turn, and only its client is told, once."""
    assert closed(outputs) == [client.leg]
    assert counted(outputs, "leaves") == [{"reason": ending}]
    assert [one.facts["reason"] for one in of_type(outputs, Note)] == [ending]
    assert len(of_type(outputs, ForgetLeg)) == 1
    sent = of_type(outputs, SendToDevice)
    if told is None:
        assert sent == []
        return
    (one,) = sent
    assert (one.user_id, one.device_id) == (client.user_id, client.device_id)
    assert isinstance(one.message, Hangup)
    assert one.message.reason == told
    assert one.message.envelope.seq is not None


@pytest.mark.parametrize(("ending", "happens"), STATE_ENDINGS)
def test_state_ends_a_leg_in_the_turn_that_tells_it(
    ending: str, happens: Callable[[Stage], list[Any]]
) -> None:
    stage = Stage()
    alice = stage.join("alice")
    outputs = happens(stage)
    has_ended(alice, outputs, ending, "user_hangup")
    assert stage.focus.snapshot()["calls"] == []
    assert stage.pass_ms(600_000) == []


def test_what_concerns_one_member_leaves_the_others_alone() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    outputs = stage.state(membership(ALICE, "leave"))
    has_ended(alice, outputs, "not_joined", "user_hangup")
    assert [one["leg"] for one in stage.focus.snapshot()["calls"][0]["members"]] == [bob.leg]
    stage.pass_ms(1_000)
    assert stage.told(bob) == {}


def test_the_other_device_of_a_user_stays() -> None:
    stage = Stage()
    first = stage.join("alice")
    second = stage.join("alice", device_id="SECOND", call_id="call-2")
    outputs = stage.state(member_event(ALICE, second.named, expires_at=HOUR_MS))
    assert closed(outputs) == [first.leg]


def test_state_of_another_room_ends_nothing() -> None:
    stage = Stage()
    stage.join("alice")
    outputs = stage.state(membership(ALICE, "leave"), call_event(terminated=True), room="!x:x")
    assert closed(outputs) == []


def test_everything_that_a_leg_had_goes_with_it() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    stage.subscribe(bob, ("alice-stream", "alice-video"), ("alice-stream", "alice-audio"))
    stage.subscribe(alice, ("bob-stream", "bob-video"))
    (kept,) = [one for one in of_type(stage.outputs, KeepLeg) if "ALICE" in one.key]
    outputs = stage.state(membership(ALICE, "leave"))
    assert len(of_type(outputs, RemoveRoute)) == len(of_type(outputs, DropDemand)) == 3
    assert len(of_type(outputs, RemoveTrack)) == 2
    assert of_type(outputs, ForgetLeg) == [ForgetLeg(kept.key)]
    assert type(outputs[-1]) is Note


def test_a_member_event_that_expires_ends_the_leg_when_clocks_can_not_excuse_it() -> None:
    stage = Stage(CallSettings(clock_skew_s=300.0, pong_timeout_s=120.0))
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice)
    stage.give(LegConnected(alice.leg))  # type: ignore[arg-type]
    assert closed(stage.pass_ms(HOUR_MS + 299_999)) == []
    has_ended(alice, stage.pass_ms(1), "expired", "user_hangup")


def test_a_member_event_that_is_renewed_in_time_goes_on() -> None:
    """CAP: clients write it for an hour and rewrite it every 45 minutes."""
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice)
    stage.give(LegConnected(alice.leg))  # type: ignore[arg-type]
    for _ in range(4):
        assert closed(stage.pass_ms(45 * 60_000)) == []
        stage.state(member_event(ALICE, alice.named, expires_at=stage.wall + HOUR_MS))
        assert stage.focus.next_timeout() == after_ms(stage.now, HOUR_MS + 300_000)
    assert closed(stage.pass_ms(HOUR_MS + 299_999)) == []
    assert closed(stage.pass_ms(1)) == [alice.leg]


def test_a_clock_that_was_set_back_gives_the_member_event_its_time() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice)
    stage.give(LegConnected(alice.leg))  # type: ignore[arg-type]
    stage.pass_ms(60_000)
    stage.wall -= 600_000  # type: ignore[assignment]
    assert closed(stage.pass_ms(HOUR_MS + 300_000)) == []
    assert closed(stage.pass_ms(600_000)) == [alice.leg]


def test_a_hangup_names_what_its_client_has_selected() -> None:
    """CAP: a hangup is ignored whose `party_id`, `dest_session_id`, `conf_id` or `call_id` do not fit."""
    stage = Stage()
    alice = stage.join("alice")
    (hangup,) = letters(stage.state(membership(ALICE, "leave")), Hangup)
    envelope, answer = hangup.envelope, alice.last(Answer).envelope
    assert envelope.party_id == answer.party_id
    assert envelope.dest_session_id == alice.session_id
    assert (envelope.conf_id, envelope.call_id) == (alice.conf_id, alice.call_id)


# --- transport ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "ending", "told", "level"),
    [
        ("dtls_handshake", "failed", "ice_failed", Level.INFO),
        ("dtls_timeout", "failed", "ice_failed", Level.INFO),
        ("dtls_closed", "closed", "user_hangup", Level.INFO),
        ("fingerprint", "failed", "ice_failed", Level.INFO),
        ("sctp_aborted", "failed", "ice_failed", Level.INFO),
        ("consent", "consent_lost", "ice_timeout", Level.INFO),
        ("internal", "internal", "unknown_error", Level.WARNING),
    ],
)
def test_a_transport_that_fails_ends_the_leg_and_its_client_dials_again(
    reason: str, ending: str, told: str, level: Level
) -> None:
    """CAP: clients don't react to a closed channel or DTLS; a hangup spares them 37 to 43 s."""
    stage = Stage()
    alice = stage.join("alice")
    assert alice.leg is not None
    outputs = stage.give(LegFailed(alice.leg, reason))
    has_ended(alice, outputs, ending, told)
    assert [one.level for one in of_type(outputs, Note)] == [level]


def test_lost_consent_ends_the_leg() -> None:
    stage = Stage()
    alice = stage.join("alice")
    assert alice.leg is not None
    has_ended(alice, stage.give(ConsentLost(alice.leg)), "consent_lost", "ice_timeout")


def test_a_leg_that_never_connects_ends() -> None:
    stage = Stage(CallSettings(connect_timeout_s=60.0))
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice)
    assert alice.leg is not None
    stage.give(PairSelected(alice.leg))
    assert closed(stage.pass_ms(59_999)) == []
    has_ended(alice, stage.pass_ms(1), "never_connected", "ice_failed")


def test_a_leg_that_connects_does_not() -> None:
    stage = Stage(CallSettings(connect_timeout_s=5.0))
    stage.join("alice")
    assert closed(stage.pass_ms(10_000)) == []


def test_a_client_that_answers_no_ping_is_gone() -> None:
    """CAP: on `keep_alive_timeout` a client ends its leg and dials again."""
    stage = Stage(CallSettings(ping_interval_s=10.0, pong_timeout_s=30.0))
    alice = stage.join("alice")
    outputs = stage.pass_ms(38_999)
    assert closed(outputs) == []
    assert of_type(alice.received, Ping) == [Ping()] * 3
    has_ended(alice, stage.pass_ms(1), "silent", "keep_alive_timeout")


def test_a_client_that_answers_its_pings_stays() -> None:
    stage = Stage()
    alice = stage.join("alice")
    for _ in range(30):
        stage.pass_ms(10_000)
        stage.say(alice, Pong())
    assert stage.focus.snapshot()["counts"]["participants"] == 1


def test_a_client_that_answers_no_offer_is_ended() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    stage.answers_offers = False
    stage.subscribe(bob, ("alice-stream", "alice-video"))
    assert closed(stage.pass_ms(14_999)) == []
    outputs = stage.pass_ms(1)
    assert closed(outputs) == [bob.leg]
    assert counted(outputs, "leaves") == [{"reason": "unusable"}]
    assert letters(outputs, Hangup)[0].reason == "unknown_error"


def test_a_leg_may_become_unusable_in_the_turn_in_which_others_are_told() -> None:
    stage = Stage()
    alice = stage.join("alice")
    bob = stage.join("bob")
    stage.answers_offers = False
    stage.subscribe(bob, ("alice-stream", "alice-video"))
    stage.pass_ms(14_800)
    stage.say(alice, '{"type":"m.call.sdp_stream_metadata_changed","content":{"sdp_stream_metadata":{}}}')
    assert closed(stage.pass_ms(1_000)) == [bob.leg]


def test_when_the_process_ends_every_leg_is_hung_up() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob", conf_id="conf-2")
    outputs = stage.give(ShuttingDown())
    assert closed(outputs) == [alice.leg, bob.leg]
    assert counted(outputs, "leaves") == [{"reason": "shutdown"}] * 2
    assert {one.reason for one in letters(outputs, Hangup)} == {"unknown_error"}
    assert len(of_type(outputs, ForgetLeg)) == 2
    assert stage.focus.next_timeout() is None


def test_a_call_ends_with_its_last_leg_and_begins_anew() -> None:
    stage = Stage()
    alice = stage.join("alice")
    first = stage.focus.snapshot()["calls"][0]["conference"]
    stage.send(alice, Hangup(alice.envelope()))
    assert stage.focus.snapshot()["counts"]["calls"] == 0
    stage.redial(alice, "alice-call-2")
    assert stage.focus.snapshot()["calls"][0]["conference"] != first


def test_an_encrypted_leg_is_hung_up_encrypted() -> None:
    stage = Stage()
    alice = stage.join("alice", is_encrypted=True)
    outputs = stage.state(membership(alice.user_id, "leave"))
    assert [one.is_encrypted for one in of_type(outputs, SendToDevice)] == [True]


def test_every_loss_and_every_failure_is_an_ending() -> None:
    assert {ending_of_loss(gone) for gone in Gone} <= set(Ending)
    assert ending_of_failure("anything else") is Ending.FAILED
