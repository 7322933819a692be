from __future__ import annotations

import json

import pytest

from signalling.events.to_device import Candidates, Hangup, MetadataChanged, Negotiate, SelectAnswer
from signalling.focus.restart import REPLIES_AT_ONCE
from signalling.focus.turn import ForgetLeg, KeepLeg, LegsRestored, MessageReceived, Note, SendToDevice
from tests.unit.conference.caller import of_type
from tests.unit.focus.stage import FOCUS_DEVICE, Stage, counted, letters


def test_a_restarted_focus_hangs_up_the_legs_of_the_one_before() -> None:
    """CAP: a to-device hangup with the old ids and no `seq` shortens 37 s of waiting to 5 s and less."""
    before = Stage()
    bob = before.join("bob", is_encrypted=True)
    kept = of_type(before.outputs, KeepLeg)
    after = Stage()
    outputs = after.give(LegsRestored(tuple((one.key, one.record) for one in kept)))
    (sent,) = of_type(outputs, SendToDevice)
    assert (sent.user_id, sent.device_id, sent.is_encrypted) == (bob.user_id, bob.device_id, True)
    assert isinstance(sent.message, Hangup)
    assert sent.message.reason == "unknown_error"
    envelope = sent.message.envelope
    assert (envelope.call_id, envelope.conf_id) == (bob.call_id, bob.conf_id)
    assert envelope.dest_session_id == bob.session_id
    assert envelope.party_id == FOCUS_DEVICE
    assert envelope.seq is None
    assert of_type(outputs, ForgetLeg) == [ForgetLeg(kept[0].key)]
    assert counted(outputs, "leaves") == [{"reason": "restart"}]


def test_all_legs_are_hung_up_however_many_a_user_has() -> None:
    record = {"user_id": "@a:x", "device_id": "A", "conf_id": "c", "session_id": "s", "is_encrypted": False}
    legs = tuple((str(number), json.dumps({**record, "call_id": str(number)})) for number in range(200))
    assert len(letters(Stage().give(LegsRestored(legs)), Hangup)) == 200


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"user_id": 3}', "{", '{"user_id": "@a:x"}'])
def test_a_record_that_can_not_be_read_is_forgotten(record: str) -> None:
    outputs = Stage().give(LegsRestored((("key", record),)))
    assert letters(outputs, Hangup) == []
    assert of_type(outputs, ForgetLeg) == [ForgetLeg("key")]
    assert [one.event for one in of_type(outputs, Note)] == ["leg_record_unreadable"]


def test_an_invite_that_comes_again_after_a_restart_is_answered() -> None:
    # The sync position moves only after handling: what was not answered before comes again.
    before = Stage()
    bob = before.client("bob")
    before.enter(bob)
    invite = bob.invite()
    before.send(bob, invite)
    after = Stage()
    again = after.client("bob")
    after.give(LegsRestored(tuple((one.key, one.record) for one in of_type(before.outputs, KeepLeg))))
    after.enter(again)
    after.send(again, invite)
    assert again.leg is not None


def test_what_only_a_client_with_a_leg_sends_is_answered_at_once() -> None:
    stage = Stage()
    bob = stage.client("bob")
    stage.enter(bob)
    for message in (
        SelectAnswer(bob.envelope(), FOCUS_DEVICE),
        Negotiate(bob.envelope(), "offer", "v=0"),
        MetadataChanged(bob.envelope(), ()),
    ):
        (hangup,) = letters(stage.send(bob, message), Hangup)
        assert hangup.reason == "unknown_error"
        assert hangup.envelope.seq is None
        assert hangup.envelope.call_id == bob.call_id
        assert hangup.envelope.dest_session_id == bob.session_id


def test_candidates_may_have_overtaken_their_invite_and_are_answered_when_it_does_not_come() -> None:
    stage = Stage()
    bob = stage.client("bob")
    outputs = stage.send(bob, Candidates(bob.envelope(), ()))
    outputs += stage.pass_ms(4_999)
    assert outputs == []
    outputs = stage.pass_ms(1)
    assert len(letters(outputs, Hangup)) == 1
    assert [one["outcome"] for one in counted(outputs, "signalling_messages")] == ["unknown_leg"]


def test_whoever_sends_for_nothing_is_not_answered_for_ever() -> None:
    stage = Stage()
    bob, carol = stage.client("bob"), stage.client("carol")
    outputs = []
    for _ in range(100):
        outputs += stage.send(bob, SelectAnswer(bob.envelope(), FOCUS_DEVICE))
    assert len(letters(outputs, Hangup)) == REPLIES_AT_ONCE
    assert len(counted(outputs, "signalling_messages")) == 100
    assert letters(stage.send(carol, SelectAnswer(carol.envelope(), FOCUS_DEVICE)), Hangup)
    stage.pass_ms(1_000)
    assert letters(stage.send(bob, SelectAnswer(bob.envelope(), FOCUS_DEVICE)), Hangup)


def test_a_hangup_is_never_answered_with_one() -> None:
    stage = Stage()
    bob = stage.client("bob")
    assert stage.send(bob, Hangup(bob.envelope())) == []


def test_an_encrypted_message_of_an_unknown_leg_is_answered_encrypted() -> None:
    stage = Stage()
    bob = stage.client("bob", is_encrypted=True)
    outputs = stage.give(
        MessageReceived(bob.user_id, SelectAnswer(bob.envelope(), FOCUS_DEVICE), bob.device_id)
    )
    assert [one.is_encrypted for one in of_type(outputs, SendToDevice)] == [True]
