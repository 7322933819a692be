from __future__ import annotations

from typing import Any

from signalling.events.ours import Drain
from signalling.events.to_device import Hangup, Reject
from signalling.focus.drain import Drained, Serving
from signalling.focus.turn import DrainAsked, DrainCancelled, Note, ShuttingDown
from tests.unit.conference.caller import of_type
from tests.unit.focus.stage import OTHER_ROOM, Client, Stage, call_event, closed, counted, letters, membership


def drained(outputs: list[Any]) -> list[str]:
    return [one.event for one in of_type(outputs, Note)]


def told(client: Client) -> list[int]:
    return [one.deadline_ms for one in of_type(client.received, Drain)]


def pair() -> tuple[Stage, Client, Client]:
    stage = Stage()
    return stage, stage.join("alice"), stage.join("bob")


def test_everybody_is_told_once_until_when_it_goes_on() -> None:
    stage, alice, bob = pair()
    outputs = stage.give(DrainAsked(60.0))
    assert "drain_began" in drained(outputs)
    assert told(alice) == told(bob) == [60_000]
    stage.pass_ms(20_000)
    assert told(alice) == [60_000]
    assert closed(outputs) == []


def test_while_it_drains_invites_are_rejected_and_legs_go_on() -> None:
    stage, alice, _ = pair()
    stage.give(DrainAsked(60.0))
    carol = stage.client("carol")
    stage.enter(carol)
    outputs = stage.invite(carol)
    assert [one.reason for one in letters(outputs, Reject)] == ["draining"]
    assert counted(outputs, "invites_refused") == [{"reason": "draining"}]
    assert stage.subscribe(alice, ("bob-stream", "bob-video"))


def test_an_invite_that_waits_for_its_member_event_is_rejected_too() -> None:
    stage = Stage()
    alice = stage.client("alice")
    for room in ("!room:example.org", OTHER_ROOM):
        stage.state(call_event(), membership(alice.user_id), room=room)
    assert letters(stage.invite(alice), Reject) == []
    assert [one.reason for one in letters(stage.give(DrainAsked(1.0)), Reject)] == ["draining"]


def test_a_channel_that_opens_meanwhile_is_told_what_is_left() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice)
    stage.give(DrainAsked(60.0))
    stage.pass_ms(10_000)
    stage.connect(alice)
    assert told(alice) == [50_000]


def test_at_the_deadline_who_is_left_is_hung_up() -> None:
    stage, alice, bob = pair()
    stage.give(DrainAsked(10.0))
    assert closed(stage.pass_ms(9_900)) == []
    outputs = stage.pass_ms(200)
    assert closed(outputs) == [alice.leg, bob.leg]
    assert [one.reason for one in letters(outputs, Hangup)] == ["unknown_error"] * 2
    assert counted(outputs, "leaves") == [{"reason": "drained"}] * 2
    assert drained(outputs)[-1] == "drain_ended"
    assert isinstance(stage.focus.drain_state, Drained)
    assert stage.pass_ms(60_000) == []


def test_a_focus_that_stays_after_all_takes_invites_again() -> None:
    stage, alice, _ = pair()
    stage.give(DrainAsked(10.0))
    assert drained(stage.give(DrainCancelled())) == ["drain_cancelled"]
    assert stage.focus.drain_state == Serving()
    carol = stage.join("carol")
    assert carol.leg is not None
    assert closed(stage.pass_ms(20_000)) == []
    assert told(alice) == [10_000]


def test_a_focus_that_stops_while_it_drains_hangs_everybody_up_at_once() -> None:
    stage, alice, bob = pair()
    stage.give(DrainAsked(60.0))
    outputs = stage.give(ShuttingDown())
    assert closed(outputs) == [alice.leg, bob.leg]
    assert counted(outputs, "leaves") == [{"reason": "shutdown"}] * 2
