"""A leg's place in its call over the turns of room state; endings and grace are in their own files."""

from __future__ import annotations

import pytest

from signalling.focus.turn import RoomGone
from tests.unit.focus.stage import (
    HOUR_MS,
    OTHER_ROOM,
    ROOM,
    Stage,
    call_event,
    closed,
    counted,
    member_event,
    membership,
)


def test_a_member_event_that_is_rewritten_for_a_screen_share_changes_nothing() -> None:
    """CAP: it is rewritten at start and stop of a share, with another expiry."""
    stage = Stage()
    alice = stage.join("alice")
    for names in (["m.usermedia", "m.screenshare"], ["m.usermedia"]):
        event = member_event(alice.user_id, alice.named, expires_at=stage.wall + HOUR_MS)
        (call,) = event.content["m.calls"]  # type: ignore[index]
        call["m.devices"][0]["feeds"] = [{"purpose": name} for name in names]
        assert stage.state(event) == []


def test_state_that_is_read_anew_changes_nothing_that_is_the_same() -> None:
    stage = Stage()
    alice = stage.join("alice")
    outputs = stage.state(
        call_event(),
        membership(alice.user_id),
        member_event(alice.user_id, alice.named, expires_at=HOUR_MS),
        complete=True,
    )
    assert outputs == []


def test_a_leg_that_is_admitted_stays_in_its_room_whatever_another_room_says() -> None:
    stage = Stage()
    alice = stage.join("alice")
    stage.state(
        call_event(), membership(alice.user_id), member_event(alice.user_id, alice.named), room=OTHER_ROOM
    )
    stage.give(RoomGone(OTHER_ROOM))
    assert stage.focus.snapshot()["counts"]["participants"] == 1


@pytest.mark.parametrize("room", [ROOM, OTHER_ROOM])
def test_a_leg_that_is_awaited_ends_when_it_is_named_in_two_rooms_at_once(room: str) -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.state(call_event(), membership(alice.user_id))
    stage.invite(alice)
    named = member_event(alice.user_id, alice.named)
    elsewhere = OTHER_ROOM if room == ROOM else ROOM
    if room == ROOM:
        outputs = stage.state(call_event(), membership(alice.user_id), named, room=elsewhere)
    else:
        stage.state(membership(alice.user_id), named, room=room)
        outputs = stage.state(call_event(), room=room)
    assert closed(outputs) == [alice.leg]
    assert counted(outputs, "leaves") == [{"reason": "ambiguous"}]


def test_the_state_of_one_room_is_no_concern_of_legs_admitted_to_another() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.client("bob")
    stage.enter(bob, room=OTHER_ROOM)
    stage.invite(bob)
    assert closed(stage.give(RoomGone(OTHER_ROOM))) == [bob.leg]
    assert alice.leg is not None


def test_events_that_are_ignored_are_counted() -> None:
    stage = Stage()
    forged = member_event("@alice:example.org", ("A", "s"))
    outputs = stage.state(
        type(forged)(forged.type, forged.state_key, "@eve:example.org", forged.content),
        type(forged)(forged.type, forged.state_key, forged.sender, []),
    )
    assert counted(outputs, "signalling_messages") == [
        {"direction": "received", "type": "state", "outcome": why} for why in ("forged", "malformed")
    ]
