"""What is said of decisions, by numbers that can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from sfu.allocation.decision import DECISION_DTYPE
from sfu.allocation.policies.jvb_like import JvbLike
from sfu.allocation.policies.utility import utility
from sfu.allocation.problem import LAYERS, NEVER, Problem
from sfu.allocation.worth import worths
from sfu.recording.judge import Judge, JudgedPolicy
from sfu.rows import MAX_TEMPORAL, PAUSED, StructArray
from sfu.units import NS_PER_S, Instant, after_s
from signalling.cli.bench.allocation_instances import problem, tracks

NOW: Final = Instant(5 * NS_PER_S)


def asked(*, budget_bps: float = 1e9) -> Problem:
    """One subscriber (7) of two cameras of three encodings, all of which are usable."""
    rng = np.random.default_rng(0)
    made = problem(rng, tracks(rng, 2), np.arange(2), np.zeros(2, np.int64))
    encodings = np.arange(LAYERS) // MAX_TEMPORAL
    return replace(
        made,
        is_screen=np.zeros(2, np.bool_),
        height=np.full(2, 720.0),
        width=np.full(2, 1280.0),
        layer_heights=np.tile(180.0 * 2.0**encodings, (2, 1)),
        layer_widths=np.tile(320.0 * 2.0**encodings, (2, 1)),
        frame_rates=np.full((2, LAYERS), 30.0),
        costs_bps=np.tile(100_000.0 * 3.0**encodings, (2, 1)),
        usable=np.tile(np.arange(LAYERS) % MAX_TEMPORAL == 0, (2, 1)),
        keep_bps=np.array([budget_bps]),
        change_bps=np.array([budget_bps]),
        previous_at=np.zeros(2, np.int64),
        previous=np.array([0, 0]),
    )


def decisions_of(subscriber: int) -> StructArray:
    decisions = np.zeros(2, DECISION_DTYPE)
    decisions["subscriber"] = subscriber
    return decisions


def test_what_is_given_counts_for_as_long_as_it_is() -> None:
    judge, one = Judge(), asked()
    worth = worths(one)
    best = worth[:, 6].sum()
    judge.note(NOW, decisions_of(7), one, np.array([6, 6]))
    judge.note(after_s(NOW, 3), decisions_of(7), one, np.array([0, PAUSED]))
    judge.pass_to(after_s(NOW, 4))
    outcome = judge.outcomes()[7]
    assert outcome.seconds == pytest.approx(4)
    assert outcome.utility == pytest.approx((3 + worth[0, 0] / best) / 4)
    assert judge.together() == outcome


def test_switches_are_counted_and_those_of_size_apart() -> None:
    judge, one = Judge(), asked()
    judge.note(NOW, decisions_of(7), one, np.array([0, 6]))
    judge.note(after_s(NOW, 10), decisions_of(7), one, np.array([1, 0]))
    judge.pass_to(after_s(NOW, 30))
    outcome = judge.outcomes()[7]
    assert outcome.switches_per_min == pytest.approx(2 * 60 / 30)
    assert outcome.size_switches_per_min == pytest.approx(1 * 60 / 30)


def test_a_row_that_is_new_has_not_switched() -> None:
    judge, one = Judge(), replace(asked(), previous_at=np.full(2, NEVER))
    judge.note(NOW, decisions_of(7), one, np.array([6, 6]))
    judge.pass_to(after_s(NOW, 30))
    assert judge.together().switches_per_min == 0


def test_more_than_the_path_carries_is_counted_in_time() -> None:
    judge = Judge()
    judge.note(NOW, decisions_of(7), asked(budget_bps=150_000), np.array([0, 0]))
    judge.note(after_s(NOW, 1), decisions_of(7), asked(budget_bps=200_000), np.array([0, 0]))
    judge.pass_to(after_s(NOW, 4))
    assert judge.together().over_budget == pytest.approx(0.25)


def test_of_who_wants_no_picture_nothing_is_said() -> None:
    judge, one = Judge(), replace(asked(), is_visible=np.zeros(2, np.bool_))
    judge.note(NOW, decisions_of(7), one, np.array([PAUSED, PAUSED]))
    judge.pass_to(after_s(NOW, 4))
    assert judge.outcomes() == {}
    assert np.isnan(judge.together().utility)


def test_minutes_of_all_subscribers_count_alike() -> None:
    judge, one = Judge(), asked()
    judge.note(NOW, decisions_of(7), one, np.array([6, 6]))
    judge.note(after_s(NOW, 3), decisions_of(8), one, np.array([PAUSED, PAUSED]))
    judge.pass_to(after_s(NOW, 4))
    assert list(judge.outcomes()) == [7, 8]
    assert judge.together().utility == pytest.approx(0.75)


def test_of_all_questions_of_a_step_the_first_is_the_decision() -> None:
    judged, first = JudgedPolicy(utility), asked()
    answer = judged(first)
    judged(replace(first, is_pinned=np.ones(2, np.bool_)))
    taken = judged.take()
    assert taken is not None
    assert taken[0] is first
    assert taken[1] is answer
    assert judged.take() is None


def test_a_policy_that_paces_itself_still_does() -> None:
    one = replace(asked(), decided_at=np.array([0]), reordered=np.zeros(1, np.bool_))
    one = replace(one, now=Instant(1), changed=np.zeros(2, np.bool_), decided_bps=one.keep_bps)
    assert JudgedPolicy(JvbLike()).due(one).tolist() == JvbLike().due(one).tolist() == [False]
    assert JudgedPolicy(utility).due(one).tolist() == [True]
