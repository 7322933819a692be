from __future__ import annotations

import pytest

from sfu.units import WallTime
from signalling.focus.admission import Admission, Gone, Named, NotYetNamed
from signalling.focus.leg import CallKey, Dialled, LegKey
from signalling.focus.refusals import Refusal
from signalling.focus.rooms import Rooms
from signalling.focus.turn import RoomState, StateEvent
from tests.unit.focus.stage import CONF, OTHER_ROOM, ROOM, call_event, member_event, membership

ALICE = "@alice:example.org"
DIAL = Dialled(ALICE, "A", CONF, "call-1")
KEY = LegKey(CallKey(ROOM, CONF), ALICE, "A")
NOW = WallTime(1_000_000)
EXPIRES = 2_000_000
SKEW_S = 300.0
NAMED = member_event(ALICE, ("B", "other"), ("A", "s1"), expires_at=EXPIRES)


def world(*events: StateEvent, other: tuple[StateEvent, ...] = ()) -> Admission:
    rooms = Rooms()
    rooms.apply(RoomState(ROOM, events, is_complete=True))
    rooms.apply(RoomState(OTHER_ROOM, other, is_complete=True))
    return Admission(rooms, SKEW_S)


def test_a_device_that_its_member_event_names_is_in() -> None:
    admission = world(call_event(), membership(ALICE), NAMED)
    assert admission.resolve(NOW, DIAL, "s1") == Named(ROOM, WallTime(EXPIRES))
    assert admission.place(NOW, KEY, "s1") == Named(ROOM, WallTime(EXPIRES))


@pytest.mark.parametrize(
    "events",
    [
        (membership(ALICE), NAMED),
        (call_event(terminated=True), membership(ALICE), NAMED),
        (call_event("another"), membership(ALICE), NAMED),
        (call_event(), NAMED),
        (call_event(), membership(ALICE, "leave"), NAMED),
    ],
)
def test_a_stranger_is_refused(events: tuple[StateEvent, ...]) -> None:
    assert world(*events).resolve(NOW, DIAL, "s1") is Refusal.NOT_IN_CALL


@pytest.mark.parametrize(
    "event",
    [
        member_event(ALICE),
        member_event(ALICE, ("B", "s1"), expires_at=EXPIRES),
        member_event(ALICE, ("A", "s0"), expires_at=EXPIRES),
        member_event(ALICE, ("A", "s1"), expires_at=NOW - 300_000),
        member_event(ALICE, ("A", "s1"), expires_at=EXPIRES, conf_id="another"),
        member_event("@bob:example.org", ("A", "s1"), expires_at=EXPIRES),
    ],
)
def test_where_only_the_member_event_is_missing_it_may_come(event: StateEvent) -> None:
    admission = world(call_event(), membership(ALICE), event)
    assert admission.resolve(NOW, DIAL, "s1") == NotYetNamed((ROOM,))


def test_an_expired_member_event_counts_while_clocks_may_differ() -> None:
    admission = world(call_event(), membership(ALICE), NAMED)
    last = WallTime(EXPIRES + 300_000 - 1)
    assert admission.resolve(last, DIAL, "s1") == Named(ROOM, WallTime(EXPIRES))
    assert admission.left_ms(last, WallTime(EXPIRES)) == 1
    assert admission.resolve(WallTime(last + 1), DIAL, "s1") == NotYetNamed((ROOM,))
    assert admission.place(WallTime(last + 1), KEY, "s1") is Gone.EXPIRED


def test_two_rooms_that_name_it_are_one_too_many() -> None:
    events = (call_event(), membership(ALICE), NAMED)
    assert world(*events, other=events).resolve(NOW, DIAL, "s1") is Refusal.AMBIGUOUS


def test_a_copied_call_is_no_match_where_the_sender_is_not_named_or_not_joined() -> None:
    events = (call_event(), membership(ALICE), NAMED)
    for other in ((call_event(), NAMED), (call_event(), membership(ALICE))):
        assert world(*events, other=other).resolve(NOW, DIAL, "s1") == Named(ROOM, WallTime(EXPIRES))


def test_while_no_member_event_is_there_every_room_with_the_call_may_be_meant() -> None:
    events = (call_event(), membership(ALICE))
    verdict = world(*events, other=events).resolve(NOW, DIAL, "s1")
    assert verdict == NotYetNamed(tuple(sorted([ROOM, OTHER_ROOM])))


def test_an_event_of_either_type_names_it_and_the_later_expiry_counts() -> None:
    stable = member_event(ALICE, ("A", "s1"), expires_at=EXPIRES + 5, kind="m.call.member")
    admission = world(call_event(), membership(ALICE), NAMED, stable)
    assert admission.place(NOW, KEY, "s1") == Named(ROOM, WallTime(EXPIRES + 5))


@pytest.mark.parametrize(
    ("events", "gone"),
    [
        ((call_event(terminated=True), membership(ALICE), NAMED), Gone.CALL_ENDED),
        ((call_event(), membership(ALICE, "ban"), NAMED), Gone.NOT_JOINED),
        ((call_event(), membership(ALICE), member_event(ALICE)), Gone.NOT_NAMED),
        ((call_event(), membership(ALICE), member_event(ALICE, ("A", "s2"))), Gone.OTHER_SESSION),
        (
            (
                call_event(),
                membership(ALICE),
                NAMED,
                StateEvent("m.room.tombstone", "", ALICE, {"replacement_room": "!new:x"}),
            ),
            Gone.ROOM_UPGRADED,
        ),
    ],
)
def test_a_place_is_lost_for_the_first_reason_that_holds(events: tuple[StateEvent, ...], gone: Gone) -> None:
    assert world(*events).place(NOW, KEY, "s1") is gone


def test_a_place_in_a_room_that_is_gone_is_gone() -> None:
    key = LegKey(CallKey("!nowhere:x", CONF), ALICE, "A")
    assert world(call_event()).place(NOW, key, "s1") is Gone.ROOM_GONE
