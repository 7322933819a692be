"""Two and three foci in one call: who dials, who is seen where, what is asked for, how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sfu.conference.turn import Dial, OpenChannel, SetCaps, StartDtls
from sfu.plane import SetRoute
from signalling.events import data_channel
from signalling.events.data_channel import Negotiate, TrackSubscription
from signalling.events.to_device import Answer, Invite, Reject
from signalling.focus.cascade.dialling import Trunk
from signalling.focus.cascade.settings import CascadeSettings
from signalling.focus.settings import CallSettings
from signalling.focus.turn import RoomState
from tests.unit.conference.caller import of_type
from tests.unit.focus.cascade.circle import (
    ALICE_AUDIO,
    ALICE_VIDEO,
    Circle,
    endings,
    focus_of,
    refusals,
    rejects,
    two,
)
from tests.unit.focus.stage import ROOM, membership

if TYPE_CHECKING:
    import pytest

    from sfu.units import Instant
    from signalling.focus.cascade.dialling import Stance, Step


def test_people_on_two_foci_see_each_other() -> None:
    circle, alice, bob = two()
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}
    assert circle["b"].seen(bob) == {"alice-stream": alice.user_id}
    told = circle["b"].told(bob)["alice-stream"]
    assert told.device_id == "ALICE"
    assert {(track.track_id, track.width) for track in told.tracks} == {
        ("alice-audio", None),
        ("alice-video", 1280),
    }
    assert told.path == ()
    assert all(track.layers == () for track in told.tracks)


def test_the_lower_focus_dials_with_an_empty_offer_in_the_room_of_the_call() -> None:
    circle, _, _ = two()
    (invite,) = [one for one in circle["b"].post if isinstance(one, Invite)]
    assert not [one for one in circle["a"].post if isinstance(one, Invite)]
    assert (invite.room_id, invite.invitee) == (ROOM, "@focus:b")
    assert (invite.lifetime_ms, invite.metadata) == (30_000, ())
    assert (invite.envelope.sender_session_id, invite.envelope.dest_session_id) == ("sfu", "sfu")
    assert invite.sdp.count("m=") == 1
    assert len(invite.envelope.call_id) == 32
    (answer,) = [one for one in circle["a"].post if isinstance(one, Answer)]
    assert answer.metadata == ()
    assert answer.envelope.call_id == invite.envelope.call_id


def test_the_dialler_is_told_where_to_find_the_other_and_opens_the_channel() -> None:
    circle, _, _ = two()
    (dial,) = of_type(circle["a"].outputs, Dial)
    assert dial.addresses == (("192.0.2.1", 10_000),)
    assert dial.remote == circle["b"].credentials[circle["b"].end_to(circle["a"])]
    starts = [one for one in of_type(circle["a"].outputs, StartDtls) if one.leg == dial.leg]
    assert [one.is_client for one in starts] == [True]
    assert of_type(circle["a"].outputs, OpenChannel) == [OpenChannel(dial.leg, "datachannel")]
    assert not of_type(circle["b"].outputs, Dial)
    assert not of_type(circle["b"].outputs, OpenChannel)


def test_an_announcement_says_the_layers_and_the_way() -> None:
    circle, _, _ = two()
    announced = [one for _, one in circle["b"].heard if isinstance(one, data_channel.MetadataChanged)]
    (stream,) = announced[-1].metadata
    assert stream.path == (focus_of("a"),)
    assert {track.track_id: track.layers for track in stream.tracks} == {
        "alice-audio": (),
        "alice-video": ("q", "h", "f"),
    }


def test_what_somebody_wants_is_asked_for_and_arrives() -> None:
    circle, _, bob = two()
    circle.subscribe("b", bob, ALICE_VIDEO, ALICE_AUDIO)
    circle.pass_ms(500)
    (asked,) = [one for _, one in circle["a"].heard if isinstance(one, TrackSubscription)]
    assert {(one.track_id, one.layers) for one in asked.subscribe} == {
        ("alice-audio", ()),
        ("alice-video", ("q", "h")),
    }
    there = circle["a"].end_to(circle["b"])
    assert {one.mid for one in of_type(circle["a"].outputs, SetRoute) if one.transport == there}
    assert len([one for one in of_type(circle["b"].outputs, SetRoute) if one.transport == bob.leg]) == 2


def test_it_is_shown_who_is_behind_a_trunk_and_what_goes_over_it() -> None:
    circle, alice, bob = two()
    circle.subscribe("b", bob, ALICE_VIDEO, ("alice-stream", "nothing"))
    circle.pass_s(1)
    snapshot = circle["b"].focus.snapshot()
    assert json.loads(json.dumps(snapshot)) == snapshot
    (call,) = snapshot["calls"]
    assert [one["user_id"] for one in call["members"]] == [bob.user_id]
    assert snapshot["counts"]["participants"] == 1
    layers = {"stream_id": ALICE_VIDEO[0], "track_id": ALICE_VIDEO[1], "layers": ["q", "h"]}
    (trunk,) = call["trunks"]
    since = trunk.pop("since")
    assert circle.wall - 10_000 < since <= circle.wall
    expected = {
        "user_id": "@focus:a",
        "device_id": "FOCUS",
        "state": "up",
        "leg": circle["b"].end_to(circle["a"]),
        "worker": 0,
        "encrypted": False,
        "guests": [{"user_id": alice.user_id, "device_id": "ALICE"}],
        "streams_announced": 1,
        "streams_heard": 1,
        "streams_refused": 0,
        "layers_asked": [layers],
        "layers_wanted": [],
    }
    assert {key: trunk[key] for key in expected} == expected
    assert circle["a"].trunk(circle["b"])["layers_wanted"] == [layers]
    shown, unknown = call["members"][0]["subscriptions"]
    assert [shown[key] for key in ("kind", "source", "from", "device_id")] == [
        *("video", "camera", alice.user_id, "ALICE")
    ]
    assert [unknown[key] for key in ("kind", "source", "from")] == ["track", None, "nobody"]


def test_turns_that_change_nothing_for_trunks_look_at_none(monkeypatch: pytest.MonkeyPatch) -> None:
    circle, _, bob = two()
    circle.pass_s(5)
    looks: list[Trunk] = []
    stand = Trunk.stand

    def noted(trunk: Trunk, now: Instant, stance: Stance) -> list[Step]:
        looks.append(trunk)
        return stand(trunk, now, stance)

    monkeypatch.setattr(Trunk, "stand", noted)
    for _ in range(10):
        circle.subscribe("b", bob, ALICE_VIDEO)
        circle.say("b", bob, data_channel.Ping())
    assert looks == []
    circle.join("b", "carol")
    assert looks != []


def test_nothing_is_asked_for_that_nobody_wants() -> None:
    circle, _, _ = two()
    circle.pass_s(5)
    for site in circle.sites.values():
        assert not [one for _, one in site.heard if isinstance(one, TrackSubscription | Negotiate)]
        assert not of_type(site.outputs, SetRoute)


def test_one_demand_stands_for_all_viewers_and_ends_with_the_last() -> None:
    circle, _, bob = two()
    carol = circle.join("b", "carol", "audio")
    circle.subscribe("b", bob, ALICE_VIDEO, size=(320, 180))
    circle.subscribe("b", carol, ALICE_VIDEO, size=(1280, 720))
    circle.pass_s(1)
    asked = [one for _, one in circle["a"].heard if isinstance(one, TrackSubscription)]
    assert asked[-1].subscribe[0].layers == ("q", "h", "f")
    for client in (bob, carol):
        circle.say("b", client, TrackSubscription(unsubscribe=(data_channel.TrackRef(*ALICE_VIDEO),)))
    circle["b"].tick()
    circle.pass_s(4)
    circle["b"].tick()
    circle.pass_s(1)
    asked = [one for _, one in circle["a"].heard if isinstance(one, TrackSubscription)]
    assert asked[-1].unsubscribe == (data_channel.TrackRef(*ALICE_VIDEO),)
    assert circle["a"].trunk(circle["b"])["layers_wanted"] == []


def test_a_focus_that_wants_olm_is_dialled_with_it() -> None:
    circle = Circle(settings={"b": CallSettings(require_olm=True)})
    alice = circle.join("a", "alice")
    bob = circle.join("b", "bob", is_encrypted=True)
    circle.pass_s(3)
    assert rejects(circle["a"]) == ["olm_required"]
    assert circle["a"].state_of(circle["b"]) == "up"
    assert circle["a"].trunk(circle["b"])["encrypted"]
    assert circle["b"].trunk(circle["a"])["encrypted"]
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}


def test_a_trunk_has_the_ceiling_that_the_operator_gives_it() -> None:
    circle = Circle(cascade=CascadeSettings(enabled=True, budget_bps=5_000_000))
    circle.join("a", "alice")
    circle.join("b", "bob")
    for site in circle.sites.values():
        (leg,) = site.trunk_legs()
        assert of_type(site.outputs, SetCaps) == [SetCaps(leg, max_bps=5_000_000)]


def test_clients_are_told_who_speaks_and_trunks_are_not() -> None:
    circle, _, _ = two()
    circle.pass_s(1)
    for site in circle.sites.values():
        types = {one.type for _, one in site.heard}
        assert types <= {data_channel.METADATA_CHANGED, data_channel.PING, data_channel.PONG}


def test_three_foci_are_a_mesh_and_nobody_is_announced_twice() -> None:
    circle = Circle("abc")
    named = {"a": "alice", "b": "bob", "c": "carol"}
    people = {name: circle.join(name, person) for name, person in named.items()}
    circle.pass_s(2)
    everybody = {f"{one.name}-stream": one.user_id for one in people.values()}
    for name, client in people.items():
        mine = f"{client.name}-stream"
        assert circle[name].seen(client) == {key: who for key, who in everybody.items() if key != mine}
        assert [one["state"] for one in circle[name].trunks()] == ["up", "up"]
        assert [one["streams_announced"] for one in circle[name].trunks()] == [1, 1]
        assert [one["streams_refused"] for one in circle[name].trunks()] == [0, 0]


def test_two_foci_of_which_both_dial_have_one_trunk() -> None:
    circle = Circle(letter_ms=6_000)
    circle.join("a", "alice")
    circle.join("b", "bob")
    circle.pass_s(40)
    assert [sum(isinstance(one, Invite) for one in site.post) for site in circle.sites.values()] == [1, 1]
    assert circle.legs() == {"a": 1, "b": 1}
    assert circle["a"].state_of(circle["b"]) == circle["b"].state_of(circle["a"]) == "up"
    assert sorted(endings(circle["a"]) + endings(circle["b"])) == ["double_dial"]


def test_a_focus_that_hears_late_of_the_call_is_dialled_again_after_its_reject() -> None:
    circle = Circle()
    alice = circle.announce("a", "alice")
    circle.call("a", alice)
    circle.pass_s(1)
    bob = circle["b"].client("bob")
    said = (membership(bob.user_id), circle.says(bob, focus_of("b")))
    # The room of the one that is dialled is behind: it does not know its own client, nor that it is named.
    circle.sites["b"].give(RoomState(ROOM, (), is_complete=True))
    circle.state(*said, to="a")
    circle.pass_s(0.2)
    assert [one.reason for one in circle["a"].post if isinstance(one, Reject)] == ["not_in_call"]
    assert refusals(circle["b"]) == ["not_in_call"]
    assert endings(circle["a"]) == ["rejected"]
    assert circle["a"].state_of(circle["b"]) == "backing_off"
    circle.sites["b"].give(RoomState(ROOM, tuple(circle.events.values()), is_complete=True))
    circle.call("b", bob)
    circle.pass_s(3)
    assert circle["a"].seen(alice) == {"bob-stream": bob.user_id}
