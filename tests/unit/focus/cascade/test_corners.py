"""What seldom happens to trunks: limits, repeats, mistakes of ours, announcements that have no room."""

from __future__ import annotations

import pytest

from sfu.conference.conference import Conference
from sfu.conference.turn import DataChannelClosed, DataChannelOpened, SendData
from sfu.conference.values import LayersDemanded
from sfu.config import LimitsConfig
from sfu.plane import SetRoute
from sfu.units import Kind
from signalling.events import data_channel, to_device
from signalling.events.cascade import ConnectToFocus
from signalling.events.data_channel import MetadataChanged, Negotiate, TrackSubscription
from signalling.events.metadata import StreamMetadata, TrackMetadata
from signalling.focus.cascade.cascade import HOLD_S
from signalling.focus.cascade.hearing import Hearing
from signalling.focus.cascade.settings import ALONE, CascadeSettings, RelayRule
from signalling.focus.turn import MessageReceived, RoomState, ShuttingDown
from tests.unit.conference.caller import Caller, of_type
from tests.unit.focus.cascade.circle import (
    ALICE_VIDEO,
    Circle,
    disbelieved,
    endings,
    focus_of,
    refusals,
    two,
)
from tests.unit.focus.cascade.test_hostile import invite_of
from tests.unit.focus.stage import CONF, OTHER_ROOM, call_event, counted, membership


def invites(site_outputs: list[object]) -> list[str]:
    """What became of invites that nothing was said to."""
    labels = counted(site_outputs, "signalling_messages")
    return [one["outcome"] for one in labels if one["type"] == to_device.INVITE]


def test_what_happens_in_another_room_is_no_concern_of_a_trunk() -> None:
    circle, alice, _ = two()
    told = len(of_type(alice.received, MetadataChanged))
    circle["a"].give(RoomState(OTHER_ROOM, (call_event(),), is_complete=True))
    circle.pass_s(1)
    assert circle["a"].state_of(circle["b"]) == "up"
    assert len(of_type(alice.received, MetadataChanged)) == told


def test_an_invite_that_comes_again_is_not_answered_again() -> None:
    circle, _, _ = two()
    (invite,) = of_type(circle["b"].post, to_device.Invite)
    given = MessageReceived("@focus:a", invite)
    circle["b"].give(given)
    assert invites(circle["b"].outputs) == ["repeated"]
    circle.lose("a", "b")
    circle["b"].give(given)
    assert invites(circle["b"].outputs) == ["repeated", "ended"]
    circle.pass_s(3)
    assert circle.legs() == {"a": 1, "b": 1}


def test_a_client_of_the_same_account_and_call_id_is_not_taken_for_a_trunk() -> None:
    circle = Circle()
    circle.join("a", "alice")
    circle.announce("b", "bob")
    circle.pass_s(1)
    envelope = to_device.Envelope("d" * 32, "FOCUS", CONF, "FOCUS", "a-session", "sfu", seq=0)
    invite = to_device.Invite(envelope, Caller.with_media("x").offer())
    circle["a"].give(MessageReceived("@focus:b", invite))
    circle["a"].give(MessageReceived("@focus:b", invite_of(focus_of("b"), "d" * 32)))
    assert invites(circle["a"].outputs) == ["repeated"]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (LimitsConfig(legs_per_call=2), "too_many_in_call"),
        (LimitsConfig(legs=2), "too_many_legs"),
    ],
)
def test_an_invite_beyond_a_limit_is_rejected(limits: LimitsConfig, reason: str) -> None:
    circle = Circle()
    circle.limits = limits
    circle.sites["b"] = circle._fresh("b")
    circle.state(*circle.events.values(), to="b")
    circle.join("b", "bob")
    circle.join("b", "carol")
    circle.join("a", "alice")
    circle.pass_s(10)
    assert reason in refusals(circle["b"])
    assert "rejected" in endings(circle["a"])
    assert circle["b"].trunk_legs() == []


def test_no_call_beyond_the_limit_is_begun_for_another_focus() -> None:
    circle = Circle()
    circle.limits = LimitsConfig(calls=1)
    circle.sites["b"] = circle._fresh("b")
    circle.state(*circle.events.values(), to="b")
    dave = circle["b"].client("dave", conf_id="conf-2")
    circle["b"].enter(dave)
    circle["b"].invite(dave)
    circle.announce("b", "bob")
    circle.join("a", "alice")
    assert "too_many_calls" in refusals(circle["b"])


def test_a_focus_that_stops_while_it_dials_takes_its_dial_back() -> None:
    circle = Circle(letter_ms=3_000)
    circle.join("a", "alice")
    circle.announce("b", "bob")
    circle.pass_ms(100)
    assert circle["a"].state_of(circle["b"]) == "dialling"
    circle["a"].give(ShuttingDown())
    assert endings(circle["a"]) == ["shutdown"]
    circle.pass_s(100)
    assert circle.legs() == {"a": 0, "b": 0}


def test_a_client_whose_offer_is_none_leaves_nothing_to_be_looked_after() -> None:
    circle = Circle("a")
    alice = circle.announce("a", "alice")
    circle["a"].invite(alice, sdp="v=0")
    assert not list(circle["a"].focus._neighbourhood)
    assert circle["a"].focus.next_timeout() is None


def test_a_client_may_name_foci_to_a_focus_that_stays_alone() -> None:
    circle = Circle("ab", ALONE)
    alice = circle.join("a", "alice")
    circle.say("a", alice, ConnectToFocus((focus_of("b"),)))
    circle.pass_s(10)
    assert alice.errors() == []
    assert circle["b"].post == []


def test_of_streams_that_a_relay_has_by_two_ways_one_way_counts() -> None:
    relay = RelayRule("@focus:b", "FOCUS")
    circle = Circle("abc", CascadeSettings(enabled=True, max_hops=3, relays=(relay,)))
    circle.cut.add(frozenset("ac"))
    alice = circle.join("a", "alice")
    circle.join("b", "bob")
    carol = circle.join("c", "carol")
    circle.pass_s(3)
    ways = ((focus_of("c"), focus_of("b")), (focus_of("c"), focus_of("d"), focus_of("b")))
    streams = tuple(
        StreamMetadata(
            f"s{number}",
            "m.usermedia",
            (TrackMetadata(f"t{number}", Kind.VIDEO),),
            user_id=carol.user_id,
            device_id=carol.device_id,
            path=way,
        )
        for number, way in enumerate(ways)
    )
    circle.tell("b", "a", MetadataChanged(streams))
    circle.pass_s(1)
    assert list(circle["a"].seen(alice)) == ["s0"]
    assert disbelieved(circle["a"]) == []


def test_a_channel_that_opens_anew_is_told_what_is_wanted() -> None:
    circle, _, bob = two()
    here, there = circle["b"].end_to(circle["a"]), circle["a"].end_to(circle["b"])
    circle["b"].give(DataChannelClosed(here, 0))
    circle["a"].give(DataChannelClosed(there, 0))
    circle.subscribe("b", bob, ALICE_VIDEO)
    circle.pass_s(1)
    assert not [one for _, one in circle["a"].heard if isinstance(one, TrackSubscription)]
    (call,) = circle["b"].focus._calls
    demanded = [LayersDemanded(here, (), ())]
    assert circle["b"].focus._outward.pass_on(circle.now, call, demanded) == []
    circle["a"].give(DataChannelOpened(there, 1, "datachannel"))
    circle["b"].give(DataChannelOpened(here, 1, "datachannel"))
    circle.settle()
    circle.pass_s(1)
    asked = [one for _, one in circle["a"].heard if isinstance(one, TrackSubscription)]
    assert [one.track_id for one in asked[-1].subscribe] == ["alice-video"]


def test_a_description_that_leaves_no_room_goes_without_the_announcement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths: list[int] = []
    for limit in (data_channel.MAX_MESSAGE_LENGTH, 0):
        circle = Circle()
        circle.join("b", "alice")  # who is called says more than who dials: where it is found
        bob = circle.join("a", "bob")
        circle.pass_s(1)
        monkeypatch.setattr(data_channel, "MAX_MESSAGE_LENGTH", limit or max(lengths) - 1)
        circle.subscribe("a", bob, ALICE_VIDEO)
        circle.pass_s(1)
        lengths += [len(one.text) for one in of_type(circle["b"].outputs, SendData)]
        (offer,) = [one for _, one in circle["a"].heard if isinstance(one, Negotiate)]
        assert (offer.metadata is None) == (limit == 0)
        assert circle["a"].trunk(circle["b"])["streams_heard"] == 1
        assert [one.transport for one in of_type(circle["a"].outputs, SetRoute)] == [bob.leg]


def test_a_mistake_of_ours_about_trunks_is_raised_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    circle, alice, bob = two()
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        patch.setattr(Hearing, "judge", fail)
        with pytest.raises(RuntimeError, match="a bug"):
            circle["a"].state(membership(bob.user_id, "leave"))
        due_at = circle["a"].focus._cascade.next_timeout()
        assert due_at is not None
        assert due_at - circle.now == HOLD_S * 1e9
    circle.pass_s(HOLD_S)
    assert circle["a"].trunk(circle["b"])["guests"] == []
    circle.pass_ms(500)
    assert circle["a"].seen(alice) == {}


def test_a_mistake_of_ours_about_an_invite_leaves_no_leg(monkeypatch: pytest.MonkeyPatch) -> None:
    circle = Circle()
    circle.join("a", "alice")
    circle.announce("b", "bob")
    circle.pass_ms(10)

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Conference, "offer_received", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        circle["b"].give(MessageReceived("@focus:a", invite_of(focus_of("a"))))
    assert circle["b"].focus._calls.legs == ()
    assert len(circle["b"].focus._calls) == 0
