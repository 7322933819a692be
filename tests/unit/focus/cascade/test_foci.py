from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.units import WallTime
from signalling.events.room_state import CALL_MEMBER_TYPES, FocusDevice
from signalling.focus.cascade.foci import (
    MAX_NAMED_BY_USER,
    MAX_OTHERS,
    Home,
    OtherFocus,
    Person,
    dials_first,
)
from signalling.focus.turn import RoomState, StateEvent
from tests.unit.focus.cascade.world import (
    ALICE,
    BOB,
    CAROL,
    EXPIRES,
    ME,
    NOW,
    OTHER,
    SKEW_MS,
    THIRD,
    foci_of,
    focus,
    rooms_of,
    say_all,
    says,
)
from tests.unit.focus.stage import ROOM, call_event, membership

FOCI_JOINED = (membership(ME.user_id), membership(OTHER.user_id), membership(THIRD.user_id))
ALL_JOINED = (*FOCI_JOINED, *(membership(person.user_id) for person in (ALICE, BOB, CAROL)))

some_foci = st.builds(FocusDevice, st.sampled_from("abc"), st.sampled_from("XYZ"))


def others(
    *events: StateEvent, wall: WallTime = NOW, asked: tuple[FocusDevice, ...] = ()
) -> list[FocusDevice]:
    rooms = rooms_of(call_event(), *ALL_JOINED, *events)
    return [one.focus for one in foci_of(rooms, wall).others(ME, asked)]


# --- who dials --------------------------------------------------------------------------------------------


@given(some_foci, some_foci)
def test_of_two_foci_exactly_one_dials_first(one: FocusDevice, two: FocusDevice) -> None:
    assert (dials_first(one, two) + dials_first(two, one)) == (one != two)


def test_the_lower_user_id_dials_and_the_device_id_decides_between_foci_of_one_account() -> None:
    assert dials_first(FocusDevice("@a:x", "Z"), FocusDevice("@b:x", "A"))
    assert dials_first(FocusDevice("@a:x", "A"), FocusDevice("@a:x", "B"))
    # By code points: upper case comes before lower case, and `:` after digits.
    assert dials_first(FocusDevice("@a:x", "B"), FocusDevice("@a:x", "a"))
    assert dials_first(FocusDevice("@a1:x", "A"), FocusDevice("@a:x", "A"))


# --- which foci -------------------------------------------------------------------------------------------


def test_the_foci_that_people_are_on_are_those_of_the_call_and_it_is_told_who() -> None:
    rooms = rooms_of(call_event(), *ALL_JOINED, says(ALICE, ME), says(BOB, OTHER), says(CAROL, OTHER))
    assert foci_of(rooms).others(ME) == (OtherFocus(OTHER, frozenset({BOB, CAROL})),)


@pytest.mark.parametrize("kind", CALL_MEMBER_TYPES)
def test_either_type_of_member_event_counts(kind: str) -> None:
    assert others(says(BOB, OTHER, kind=kind)) == [OTHER]


def test_a_person_is_on_the_first_focus_that_they_name() -> None:
    assert others(says(BOB, OTHER, THIRD)) == [OTHER]
    assert others(says(BOB, ME, OTHER)) == []


def test_a_focus_that_is_only_preferred_is_connected_to_when_a_client_asks() -> None:
    event = says(ALICE, ME, preferred=[OTHER])
    assert others(event) == []
    assert others(event, asked=(OTHER,)) == [OTHER]


def test_a_client_alone_can_not_make_us_dial() -> None:
    assert others(says(ALICE, ME), asked=(OTHER, ME)) == []


def test_what_was_said_last_under_either_type_counts() -> None:
    stable = says(BOB, THIRD, kind="m.call.member", expires_at=EXPIRES + 1)
    assert others(says(BOB, OTHER), stable) == [THIRD]
    assert others(says(BOB, OTHER, expires_at=EXPIRES + 2), stable) == [OTHER]
    foci = foci_of(rooms_of(call_event(), *ALL_JOINED, says(BOB, OTHER), stable))
    assert foci.named_until(OTHER) is None
    assert foci.named_until(THIRD) == EXPIRES + 1 + SKEW_MS


@pytest.mark.parametrize(
    "events",
    [
        (*ALL_JOINED, says(BOB, OTHER)),
        (call_event(terminated=True), *ALL_JOINED, says(BOB, OTHER)),
        (call_event(), *FOCI_JOINED, says(BOB, OTHER)),
        (call_event(), membership(BOB.user_id), says(BOB, OTHER)),
        (call_event(), *ALL_JOINED, membership(OTHER.user_id, "leave"), says(BOB, OTHER)),
        (call_event(), *ALL_JOINED, says(BOB)),
        (call_event(), *ALL_JOINED, says(BOB, OTHER, conf_id="another")),
        (call_event(), *ALL_JOINED, says(BOB, OTHER, expires_at=NOW - SKEW_MS)),
    ],
    ids=["no call", "over", "stranger", "focus absent", "focus left", "unsaid", "another call", "expired"],
)
def test_who_is_no_focus_of_the_call_is_not_dialled(events: tuple[StateEvent, ...]) -> None:
    assert foci_of(rooms_of(*events)).others(ME) == ()


def test_nobody_is_dialled_in_a_room_that_the_focus_is_not_in() -> None:
    assert foci_of(rooms_of(call_event(), room_id="!else:x")).others(ME) == ()


def test_a_focus_with_more_users_goes_first_whoever_else_names_many() -> None:
    many = [focus(f"m{number:02}") for number in range(MAX_OTHERS + 8)]
    liars = [Person(f"@liar{number}:x", "D") for number in range(len(many))]
    events = [
        *(membership(one.user_id) for one in many),
        *(membership(one.user_id) for one in liars),
        *(says(liar, named) for liar, named in zip(liars, many, strict=True)),
    ]
    last = focus("z")
    events += [membership(last.user_id), says(ALICE, last), says(BOB, last)]
    found = others(*events)
    assert len(found) == MAX_OTHERS
    assert found == [last, *many[: MAX_OTHERS - 1]]


def test_one_user_names_so_many_foci_and_no_more() -> None:
    many = [focus(f"m{number}") for number in range(MAX_NAMED_BY_USER + 3)]
    said = {f"D{number}": (named,) for number, named in enumerate(many)}
    events = [*(membership(one.user_id) for one in many), say_all(BOB.user_id, said)]
    assert others(*events) == many[:MAX_NAMED_BY_USER]
    # Another device on one of them is no other focus.
    events[-1] = say_all(BOB.user_id, {**said, "E": (many[0],)})
    found = foci_of(rooms_of(call_event(), *ALL_JOINED, *events)).others(ME)
    assert [one.focus for one in found] == many[:MAX_NAMED_BY_USER]
    assert found[0].people == {Person(BOB.user_id, "D0"), Person(BOB.user_id, "E")}


# --- until when -------------------------------------------------------------------------------------------


def test_a_focus_is_named_for_as_long_as_the_last_of_those_who_name_it() -> None:
    rooms = rooms_of(
        call_event(), *ALL_JOINED, says(ALICE, OTHER), says(BOB, preferred=[OTHER], expires_at=EXPIRES + 7)
    )
    last = WallTime(EXPIRES + 7 + SKEW_MS)
    assert foci_of(rooms).named_until(OTHER) == last
    assert foci_of(rooms, last).named_until(OTHER) is None
    assert foci_of(rooms).named_until(THIRD) is None
    # What was said earlier, under the other type, is no news though it is read first.
    alice = says(ALICE, OTHER, kind="m.call.member", expires_at=EXPIRES + 9)
    earlier = says(ALICE, OTHER, expires_at=EXPIRES - 7)
    rooms.apply(RoomState(ROOM, (earlier, alice)))
    assert foci_of(rooms).named_until(OTHER) == EXPIRES + 9 + SKEW_MS
    rooms.apply(
        RoomState(ROOM, (says(BOB, preferred=[THIRD]), says(ALICE), says(ALICE, kind="m.call.member")))
    )
    assert foci_of(rooms).named_until(OTHER) is None


def test_a_focus_is_present_while_its_account_is_joined() -> None:
    rooms = rooms_of(call_event(), *ALL_JOINED, says(ALICE, OTHER))
    assert foci_of(rooms).is_present(OTHER)
    rooms.apply(RoomState(ROOM, (membership(OTHER.user_id, "leave"),)))
    assert not foci_of(rooms).is_present(OTHER)


def test_home_is_the_focus_that_a_person_names_first() -> None:
    foci = foci_of(rooms_of(call_event(), *ALL_JOINED, says(ALICE, OTHER, THIRD), says(BOB)))
    assert foci.home(ALICE) == Home(OTHER, WallTime(EXPIRES + SKEW_MS))
    assert foci.home(BOB) == Home(None, WallTime(EXPIRES + SKEW_MS))
    assert foci.home(CAROL) is None
    assert foci.home(Person(ALICE.user_id, "another")) is None


def test_home_lasts_until_the_member_event_has_expired_and_the_clocks_difference_is_over() -> None:
    rooms = rooms_of(call_event(), *ALL_JOINED, says(ALICE, OTHER))
    last = WallTime(EXPIRES + SKEW_MS - 1)
    assert foci_of(rooms, last).home(ALICE) is not None
    assert foci_of(rooms, WallTime(last + 1)).home(ALICE) is None


def test_who_is_not_joined_has_no_home_and_nobody_has_one_in_a_call_that_is_over() -> None:
    assert foci_of(rooms_of(call_event(), *FOCI_JOINED, says(ALICE, OTHER))).home(ALICE) is None
    over = foci_of(rooms_of(call_event(terminated=True), *ALL_JOINED, says(ALICE, OTHER)))
    assert not over.is_live
    assert over.home(ALICE) is None
    assert over.named_until(OTHER) is None


def test_what_was_read_stays_as_it_was() -> None:
    rooms = rooms_of(call_event(), *ALL_JOINED, says(ALICE, OTHER))
    foci = foci_of(rooms)
    rooms.apply(RoomState(ROOM, (membership(OTHER.user_id, "leave"), says(ALICE, THIRD))))
    assert [one.focus for one in foci.others(ME)] == [OTHER]
