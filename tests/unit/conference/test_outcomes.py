from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np
import pytest

from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.conference.outcomes import NO_MARK, Outcome, Outcomes
from sfu.rows import ALL_TEMPORAL, PAUSED, ROUTE_DTYPE


def decided(*rows: dict[str, Any]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    return rows_of(DECISION_DTYPE, rows)


def counted(*rows: dict[str, Any]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    return rows_of(ROUTE_DTYPE, rows)


def rows_of(
    dtype: np.dtype[np.void], rows: tuple[dict[str, Any], ...]
) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    array = np.zeros(len(rows), dtype)
    for row, values in zip(array, rows, strict=True):
        for name, value in values.items():
            row[name] = value
    return array


def routes(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.array(numbers, np.uint32)


def mark(current: int = 0, temporal: int = ALL_TEMPORAL, **decision: int) -> int:
    outcomes = Outcomes(
        decided({"route": 7} | decision), counted({"route": 7, "encoding": current, "temporal": temporal})
    )
    return int(outcomes.find(routes(7))[1][0])


def test_a_decision_is_found_with_what_flows_whatever_the_order_of_rows() -> None:
    outcomes = Outcomes(
        decided(
            {"route": 9, "wanted_encoding": 1, "cause": Cause.BUDGET},
            {
                "route": 4,
                "wanted_encoding": 2,
                "allowed_encoding": 1,
                "chosen_encoding": 0,
                "cause": Cause.LAYER_NOT_SENT,
                "rate_bps": 120.0,
                "next_rate_bps": 300.0,
                "budget_bps": np.inf,
            },
        ),
        counted({"route": 4, "encoding": 0, "temporal": 2}, {"route": 3}, {"route": 9, "encoding": PAUSED}),
    )
    found = outcomes.outcomes(routes(4, 5, 9))
    assert found[0] == Outcome(0, 2, 2, 1, 0, Cause.LAYER_NOT_SENT, 120.0, 300.0, float("inf"))
    assert found[1] is None
    assert found[2] is not None
    assert (found[2].current, found[2].cause) == (PAUSED, Cause.BUDGET)


def test_what_no_counter_tells_of_does_not_flow() -> None:
    (outcome,) = Outcomes(decided({"route": 1, "chosen_encoding": 1}), counted()).outcomes(routes(1))
    assert outcome is not None
    assert (outcome.current, outcome.chosen) == (PAUSED, 1)


def test_where_nothing_was_decided_nothing_is_found() -> None:
    empty = Outcomes(decided(), counted())
    assert empty.find(routes(1, 2))[1].tolist() == [NO_MARK, NO_MARK]
    assert empty.outcomes(routes(1)) == [None]
    rows, found = empty.counters_of(routes(1))
    assert (rows["route"].tolist(), found.tolist()) == ([0], [False])


def test_a_mark_is_another_for_everything_that_may_be_told_and_the_same_for_rates() -> None:
    layers = (PAUSED, 0, 1, 2)
    marks = {
        mark(
            current,
            temporal,
            wanted_encoding=wanted,
            allowed_encoding=allowed,
            chosen_encoding=chosen,
            cause=cause,
        )
        for current, temporal, wanted, allowed, chosen, cause in product(
            layers, (0, 3, ALL_TEMPORAL), (0, 2), (0, 2), layers, tuple(Cause)
        )
    }
    assert len(marks) == 4 * 3 * 2 * 2 * 4 * len(Cause)
    assert NO_MARK not in marks
    assert mark(rate_bps=1) == mark(rate_bps=2) == mark(budget_bps=7)


def test_counters_of_routes_are_zero_where_there_are_none() -> None:
    outcomes = Outcomes(decided(), counted({"route": 5, "packets_sent": 8}, {"route": 2, "packets_sent": 3}))
    rows, found = outcomes.counters_of(routes(2, 3, 5))
    assert rows["packets_sent"].tolist() == [3, 0, 8]
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_taken_over_from_the_tick_before_is_what_would_be_found_anew(seed: int) -> None:
    rng = random.Random(seed)
    everybody = routes(*range(8))
    decisions, counters = decided(), counted()
    before = Outcomes(decisions, counters)
    for _ in range(60):
        if rng.random() < 0.3:
            numbers = rng.sample(range(8), rng.randrange(8))
            counters = counted(*({"route": one, "encoding": rng.randrange(2)} for one in numbers))
        if rng.random() < 0.3:
            numbers = rng.sample(range(8), rng.randrange(8))
            decisions = decided(*({"route": one, "chosen_encoding": rng.randrange(2)} for one in numbers))
        if rng.random() < 0.3:
            decisions = decisions.copy()
        outcomes, anew = Outcomes(decisions, counters, before), Outcomes(decisions, counters)
        assert outcomes.outcomes(everybody) == anew.outcomes(everybody)
        is_other = outcomes.find(everybody)[1] != before.find(everybody)[1]
        assert sorted(outcomes.changed.tolist()) == everybody[is_other].tolist()
        assert (outcomes.token is before.token) == (not is_other.any())
        before = outcomes
