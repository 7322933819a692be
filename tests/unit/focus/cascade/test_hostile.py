"""Foci that are strangers, and foci that lie: nothing of it gets in, and what was there goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sfu.config import LimitsConfig
from sfu.units import Kind, Rid
from signalling.events import data_channel, to_device
from signalling.events.cascade import ConnectToFocus
from signalling.events.data_channel import MetadataChanged, Negotiate, SubscribedTrack, TrackSubscription
from signalling.events.metadata import StreamMetadata, TrackMetadata
from signalling.events.ours import StatsRequest
from signalling.events.room_state import FocusDevice
from signalling.focus.cascade.hops import MAX_HOPS
from signalling.focus.cascade.settings import ALONE, CascadeSettings, RelayRule
from signalling.focus.turn import MessageReceived, SendToDevice
from tests.unit.conference.caller import Caller, of_type
from tests.unit.focus.cascade.circle import (
    ALICE_VIDEO,
    Circle,
    disbelieved,
    endings,
    focus_of,
    notes,
    refusals,
    two,
)
from tests.unit.focus.stage import CONF, ROOM, Client, counted, letters, membership

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_ALIKE = focus_of("z")


def invite_of(
    focus: FocusDevice,
    call_id: str = "0" * 32,
    *,
    room_id: str | None = ROOM,
    conf_id: str = CONF,
    sdp: str | None = None,
) -> to_device.Invite:
    """What a focus sends that speaks the dialect: the offer is one that we would make."""
    envelope = to_device.Envelope(call_id, focus.device_id, conf_id, focus.device_id, "sfu", "sfu", seq=0)
    offer = Caller.with_media("trunk", "").offer() if sdp is None else sdp
    return to_device.Invite(envelope, offer, 30_000, (), "@focus:a", room_id)


def stream(
    name: str,
    owner: Client | None,
    *path: FocusDevice,
    tracks: int = 1,
    **fields: Any,  # noqa: ANN401  # of StreamMetadata
) -> StreamMetadata:
    listed = tuple(TrackMetadata(f"{name}-{number}", Kind.VIDEO, 640, 360) for number in range(tracks))
    who = {} if owner is None else {"user_id": owner.user_id, "device_id": owner.device_id}
    return StreamMetadata(name, "m.usermedia", listed, path=path, **(who | fields))


# --- strangers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "invite"),
    [
        ("no_room", lambda: invite_of(focus_of("b"), room_id=None)),
        ("not_in_call", lambda: invite_of(focus_of("b"), room_id="!other:x")),
        ("not_in_call", lambda: invite_of(focus_of("b"), conf_id="another")),
        ("not_named", lambda: invite_of(FocusDevice("@focus:b", "OTHER"))),
    ],
)
def test_a_stranger_is_rejected(reason: str, invite: Callable[[], to_device.Invite]) -> None:
    circle = Circle()
    circle.join("a", "alice")
    circle.announce("b", "bob")
    outputs = circle["a"].give(MessageReceived("@focus:b", invite()))
    (reject,) = letters(outputs, to_device.Reject)
    assert reject.reason == reason
    assert (reject.envelope.dest_session_id, reject.envelope.seq) == ("sfu", 0)
    assert refusals(circle["a"]) == [reason]
    assert notes(circle["a"], "trunk_refused") == [{"reason": reason}]
    assert circle["a"].trunk_legs() == [] or circle["a"].state_of(circle["b"]) == "dialling"


def test_a_focus_that_no_member_names_or_that_is_not_in_the_room_is_rejected() -> None:
    circle = Circle()
    alice = circle.join("a", "alice")
    circle["a"].give(MessageReceived(NOT_ALIKE.user_id, invite_of(NOT_ALIKE)))
    circle.state(circle.says(alice, focus_of("a"), NOT_ALIKE))
    circle["a"].give(MessageReceived(NOT_ALIKE.user_id, invite_of(NOT_ALIKE, "1" * 32)))
    circle.state(membership(NOT_ALIKE.user_id))
    circle["a"].give(MessageReceived(NOT_ALIKE.user_id, invite_of(NOT_ALIKE, "2" * 32)))
    assert refusals(circle["a"]) == ["not_named", "not_joined"]
    assert len(circle["a"].trunk_legs()) == 1


def test_an_invite_of_ones_own_name_is_rejected() -> None:
    circle = Circle()
    circle.join("a", "alice")
    circle["a"].give(MessageReceived("@focus:a", invite_of(focus_of("a"))))
    assert refusals(circle["a"]) == ["myself"]


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("bad_offer", lambda: invite_of(focus_of("b"), sdp="v=0")),
        ("malformed", lambda: to_device.UnreadableInvite(invite_of(focus_of("b")).envelope, "wrong_type")),
    ],
)
def test_an_invite_that_cant_be_answered_is_rejected(
    reason: str, message: Callable[[], to_device.ReceivedMessage]
) -> None:
    circle = Circle(letter_ms=60_000)
    circle.join("a", "alice")
    circle.announce("b", "bob")
    circle["a"].give(MessageReceived("@focus:b", message()))
    assert refusals(circle["a"]) == [reason]
    circle.pass_s(1)
    assert len(circle["a"].trunk_legs()) <= 1


def test_invites_in_plenty_are_rejected_and_old_ones_ignored() -> None:
    circle = Circle()
    circle.join("a", "alice")
    circle.announce("b", "bob")
    for number in range(40):
        circle["a"].give(
            MessageReceived("@focus:b", invite_of(FocusDevice("@focus:b", "X"), f"{number:032x}"))
        )
    assert refusals(circle["a"]).count("too_many_invites") == 35
    assert len(letters(circle["a"].outputs, to_device.Reject)) == 20, "answers are bounded, too"
    circle["a"].give(MessageReceived("@focus:b", invite_of(focus_of("b"), "f" * 32), age_ms=30_000))
    assert counted(circle["a"].outputs, "signalling_messages")[-1]["outcome"] == "expired"


def test_the_limits_of_the_operator_hold_for_trunks() -> None:
    circle = Circle(limits=LimitsConfig(legs_per_call=1))
    circle.join("a", "alice")
    circle.join("b", "bob")
    circle.pass_s(10)
    assert set(refusals(circle["a"])) == {"too_many_in_call"}
    assert circle.legs() == {"a": 0, "b": 0}


def test_no_more_foci_are_remembered_than_there_may_be() -> None:
    circle = Circle()
    alice = circle.join("a", "alice")
    many = [FocusDevice(f"@focus:{number:03}", "FOCUS") for number in range(MAX_HOPS + 8)]
    circle.state(*(membership(one.user_id) for one in many))
    for at in range(0, len(many), 24):
        bob = circle["a"].client(f"bob{at}")
        circle.state(membership(bob.user_id), circle.says(bob, preferred=many[at : at + 24]))
    for number, focus in enumerate(many):
        circle["a"].give(MessageReceived(focus.user_id, invite_of(focus, f"{number:032x}")))
    assert refusals(circle["a"]) == ["too_many_in_call"] * 8
    assert len(circle["a"].trunks()) == MAX_HOPS
    assert alice.leg is not None


def test_a_trunk_is_only_for_who_is_named_by_the_account_that_sends() -> None:
    """Another device of a focus's account can't speak for it, nor end its trunk."""
    circle, alice, bob = two()
    leg = circle["a"].end_to(circle["b"])
    current = circle["a"].focus._calls.leg(leg)
    assert current is not None
    envelope = to_device.Envelope(current.dialled.call_id, "X", CONF, "X", "sfu", "sfu", seq=None)
    circle["a"].give(MessageReceived("@focus:b", to_device.Hangup(envelope)))
    assert circle["a"].trunk_legs() == [leg]
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}


def test_a_client_with_the_account_of_a_focus_is_a_client() -> None:
    circle, _, _ = two()
    outputs = circle["a"].give(
        MessageReceived(
            "@focus:b",
            to_device.Invite(
                to_device.Envelope("c" * 32, "FOCUS", CONF, "FOCUS", "a-session", "sfu", seq=0),
                Caller.with_media("x").offer(),
            ),
        )
    )
    assert letters(outputs, to_device.Answer), "it waits for its member event, as clients do"
    assert len(circle["a"].trunk_legs()) == 1
    circle.pass_s(15)
    assert len(circle["a"].trunk_legs()) == 1
    circle.lose("a", "b")
    circle.pass_s(5)
    assert circle["a"].state_of(circle["b"]) == "up"


# --- lies -------------------------------------------------------------------------------------------------


def test_a_focus_speaks_for_nobody_but_its_own_people() -> None:
    circle = Circle("abc")
    people = {
        name: circle.join(name, who) for name, who in zip("abc", ("alice", "bob", "carol"), strict=True)
    }
    circle.pass_s(1)
    stranger = Client("mallory", Caller.with_media("mallory"))
    b = focus_of("b")
    lies = {
        "own_person": stream("1", people["a"], b),
        "other_focus": stream("2", people["c"], b),
        "not_in_call": stream("3", stranger, b),
        "no_owner": stream("4", None, b),
        "no_path": stream("5", people["b"]),
        "loop": stream("6", people["b"], focus_of("a"), b),
        "too_many_hops": stream("7", people["c"], focus_of("c"), b),
        "too_many_tracks": stream("8", people["b"], b, tracks=17),
    }
    true = stream("bob-stream", people["b"], b)
    circle.tell("b", "a", MetadataChanged((*lies.values(), true)))
    circle.pass_ms(500)
    assert sorted(disbelieved(circle["a"])) == sorted(lies)
    assert notes(circle["a"], "trunk_streams_refused") == [dict.fromkeys(lies, 1)]
    assert circle["a"].seen(people["a"]) == {
        "bob-stream": people["b"].user_id,
        "carol-stream": people["c"].user_id,
    }


def test_an_announcement_with_a_mangled_field_is_refused_whole() -> None:
    circle, alice, bob = two()
    circle.tell(
        "b",
        "a",
        '{"type":"m.call.sdp_stream_metadata_changed","content":{"sdp_stream_metadata":'
        '{"x":{"org.matrix_focus.path":[]}}}}',
    )
    circle.pass_ms(500)
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}
    errors = [one for _, one in circle["b"].heard if isinstance(one, data_channel.Error)]
    assert [one.code for one in errors] == ["malformed"]


def test_lies_in_plenty_fill_neither_the_screen_nor_the_log() -> None:
    circle, alice, bob = two()
    b = focus_of("b")
    for turn in range(4):
        lies = tuple(stream(f"{turn}-{number}", alice, b) for number in range(512))
        circle.tell("b", "a", MetadataChanged(lies))
    assert len(disbelieved(circle["a"])) == 4 * 512
    assert len(notes(circle["a"], "trunk_streams_refused")) == 1
    many = tuple(stream(f"s{number}", bob, b) for number in range(512))
    circle.tell("b", "a", MetadataChanged(many))
    circle.pass_ms(500)
    assert len(circle["a"].seen(alice)) == 16, "as many tracks as anybody may have"
    circle.tell("b", "a", MetadataChanged(()))
    circle.pass_ms(500)
    assert circle["a"].seen(alice) == {}


def test_wishes_for_what_there_is_not_come_to_nothing() -> None:
    circle, alice, _ = two()
    wishes = tuple(SubscribedTrack("nothing", f"t{number}", layers=(Rid("q"),)) for number in range(1_000))
    before = len(circle["a"].outputs)
    circle.tell("b", "a", TrackSubscription(wishes))
    circle.tell("b", "a", TrackSubscription((SubscribedTrack(*ALICE_VIDEO, layers=(Rid("x"),)),)))
    circle.pass_s(1)
    errors = [one for _, one in circle["b"].heard if isinstance(one, data_channel.Error)]
    assert {one.code for one in errors} == {"too_many_subscriptions"}
    assert len(circle["a"].trunk(circle["b"])["layers_wanted"]) == 200
    assert len(circle["a"].outputs) - before < 60
    assert alice.errors() == []


def test_what_is_for_clients_is_not_for_trunks() -> None:
    circle, _, _ = two()
    circle.tell("b", "a", StatsRequest(100))
    circle.tell("b", "a", ConnectToFocus((focus_of("q"),)))
    circle.tell("b", "a", Negotiate("answer", "v=0"))
    circle["a"].tick()
    circle.pass_s(2)
    circle["a"].tick()
    circle.settle()
    types = {one.type for _, one in circle["b"].heard}
    assert "org.matrix_focus.stats" not in types
    assert [one.code for _, one in circle["b"].heard if isinstance(one, data_channel.Error)] == [
        "no_offer_pending"
    ]
    assert circle["a"].state_of(circle["b"]) == "up"


def test_a_stolen_call_id_ends_no_dial() -> None:
    """An invite under the id of our own dial is nobody's but a liar's; one trunk comes up all the same."""
    circle = Circle(letter_ms=500)
    circle.join("a", "alice")
    circle.announce("b", "bob")
    circle.pass_ms(100)
    (leg,) = circle["a"].focus._calls.legs[1:]
    circle["a"].give(MessageReceived("@focus:b", invite_of(focus_of("b"), leg.dialled.call_id)))
    circle.settle()
    assert circle["a"].focus._calls.legs[1:] == (leg,)
    circle.pass_s(3)
    assert circle["a"].state_of(circle["b"]) == "up"
    assert endings(circle["a"]) == []


def test_an_answer_that_is_none_ends_the_dial() -> None:
    circle = Circle(letter_ms=500)
    circle.join("a", "alice")
    circle.announce("b", "bob")
    circle.pass_ms(100)
    (leg,) = circle["a"].focus._calls.legs[1:]
    envelope = replace(invite_of(focus_of("b"), leg.dialled.call_id).envelope, seq=0)
    circle["a"].give(MessageReceived("@focus:b", to_device.Answer(envelope, "v=0")))
    assert endings(circle["a"]) == ["unusable"]
    assert circle["a"].state_of(circle["b"]) == "backing_off"


# --- switched off -----------------------------------------------------------------------------------------


def test_a_focus_whose_cascade_is_off_dials_nobody_and_says_so_to_who_dials_it() -> None:
    circle = Circle(cascade=ALONE)
    circle.join("a", "alice")
    circle.join("b", "bob")
    circle.pass_s(60)
    assert [one.post for one in circle.sites.values()] == [[], []]
    outputs = circle["a"].give(MessageReceived(NOT_ALIKE.user_id, invite_of(NOT_ALIKE)))
    rejects = [one.message for one in of_type(outputs, SendToDevice)]
    assert [one.reason for one in of_type(rejects, to_device.Reject)] == ["no_trunks"]
    assert refusals(circle["a"]) == ["no_trunks"]
    assert counted(circle["a"].outputs, "invites_refused") == []
    # Others that it can't read, too; and not more of them than of those that it could.
    unreadable = to_device.UnreadableInvite(invite_of(NOT_ALIKE, "another").envelope, "no offer")
    circle["a"].give(MessageReceived(NOT_ALIKE.user_id, unreadable))
    for number in range(50):
        circle["a"].give(MessageReceived(NOT_ALIKE.user_id, invite_of(NOT_ALIKE, f"call{number}")))
    assert set(refusals(circle["a"])[2:]) == {"no_trunks", "too_many_invites"}
    assert circle["a"].focus.snapshot()["calls"][0]["trunks"] == []


def test_a_focus_that_is_off_is_no_trouble_to_one_that_is_on() -> None:
    circle = Circle(by_name={"b": ALONE})
    alice = circle.join("a", "alice")
    circle.join("b", "bob")
    circle.pass_s(300)
    assert circle["a"].seen(alice) == {}
    dials = sum(isinstance(one, to_device.Invite) for one in circle["b"].post)
    assert dials <= 14
    assert set(endings(circle["a"])) == {"rejected"}
    assert set(refusals(circle["b"])) == {"no_trunks"}


# --- relays -----------------------------------------------------------------------------------------------


def tree() -> Circle:
    """b passes on; between a and c no datagram goes."""
    relay = RelayRule("@focus:b", "FOCUS")
    circle = Circle("abc", CascadeSettings(enabled=True, max_hops=2, relays=(relay,)))
    circle.cut.add(frozenset("ac"))
    return circle


def test_a_relay_passes_on_what_it_is_announced_with_itself_in_the_path() -> None:
    circle = tree()
    alice = circle.join("a", "alice")
    circle.join("b", "bob")
    carol = circle.join("c", "carol")
    circle.pass_s(5)
    assert set(circle["a"].seen(alice)) == {"bob-stream", "carol-stream"}
    assert set(circle["c"].seen(carol)) == {"alice-stream", "bob-stream"}
    told = [one for _, one in circle["c"].heard if isinstance(one, MetadataChanged)][-1]
    paths = {one.stream_id: one.path for one in told.metadata}
    assert paths["alice-stream"] == (focus_of("a"), focus_of("b"))
    assert disbelieved(circle["a"]) == disbelieved(circle["c"]) == []
    circle.subscribe("c", carol, ALICE_VIDEO)
    circle.pass_s(1)
    asked = [one for _, one in circle["a"].heard if isinstance(one, TrackSubscription)]
    assert [one.track_id for one in asked[-1].subscribe] == ["alice-video"]


def test_who_dials_a_relay_late_is_told_of_everybody() -> None:
    circle = tree()
    alice = circle.join("a", "alice")
    circle.join("b", "bob")
    circle.pass_s(2)
    # c has the higher id: the relay dials it, and then it is c that dials anew.
    carol = circle.join("c", "carol")
    circle.pass_s(2)
    circle.restart("c", tells=False)
    carol = circle["c"].client("carol", session_id=carol.session_id, call_id="carol-call-2")
    circle.call("c", carol)
    circle.pass_s(7)
    assert set(circle["c"].seen(carol)) == {"alice-stream", "bob-stream"}
    assert set(circle["a"].seen(alice)) == {"bob-stream", "carol-stream"}


def test_the_shorter_way_is_taken_when_there_is_one_again() -> None:
    circle = tree()
    alice = circle.join("a", "alice")
    circle.join("b", "bob")
    carol = circle.join("c", "carol")
    circle.pass_s(5)
    assert not circle["a"].trunk(circle["c"])["guests"]
    told = len(of_type(alice.received, MetadataChanged))
    circle.cut.clear()
    circle.pass_s(70)
    assert circle["a"].trunk(circle["c"])["guests"] == [{"user_id": carol.user_id, "device_id": "CAROL"}]
    assert len(of_type(alice.received, MetadataChanged)) == told, "she notices nothing"
    circle.cut.add(frozenset("ac"))
    circle.lose("a", "c")
    circle.pass_s(3)
    assert set(circle["a"].seen(alice)) == {"bob-stream", "carol-stream"}
    assert circle["a"].trunk(circle["c"])["guests"] == []


def test_who_is_named_as_no_relay_passes_nothing_on() -> None:
    circle = Circle("abc", CascadeSettings(enabled=True, max_hops=2))
    circle.cut.add(frozenset("ac"))
    alice = circle.join("a", "alice")
    circle.join("b", "bob")
    circle.join("c", "carol")
    circle.pass_s(5)
    assert set(circle["a"].seen(alice)) == {"bob-stream"}
