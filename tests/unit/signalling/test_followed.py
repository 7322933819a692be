from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.units import WallTime
from signalling.events.room_state import (
    CALL_MEMBER_TYPES,
    CALL_TYPES,
    ROOM_MEMBER,
    FocusDevice,
    MemberDevice,
    call_content,
    member_content,
)
from signalling.focus.turn import RoomGone, RoomState, StateEvent
from signalling.matrix import followed as followed_module
from signalling.matrix.followed import FOLLOWED_MS, SKEW_MS, FollowedRooms, is_of_a_call
from tests.unit.events.test_to_device import json_values

ROOM, US = "!room:a", "@focus:a"
ALICE, BOB, REMOTE = "@alice:a", "@bob:a", "@carol:elsewhere"
NOW = WallTime(1_700_000_000_000)


def placed(user_id: str, membership: str = "join") -> StateEvent:
    return StateEvent(ROOM_MEMBER, user_id, user_id, {"membership": membership})


def in_call(user_id: str, expires_at: int = NOW + FOLLOWED_MS) -> StateEvent:
    device = MemberDevice("D", "session", WallTime(expires_at), (), (FocusDevice(US, "FOCUS"),))
    return StateEvent(CALL_MEMBER_TYPES[0], user_id, user_id, member_content("conf", (device,)))


def whole(*events: StateEvent) -> RoomState:
    return RoomState(ROOM, events, is_complete=True)


def following(*events: StateEvent) -> FollowedRooms:
    rooms = FollowedRooms(US)
    assert rooms.begin(NOW, ROOM, [ALICE])
    rooms.observe(NOW, whole(*events))
    return rooms


# --- who is where -----------------------------------------------------------------------------------------


def test_who_may_be_there_is_asked_after_those_who_are() -> None:
    rooms = following(placed(ALICE), placed(BOB))
    rooms.doubt(ROOM, [ALICE, REMOTE])
    assert rooms.trusted(ROOM) == (BOB,)
    assert rooms.candidates(ROOM) == (BOB, ALICE)


def test_a_whole_state_says_who_is_there_and_of_other_servers_nobody_counts() -> None:
    rooms = FollowedRooms(US)
    rooms.begin(NOW, ROOM, [ALICE, US])
    assert (rooms.trusted(ROOM), rooms.candidates(ROOM)) == ((), (ALICE, US))
    rooms.observe(NOW, whole(placed(BOB), placed(REMOTE), placed(ALICE, "leave")))
    assert rooms.candidates(ROOM) == (BOB,)


def test_a_change_that_is_known_ends_the_doubt() -> None:
    rooms = following(placed(ALICE), placed(BOB))
    rooms.doubt(ROOM, [ALICE, BOB])
    rooms.observe(NOW, RoomState(ROOM, (placed(ALICE, "ban"), placed(BOB))))
    assert rooms.candidates(ROOM) == (BOB,)


def test_who_turned_out_not_to_be_there_is_not_asked_again() -> None:
    rooms = following(placed(ALICE), placed(BOB))
    rooms.doubt(ROOM, [BOB])
    rooms.dismiss(ROOM, ALICE)
    rooms.dismiss(ROOM, BOB)
    assert rooms.candidates(ROOM) == ()


def test_of_a_room_that_is_not_followed_nothing_is_known() -> None:
    rooms = FollowedRooms(US)
    rooms.doubt(ROOM, [ALICE])
    rooms.dismiss(ROOM, ALICE)
    rooms.forget(ROOM)
    assert (ROOM in rooms, rooms.trusted(ROOM), rooms.candidates(ROOM)) == (False, (), ())


def test_a_room_that_is_gone_is_forgotten() -> None:
    rooms = following(placed(ALICE))
    assert ROOM in rooms
    rooms.observe(NOW, RoomGone(ROOM))
    assert len(rooms) == 0


@pytest.mark.parametrize(
    ("user_id", "expected"), [(ALICE, True), (REMOTE, False), ("alice:a", False), ("@alice:a:8448", False)]
)
def test_a_user_is_local_by_the_whole_name_of_the_server(user_id: str, *, expected: bool) -> None:
    assert FollowedRooms(US).is_local(user_id) is expected


# --- for how long -----------------------------------------------------------------------------------------


def test_a_room_is_quiet_when_nothing_can_be_going_on_there() -> None:
    rooms = following(placed(ALICE))
    assert rooms.quiet(WallTime(NOW + FOLLOWED_MS - 1)) == []
    assert rooms.quiet(WallTime(NOW + FOLLOWED_MS)) == [ROOM]


def test_a_member_keeps_a_room_until_it_has_expired_by_any_clock() -> None:
    expires_at = NOW + 5 * FOLLOWED_MS
    rooms = following(placed(ALICE), in_call(ALICE, expires_at))
    assert rooms.quiet(WallTime(expires_at + SKEW_MS - 1)) == []
    assert rooms.quiet(WallTime(expires_at + SKEW_MS)) == [ROOM]


def test_a_new_call_keeps_a_room_from_then_on() -> None:
    rooms = following(placed(ALICE))
    later = WallTime(NOW + FOLLOWED_MS // 2)
    rooms.observe(later, RoomState(ROOM, (StateEvent(CALL_TYPES[0], "conf", ALICE, call_content()),)))
    assert rooms.quiet(WallTime(NOW + FOLLOWED_MS)) == []
    assert rooms.quiet(WallTime(later + FOLLOWED_MS)) == [ROOM]


def test_no_more_rooms_are_followed_than_there_is_place_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_module, "MAX_FOLLOWED", 2)
    rooms = FollowedRooms(US)
    assert [rooms.begin(NOW, room_id, [ALICE]) for room_id in ("!1:a", "!2:a", "!3:a")] == [True, True, False]
    assert rooms.begin(NOW, "!2:a", [BOB]), "one that is followed already"
    assert rooms.candidates("!2:a") == (ALICE, BOB)
    rooms.forget("!1:a")
    assert rooms.begin(NOW, "!3:a", [ALICE])


# --- what says that there is a call -----------------------------------------------------------------------

LOOK_ALIKE = {"application": "m.call", "call_id": "", "device_id": "D", "focus_active": {"type": "livekit"}}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (StateEvent(CALL_TYPES[0], "conf", ALICE, call_content()), True),
        (StateEvent(CALL_TYPES[1], "conf", ALICE, call_content()), True),
        (StateEvent(CALL_TYPES[0], "conf", ALICE, call_content(terminated=True)), False),
        (StateEvent(CALL_TYPES[0], "conf", ALICE, {"m.intent": "m.room"}), False),
        (StateEvent(CALL_TYPES[0], "conf", ALICE, 7), False),
        (in_call(ALICE), True),
        (StateEvent(CALL_MEMBER_TYPES[0], ALICE, ALICE, member_content("conf", ())), False),
        (StateEvent(CALL_MEMBER_TYPES[0], f"_{ALICE}_D_m.call", ALICE, LOOK_ALIKE), False),
        (StateEvent(CALL_MEMBER_TYPES[0], ALICE, ALICE, None), False),
        (placed(ALICE), False),
    ],
)
def test_an_event_of_a_call_is_told_from_others(event: StateEvent, *, expected: bool) -> None:
    assert is_of_a_call(event) is expected


@given(
    kind=st.sampled_from([*CALL_TYPES, *CALL_MEMBER_TYPES, ROOM_MEMBER]), key=st.text(), content=json_values
)
def test_any_event_can_be_observed(kind: str, key: str, content: Any) -> None:  # noqa: ANN401  # JSON
    rooms = following(placed(ALICE))
    event = StateEvent(kind, key, ALICE, content)
    is_of_a_call(event)
    rooms.observe(NOW, RoomState(ROOM, (event,)))
    assert ROOM in rooms
