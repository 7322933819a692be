from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.focus.rooms import MAX_CALLS, MAX_JOINED, MAX_MEMBER_EVENTS, MAX_ROOMS, Rooms, users_concerned
from signalling.focus.turn import RoomState, StateEvent
from tests.unit.focus.stage import CONF, OTHER_ROOM, ROOM, call_event, member_event, membership

ALICE = "@alice:example.org"
CALL_KINDS = ("m.call", "org.matrix.msc3401.call")
MEMBER_KINDS = ("m.call.member", "org.matrix.msc3401.call.member")


def rooms_with(*events: StateEvent) -> Rooms:
    rooms = Rooms()
    assert rooms.apply(RoomState(ROOM, events, is_complete=True)) == []
    return rooms


def sessions(rooms: Rooms, conf_id: str = CONF) -> list[tuple[str, str]]:
    return [(one.device_id, one.session_id) for one in rooms.devices(ROOM, conf_id, ALICE)]


@pytest.mark.parametrize("kind", CALL_KINDS)
def test_a_call_lives_until_it_is_terminated(kind: str) -> None:
    rooms = rooms_with(call_event(kind=kind))
    assert rooms.with_call(CONF) == [ROOM]
    rooms.apply(RoomState(ROOM, (call_event(kind=kind, terminated=True),)))
    assert rooms.with_call(CONF) == []
    rooms.apply(RoomState(ROOM, (call_event(kind=kind),)))
    assert rooms.has_call(ROOM, CONF)


def test_a_call_under_both_types_lives_while_one_of_them_says_so() -> None:
    rooms = rooms_with(*(call_event(kind=kind) for kind in CALL_KINDS))
    rooms.apply(RoomState(ROOM, (call_event(kind=CALL_KINDS[0], terminated=True),)))
    assert rooms.has_call(ROOM, CONF)
    rooms.apply(RoomState(ROOM, (call_event(kind=CALL_KINDS[1], terminated=True),)))
    assert not rooms.has_call(ROOM, CONF)


def test_a_room_may_have_several_live_calls() -> None:
    """CAP: Element Call never wrote `m.terminated`; the last one leaving left the call event as it was."""
    content = {"m.intent": "m.room", "m.type": "m.video", "io.element.ptt": False}
    rooms = rooms_with(*(replace(call_event(conf_id), content=content) for conf_id in ("old", "new")))
    assert rooms.has_call(ROOM, "old")
    assert rooms.has_call(ROOM, "new")


@pytest.mark.parametrize("kind", MEMBER_KINDS)
def test_a_member_event_names_the_devices_that_take_part(kind: str) -> None:
    rooms = rooms_with(member_event(ALICE, ("A", "s1"), ("B", "s2"), kind=kind))
    assert sessions(rooms) == [("A", "s1"), ("B", "s2")]
    assert sessions(rooms, "another") == []
    rooms.apply(RoomState(ROOM, (member_event(ALICE, ("B", "s3"), kind=kind),)))
    assert sessions(rooms) == [("B", "s3")]
    rooms.apply(RoomState(ROOM, (member_event(ALICE, kind=kind),)))
    assert sessions(rooms) == []


def test_devices_under_both_types_all_take_part() -> None:
    rooms = rooms_with(*(member_event(ALICE, (kind, "s"), kind=kind) for kind in MEMBER_KINDS))
    assert {device for device, _ in sessions(rooms)} == set(MEMBER_KINDS)


def test_only_who_is_joined_is_joined() -> None:
    rooms = rooms_with(membership(ALICE), membership("@bob:x", "invite"), membership("@eve:x", "ban"))
    assert rooms.is_joined(ROOM, ALICE)
    assert not rooms.is_joined(ROOM, "@bob:x")
    assert not rooms.is_joined(ROOM, "@eve:x")
    rooms.apply(RoomState(ROOM, (membership(ALICE, "leave"),)))
    assert not rooms.is_joined(ROOM, ALICE)
    rooms.apply(RoomState(ROOM, (membership(ALICE), replace(membership(ALICE), content=[]))))
    assert not rooms.is_joined(ROOM, ALICE)


def test_an_upgraded_room_has_no_calls() -> None:
    rooms = rooms_with(call_event(), membership(ALICE))
    tombstone = StateEvent("m.room.tombstone", "", ALICE, {"replacement_room": "!new:x"})
    for other in (replace(tombstone, state_key="x"), replace(tombstone, content={})):
        rooms.apply(RoomState(ROOM, (other,)))
        assert rooms.has_call(ROOM, CONF)
    rooms.apply(RoomState(ROOM, (tombstone,)))
    assert rooms.is_upgraded(ROOM)
    assert not rooms.has_call(ROOM, CONF)


def test_complete_state_replaces_what_was_known() -> None:
    rooms = rooms_with(call_event(), membership(ALICE), member_event(ALICE, ("A", "s")))
    rooms.apply(RoomState(ROOM, (call_event("other"),), is_complete=True))
    assert not rooms.has_call(ROOM, CONF)
    assert rooms.has_call(ROOM, "other")
    assert not rooms.is_joined(ROOM, ALICE)
    assert sessions(rooms) == []


def test_a_room_that_the_focus_has_left_is_nothing() -> None:
    rooms = rooms_with(call_event(), membership(ALICE), member_event(ALICE, ("A", "s")))
    rooms.drop(ROOM)
    rooms.drop(ROOM)
    assert ROOM not in rooms
    assert rooms.with_call(CONF) == []
    assert not rooms.is_joined(ROOM, ALICE)
    assert not rooms.is_upgraded(ROOM)
    assert sessions(rooms) == []


def test_the_same_call_id_in_two_rooms_is_found_in_both() -> None:
    rooms = rooms_with(call_event())
    rooms.apply(RoomState(OTHER_ROOM, (call_event(),)))
    assert rooms.with_call(CONF) == sorted([ROOM, OTHER_ROOM])
    rooms.drop(ROOM)
    assert rooms.with_call(CONF) == [OTHER_ROOM]


def test_look_alikes_of_matrix_rtc_are_no_members_and_no_calls() -> None:
    # Protocol: section 2.4: no `m.calls` array, another state key, a LiveKit URL.
    flat = {"application": "m.call", "call_id": "", "device_id": "A", "focus_active": {"type": "livekit"}}
    livekit = {"m.intent": "m.room", "m.type": "m.video", "io.element.livekit_service_url": "https://x"}
    rooms = rooms_with(
        StateEvent(MEMBER_KINDS[1], f"_{ALICE}_A_m.call", ALICE, flat),
        StateEvent(MEMBER_KINDS[1], ALICE, ALICE, flat),
        StateEvent(CALL_KINDS[1], CONF, ALICE, livekit),
        StateEvent("m.room.topic", "", ALICE, {"topic": "x"}),
    )
    assert sessions(rooms) == []
    assert rooms.with_call(CONF) == []


def test_a_member_event_that_turns_into_a_look_alike_names_nobody() -> None:
    rooms = rooms_with(member_event(ALICE, ("A", "s")))
    rooms.apply(RoomState(ROOM, (StateEvent(MEMBER_KINDS[1], ALICE, ALICE, {"application": "m.call"}),)))
    assert sessions(rooms) == []


def test_a_member_event_of_another_user_is_forged() -> None:
    rooms = Rooms()
    forged = replace(member_event(ALICE, ("A", "s")), sender="@eve:example.org")
    assert rooms.apply(RoomState(ROOM, (forged,))) == ["forged"]
    assert sessions(rooms) == []


def test_state_that_can_not_be_read_is_as_if_it_were_gone() -> None:
    rooms = rooms_with(call_event(), member_event(ALICE, ("A", "s")))
    broken = (
        replace(call_event(), content=[]),
        replace(member_event(ALICE), content="x"),
        call_event("x" * 300),
    )
    assert rooms.apply(RoomState(ROOM, broken)) == ["malformed"] * 3
    assert not rooms.has_call(ROOM, CONF)
    assert sessions(rooms) == []


def test_what_a_room_can_hold_is_bounded_and_what_it_holds_can_change() -> None:
    rooms = rooms_with(*(call_event(f"conf-{number}") for number in range(MAX_CALLS)))
    assert rooms.apply(RoomState(ROOM, (call_event("more"),))) == ["limit"]
    assert rooms.apply(RoomState(ROOM, (call_event("conf-0"), call_event("conf-1", terminated=True)))) == []
    assert rooms.apply(RoomState(ROOM, (call_event("more"),))) == []

    users = [f"@{number}:x" for number in range(MAX_MEMBER_EVENTS + 1)]
    rooms = rooms_with(*(member_event(user, ("A", "s")) for user in users[:-1]))
    assert rooms.apply(RoomState(ROOM, (member_event(users[-1], ("A", "s")),))) == ["limit"]
    assert rooms.apply(RoomState(ROOM, (member_event(users[0], ("A", "s2")), member_event(users[1])))) == []
    assert rooms.apply(RoomState(ROOM, (member_event(users[-1], ("A", "s")),))) == []


def test_those_joined_beyond_the_limit_take_part_in_nothing() -> None:
    rooms = rooms_with(*(membership(f"@{number}:x") for number in range(MAX_JOINED)))
    assert rooms.apply(RoomState(ROOM, (membership(ALICE),))) == ["limit"]
    assert not rooms.is_joined(ROOM, ALICE)
    assert rooms.apply(RoomState(ROOM, (membership("@0:x"), membership("@1:x", "leave")))) == []
    assert rooms.apply(RoomState(ROOM, (membership(ALICE),))) == []


def test_the_rooms_are_bounded() -> None:
    rooms = Rooms()
    for number in range(MAX_ROOMS):
        assert rooms.apply(RoomState(f"!{number}:x", (), is_complete=True)) == []
    assert rooms.apply(RoomState(ROOM, (call_event(),))) == ["limit"]
    assert ROOM not in rooms
    assert len(rooms) == MAX_ROOMS
    assert rooms.apply(RoomState("!0:x", (call_event(),), is_complete=True)) == []
    rooms.drop("!1:x")
    assert rooms.apply(RoomState(ROOM, (call_event(),))) == []


def test_events_of_one_user_concern_nobody_else() -> None:
    own = (membership("@bob:x"), member_event(ALICE, ("A", "s")))
    assert users_concerned(RoomState(ROOM, own)) == frozenset({ALICE, "@bob:x"})
    assert users_concerned(RoomState(ROOM, own, is_complete=True)) is None
    assert users_concerned(RoomState(ROOM, (*own, call_event()))) is None
    assert users_concerned(RoomState(ROOM, (*own, StateEvent("m.room.tombstone", "", ALICE, {})))) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from(["", ALICE, CONF, "x" * 256])
TYPES = st.sampled_from([*CALL_KINDS, *MEMBER_KINDS, "m.room.member", "m.room.tombstone", "other"])


@given(st.lists(st.builds(StateEvent, TYPES, KEYS, st.just(ALICE), JSON), max_size=8), st.booleans())
def test_any_state_is_taken_or_ignored_with_a_reason(events: list[StateEvent], complete: bool) -> None:
    rooms = rooms_with(call_event(), membership(ALICE), member_event(ALICE, ("A", "s")))
    ignored = rooms.apply(RoomState(ROOM, tuple(events), complete))
    assert set(ignored) <= {"malformed", "forged", "limit"}
    assert rooms.has_call(ROOM, CONF) == (rooms.with_call(CONF) == [ROOM])


def test_the_members_of_a_call_are_the_joined_ones_with_all_their_devices() -> None:
    rooms = rooms_with(
        call_event(),
        *(membership(user) for user in (ALICE, "@bob:x")),
        member_event(ALICE, ("A", "s1"), ("A2", "s2")),
        member_event(ALICE, ("A", "s1"), kind=MEMBER_KINDS[0]),
        member_event("@bob:x", ("B", "s3"), conf_id="another"),
        member_event("@carol:x", ("C", "s4")),
    )
    assert sorted((user, one.device_id) for user, one in rooms.members(ROOM, CONF)) == [
        (ALICE, "A"),
        (ALICE, "A"),
        (ALICE, "A2"),
    ]
    assert [user for user, _ in rooms.members(ROOM, "another")] == ["@bob:x"]
    assert list(rooms.members("!nowhere:x", CONF)) == []
