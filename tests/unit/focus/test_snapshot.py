from __future__ import annotations

import json
from typing import Any

import numpy as np
from rich.console import Console

from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.conference.turn import LegConnected
from sfu.plane import SetRoute
from sfu.rows import ROUTE_DTYPE, StructArray
from signalling.cli.tables import calls_tree
from signalling.events.data_channel import SubscribedTrack, TrackSubscription
from signalling.focus.turn import RoomState
from tests.unit.conference.caller import encoding_rows, of_type, report_of
from tests.unit.focus.stage import Client, Stage, call_event, membership

ALICE_VIDEO = ("alice-stream", "alice-video")


def members(stage: Stage) -> dict[str, Any]:
    return {one["user_id"]: one for call in stage.focus.snapshot()["calls"] for one in call["members"]}


def decided(stage: Stage, bob: Client) -> None:
    """Bob is given the middle encoding of alice's video, the lowest still flows."""
    (route,) = [one for one in of_type(stage.outputs, SetRoute) if one.transport == bob.leg]
    decisions: StructArray = np.zeros(1, DECISION_DTYPE)
    decisions["route"], decisions["wanted_encoding"], decisions["chosen_encoding"] = route.route, 2, 1
    decisions["cause"] = Cause.BUDGET
    routes: StructArray = np.zeros(1, ROUTE_DTYPE)
    routes["route"], routes["encoding"], routes["packets_sent"] = route.route, 0, 7
    stage.give(report_of(stage.now, routes=routes, decisions=decisions))


def test_a_call_is_shown_with_its_members_tracks_and_what_flows() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob", "audio")
    stage.subscribe(bob, ALICE_VIDEO)
    decided(stage, bob)
    snapshot = stage.focus.snapshot()
    assert json.loads(json.dumps(snapshot)) == snapshot
    assert snapshot["counts"] == {
        "calls": 1,
        "participants": 2,
        "tracks": 3,
        "subscriptions": 1,
        "invites_waiting": 0,
        "rooms": 1,
    }
    shown = members(stage)
    assert shown["@alice:example.org"]["device_id"] == "ALICE"
    audio, video = shown["@alice:example.org"]["tracks"]
    assert (audio["kind"], video["kind"], video["source"]) == ("audio", "video", "camera")
    assert [one["rid"] for one in video["encodings"] if one["live"]] == ["q", "h", "f"]
    (subscription,) = shown["@bob:example.org"]["subscriptions"]
    assert (subscription["kind"], subscription["from"]) == ("video", "@alice:example.org")
    assert [subscription[name] for name in ("current", "wanted", "chosen")] == ["q", "f", "h"]
    assert (subscription["cause"], subscription["packets_sent"]) == ("waiting", 7)
    assert subscription["why"] == "You get 320x180 until 640x360 begins with its next key frame."


def test_a_wish_is_shown_as_it_was_made() -> None:
    stage = Stage()
    bob = stage.join("bob")
    wish = SubscribedTrack(*ALICE_VIDEO, 640, 360, is_pinned=True, is_visible=False)
    stage.say(bob, TrackSubscription((wish,)))
    (subscription,) = members(stage)["@bob:example.org"]["subscriptions"]
    shown = [subscription[name] for name in ("width", "height", "pinned", "visible")]
    assert shown == [640, 360, True, False]


def test_a_wish_for_nothing_is_shown_as_one() -> None:
    stage = Stage()
    alice = stage.join("alice")
    stage.subscribe(alice, ("nobody", "nothing"))
    (subscription,) = members(stage)["@alice:example.org"]["subscriptions"]
    assert [subscription[name] for name in ("kind", "from", "cause")] == ["track", "nobody", "not_published"]
    assert (subscription["current"], subscription["wanted"]) == (None, None)


def test_the_states_of_a_member() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.give(RoomState("!room:example.org", (call_event(), membership(alice.user_id))))
    stage.invite(alice)
    states = [members(stage)["@alice:example.org"]["state"]]
    stage.connect(alice)
    states.append(members(stage)["@alice:example.org"]["state"])
    stage.enter(alice)
    states.append(members(stage)["@alice:example.org"]["state"])
    bob = stage.client("bob")
    stage.enter(bob)
    stage.invite(bob)
    assert bob.leg is not None
    stage.give(LegConnected(bob.leg))
    states.append(members(stage)["@bob:example.org"]["state"])
    assert states == ["connecting", "waiting", "connected", "no_channel"]


def test_who_speaks_is_shown_by_leg() -> None:
    stage = Stage()
    alice = stage.join("alice")
    track = min(stage.tracks)
    for _ in range(30):
        stage.give(report_of(stage.now, encodings=encoding_rows((track, 0, 10))))
        stage.pass_ms(50)
    (speaker,) = stage.focus.snapshot()["calls"][0]["speakers"]
    assert speaker["leg"] == alice.leg


def test_the_command_line_can_show_it() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    stage.subscribe(bob, ALICE_VIDEO)
    decided(stage, bob)
    stage.subscribe(bob, ("nobody", "nothing"))
    with Console(width=200) as printed, printed.capture() as capture:
        printed.print(calls_tree(stage.focus.snapshot()["calls"]))
    text = capture.get()
    assert "@bob:example.org BOB  connected" in text
    assert "receives video of @alice:example.org" in text
    assert "waiting" in text
    assert "not_published" in text


def test_an_encoding_that_a_track_does_not_have_is_shown_as_none() -> None:
    # Decisions are a tick older than what the publisher says.
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob", "audio")
    stage.subscribe(bob, ("alice-stream", "alice-audio"))
    decided(stage, bob)
    (subscription,) = members(stage)["@bob:example.org"]["subscriptions"]
    assert [subscription[name] for name in ("current", "wanted", "chosen")] == ["", None, None]
