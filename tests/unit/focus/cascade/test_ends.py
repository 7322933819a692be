"""Trunks that end, and people who leave, are kicked, or move: what both foci make of it."""

from __future__ import annotations

import pytest

from sfu.conference.turn import CloseLeg, LegFailed
from signalling.events.cascade import ConnectToFocus
from signalling.events.data_channel import MetadataChanged
from signalling.events.ours import Drain
from signalling.events.to_device import Hangup, Invite
from signalling.focus.cascade.dialling import DIAL_S
from signalling.focus.turn import DrainAsked, RoomGone, ShuttingDown
from tests.unit.conference.caller import of_type
from tests.unit.focus.cascade.circle import (
    ALICE_VIDEO,
    Circle,
    endings,
    focus_of,
    hangups,
    notes,
    rejects,
    two,
)
from tests.unit.focus.stage import ROOM, call_event, membership

# --- people -----------------------------------------------------------------------------------------------


def test_somebody_who_leaves_is_gone_everywhere() -> None:
    circle, alice, _ = two()
    carol = circle.join("b", "carol")
    assert set(circle["a"].seen(alice).values()) == {"@bob:example.org", "@carol:example.org"}
    circle.state(circle.leaves(carol))
    circle.pass_ms(500)
    assert set(circle["a"].seen(alice).values()) == {"@bob:example.org"}


@pytest.mark.parametrize("state", ["leave", "ban"])
def test_somebody_who_is_kicked_is_gone_at_once_whatever_their_focus_says(state: str) -> None:
    circle, alice, bob = two()
    carol = circle.join("b", "carol")
    circle.state(membership(carol.user_id, state), to="a")
    circle.pass_ms(300)
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}
    assert circle["a"].trunk(circle["b"])["streams_refused"] == 1
    circle.state(membership(carol.user_id), to="a")
    circle.pass_ms(300)
    assert "carol-stream" in circle["a"].seen(alice), "the announcement is judged anew"


def test_somebody_whose_member_event_runs_out_is_gone_then() -> None:
    circle, alice, bob = two()
    carol = circle.join("b", "carol")
    circle.state(circle.says(carol, focus_of("b"), expires_in_ms=10_000), to="a")
    circle.pass_s(309)
    assert "carol-stream" in circle["a"].seen(alice)
    circle.pass_s(2)
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}


def test_somebody_who_moves_to_another_focus_is_never_there_twice() -> None:
    circle, alice, bob = two()
    circle.state(circle.says(bob, focus_of("a")))
    circle.pass_ms(300)
    assert circle["a"].seen(alice) == {}, "room state decides at once"
    moved = circle["a"].client("bob", session_id=bob.session_id, call_id="bob-call-2")
    circle.call("a", moved)
    circle.pass_s(1)
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}
    assert "bob-stream" not in [stream for one in circle["a"].trunks() for stream in one["guests"]]


def test_who_has_a_leg_here_is_no_guest_though_their_event_names_the_other_focus() -> None:
    circle, alice, bob = two()
    here = circle["a"].client("bob", session_id=bob.session_id, call_id="bob-call-2")
    circle.call("a", here)
    circle.pass_s(1)
    assert list(circle["a"].seen(alice).values()) == [bob.user_id]
    assert circle["a"].trunk(circle["b"])["guests"] == []
    assert circle["a"].trunk(circle["b"])["streams_refused"] == 1


def test_mutes_cross() -> None:
    circle, alice, bob = two()
    circle.say("b", bob, MetadataChanged(bob.metadata(video_muted=True)))
    circle.pass_ms(500)
    assert circle["a"].told(alice)["bob-stream"].video_muted


# --- trunks -----------------------------------------------------------------------------------------------


def test_a_focus_that_nobody_names_any_more_is_hung_up() -> None:
    circle, alice, bob = two()
    circle.state(circle.leaves(bob), to="a")
    circle.pass_s(1)
    assert endings(circle["a"]) == ["not_named"]
    assert hangups(circle["b"]) == ["user_hangup"]
    assert circle["a"].state_of(circle["b"]) == "idle"
    assert circle["a"].seen(alice) == {}
    assert notes(circle["a"], "trunk_ended")[0]["reason"] == "not_named"
    assert len(notes(circle["a"], "trunk_up")) == 1
    circle.pass_s(75)
    assert circle["a"].trunks() == []


def test_a_focus_whose_account_leaves_the_room_is_hung_up() -> None:
    circle, alice, _ = two()
    circle.state(membership(focus_of("b").user_id, "leave"), to="a")
    circle.pass_s(1)
    assert endings(circle["a"]) == ["not_named"]
    assert circle["a"].seen(alice) == {}, "bob is seen by a trunk that is not there"


@pytest.mark.parametrize("what", ["call ends", "room gone"])
def test_when_the_call_is_over_so_are_its_trunks(what: str) -> None:
    circle, _, _ = two()
    if what == "call ends":
        circle.state(call_event(terminated=True))
    else:
        for name in "ab":
            circle[name].give(RoomGone(ROOM))
        circle.settle()
    circle.pass_s(300)
    assert circle.legs() == {"a": 0, "b": 0}
    for site in circle.sites.values():
        assert site.focus.snapshot()["calls"] == []
        assert site.focus.next_timeout() is None
        assert not list(site.focus._neighbourhood)
        assert site.records == {}


def test_a_trunk_that_is_lost_comes_back_and_people_stay_listed() -> None:
    circle, alice, bob = two()
    circle.subscribe("b", bob, ALICE_VIDEO)
    circle.pass_s(1)
    circle.lose("a", "b")
    told = len(of_type(alice.received, MetadataChanged))
    circle.pass_ms(400)
    assert circle.legs() == {"a": 0, "b": 0}
    circle.pass_s(2)
    assert circle["a"].state_of(circle["b"]) == "up"
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}
    assert len(of_type(alice.received, MetadataChanged)) == told, "nothing has changed for her"
    assert circle["a"].trunk(circle["b"])["layers_wanted"] == [
        {"stream_id": ALICE_VIDEO[0], "track_id": ALICE_VIDEO[1], "layers": ["q", "h"]}
    ]


def test_what_happened_while_a_trunk_was_away_is_caught_up_with() -> None:
    circle, alice, bob = two()
    carol = circle.join("b", "carol")
    circle.cut.add(frozenset("ab"))
    circle.lose("a", "b")
    circle["b"].send(carol, Hangup(carol.envelope()))
    circle.settle()
    circle.pass_s(31)
    assert set(circle["a"].seen(alice)) == {"bob-stream", "carol-stream"}
    circle.cut.clear()
    circle.pass_s(70)
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}


def test_a_dial_that_finds_nobody_is_repeated_ever_more_slowly() -> None:
    circle = Circle()
    circle.cut.add(frozenset("ab"))
    circle.join("a", "alice")
    circle.join("b", "bob")
    circle.pass_s(600)
    assert set(endings(circle["a"])) <= {"failed", "never_connected", "hangup"}
    dials = sum(isinstance(one, Invite) for one in circle["b"].post)
    assert 6 <= dials <= 12
    circle.cut.clear()
    circle.pass_s(120)
    assert circle["a"].state_of(circle["b"]) == "up"
    assert circle.legs() == {"a": 1, "b": 1}


def test_a_dial_that_is_not_answered_is_given_up() -> None:
    circle = Circle()
    circle.silent.add("b")
    circle.join("a", "alice")
    circle.join("b", "bob")
    circle.pass_s(DIAL_S - 8)
    assert endings(circle["a"]) == []
    circle.pass_s(18)
    assert set(endings(circle["a"])) == {"never_connected"}
    assert set(hangups(circle["b"])) == {"ice_failed"}
    assert circle["a"].dialled == {}
    circle.back("b")
    circle.pass_s(90)
    assert circle["a"].state_of(circle["b"]) == "up"
    assert circle.legs() == {"a": 1, "b": 1}


def test_a_trunk_of_no_use_goes_and_comes_back_when_somebody_shows_something() -> None:
    circle = Circle()
    circle.join("a", "alice", "")
    bob = circle.join("b", "bob", "")
    circle.pass_s(5)
    assert circle["a"].state_of(circle["b"]) == "up"
    circle.pass_s(70)
    assert sorted({circle["a"].state_of(circle["b"]), circle["b"].state_of(circle["a"])}) == ["resting"]
    assert circle.legs() == {"a": 0, "b": 0}
    circle.pass_s(120)
    assert circle.legs() == {"a": 0, "b": 0}
    circle["b"].redial(bob, "bob-call-2")
    circle.settle()
    circle["b"].connect(bob)
    circle.settle()
    circle.pass_s(2)
    assert circle["b"].state_of(circle["a"]) == "up"
    assert len(circle["a"].trunk(circle["b"])["guests"]) == 1


def test_a_dial_is_taken_back_when_our_last_one_leaves() -> None:
    circle = Circle(letter_ms=3_000)
    alice = circle.announce("a", "alice")
    circle.call("a", alice)
    circle.announce("b", "bob")
    circle.pass_ms(100)
    assert circle["a"].state_of(circle["b"]) == "dialling"
    circle.state(circle.leaves(alice))
    circle.pass_s(10)
    assert endings(circle["a"]) == ["not_needed"]
    assert hangups(circle["b"]) == ["user_hangup"]


def test_a_focus_that_restarts_is_in_the_call_again() -> None:
    circle, alice, bob = two()
    circle.restart("b")
    assert circle["a"].state_of(circle["b"]) == "up"
    circle.pass_ms(200)
    assert hangups(circle["a"]) == ["unknown_error"]
    assert circle["a"].state_of(circle["b"]) == "backing_off"
    bob = circle["b"].client("bob", session_id=bob.session_id, call_id="bob-call-2")
    circle.call("b", bob)
    circle.pass_s(3)
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}
    assert circle["b"].seen(bob) == {"alice-stream": alice.user_id}
    assert circle.legs() == {"a": 1, "b": 1}


def test_a_focus_that_restarts_and_has_forgotten_everything_replaces_its_trunk() -> None:
    circle, alice, bob = two()
    circle.restart("a", tells=False)
    alice = circle["a"].client("alice", session_id=alice.session_id, call_id="alice-call-2")
    circle.call("a", alice)
    circle.pass_s(2)
    assert endings(circle["b"]) == ["replaced"]
    assert circle["b"].seen(bob) == {"alice-stream": alice.user_id}
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}


# --- the focus itself -------------------------------------------------------------------------------------


def test_a_focus_that_drains_says_so_and_takes_no_new_trunk() -> None:
    circle = Circle("abc")
    circle.join("a", "alice")
    circle.join("c", "carol")
    circle["c"].give(DrainAsked(60.0))
    circle.settle()
    assert [one for _, one in circle["a"].heard if isinstance(one, Drain)]
    circle.join("b", "bob")
    circle.pass_s(1)
    assert "draining" in rejects(circle["b"])
    assert circle["a"].state_of(circle["c"]) == "up", "its people are still there"
    circle.pass_s(61)
    assert circle["c"].trunk_legs() == []


def test_a_focus_that_stops_hangs_up_its_trunks_and_dials_none() -> None:
    circle, _, _ = two()
    for name in "ab":
        circle[name].give(ShuttingDown())
    circle.settle()
    circle.pass_s(120)
    assert circle.legs() == {"a": 0, "b": 0}
    assert endings(circle["a"])[0] == "shutdown"
    assert not [one for one in circle["b"].post if isinstance(one, Invite)][1:]


def test_a_client_may_say_which_foci_there_are() -> None:
    circle = Circle()
    alice = circle.join("a", "alice")
    bob = circle["b"].client("bob")
    circle.state(membership(bob.user_id), circle.says(bob, preferred=(focus_of("b"),)))
    circle.pass_s(1)
    assert circle["a"].state_of(circle["b"]) == "", "nobody is on it"
    circle.say("a", alice, ConnectToFocus((focus_of("b"), focus_of("nowhere"))))
    circle.pass_s(1)
    assert circle["a"].state_of(circle["b"]) == "up"
    assert len(circle["a"].trunks()) == 1
    assert circle["b"].trunk(circle["a"])["guests"] == [{"user_id": alice.user_id, "device_id": "ALICE"}]


def test_a_leg_that_a_turn_ends_is_closed_on_both_sides() -> None:
    circle, _, _ = two()
    (leg,) = circle["a"].trunk_legs()
    circle["a"].give(LegFailed(leg, "sctp_aborted"))
    circle.settle()
    assert CloseLeg(leg) in circle["a"].outputs
    assert circle["b"].trunk_legs() == []
    assert endings(circle["b"]) == ["closed"]
