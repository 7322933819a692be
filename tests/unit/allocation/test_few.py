from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.allocation.few import best_of_few
from sfu.allocation.options import SAFE, Options, densest_first, numbered
from sfu.allocation.problem import LAYERS
from sfu.rows import PAUSED
from signalling.cli.bench.allocation_exact import optimum
from tests.unit.allocation.test_options import options_of


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 15), st.floats(0.05, 1.1))
def test_it_is_close_to_the_optimum_and_within_the_budget(seed: int, rows: int, part: float) -> None:
    options = options_of(seed, rows, 3)
    budget = part * options.totals(options.costs_of(options.highest()))
    layer = best_of_few(options, budget)
    assert (options.totals(options.costs_of(layer)) <= budget).all()
    for number, worth in enumerate(options.totals(options.worths_of(layer))):
        mine = options.subscriber == number
        best = optimum(
            options.worths[:, mine].T.astype(np.float64),
            options.costs_bps[:, mine].T.astype(np.float64),
            SAFE * float(budget[number]),
        )
        assert worth >= 0.9 * best - 0.02 * options.worths[:, mine].max(axis=0).sum()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0), st.floats(1.0, 2.0))
def test_more_budget_never_gives_less(seed: int, part: float, more: float) -> None:
    options = options_of(seed, 8, 2)
    budget = part * options.totals(options.costs_of(options.highest()))
    poor, rich = (
        options.totals(options.worths_of(best_of_few(options, one))) for one in (budget, more * budget)
    )
    assert (rich >= poor * (1 - 1e-6)).all()


def test_a_large_picture_is_found_that_greedy_steps_pass_over() -> None:
    worths, costs = np.zeros((LAYERS, 2), np.float32), np.full((LAYERS, 2), 1e15, np.float32)
    worths[0], costs[0] = [1.0, 9.0], [100_000, 1_000_000]
    options = Options.of(worths, costs, *numbered(np.zeros(2, np.int64)))
    budget = np.array([1_050_000.0])
    assert densest_first(options, np.full(2, PAUSED), budget).tolist() == [0, PAUSED]
    assert best_of_few(options, budget).tolist() == [PAUSED, 0]


def test_nothing_is_chosen_where_nothing_is_worth_anything() -> None:
    worths, costs = np.zeros((LAYERS, 2), np.float32), np.full((LAYERS, 2), 1_000, np.float32)
    options = Options.of(worths, costs, *numbered(np.zeros(2, np.int64)))
    assert best_of_few(options, np.array([1e9])).tolist() == [PAUSED, PAUSED]
