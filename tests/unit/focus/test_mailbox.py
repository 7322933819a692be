"""To-device messages after the invite: whose they are, and in which order (protocol: sections 4.3 to 4.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sfu.conference.turn import DataChannelClosed
from signalling.events.data_channel import MetadataChanged as ChannelMetadataChanged
from signalling.events.data_channel import Negotiate as ChannelNegotiate
from signalling.events.to_device import (
    Answer,
    Candidate,
    Candidates,
    Envelope,
    Hangup,
    Invite,
    MetadataChanged,
    Negotiate,
    Reject,
    SelectAnswer,
    ToDeviceMessage,
    UnreadableInvite,
    parse_to_device,
)
from signalling.focus.ordering import MAX_EARLY
from signalling.focus.settings import CallSettings
from signalling.focus.turn import MessageReceived, SendToDevice
from tests.unit.conference.caller import of_type
from tests.unit.focus.stage import (
    FOCUS_DEVICE,
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


def outcomes(outputs: list[object]) -> list[str]:
    return [one["outcome"] for one in counted(outputs, "signalling_messages")]


def select(client: Client, party_id: str = FOCUS_DEVICE) -> SelectAnswer:
    return SelectAnswer(client.envelope(), party_id)


def test_choosing_our_answer_changes_nothing() -> None:
    stage = Stage()
    alice = stage.join("alice")
    assert stage.send(alice, select(alice)) == []


def test_choosing_another_answer_ends_the_leg_in_silence() -> None:
    stage = Stage()
    alice = stage.join("alice")
    outputs = stage.send(alice, select(alice, "ANOTHERDEVICE"))
    assert closed(outputs) == [alice.leg]
    assert counted(outputs, "leaves") == [{"reason": "other_party"}]
    assert of_type(outputs, SendToDevice) == []


def test_a_hangup_ends_the_leg_in_silence() -> None:
    stage = Stage()
    alice = stage.join("alice")
    outputs = stage.send(alice, Hangup(alice.envelope(), "user_hangup"))
    assert closed(outputs) == [alice.leg]
    assert counted(outputs, "leaves") == [{"reason": "hangup"}]
    assert of_type(outputs, SendToDevice) == []
    # Others: tab close sends more, late (CAP).
    assert outcomes(stage.send(alice, Hangup(alice.envelope()))) == ["ended"]


def test_candidates_are_taken_and_not_needed() -> None:
    """CAP: the first batch follows 15 to 210 ms after the invite, later ones at any time in the call."""
    stage = Stage()
    alice = stage.join("alice")
    batch = (Candidate("candidate:1 1 udp 1 h.local 9 typ host", "0", 0), Candidate(""))
    assert stage.send(alice, Candidates(alice.envelope(), batch)) == []


def test_messages_are_taken_in_the_order_of_their_numbers() -> None:
    stage = Stage()
    alice = stage.join("alice")
    candidates, choice = alice.envelope(), alice.envelope()
    assert stage.send(alice, SelectAnswer(choice, "ANOTHERDEVICE")) == []
    outputs = stage.send(alice, Candidates(candidates, ()))
    assert closed(outputs) == [alice.leg]


def test_a_missing_message_is_given_up_after_a_while() -> None:
    stage = Stage(CallSettings(seq_gap_s=5.0))
    alice = stage.join("alice")
    alice.envelope()
    stage.send(alice, SelectAnswer(alice.envelope(), "ANOTHERDEVICE"))
    assert closed(stage.pass_ms(4_999)) == []
    assert closed(stage.pass_ms(1)) == [alice.leg]


def test_a_gap_before_something_unimportant_is_over_when_it_is_given_up() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice)
    alice.envelope()
    stage.send(alice, Candidates(alice.envelope(), ()))
    assert closed(stage.pass_ms(5_000)) == []
    due = stage.focus.next_timeout()
    assert due is not None
    assert due > stage.now
    assert closed(stage.send(alice, Hangup(alice.envelope()))) == [alice.leg]


def test_what_comes_after_the_message_that_ended_a_leg_is_late() -> None:
    stage = Stage()
    alice = stage.join("alice")
    first, hangup, after = alice.envelope(), alice.envelope(), alice.envelope()
    stage.send(alice, SelectAnswer(after, FOCUS_DEVICE))
    stage.send(alice, Hangup(hangup))
    outputs = stage.send(alice, Candidates(first, ()))
    assert closed(outputs) == [alice.leg]
    assert outcomes(outputs) == ["ended"]


def test_a_message_without_a_number_does_not_wait() -> None:
    stage = Stage()
    alice = stage.join("alice")
    alice.envelope()
    unnumbered = SelectAnswer(alice.envelope(numbered=False), "ANOTHERDEVICE")
    assert closed(stage.send(alice, unnumbered)) == [alice.leg]


def test_a_lower_number_is_ignored() -> None:
    """CAP: clients ignore a `seq` that is lower than expected, and so does the focus."""
    stage = Stage()
    alice = stage.join("alice")
    late = replace(alice.envelope(), seq=0)
    assert outcomes(stage.send(alice, SelectAnswer(late, "ANOTHERDEVICE"))) == ["late"]
    assert stage.focus.snapshot()["counts"]["participants"] == 1


def test_a_client_that_numbers_nothing_is_served() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    invite = Invite(alice.envelope(numbered=False), alice.caller.offer(), metadata=alice.metadata())
    stage.send(alice, invite)
    assert alice.leg is not None
    assert stage.send(alice, SelectAnswer(alice.envelope(numbered=False), FOCUS_DEVICE)) == []
    # Should it begin to count now, it begins with 0.
    assert closed(stage.send(alice, Hangup(alice.envelope()))) == [alice.leg]


@pytest.mark.parametrize("numbered", [True, False])
def test_candidates_that_overtook_their_invite_come_after_it(numbered: bool) -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    invite = alice.invite()
    early = Candidates(alice.envelope(numbered=numbered), (Candidate("candidate:1"),))
    assert stage.send(alice, early) == []
    outputs = stage.send(alice, invite)
    assert letters(outputs, Answer)
    assert outcomes(outputs) == []
    # The number of what was early is not waited for.
    assert closed(stage.send(alice, Hangup(alice.envelope()))) == [alice.leg]
    assert outcomes(stage.pass_ms(60_000)) == []


def test_candidates_of_an_invite_that_is_rejected_are_not_answered() -> None:
    """CAP: the candidates of a rejected invite follow 15 to 40 ms later."""
    stage = Stage()
    eve = stage.client("eve")
    early = Candidates(eve.envelope(), ())
    stage.send(eve, early)
    outputs = stage.invite(eve)
    assert len(letters(outputs, Reject)) == 1
    outputs = stage.send(eve, Candidates(eve.envelope(), ()))
    outputs += stage.pass_ms(60_000)
    assert of_type(outputs, SendToDevice) == []


def test_more_early_candidates_than_are_kept_are_refused() -> None:
    stage = Stage()
    eve = stage.client("eve")
    for _ in range(MAX_EARLY):
        assert stage.send(eve, Candidates(eve.envelope(), ())) == []
    assert outcomes(stage.send(eve, Candidates(eve.envelope(), ()))) == ["unknown_leg"]


def test_a_hangup_that_overtook_its_invite_takes_it_back() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    invite = alice.invite()
    stage.send(alice, Candidates(alice.envelope(), ()))
    stage.send(alice, Hangup(alice.envelope(), "user_hangup"))
    outputs = stage.send(alice, invite)
    assert outcomes(outputs) == ["ended"]
    assert alice.leg is None
    assert stage.pass_ms(60_000) == []


@pytest.mark.parametrize("kind", [Answer, Reject])
def test_what_only_a_focus_says_is_ignored(kind: type[Answer | Reject]) -> None:
    stage = Stage()
    alice = stage.client("alice")
    message: ToDeviceMessage = Answer(alice.envelope(), "v=0") if kind is Answer else Reject(alice.envelope())
    assert outcomes(stage.send(alice, message)) == ["ignored"]
    stage.join("bob")
    bob = stage.clients[-1]
    message = Answer(bob.envelope(), "v=0") if kind is Answer else Reject(bob.envelope())
    assert stage.send(bob, message) == []
    assert stage.focus.snapshot()["counts"]["participants"] == 1


# --- whose ------------------------------------------------------------------------------------------------


def forgeries(client: Client) -> list[ToDeviceMessage]:
    def envelope() -> Envelope:
        return client.envelope(numbered=False)

    return [
        Hangup(envelope()),
        SelectAnswer(envelope(), "ANOTHERDEVICE"),
        MetadataChanged(envelope(), ()),
        Negotiate(envelope(), "offer", client.caller.offer(), metadata=()),
        Invite(envelope(), client.caller.offer()),
    ]


def test_another_user_who_names_a_call_id_does_not_touch_its_leg() -> None:
    stage = Stage()
    alice = stage.join("alice")
    bob = stage.join("bob")
    before = stage.focus.snapshot()
    for message in forgeries(alice):
        outputs = stage.send(alice, message, sender="@eve:example.org")
        assert closed(outputs) == []
        assert {one.user_id for one in of_type(outputs, SendToDevice)} <= {"@eve:example.org"}
    stage.pass_ms(1_000)
    assert stage.focus.snapshot() == before
    assert list(stage.told(bob)) == ["alice-stream"]


@pytest.mark.parametrize("changed", ["sender_session_id", "dest_session_id"])
def test_messages_of_another_session_are_ignored(changed: str) -> None:
    stage = Stage()
    alice = stage.join("alice")
    for message in forgeries(alice):
        fields: dict[str, Any] = {changed: "another"}
        stranger = replace(message, envelope=replace(message.envelope, **fields))
        assert outcomes(stage.send(alice, stranger)) == ["other_session"]
    assert stage.focus.snapshot()["counts"]["participants"] == 1


def test_a_leg_that_was_encrypted_does_not_believe_clear_text() -> None:
    stage = Stage()
    alice = stage.join("alice", is_encrypted=True)
    for message in forgeries(alice):
        outputs = stage.give(MessageReceived(alice.user_id, message))
        assert outcomes(outputs) == ["not_encrypted"]
    assert stage.focus.snapshot()["counts"]["participants"] == 1
    assert closed(stage.send(alice, Hangup(alice.envelope()))) == [alice.leg]


def test_another_device_of_the_user_can_not_speak_for_it() -> None:
    stage = Stage()
    alice = stage.join("alice")
    for message in forgeries(alice)[:-1]:
        outputs = stage.give(MessageReceived(alice.user_id, message, "MALLORY"))
        assert outcomes(outputs) == ["wrong_device"]
    assert stage.focus.snapshot()["counts"]["participants"] == 1


def test_where_olm_is_required_nothing_else_is_heard() -> None:
    stage = Stage(CallSettings(require_olm=True))
    alice = stage.join("alice", is_encrypted=True)
    assert outcomes(stage.give(MessageReceived(alice.user_id, Hangup(alice.envelope())))) == ["olm_required"]


# --- negotiating by to-device messages ----------------------------------------------------------------------


def test_an_offer_by_to_device_is_answered_by_to_device() -> None:
    stage = Stage()
    alice = stage.join("alice")
    offer = Negotiate(alice.envelope(), "offer", alice.caller.offer(), metadata=alice.metadata())
    (answer,) = letters(stage.send(alice, offer), Negotiate)
    assert answer.description_type == "answer"
    assert answer.metadata == ()
    assert answer.envelope.seq == 2


def test_a_client_that_negotiates_by_to_device_is_offered_by_to_device() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    stage.send(bob, Negotiate(bob.envelope(), "offer", bob.caller.offer(), metadata=bob.metadata()))
    outputs = stage.subscribe(bob, ("alice-stream", "alice-video"))
    (offer,) = letters(outputs, Negotiate)
    assert offer.description_type == "offer"
    assert [stream.stream_id for stream in offer.metadata or ()] == ["alice-stream"]
    assert of_type(bob.received, ChannelNegotiate) == []
    # It answered on its channel (as b175 does, CAP), so that is how it is offered next.
    stage.subscribe(bob, ("alice-stream", "alice-audio"))
    assert of_type(bob.received, ChannelNegotiate)


def test_an_answer_by_to_device_is_taken() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    stage.send(bob, Negotiate(bob.envelope(), "offer", bob.caller.offer(), metadata=bob.metadata()))
    stage.answers_offers = False
    (offer,) = letters(stage.subscribe(bob, ("alice-stream", "alice-video")), Negotiate)
    answer = Negotiate(bob.envelope(), "answer", bob.caller.answer(offer.sdp))
    assert "SetRoute" in repr(stage.send(bob, answer))


def test_a_restart_of_ice_by_to_device_leaves_the_channel_in_use() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    bob.caller.ufrag = "wxyz"
    offer = Negotiate(bob.envelope(), "offer", bob.caller.offer(), metadata=bob.metadata())
    outputs = stage.send(bob, offer)
    assert "SetCredentials" in repr(outputs)
    assert [one.description_type for one in letters(outputs, Negotiate)] == ["answer"]
    outputs = stage.subscribe(bob, ("alice-stream", "alice-video"))
    assert letters(outputs, Negotiate) == []
    assert of_type(bob.received, ChannelNegotiate)


def test_a_restart_of_ice_without_a_channel_is_how_a_client_is_told_from_then_on() -> None:
    stage = Stage()
    alice = stage.join("alice")
    bob = stage.join("bob")
    assert bob.leg is not None
    stage.give(DataChannelClosed(bob.leg, 0))
    bob.caller.ufrag = "wxyz"
    stage.send(bob, Negotiate(bob.envelope(), "offer", bob.caller.offer(), metadata=bob.metadata()))
    stage.say(alice, ChannelMetadataChanged(alice.metadata(video_muted=True)))
    (told,) = letters(stage.pass_ms(1_000), MetadataChanged)
    assert told.metadata[0].video_muted


def test_an_offer_that_is_not_answered_is_repeated_the_other_way() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    stage.answers_offers = False
    stage.subscribe(bob, ("alice-stream", "alice-video"))
    (first,) = of_type(bob.received, ChannelNegotiate)
    (second,) = letters(stage.pass_ms(5_000), Negotiate)
    assert (second.description_type, second.sdp) == ("offer", first.sdp)
    stage.pass_ms(5_000)
    assert [one.sdp for one in of_type(bob.received, ChannelNegotiate)] == [first.sdp] * 2


@pytest.mark.parametrize(
    "event_type",
    ["m.call.sdp_stream_metadata_changed", "org.matrix.call.sdp_stream_metadata_changed"],
)
def test_metadata_by_to_device_is_taken_under_both_names(event_type: str) -> None:
    stage = Stage()
    alice = stage.join("alice")
    bob = stage.join("bob")
    changed = MetadataChanged(alice.envelope(), alice.metadata(video_muted=True))
    parsed = parse_to_device(event_type, changed.content())
    assert parsed is not None
    stage.send(alice, parsed)
    stage.pass_ms(1_000)
    assert stage.told(bob)["alice-stream"].video_muted


# --- invites that can't be read ---------------------------------------------------------------------------


def unreadable(client: Client) -> UnreadableInvite:
    return UnreadableInvite(client.envelope(), "missing", "offer")


def rejected(outputs: list[Any]) -> list[str]:
    return [one.reason for one in letters(outputs, Reject)]


def test_an_invite_of_which_only_the_envelope_can_be_read_is_rejected_at_once() -> None:
    """Without a word its client waits for a minute."""
    stage = Stage()
    alice = stage.client("alice")
    outputs = stage.send(alice, unreadable(alice))
    assert rejected(outputs) == ["malformed"]
    assert counted(outputs, "invites_refused") == [{"reason": "malformed"}]
    assert alice.last(Reject).envelope.call_id == alice.call_id
    # The dial is over: what comes late of it is nothing.
    assert outcomes(stage.send(alice, Hangup(alice.envelope()))) == ["ended"]


def test_invites_that_can_not_be_read_are_rejected_at_a_bounded_rate() -> None:
    stage = Stage()
    alice = stage.client("alice")
    reasons = []
    for number in range(40):
        alice.call_id = f"call-{number}"
        reasons += rejected(stage.send(alice, unreadable(alice)))
    assert reasons == ["malformed"] * 5 + ["too_many_invites"] * 15


def test_an_old_invite_that_can_not_be_read_is_dropped_without_a_word() -> None:
    stage = Stage()
    alice = stage.client("alice")
    outputs = stage.send(alice, unreadable(alice), age_ms=60_000)
    assert outcomes(outputs) == ["expired"]
    assert of_type(outputs, SendToDevice) == []


def test_an_invite_that_can_not_be_read_harms_no_leg_and_no_other_invite() -> None:
    stage = Stage()
    alice = stage.join("alice")
    assert outcomes(stage.send(alice, unreadable(alice))) == ["repeated"]
    assert stage.send(alice, Hangup(alice.envelope())) != []
    bob = stage.client("bob")
    for room in (ROOM, OTHER_ROOM):
        stage.state(call_event(), membership(bob.user_id), room=room)
    assert stage.invite(bob) == []
    assert outcomes(stage.send(bob, unreadable(bob))) == ["repeated"]
    stage.state(member_event(bob.user_id, bob.named))
    assert bob.last(Answer).envelope.call_id == bob.call_id


def test_an_invite_that_can_not_be_read_is_held_to_olm_and_its_device_like_any_other() -> None:
    stage = Stage(CallSettings(require_olm=True))
    alice = stage.client("alice")
    assert rejected(stage.send(alice, unreadable(alice))) == ["olm_required"]
    bob = stage.client("bob")
    wrong = MessageReceived(bob.user_id, unreadable(bob), "ANOTHERDEVICE")
    assert rejected(stage.give(wrong)) == ["wrong_device"]
