from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.config import LimitsConfig
from sfu.units import Kind, WallTime
from signalling.events.cascade import MAX_PATH
from signalling.events.metadata import StreamMetadata, TrackMetadata
from signalling.focus.cascade.foci import Person
from signalling.focus.cascade.trust import (
    MAX_TRACKS_OF_PERSON,
    Announced,
    InviteRefusal,
    StreamRefusal,
    Trust,
    Trusted,
)
from signalling.focus.leg import CallKey
from signalling.focus.turn import RoomState, StateEvent
from tests.unit.focus.cascade.world import (
    ALICE,
    BOB,
    CALL,
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
from tests.unit.focus.stage import CONF, OTHER_ROOM, ROOM, call_event, membership

if TYPE_CHECKING:
    from signalling.events.room_state import FocusDevice

PEOPLE = (ALICE, BOB, CAROL)
JOINED = tuple(membership(one.user_id) for one in (ME, OTHER, THIRD, *PEOPLE))
ROOM_STATE = (call_event(), *JOINED, says(ALICE, ME), says(BOB, OTHER), says(CAROL, THIRD))


TRUST = Trust(ME)


def stream_of(person: Person, *path: FocusDevice, stream_id: str = "s", tracks: int = 1) -> StreamMetadata:
    return StreamMetadata(
        stream_id,
        "m.usermedia",
        tuple(TrackMetadata(f"{stream_id}-{number}", Kind.AUDIO) for number in range(tracks)),
        user_id=person.user_id,
        device_id=person.device_id,
        path=path,
    )


def judged(
    *streams: StreamMetadata,
    events: tuple[StateEvent, ...] = ROOM_STATE,
    announcer: FocusDevice = OTHER,
    own: frozenset[Person] = frozenset({ALICE}),
    wall: WallTime = NOW,
    max_hops: int = 1,
    relays: tuple[FocusDevice, ...] = (),
) -> Announced:
    trust = Trust(ME, max_hops=max_hops, relays=relays)
    return trust.announced(announcer, streams, foci_of(rooms_of(*events), wall), own)


def refusal(stream: StreamMetadata, *events: StateEvent, **given: object) -> StreamRefusal | None:
    """Why one stream is refused, in a room of which this is said beside the rest."""
    verdict = judged(stream, events=(*ROOM_STATE, *events), **given)  # type: ignore[arg-type]  # of `judged`
    assert (verdict.streams == ()) == (verdict.until is None) == bool(verdict.refused)
    return verdict.refused[0][1] if verdict.refused else None


# --- who gets a trunk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [says(BOB, OTHER), says(BOB, ME, OTHER), says(BOB, ME, preferred=[OTHER])])
def test_a_focus_that_a_member_names_may_have_a_trunk_for_as_long_as_that(event: StateEvent) -> None:
    foci = foci_of(rooms_of(call_event(), *JOINED, event))
    trusted = Trusted(CALL, WallTime(EXPIRES + SKEW_MS))
    assert TRUST.invite(OTHER, foci) == TRUST.standing(OTHER, foci) == trusted


@pytest.mark.parametrize(
    ("events", "why"),
    [
        (ROOM_STATE[1:], InviteRefusal.NOT_IN_CALL),
        ((*ROOM_STATE, call_event(terminated=True)), InviteRefusal.NOT_IN_CALL),
        ((*ROOM_STATE, membership(OTHER.user_id, "leave")), InviteRefusal.NOT_JOINED),
        ((*ROOM_STATE, membership(OTHER.user_id, "ban")), InviteRefusal.NOT_JOINED),
        ((*ROOM_STATE, says(BOB, ME)), InviteRefusal.NOT_NAMED),
        ((*ROOM_STATE, says(BOB)), InviteRefusal.NOT_NAMED),
        ((*ROOM_STATE, membership(BOB.user_id, "leave")), InviteRefusal.NOT_NAMED),
        ((*ROOM_STATE, says(BOB, OTHER, conf_id="another")), InviteRefusal.NOT_NAMED),
        ((*ROOM_STATE, says(BOB, OTHER, expires_at=NOW - SKEW_MS)), InviteRefusal.NOT_NAMED),
        ((*ROOM_STATE, says(BOB, replace(OTHER, device_id="ELSE"))), InviteRefusal.NOT_NAMED),
    ],
)
def test_a_focus_outside_of_the_room_or_the_call_gets_none(
    events: tuple[StateEvent, ...], why: InviteRefusal
) -> None:
    foci = foci_of(rooms_of(*events))
    assert TRUST.invite(OTHER, foci) is TRUST.standing(OTHER, foci) is why


def test_an_invite_without_a_room_is_refused_and_so_is_our_own() -> None:
    assert TRUST.invite(OTHER, None) is InviteRefusal.NO_ROOM
    assert TRUST.invite(ME, None) is InviteRefusal.MYSELF
    foci = foci_of(rooms_of(*ROOM_STATE))
    assert TRUST.invite(ME, foci) is InviteRefusal.MYSELF
    assert isinstance(TRUST.invite(OTHER, foci), Trusted)


def test_a_call_that_somebody_copied_into_a_room_of_theirs_is_another_call() -> None:
    rooms = rooms_of(*ROOM_STATE)
    rooms.apply(RoomState(OTHER_ROOM, (*ROOM_STATE, says(BOB)), is_complete=True))
    copied = CallKey(OTHER_ROOM, CONF)
    assert TRUST.invite(OTHER, foci_of(rooms)) == Trusted(CALL, WallTime(EXPIRES + SKEW_MS))
    assert TRUST.invite(OTHER, foci_of(rooms, call=copied)) is InviteRefusal.NOT_NAMED
    rooms.apply(RoomState(OTHER_ROOM, (says(BOB, OTHER),)))
    assert TRUST.invite(OTHER, foci_of(rooms, call=copied)) == Trusted(copied, WallTime(EXPIRES + SKEW_MS))
    nowhere = CallKey("!nowhere:x", CONF)
    assert TRUST.invite(OTHER, foci_of(rooms, call=nowhere)) is InviteRefusal.NOT_IN_CALL


# --- whom a focus speaks for ------------------------------------------------------------------------------


def test_a_focus_speaks_for_those_who_are_on_it() -> None:
    stream = stream_of(BOB, OTHER)
    verdict = judged(stream)
    assert [(one.owner, one.stream) for one in verdict.streams] == [(BOB, stream)]
    assert verdict.refused == ()
    assert verdict.until == EXPIRES + SKEW_MS


def test_a_stream_of_nobody_is_refused() -> None:
    stream = stream_of(BOB, OTHER)
    assert refusal(replace(stream, user_id=None)) is StreamRefusal.NO_OWNER
    assert refusal(replace(stream, device_id=None)) is StreamRefusal.NO_OWNER


def test_a_focus_can_not_announce_my_own_people() -> None:
    assert refusal(stream_of(ALICE, OTHER)) is StreamRefusal.OWN_PERSON
    # Not even one whose member event names it already: who moves is seen once, here until they have left.
    assert refusal(stream_of(ALICE, OTHER), says(ALICE, OTHER)) is StreamRefusal.OWN_PERSON
    assert refusal(stream_of(ALICE, OTHER), says(ALICE, OTHER), own=frozenset()) is None


def test_a_focus_can_not_announce_people_of_others() -> None:
    assert refusal(stream_of(CAROL, OTHER)) is StreamRefusal.OTHER_FOCUS
    assert refusal(stream_of(ALICE, OTHER), own=frozenset()) is StreamRefusal.OTHER_FOCUS
    assert refusal(stream_of(BOB, OTHER), says(BOB)) is StreamRefusal.OTHER_FOCUS
    assert refusal(stream_of(BOB, OTHER), says(BOB, THIRD, OTHER)) is StreamRefusal.OTHER_FOCUS
    assert refusal(stream_of(BOB, OTHER), says(BOB, preferred=[OTHER])) is StreamRefusal.OTHER_FOCUS
    another = replace(OTHER, device_id="ELSE")
    assert refusal(stream_of(BOB, OTHER), says(BOB, another)) is StreamRefusal.OTHER_FOCUS


@pytest.mark.parametrize(
    "event",
    [
        membership(BOB.user_id, "leave"),
        membership(BOB.user_id, "ban"),
        say_all(BOB.user_id, {}),
        say_all(BOB.user_id, {"another": (OTHER,)}),
        says(BOB, OTHER, conf_id="another"),
        says(BOB, OTHER, expires_at=NOW - SKEW_MS),
    ],
)
def test_a_focus_can_not_announce_who_is_not_in_the_call(event: StateEvent) -> None:
    assert refusal(stream_of(BOB, OTHER), event) is StreamRefusal.NOT_IN_CALL


def test_a_device_of_a_user_says_nothing_about_another_one() -> None:
    both = say_all(BOB.user_id, {"B": (OTHER,), "B2": (ME,)})
    assert refusal(stream_of(BOB, OTHER), both) is None
    assert refusal(stream_of(Person(BOB.user_id, "B2"), OTHER), both) is StreamRefusal.OTHER_FOCUS


# --- paths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [(), (THIRD,), (OTHER, THIRD), (replace(OTHER, device_id="ELSE"),)])
def test_a_path_ends_with_the_focus_that_announces(path: tuple[FocusDevice, ...]) -> None:
    assert refusal(stream_of(BOB, *path), max_hops=MAX_PATH, relays=(OTHER,)) is StreamRefusal.NO_PATH


@pytest.mark.parametrize("path", [(ME, OTHER), (THIRD, ME, OTHER), (OTHER, OTHER), (OTHER, THIRD, OTHER)])
def test_what_came_through_me_or_twice_through_another_is_a_loop(path: tuple[FocusDevice, ...]) -> None:
    assert refusal(stream_of(BOB, *path), max_hops=MAX_PATH, relays=(OTHER,)) is StreamRefusal.LOOP


def test_a_full_mesh_takes_nothing_that_was_passed_on() -> None:
    relayed = stream_of(CAROL, THIRD, OTHER)
    assert refusal(relayed) is StreamRefusal.TOO_MANY_HOPS
    assert refusal(relayed, relays=(OTHER,)) is StreamRefusal.TOO_MANY_HOPS


def test_only_a_relay_passes_on_and_only_who_is_on_the_focus_that_it_came_from() -> None:
    relayed = stream_of(CAROL, THIRD, OTHER)
    assert refusal(relayed, max_hops=2) is StreamRefusal.NO_RELAY
    assert refusal(relayed, max_hops=2, relays=(THIRD,)) is StreamRefusal.NO_RELAY
    assert refusal(relayed, max_hops=2, relays=(OTHER,)) is None
    assert refusal(stream_of(BOB, THIRD, OTHER), max_hops=2, relays=(OTHER,)) is StreamRefusal.OTHER_FOCUS


@pytest.mark.parametrize("max_hops", [1, 2, 3, MAX_PATH, MAX_PATH + 1])
def test_a_path_has_as_many_hops_as_the_operator_allows_and_the_wire_has_room_for(max_hops: int) -> None:
    legal = min(max_hops, MAX_PATH)
    middle = [focus(f"m{number}") for number in range(MAX_PATH)]
    longest = (THIRD, *middle, OTHER)
    for length in range(2, MAX_PATH + 2):
        path = (*longest[: length - 1], OTHER)
        verdict = refusal(stream_of(CAROL, *path), max_hops=max_hops, relays=(OTHER,))
        assert verdict is (None if length <= legal else StreamRefusal.TOO_MANY_HOPS)


# --- floods and flapping ----------------------------------------------------------------------------------


def test_one_person_has_no_more_tracks_than_a_client_may_have() -> None:
    assert LimitsConfig().tracks_per_leg == MAX_TRACKS_OF_PERSON
    streams = [stream_of(BOB, OTHER, stream_id=str(n), tracks=3) for n in range(MAX_TRACKS_OF_PERSON)]
    verdict = judged(*streams)
    assert len(verdict.streams) == MAX_TRACKS_OF_PERSON // 3
    assert {why for _, why in verdict.refused} == {StreamRefusal.TOO_MANY_TRACKS}
    assert len(verdict.streams) + len(verdict.refused) == len(streams)


def test_one_bad_stream_costs_the_others_nothing() -> None:
    good, bad = stream_of(BOB, OTHER), stream_of(CAROL, OTHER, stream_id="t")
    verdict = judged(bad, good)
    assert [one.stream for one in verdict.streams] == [good]
    assert verdict.refused == (("t", StreamRefusal.OTHER_FOCUS),)


def test_a_verdict_runs_out_with_the_first_of_the_member_events() -> None:
    events = (*ROOM_STATE, says(CAROL, OTHER, expires_at=EXPIRES - 9))
    verdict = judged(stream_of(BOB, OTHER), stream_of(CAROL, OTHER, stream_id="t"), events=events)
    assert len(verdict.streams) == 2
    assert verdict.until == EXPIRES - 9 + SKEW_MS
    backwards = tuple(one.stream for one in reversed(verdict.streams))
    assert judged(*backwards, events=events).until == verdict.until
    again = judged(*(one.stream for one in verdict.streams), events=events, wall=verdict.until or WallTime(0))
    assert [why for _, why in again.refused] == [StreamRefusal.NOT_IN_CALL]


def test_membership_that_flaps_is_followed_at_each_turn_and_leaves_nothing_behind() -> None:
    rooms = rooms_of(*ROOM_STATE)
    streams = [stream_of(BOB, OTHER)]
    before = TRUST.announced(OTHER, streams, foci_of(rooms), ())
    flaps = (
        (membership(BOB.user_id, "leave"), membership(BOB.user_id), StreamRefusal.NOT_IN_CALL),
        (say_all(BOB.user_id, {}), says(BOB, OTHER), StreamRefusal.NOT_IN_CALL),
        (says(BOB, THIRD), says(BOB, OTHER), StreamRefusal.OTHER_FOCUS),
    )
    for gone, back, why in flaps * 3:
        rooms.apply(RoomState(ROOM, (gone,)))
        away = foci_of(rooms)
        assert TRUST.announced(OTHER, streams, away, ()) == Announced((), (("s", why),), None)
        assert TRUST.standing(OTHER, away) is InviteRefusal.NOT_NAMED
        rooms.apply(RoomState(ROOM, (back,)))
        assert TRUST.announced(OTHER, streams, foci_of(rooms), ()) == before
        assert isinstance(TRUST.standing(OTHER, foci_of(rooms)), Trusted)


# --- whatever is said -------------------------------------------------------------------------------------

some_foci = st.sampled_from([ME, OTHER, THIRD, focus("e")])
some_people = st.sampled_from([*PEOPLE, Person("@mallory:x", "M")])
facts = st.fixed_dictionaries(
    {},
    optional={
        person: st.tuples(st.lists(some_foci, max_size=2), st.booleans(), st.booleans()) for person in PEOPLE
    },
)
"""Of each person: the foci that they name, whether they are joined, whether that counts still."""


@given(
    facts,
    st.lists(st.tuples(some_people, st.lists(some_foci, max_size=4)), max_size=6),
    st.frozensets(some_people, max_size=2),
    st.integers(1, 3),
    st.frozensets(some_foci, max_size=2),
)
def test_nothing_gets_in_that_room_state_does_not_vouch_for(
    said: dict[Person, tuple[list[FocusDevice], bool, bool]],
    announced: list[tuple[Person, list[FocusDevice]]],
    own: frozenset[Person],
    max_hops: int,
    relays: frozenset[FocusDevice],
) -> None:
    events = [call_event(), membership(ME.user_id), membership(OTHER.user_id)]
    for person, (active, is_joined, does_count) in said.items():
        events.append(membership(person.user_id, "join" if is_joined else "leave"))
        events.append(says(person, *active, expires_at=EXPIRES if does_count else 0))
    streams = [stream_of(person, *path, stream_id=f"s{n}") for n, (person, path) in enumerate(announced)]
    verdict = judged(*streams, events=tuple(events), own=own, max_hops=max_hops, relays=tuple(relays))

    def is_vouched_for(person: Person, path: list[FocusDevice]) -> bool:
        active, is_joined, does_count = said.get(person, ([], False, False))
        is_on = is_joined and does_count and bool(active) and path[:1] == active[:1]
        is_passed_on_rightly = len(path) == 1 or OTHER in relays
        is_straight = path[-1:] == [OTHER] and ME not in path and len(path) == len({*path})
        return is_on and person not in own and is_straight and len(path) <= max_hops and is_passed_on_rightly

    expected = [n for n, (person, path) in enumerate(announced) if is_vouched_for(person, path)]
    assert [one.stream for one in verdict.streams] == [streams[n] for n in expected]
    assert len(verdict.refused) == len(streams) - len(expected)
