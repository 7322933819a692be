from __future__ import annotations

import random
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.units import NS_PER_S, Instant, after_s
from signalling.events.room_state import FocusDevice
from signalling.focus.cascade.dialling import (
    DIAL_S,
    FIRST_PAUSE_S,
    IDLE_S,
    LONGEST_PAUSE_S,
    MEMORY_S,
    OFF_S,
    WAIT_S,
    Answer,
    Answering,
    BackingOff,
    Dial,
    Dialling,
    Ending,
    HangUp,
    Idle,
    Ignore,
    Resting,
    Stance,
    State,
    Step,
    Trunk,
    Up,
    Waiting,
)
from tests.unit.focus.cascade.two_ends import TwoEnds

LOW = FocusDevice("@focus:a", "FOCUS")
HIGH = FocusDevice("@focus:b", "FOCUS")
NOW = Instant(1_000 * NS_PER_S)
SMALLEST, LARGEST = "0" * 32, "g" * 32
"""Call ids before and after all that a trunk of ours makes up."""


def first(seed: int = 0) -> Trunk:
    """Of the focus that dials at once."""
    return Trunk(LOW, HIGH, random.Random(seed))


def second(seed: int = 0) -> Trunk:
    return Trunk(HIGH, LOW, random.Random(seed))


def dialled(trunk: Trunk, now: Instant = NOW) -> str:
    """Have it dial; its call id."""
    (step,) = trunk.stand(now, Stance.WANTED)
    assert isinstance(step, Dial)
    return step.call_id


def up(trunk: Trunk, now: Instant = NOW, *, is_used: bool = True) -> str:
    """Have it dial and connect."""
    call_id = dialled(trunk, now)
    trunk.use(now, is_used=is_used)
    trunk.connected(now, call_id)
    assert isinstance(trunk.state, Up)
    return call_id


def state_of(trunk: Trunk) -> State:
    return trunk.state


def pause_s(trunk: Trunk, now: Instant) -> float:
    assert isinstance(trunk.state, BackingOff)
    return (trunk.state.until - now) / NS_PER_S


# --- who dials --------------------------------------------------------------------------------------------


def test_the_lower_focus_dials_at_once() -> None:
    trunk = first()
    call_id = dialled(trunk)
    assert state_of(trunk) == Dialling(call_id, after_s(NOW, DIAL_S))
    assert trunk.stand(NOW, Stance.WANTED) == []


def test_the_other_waits_and_then_dials_too() -> None:
    trunk = second()
    assert trunk.stand(NOW, Stance.WANTED) == []
    assert state_of(trunk) == Waiting(after_s(NOW, WAIT_S))
    assert trunk.next_timeout() == after_s(NOW, WAIT_S)
    assert trunk.handle_timeout(Instant(after_s(NOW, WAIT_S) - 1)) == []
    (step,) = trunk.handle_timeout(after_s(NOW, WAIT_S))
    assert isinstance(step, Dial)


def test_who_waits_answers_the_invite_that_comes_and_dials_no_more() -> None:
    trunk = second()
    trunk.stand(NOW, Stance.WANTED)
    assert trunk.invited(NOW, "theirs") == [Answer("theirs")]
    assert state_of(trunk) == Answering("theirs", after_s(NOW, DIAL_S))
    trunk.connected(NOW, "theirs")
    trunk.use(NOW, is_used=True)
    assert state_of(trunk) == Up("theirs", None)
    assert trunk.next_timeout() is None


def test_a_focus_that_is_welcome_is_answered_and_not_dialled() -> None:
    trunk = first()
    assert trunk.stand(NOW, Stance.WELCOME) == []
    assert state_of(trunk) == Idle()
    assert trunk.invited(NOW, "theirs") == [Answer("theirs")]
    assert trunk.stand(NOW, Stance.WELCOME) == []
    trunk.connected(NOW, "theirs")
    assert trunk.ended(NOW, "theirs") == []
    assert state_of(trunk) == Idle()


def test_call_ids_are_legal_differ_and_are_as_long_as_each_other() -> None:
    ids = {dialled(first(seed)) for seed in range(50)}
    assert len(ids) == 50
    assert {len(one) for one in ids} == {32}
    assert all(SMALLEST <= one < LARGEST and one.isalnum() and one.isascii() for one in ids)


# --- double dial ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_of_two_invites_that_cross_the_smaller_call_id_goes_on_at_both_ends(seed: int) -> None:
    one, two = first(seed), second(seed + 100)
    mine = dialled(one)
    two.stand(NOW, Stance.WANTED)
    (step,) = two.handle_timeout(after_s(NOW, WAIT_S))
    assert isinstance(step, Dial)
    theirs, smaller = step.call_id, min(mine, step.call_id)
    at_one, at_two = one.invited(NOW, theirs), two.invited(NOW, mine)
    if smaller == mine:
        assert at_one == [Ignore(theirs)]
        assert at_two == [HangUp(theirs, Ending.DOUBLE_DIAL), Answer(mine)]
    else:
        assert at_one == [HangUp(mine, Ending.DOUBLE_DIAL), Answer(theirs)]
        assert at_two == [Ignore(mine)]
    for trunk in (one, two):
        assert isinstance(trunk.state, Dialling | Answering)
        assert trunk.state.call_id == smaller


@pytest.mark.parametrize("trunk", [first(), second()])
def test_a_smaller_call_id_takes_our_dial_s_place_and_a_larger_one_does_not(trunk: Trunk) -> None:
    trunk.stand(NOW, Stance.WANTED)
    trunk.handle_timeout(after_s(NOW, WAIT_S))
    assert isinstance(trunk.state, Dialling)
    mine = trunk.state.call_id
    assert trunk.invited(NOW, LARGEST) == [Ignore(LARGEST)]
    assert trunk.invited(NOW, SMALLEST) == [HangUp(mine, Ending.DOUBLE_DIAL), Answer(SMALLEST)]
    # What comes of the dial that was given up is nobody's business any more.
    trunk.connected(NOW, mine)
    assert trunk.ended(NOW, mine) == []
    assert isinstance(trunk.state, Answering)


def test_one_who_repeats_our_own_call_id_gets_what_the_other_end_takes_for_granted() -> None:
    # Equal ids: the lower focus's dial goes on, on both sides.
    one = first()
    mine = dialled(one)
    assert one.invited(NOW, mine) == [Ignore(mine)]
    two = second()
    two.stand(NOW, Stance.WANTED)
    two.handle_timeout(after_s(NOW, WAIT_S))
    assert isinstance(two.state, Dialling)
    call_id = two.state.call_id
    assert two.invited(NOW, call_id) == [HangUp(call_id, Ending.DOUBLE_DIAL), Answer(call_id)]


def test_an_invite_that_comes_twice_is_answered_once() -> None:
    trunk = second()
    assert trunk.invited(NOW, "theirs") == [Answer("theirs")]
    assert trunk.invited(NOW, "theirs") == [Ignore("theirs")]
    trunk.connected(NOW, "theirs")
    assert trunk.invited(NOW, "theirs") == [Ignore("theirs")]


def test_a_focus_that_dials_anew_replaces_its_trunk() -> None:
    trunk = first()
    mine = up(trunk)
    assert trunk.invited(NOW, LARGEST) == [HangUp(mine, Ending.REPLACED), Answer(LARGEST)]
    assert trunk.invited(NOW, "again") == [HangUp(LARGEST, Ending.REPLACED), Answer("again")]


# --- back-off ---------------------------------------------------------------------------------------------


def test_pauses_double_from_one_second_to_sixty_with_jitter() -> None:
    spans: list[list[float]] = [[] for _ in range(9)]
    for seed in range(40):
        trunk, now = first(seed), NOW
        call_id = dialled(trunk, now)
        for span in spans:
            assert trunk.ended(now, call_id) == []
            span.append(pause_s(trunk, now))
            timeout = trunk.next_timeout()
            assert timeout is not None
            now = timeout
            (step,) = trunk.handle_timeout(now)
            assert isinstance(step, Dial)
            call_id = step.call_id
    for tries, span in enumerate(spans):
        longest = min(FIRST_PAUSE_S * 2**tries, LONGEST_PAUSE_S)
        assert longest / 2 <= min(span) < longest * 0.6
        assert longest * 0.9 < max(span) <= longest


def test_the_second_waits_again_after_its_pause() -> None:
    trunk = second()
    trunk.invited(NOW, "theirs")
    trunk.stand(NOW, Stance.WANTED)
    trunk.ended(NOW, "theirs")
    assert isinstance(trunk.state, BackingOff)
    until = trunk.state.until
    assert trunk.handle_timeout(until) == []
    assert state_of(trunk) == Waiting(after_s(until, WAIT_S))


def test_a_dial_without_a_connection_is_given_up_and_tried_again() -> None:
    trunk = first()
    call_id = dialled(trunk)
    late = after_s(NOW, DIAL_S)
    assert trunk.handle_timeout(late) == [HangUp(call_id, Ending.NO_CONNECTION)]
    assert isinstance(trunk.state, BackingOff)


def test_an_answer_without_a_connection_is_given_up() -> None:
    trunk = first()
    trunk.invited(NOW, "theirs")
    assert trunk.handle_timeout(after_s(NOW, DIAL_S)) == [HangUp("theirs", Ending.NO_CONNECTION)]
    assert state_of(trunk) == Idle()


def test_a_focus_that_is_off_is_left_alone_for_minutes() -> None:
    spans: list[float] = []
    for seed in range(20):
        trunk = first(seed)
        assert trunk.ended(NOW, dialled(trunk), is_off=True) == []
        spans.append(pause_s(trunk, NOW))
        later = after_s(NOW, spans[-1])
        (again,) = trunk.handle_timeout(later)
        assert isinstance(again, Dial)
        assert trunk.ended(later, again.call_id) == []
        assert pause_s(trunk, later) <= LONGEST_PAUSE_S
    assert OFF_S / 2 <= min(spans) < max(spans) <= OFF_S


def test_a_focus_that_was_off_is_taken_up_when_it_dials() -> None:
    trunk = first()
    trunk.ended(NOW, dialled(trunk), is_off=True)
    assert trunk.invited(NOW, SMALLEST) == [Answer(SMALLEST)]
    trunk.ended(NOW, SMALLEST)
    assert pause_s(trunk, NOW) <= 2 * FIRST_PAUSE_S


@pytest.mark.parametrize("stance", [Stance.STRANGER, Stance.WELCOME])
def test_a_focus_that_was_off_is_tried_when_it_is_needed_anew(stance: Stance) -> None:
    trunk = first()
    trunk.ended(NOW, dialled(trunk), is_off=True)
    trunk.stand(NOW, stance)
    trunk.stand(NOW, Stance.WANTED)
    assert pause_s(trunk, NOW) <= FIRST_PAUSE_S


def test_who_pauses_answers_at_once() -> None:
    trunk = first()
    trunk.ended(NOW, dialled(trunk))
    assert isinstance(trunk.state, BackingOff)
    assert trunk.invited(NOW, "theirs") == [Answer("theirs")]


def test_a_trunk_that_was_up_for_long_is_dialled_again_as_if_for_the_first_time() -> None:
    for is_long in (False, True):
        trunk, now = first(), NOW
        call_id = dialled(trunk, now)
        trunk.use(now, is_used=True)
        for _ in range(5):
            trunk.ended(now, call_id)
            assert isinstance(trunk.state, BackingOff)
            now = trunk.state.until
            (step,) = trunk.handle_timeout(now)
            assert isinstance(step, Dial)
            call_id = step.call_id
        trunk.connected(now, call_id)
        now = after_s(now, MEMORY_S if is_long else 1.0)
        trunk.ended(now, call_id)
        assert (pause_s(trunk, now) <= FIRST_PAUSE_S) == is_long


def test_what_ends_that_was_given_up_or_never_was_changes_nothing() -> None:
    trunk = first()
    call_id = up(trunk)
    before = trunk.state
    assert trunk.ended(NOW, "another") == []
    trunk.connected(NOW, "another")
    trunk.connected(after_s(NOW, 1.0), call_id)
    assert state_of(trunk) == before


# --- tear-down --------------------------------------------------------------------------------------------


def test_a_trunk_to_a_focus_that_nobody_names_is_torn_down_at_once() -> None:
    trunk = first()
    call_id = up(trunk)
    assert trunk.stand(NOW, Stance.STRANGER) == [HangUp(call_id, Ending.NOT_NAMED)]
    assert state_of(trunk) == Idle()
    assert trunk.stand(NOW, Stance.STRANGER) == []


@pytest.mark.parametrize("stance", [Stance.STRANGER, Stance.WELCOME])
def test_a_dial_that_is_needed_no_more_is_taken_back(stance: Stance) -> None:
    trunk = first()
    call_id = dialled(trunk)
    ending = Ending.NOT_NAMED if stance is Stance.STRANGER else Ending.NOT_NEEDED
    assert trunk.stand(NOW, stance) == [HangUp(call_id, ending)]
    waiting = second()
    waiting.stand(NOW, Stance.WANTED)
    assert waiting.stand(NOW, stance) == []
    assert state_of(waiting) == Idle()
    assert waiting.next_timeout() is None


def test_a_trunk_stays_while_its_focus_is_welcome_though_we_need_it_no_more() -> None:
    trunk = first()
    up(trunk)
    before = trunk.state
    assert trunk.stand(NOW, Stance.WELCOME) == []
    assert state_of(trunk) == before


def test_a_trunk_of_no_use_goes_after_a_while_and_rests() -> None:
    trunk = first()
    call_id = up(trunk, is_used=False)
    over = after_s(NOW, IDLE_S)
    assert trunk.next_timeout() == over
    assert trunk.handle_timeout(Instant(over - 1)) == []
    assert trunk.handle_timeout(over) == [HangUp(call_id, Ending.IDLE)]
    assert state_of(trunk) == Resting()
    assert trunk.next_timeout() is None


def test_use_keeps_a_trunk_and_the_time_without_begins_anew() -> None:
    trunk = first()
    up(trunk, is_used=False)
    later = after_s(NOW, IDLE_S - 1)
    assert trunk.use(later, is_used=True) == []
    assert trunk.next_timeout() is None
    assert trunk.use(later, is_used=False) == []
    assert trunk.use(after_s(later, 1.0), is_used=False) == []
    assert trunk.next_timeout() == after_s(later, IDLE_S)


def test_whoever_has_something_to_say_ends_the_rest_and_does_not_wait() -> None:
    for trunk in (first(), second()):
        trunk.invited(NOW, "theirs")
        trunk.stand(NOW, Stance.WANTED)
        trunk.connected(NOW, "theirs")
        trunk.handle_timeout(after_s(NOW, IDLE_S))
        assert state_of(trunk) == Resting()
        later = after_s(NOW, IDLE_S + FIRST_PAUSE_S)
        assert trunk.use(later, is_used=False) == []
        (step,) = trunk.use(later, is_used=True)
        assert isinstance(step, Dial)


def test_a_trunk_that_ends_while_nothing_uses_it_rests_too() -> None:
    trunk = first()
    call_id = up(trunk, is_used=False)
    assert trunk.ended(after_s(NOW, 59.0), call_id) == []
    assert state_of(trunk) == Resting()
    assert trunk.invited(after_s(NOW, 60.0), "theirs") == [Answer("theirs")]


def test_an_idle_trunk_that_is_only_welcome_is_forgotten() -> None:
    trunk = second()
    trunk.stand(NOW, Stance.WELCOME)
    assert trunk.is_over()
    trunk.invited(NOW, "theirs")
    assert not trunk.is_over()
    trunk.connected(NOW, "theirs")
    now = after_s(NOW, IDLE_S)
    assert trunk.handle_timeout(now) == [HangUp("theirs", Ending.IDLE)]
    assert not trunk.is_over()
    timeout = trunk.next_timeout()
    assert timeout is not None
    assert trunk.handle_timeout(timeout) == []
    assert trunk.is_over()
    assert trunk.next_timeout() is None


def test_membership_that_flaps_makes_us_dial_ever_less_often() -> None:
    trunk, now = first(), NOW
    dials: list[Instant] = []
    while now < after_s(NOW, 600.0):
        for steps in (trunk.stand(now, Stance.WANTED), trunk.handle_timeout(now)):
            dials += [now for step in steps if isinstance(step, Dial)]
        now = after_s(now, 0.05)
        trunk.stand(now, Stance.STRANGER)
        now = after_s(now, 0.05)
    gaps_s = [(after - before) / NS_PER_S for before, after in pairwise(dials)]
    assert len(dials) < 27
    assert gaps_s[0] < 2 * FIRST_PAUSE_S
    assert all(LONGEST_PAUSE_S / 2 < gap < LONGEST_PAUSE_S + 1 for gap in gaps_s[7:])


# --- both ends --------------------------------------------------------------------------------------------


def meet(world: TwoEnds) -> None:
    """Both see that the other is wanted, and have something to say."""
    for name in ("one", "two"):
        world.use(name, is_used=True)
    world.stand(("one", Stance.WANTED), ("two", Stance.WANTED))


def agreed(world: TwoEnds) -> str:
    """The trunk that both are on."""
    one, two = world.one.trunk.state, world.two.trunk.state
    assert isinstance(one, Up)
    assert isinstance(two, Up)
    assert one.call_id == two.call_id
    assert world.one.legs == world.two.legs == {one.call_id}
    return one.call_id


def test_two_foci_that_learn_of_each_other_at_once_have_one_dial() -> None:
    world = TwoEnds(LOW, HIGH)
    meet(world)
    world.run(10.0)
    agreed(world)
    assert (len(world.one.dials()), len(world.two.dials())) == (1, 0)


def test_where_the_first_hears_late_of_the_call_the_second_dials() -> None:
    world = TwoEnds(LOW, HIGH)
    world.use("two", is_used=True)
    world.stand(("two", Stance.WANTED))
    world.run(WAIT_S + 1.0)
    agreed(world)
    assert (len(world.one.dials()), len(world.two.dials())) == (0, 1)


@given(
    st.integers(0, 2**32),
    st.lists(st.floats(0.0, 8.0), min_size=1, max_size=7),
    st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 10.0)),
)
def test_whenever_two_foci_learn_of_each_other_they_end_with_one_trunk(
    seed: int, delays_s: list[float], learnt_s: tuple[float, float]
) -> None:
    world = TwoEnds(LOW, HIGH, seed, delays_s)
    for name, learnt in zip(("one", "two"), learnt_s, strict=True):
        world.use(name, is_used=True)
        world.at(learnt, partial(world.stand, (name, Stance.WANTED)))
    world.run(120.0)
    agreed(world)


def test_a_double_dial_is_seen_from_both_ends() -> None:
    crossed = 0
    for seed in range(20):
        world = TwoEnds(LOW, HIGH, seed, (3.0,))
        world.use("one", is_used=True)
        world.use("two", is_used=True)
        world.stand(("two", Stance.WANTED))
        # The first hears of it just before the second's patience is over.
        world.at(WAIT_S - 1.0, partial(world.stand, ("one", Stance.WANTED)))
        world.run(60.0)
        chosen = agreed(world)
        ids = [
            step.call_id for end in (world.one, world.two) for _, step in end.steps if isinstance(step, Dial)
        ]
        assert chosen == min(ids)
        crossed += len(ids) == 2
        endings = [
            step.ending for end in (world.one, world.two) for _, step in end.steps if isinstance(step, HangUp)
        ]
        assert endings == [Ending.DOUBLE_DIAL] * (len(ids) - 1)
    assert crossed == 20


@given(
    st.integers(0, 2**32),
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=5),
    st.lists(
        st.tuples(
            st.floats(0.0, 40.0),
            st.sampled_from(["fail", "one", "two", "mute one", "mute two", "cut", "flap"]),
        ),
        max_size=6,
    ),
)
def test_whatever_happens_they_come_together_again(
    seed: int, delays_s: list[float], troubles: list[tuple[float, str]]
) -> None:
    world = TwoEnds(LOW, HIGH, seed, delays_s)
    meet(world)
    for after, trouble in troubles:
        world.run(after)
        match trouble:
            case "fail":
                world.fail()
            case "cut":
                world.is_cut = True
                world.run(35.0)
                world.is_cut = False
                world.fail()
            case "flap":
                world.stand(("two", Stance.STRANGER))
                world.stand(("two", Stance.WANTED))
            case "one" | "two":
                world.restart(trouble, tells=True)
                world.use(trouble, is_used=True)
            case _:
                # Its peer learns of it by the path alone.
                world.restart(trouble[-3:], tells=False)
                world.use(trouble[-3:], is_used=True)
                world.fail()
    world.run(400.0)
    agreed(world)


@given(st.integers(0, 2**32))
def test_a_focus_that_is_not_there_is_dialled_ever_less_often(seed: int) -> None:
    world = TwoEnds(LOW, HIGH, seed)
    world.is_cut = True
    world.stand(("one", Stance.WANTED))
    world.run(1_200.0)
    gaps_s = [(after - before) / NS_PER_S for before, after in pairwise(world.one.dials())]
    assert gaps_s[0] <= DIAL_S + FIRST_PAUSE_S
    assert all(DIAL_S + LONGEST_PAUSE_S / 2 < gap <= DIAL_S + LONGEST_PAUSE_S for gap in gaps_s[6:])


def test_an_unused_trunk_goes_at_both_ends_and_comes_back_when_one_has_something_to_say() -> None:
    for speaker in ("one", "two"):
        world = TwoEnds(LOW, HIGH)
        world.stand(("one", Stance.WANTED), ("two", Stance.WANTED))
        world.run(IDLE_S + 5.0)
        assert world.one.trunk.state == world.two.trunk.state == Resting()
        before = {name: len(end.dials()) for name, end in world.ends.items()}
        world.run(600.0)
        world.use(speaker, is_used=True)
        world.run(5.0)
        agreed(world)
        after = {name: len(end.dials()) for name, end in world.ends.items()}
        assert after == before | {speaker: before[speaker] + 1}


# --- any order of anything --------------------------------------------------------------------------------

actions = st.lists(
    st.tuples(
        st.sampled_from(["stand", "use", "invited", "connected", "ended", "time"]),
        st.integers(0, 5),
        st.floats(0.0, 70.0),
    ),
    max_size=40,
)


def do(trunk: Trunk, now: Instant, legs: set[str], what: str, number: int) -> list[Step]:
    """One thing that its owner may say."""
    about = next(iter(legs), f"call-{number}")
    match what:
        case "stand":
            return trunk.stand(now, list(Stance)[number % 3])
        case "use":
            return trunk.use(now, is_used=number % 2 == 0)
        case "invited":
            return trunk.invited(now, f"call-{number}")
        case "connected":
            trunk.connected(now, about)
            return []
        case "ended":
            legs.discard(about)
            return trunk.ended(now, about)
        case _:
            return trunk.handle_timeout(now)


def follow(steps: list[Step], legs: set[str]) -> None:
    """Hold the legs that it asks for, and no other."""
    for step in steps:
        match step:
            case Dial(call_id) | Answer(call_id):
                assert call_id not in legs
                legs.add(call_id)
            case HangUp(call_id):
                legs.remove(call_id)
            case Ignore():
                pass
    assert len(legs) <= 1


@given(st.booleans(), actions)
def test_a_trunk_has_at_most_one_leg_and_dials_only_where_it_is_wanted(
    is_first: bool, doings: list[tuple[str, int, float]]
) -> None:
    trunk = first() if is_first else second()
    now, legs, stance = NOW, set[str](), Stance.STRANGER
    for what, number, seconds in doings:
        if what == "stand":
            stance = list(Stance)[number % 3]
        if what == "time":
            now = after_s(now, seconds)
        steps = do(trunk, now, legs, what, number)
        follow(steps, legs)
        assert stance is Stance.WANTED or not any(isinstance(step, Dial) for step in steps)
        state = trunk.state
        assert legs == ({state.call_id} if isinstance(state, Dialling | Answering | Up) else set())
        assert not (stance is Stance.WANTED and isinstance(state, Idle))
        assert isinstance(state, Idle) or (what, stance) != ("stand", Stance.STRANGER)
        timeout = trunk.next_timeout()
        assert what != "time" or timeout is None or timeout > now
    trunk.stand(now, Stance.STRANGER)
    trunk.handle_timeout(after_s(now, LONGEST_PAUSE_S + MEMORY_S))
    assert trunk.is_over()
