"""What must hold of every choice, and what ours is for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.allocation.policies.utility import MARGIN, STAY_S, utility
from sfu.allocation.problem import Problem
from sfu.allocation.worth import worths
from sfu.rows import MAX_TEMPORAL, PAUSED
from sfu.units import NS_PER_MS, Instant
from signalling.cli.bench.allocation_exact import optimum
from tests.unit.allocation.instances import problems
from tests.unit.allocation.policies.situations import Link, Watched, chosen_for, ladder

if TYPE_CHECKING:
    from sfu.allocation.rates import FloatArray, IntArray

FULL: Final = MAX_TEMPORAL - 1
CAMERA: Final = ladder(100, 300, 1_500)


def given_of(values: FloatArray, layer: IntArray) -> FloatArray:
    return np.where(layer == PAUSED, 0.0, values[np.arange(len(layer)), np.maximum(layer, 0)])


def spent_bps(problem: Problem, layer: IntArray) -> FloatArray:
    return np.bincount(problem.subscriber, given_of(problem.costs_bps, layer), len(problem.keep_bps)).astype(
        np.float64
    )


def worth_of(problem: Problem, layer: IntArray) -> FloatArray:
    return np.bincount(problem.subscriber, given_of(worths(problem), layer), len(problem.keep_bps)).astype(
        np.float64
    )


# --- what must hold ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(problems())
def test_sound_is_given_and_nothing_that_does_not_flow_or_fit(problem: Problem) -> None:
    layer = utility(problem)
    video = ~problem.is_audio
    assert (layer[problem.is_audio] == 0).all()
    given_rows = np.flatnonzero(layer != PAUSED)
    assert problem.usable[given_rows, layer[given_rows]].all()
    assert not (video & ~problem.is_visible & (layer != PAUSED)).any()
    has_video = np.zeros(len(problem.keep_bps), np.bool_)
    has_video[problem.subscriber[video & (layer != PAUSED)]] = True
    spent = spent_bps(problem, layer)
    assert (spent <= problem.keep_bps)[has_video].all()
    is_other = np.zeros(len(problem.keep_bps), np.bool_)
    is_other[problem.subscriber[video & (layer != problem.previous) & (layer != PAUSED)]] = True
    assert (spent <= problem.change_bps)[has_video & is_other].all()


@settings(deadline=None)
@given(problems(is_new=True), st.floats(0.0, 2.0))
def test_more_budget_never_gives_less(problem: Problem, more: float) -> None:
    richer = replace(
        problem, keep_bps=problem.keep_bps * (1 + more), change_bps=problem.change_bps * (1 + more)
    )
    before, after = (worth_of(one, utility(one)) for one in (problem, richer))
    assert (after >= before * (1 - 1e-5)).all()


@settings(deadline=None)
@given(problems(max_rows=6, max_subscribers=1, is_new=True))
def test_with_few_rows_nothing_is_much_better(problem: Problem) -> None:
    problem = replace(problem, is_audio=np.zeros(len(problem.rank), np.bool_))
    best = optimum(worths(problem), problem.costs_bps, float(problem.change_bps[0]))
    assert worth_of(problem, utility(problem))[0] >= 0.93 * best


@settings(deadline=None)
@given(problems())
def test_subscribers_have_nothing_to_do_with_each_other(problem: Problem) -> None:
    together = utility(problem)
    for number in range(len(problem.keep_bps)):
        assert utility(only(problem, number)).tolist() == together[problem.subscriber == number].tolist()


@settings(deadline=None)
@given(problems())
def test_the_order_of_rows_decides_nothing(problem: Problem) -> None:
    order = np.random.default_rng(len(problem.rank)).permutation(len(problem.rank))
    assert utility(some(problem, order)).tolist() == utility(problem)[order].tolist()


@settings(deadline=None)
@given(problems(), st.floats(-0.01, 0.01))
def test_what_was_given_stays_when_little_changes(problem: Problem, wave: float) -> None:
    first = utility(problem)
    later = replace(
        problem,
        now=Instant(problem.now + 50 * NS_PER_MS),
        previous=first,
        previous_at=np.full(len(first), problem.now),
        changed=np.zeros(len(first), np.bool_),
        reordered=np.zeros(len(problem.keep_bps), np.bool_),
        costs_bps=problem.costs_bps * (1 + wave),
        keep_bps=problem.keep_bps * 1.02,
        change_bps=problem.change_bps * 1.02,
    )
    # Where suddenly all the best fits, all is given at once, and that is no small change.
    best_bps = np.bincount(problem.subscriber, (problem.costs_bps * problem.usable).max(axis=1))
    is_short = (best_bps > 1.1 * problem.change_bps)[problem.subscriber]
    assert ((utility(later) != first) & ~problem.is_audio & is_short).sum() <= 1 + len(first) // 6


@settings(deadline=None)
@given(problems())
def test_who_has_no_limit_gets_the_best(problem: Problem) -> None:
    free = np.full(len(problem.keep_bps), np.inf)
    layer = utility(replace(problem, keep_bps=free, change_bps=free))
    worth = worths(problem)
    assert given_of(worth, np.where(problem.is_audio, PAUSED, layer)) == pytest.approx(worth.max(axis=1))


def some(problem: Problem, rows: IntArray) -> Problem:
    of_rows = {
        name: getattr(problem, name)[rows]
        for name in Problem.__dataclass_fields__
        if np.shape(getattr(problem, name))[:1] == problem.rank.shape and name not in OF_SUBSCRIBERS
    }
    return replace(problem, **of_rows)


OF_SUBSCRIBERS: Final = {"keep_bps", "change_bps", "reordered", "decided_at", "decided_bps"}


def only(problem: Problem, number: int) -> Problem:
    one = some(problem, np.flatnonzero(problem.subscriber == number))
    budgets = {name: getattr(problem, name)[[number]] for name in OF_SUBSCRIBERS}
    return replace(one, subscriber=np.zeros(len(one.rank), np.int64), **budgets)


# --- what it is for ---------------------------------------------------------------------------------------


def test_everybody_has_a_picture_before_anybody_has_a_large_one() -> None:
    link = Link((Watched(CAMERA), Watched(CAMERA), Watched(CAMERA)), 330)
    assert chosen_for(utility, link) == [(FULL, FULL, FULL)]


def test_who_is_pinned_comes_first() -> None:
    assert chosen_for(utility, Link((Watched(CAMERA), Watched(CAMERA)), 420)) == [(3 + FULL, FULL)]
    assert chosen_for(utility, Link((Watched(CAMERA), Watched(CAMERA, is_pinned=True)), 420)) == [
        (FULL, 3 + FULL)
    ]


def test_a_camera_becomes_smaller_before_it_stutters_and_a_screen_stutters_before_it_is_soft() -> None:
    assert chosen_for(utility, Link((Watched(CAMERA),), 250)) == [(3 + 1,)]
    screen = Watched(ladder(200, 500, 1_800), is_screen=True, heights=(360.0, 720.0, 1080.0), height=1080.0)
    assert chosen_for(utility, Link((screen,), 700)) == [(6,)]
    assert chosen_for(utility, Link((replace(screen, is_screen=False),), 700)) == [(3 + FULL,)]


def test_what_is_kept_may_take_what_the_path_carries_now_and_what_is_new_may_not() -> None:
    kept = Watched(CAMERA, previous=3 + FULL, moved_s_ago=60)
    assert chosen_for(utility, Link((kept,), 320, change_kbps=150)) == [(3 + FULL,)]
    assert chosen_for(utility, Link((replace(kept, previous=FULL),), 320, change_kbps=150)) == [(FULL,)]
    assert chosen_for(utility, Link((kept,), 290, change_kbps=150)) == [(FULL,)]


def test_a_step_up_needs_a_margin_and_for_a_while_a_reason() -> None:
    lower = Watched(CAMERA, previous=3 + FULL - 1, moved_s_ago=STAY_S)
    assert chosen_for(utility, Link((lower,), 300 * MARGIN + 1)) == [(3 + FULL,)]
    assert chosen_for(utility, Link((lower,), 300 * MARGIN - 1)) == [(3 + FULL - 1,)]
    lately, beside = replace(lower, moved_s_ago=1), Watched(CAMERA, previous=3 + FULL, moved_s_ago=60)
    enough_kbps = 600 + 300 * MARGIN + 1
    assert chosen_for(utility, Link((lower, beside, beside), enough_kbps)) == [(3 + FULL,) * 3]
    assert chosen_for(utility, Link((lately, beside, beside), enough_kbps)) == [
        (3 + FULL - 1, 3 + FULL, 3 + FULL)
    ]
    assert chosen_for(utility, Link((lately,), 1_500 * MARGIN + 1)) == [(6 + FULL,)]


def test_a_step_up_needs_no_reason_where_much_is_idle() -> None:
    lately = Watched(CAMERA, previous=3 + FULL - 1, moved_s_ago=1)
    assert chosen_for(utility, Link((lately,), 300 * MARGIN + 1)) == [(3 + FULL,)]
    paused = Watched(CAMERA, previous=PAUSED, moved_s_ago=1)
    assert chosen_for(utility, Link((paused,), 100 * MARGIN + 1)) == [(FULL,)]


def test_of_two_that_are_equal_the_one_that_has_it_keeps_it() -> None:
    for had in ((FULL, 3 + FULL), (3 + FULL, FULL)):
        rows = tuple(Watched(CAMERA, previous=layer, moved_s_ago=60, is_changed=True) for layer in had)
        assert chosen_for(utility, Link(rows, 420)) == [had]
    new = Watched(CAMERA)
    assert chosen_for(utility, Link((new, new), 420)) == [(3 + FULL, FULL)]
