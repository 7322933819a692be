from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.focus.turn import StateEvent
from signalling.matrix.answers import (
    STATE_TYPES,
    SYNC_FILTER,
    Invitation,
    JoinedRoom,
    SyncAnswer,
    ToDeviceEvent,
    Transaction,
    read_state,
    read_sync,
    read_transaction,
)
from tests.unit.events.test_to_device import json_values

US = "@focus:a"


def member(state_key: str, sender: str, membership: str = "join") -> dict[str, Any]:
    return {
        "type": "m.room.member",
        "state_key": state_key,
        "sender": sender,
        "content": {"membership": membership},
    }


def as_state(event: dict[str, Any]) -> StateEvent:
    return StateEvent(event["type"], event["state_key"], event["sender"], event["content"])


def test_all_of_a_sync_is_read() -> None:
    alice, bob = member("@alice:a", "@alice:a"), member("@bob:a", "@alice:a", "ban")
    answer = {
        "next_batch": "s1",
        "rooms": {
            "join": {
                "!one:a": {"state": {"events": [alice]}, "timeline": {"events": [bob], "limited": True}},
                "!two:a": {"timeline": {"events": [bob], "limited": False}},
                "!quiet:a": {},
            },
            "invite": {"!three:a": {"invite_state": {"events": [member(US, "@alice:a", "invite")]}}},
            "leave": {"!four:a": {"timeline": {}}},
            "knock": {"!five:a": {}},
        },
        "to_device": {
            "events": [
                {"type": "m.call.invite", "sender": "@alice:a", "content": {"x": 1}},
                {"type": "m.call.hangup", "sender": "@bob:b", "content": {}, "unsigned": {"age": 1_500}},
            ]
        },
        "device_one_time_keys_count": {"signed_curve25519": 12, "curve25519": 1},
        "presence": {"events": ["whatever"]},
    }
    assert read_sync(answer, US) == SyncAnswer(
        next_batch="s1",
        joined=(
            JoinedRoom("!one:a", (as_state(alice),), (as_state(bob),), is_partial=True),
            JoinedRoom("!two:a", (), (as_state(bob),)),
            JoinedRoom("!quiet:a"),
        ),
        invitations=(Invitation("!three:a", "@alice:a"),),
        left=("!four:a",),
        to_device=(
            ToDeviceEvent("m.call.invite", "@alice:a", {"x": 1}),
            ToDeviceEvent("m.call.hangup", "@bob:b", {}, age_ms=1_500),
        ),
        one_time_keys=12,
    )


def test_an_answer_without_a_position_is_none() -> None:
    assert read_sync({}, US) is None
    assert read_sync({"next_batch": 7}, US) is None
    assert read_sync({"next_batch": ""}, US) is None


def test_an_answer_without_news_is_empty() -> None:
    answer = read_sync({"next_batch": "s1", "device_one_time_keys_count": {}}, US)
    assert answer == SyncAnswer("s1", one_time_keys=0)
    assert answer.is_empty
    assert not SyncAnswer("s1", left=("!a:a",)).is_empty


def test_parts_that_are_malformed_are_counted_and_the_rest_is_read() -> None:
    good = {"type": "m.call.hangup", "sender": "@alice:a", "content": {}}
    answer = read_sync(
        {
            "next_batch": "s1",
            "rooms": {
                "join": {
                    "!bad:a": "no object",
                    "!one:a": {
                        "state": {"events": "no array"},
                        "timeline": {"events": [7, {"type": 7}, member("@alice:a", "@alice:a"), {}]},
                    },
                },
                "invite": [],
                "leave": {"!gone:a": None},
            },
            "to_device": {"events": [None, {"type": "m.call.hangup"}, {"sender": "@alice:a"}, good]},
            "device_one_time_keys_count": "many",
        },
        US,
    )
    assert answer is not None
    assert [len(room.timeline) for room in answer.joined] == [1]
    assert answer.to_device == (ToDeviceEvent("m.call.hangup", "@alice:a", {}),)
    assert answer.one_time_keys == 0
    assert answer.malformed == 11


def test_state_of_no_interest_and_timeline_events_are_passed_over() -> None:
    alice = member("@alice:a", "@alice:a")
    topic = {"type": "m.room.topic", "state_key": "", "sender": "@alice:a", "content": {}}
    message = {"type": "m.room.member", "sender": "@alice:a", "content": {}}
    assert read_state([topic, alice, message]) == ((as_state(alice),), 0)
    assert read_state([alice | {"sender": 7}, alice | {"state_key": None}]) == ((), 2)


def test_content_is_handed_on_whatever_it_is() -> None:
    event = member("@alice:a", "@alice:a") | {"content": [7]}
    (read,), malformed = read_state([event])
    assert (read.content, malformed) == ([7], 0)
    del event["content"]
    assert read_state([event])[0][0].content is None


def test_who_invited_us_is_told_by_our_own_member_event_only() -> None:
    events = [member("@alice:a", "@mallory:m", "invite"), member(US, "@alice:a", "invite")]
    answer = read_sync(
        {"next_batch": "s", "rooms": {"invite": {"!r:a": {"invite_state": {"events": events}}}}}, US
    )
    assert answer is not None
    assert answer.invitations == (Invitation("!r:a", "@alice:a"),)


def test_a_negative_or_odd_age_is_none() -> None:
    for age in (-5, True, "7", None, 1.5):
        event = {"type": "t", "sender": "s", "unsigned": {"age": age}}
        answer = read_sync({"next_batch": "s", "to_device": {"events": [event]}}, US)
        assert answer is not None
        assert answer.to_device[0].age_ms == 0


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("redaction", [False, True])
def test_a_gap_and_a_redaction_make_a_room_s_events_partial(limited: bool, redaction: bool) -> None:
    events = [{"type": "m.room.redaction", "redacts": "$event", "sender": "@a:a"}] if redaction else []
    timeline = {"events": events, "limited": limited}
    answer = read_sync({"next_batch": "s", "rooms": {"join": {"!r:a": {"timeline": timeline}}}}, US)
    assert answer is not None
    assert answer.joined == (JoinedRoom("!r:a", is_partial=limited or redaction),)
    assert answer.malformed == 0


def test_the_filter_asks_for_the_state_that_counts_and_for_all_members() -> None:
    room = SYNC_FILTER["room"]
    assert room["state"]["types"] == list(STATE_TYPES)
    assert room["timeline"]["types"] == [*STATE_TYPES, "m.room.redaction"]
    assert room["state"]["lazy_load_members"] is False
    assert {"m.room.member", "m.room.tombstone", "m.room.power_levels"} < set(STATE_TYPES)
    assert {"m.call", "m.call.member"} < set(STATE_TYPES)
    assert {"org.matrix.msc3401.call", "org.matrix.msc3401.call.member"} < set(STATE_TYPES)
    for unwanted in (
        SYNC_FILTER["presence"],
        SYNC_FILTER["account_data"],
        room["ephemeral"],
        room["account_data"],
    ):
        assert unwanted == {"types": []}


@given(
    rooms=json_values,
    to_device=json_values,
    room=st.dictionaries(
        st.sampled_from(["state", "timeline", "invite_state"]),
        st.dictionaries(st.sampled_from(["events", "limited"]), json_values),
    ),
    state=json_values,
)
def test_any_json_gives_an_answer(rooms: object, to_device: object, room: object, state: object) -> None:
    assert read_sync({"next_batch": "s", "rooms": rooms, "to_device": to_device}, US) is not None
    nested = {"next_batch": "s", "rooms": {"join": {"!r:a": room}, "invite": {"!i:a": room}}}
    assert read_sync(nested, US) is not None
    read_state(state)


# --- transactions -----------------------------------------------------------------------------------------


def in_room(room_id: str, event: dict[str, Any]) -> dict[str, Any]:
    return event | {"room_id": room_id}


def test_a_transaction_tells_of_rooms_nothing_but_hints() -> None:
    alice, bob = member("@alice:a", "@alice:a"), member("@bob:a", "@alice:a", "ban")
    body = {
        "events": [
            in_room("!two:a", alice),
            in_room("!one:a", alice),
            in_room("!two:a", bob),
            in_room("!one:a", {"type": "m.room.redaction", "sender": "@alice:a", "redacts": "$x"}),
            in_room("!quiet:a", {"type": "m.room.message", "sender": "@alice:a", "content": {}}),
            in_room("!three:a", member(US, "@alice:a", "invite")),
        ]
    }
    assert read_transaction(body, US) == Transaction(
        rooms=(
            JoinedRoom("!two:a", state=(as_state(alice), as_state(bob))),
            JoinedRoom("!one:a", state=(as_state(alice),), is_partial=True),
        ),
        invitations=(Invitation("!three:a", "@alice:a"),),
    )


def test_a_room_with_nothing_but_a_redaction_is_told_of() -> None:
    redaction = {"type": "m.room.redaction", "sender": "@alice:a"}
    assert read_transaction({"events": [in_room("!one:a", redaction)]}, US).rooms == (
        JoinedRoom("!one:a", is_partial=True),
    )


def test_what_is_malformed_in_a_transaction_is_counted_and_the_rest_is_read() -> None:
    alice = member("@alice:a", "@alice:a")
    body = {"events": [7, alice, in_room("!one:a", alice | {"sender": 7}), in_room("!one:a", alice)]}
    read = read_transaction(body, US)
    assert read.malformed == 3
    assert read.rooms == (JoinedRoom("!one:a", state=(as_state(alice),)),)
    assert read_transaction({"events": {}}, US).malformed == 1
    assert read_transaction({}, US) == Transaction()


@given(
    events=json_values,
    event=st.dictionaries(
        st.sampled_from(["type", "room_id", "state_key", "sender", "content"]),
        st.one_of(json_values, st.sampled_from([*STATE_TYPES, "m.room.redaction", US])),
    ),
)
def test_any_json_gives_a_transaction(events: object, event: dict[str, Any]) -> None:
    read_transaction({"events": events}, US)
    read_transaction({"events": [event]}, US)
