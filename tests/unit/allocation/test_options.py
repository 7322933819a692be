from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.allocation.options import PASSES, SAFE, UNUSABLE_BPS, Options, densest_first, numbered
from sfu.allocation.problem import LAYERS
from sfu.rows import PAUSED


def options_of(seed: int, rows: int, count: int) -> Options:
    """Concave worths of rising costs, with holes."""
    rng = np.random.default_rng(seed)
    subscriber = np.sort(np.concatenate([np.arange(count), rng.integers(0, count, rows - count)]))
    costs = np.sort(np.exp(rng.uniform(np.log(20_000), np.log(3e6), (LAYERS, rows))), axis=0)
    worths = rng.uniform(0.2, 4, rows) * (costs / 3e6) ** rng.uniform(0.1, 0.9, rows)
    costs[rng.random(costs.shape) < 0.3] = UNUSABLE_BPS
    worths[costs == UNUSABLE_BPS] = 0.0
    return Options.of(worths.astype(np.float32), costs.astype(np.float32), *numbered(subscriber))


def one_by_one(options: Options, budget_bps: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[int]:
    """The same, a step at a time."""
    layer = [PAUSED] * len(options.subscriber)
    cost, worth = np.zeros(len(layer)), np.zeros(len(layer))
    for number, budget in enumerate(budget_bps):
        rows = np.flatnonzero(options.subscriber == number)
        while True:
            left = SAFE * budget - cost[rows].sum()
            extra = options.costs_bps[:, rows] - cost[rows]
            more = options.worths[:, rows] - worth[rows]
            density = np.where((extra <= left) & (more > 1e-9), more / np.maximum(extra, 1_000.0), -1.0)
            best, at = np.unravel_index(density.argmax(), density.shape)
            if density[best, at] < 0:
                break
            row = rows[at]
            layer[row] = int(best)
            cost[row], worth[row] = options.costs_bps[best, row], options.worths[best, row]
    return layer


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12), st.floats(0.02, 1.2))
def test_all_at_once_takes_the_same_steps_as_one_by_one(seed: int, rows: int, part: float) -> None:
    options = options_of(seed, rows, 3)
    needs = options.totals(options.costs_of(options.highest()))
    slowly = np.array(one_by_one(options, part * needs))
    quickly = densest_first(options, np.full(rows, PAUSED), part * needs)
    worth_quickly, worth_slowly = (options.totals(options.worths_of(one)) for one in (quickly, slowly))
    assert (options.totals(options.costs_of(quickly)) <= part * needs).all()
    # Steps whose densities differ by less than the price can tell are taken in the order of rows.
    assert (worth_quickly >= 0.97 * worth_slowly).all()


def test_a_start_that_does_not_fit_is_left_as_it_is() -> None:
    options = options_of(1, 4, 2)
    start = options.highest()
    assert densest_first(options, start, np.zeros(2)).tolist() == start.tolist()


def test_a_step_that_does_not_fit_is_passed_over_and_smaller_ones_are_taken() -> None:
    worths, costs = np.zeros((LAYERS, 2), np.float32), np.full((LAYERS, 2), UNUSABLE_BPS, np.float32)
    worths[0], costs[0] = [9.0, 1.0], [900_000, 200_000]
    options = Options.of(worths, costs, *numbered(np.zeros(2, np.int64)))
    for budget, layers in ((1_200_000, [0, 0]), (1_000_000, [0, PAUSED]), (800_000, [PAUSED, 0])):
        assert densest_first(options, np.full(2, PAUSED), np.array([float(budget)])).tolist() == layers


def test_only_so_many_steps_are_passed_over() -> None:
    rows = PASSES + 2
    worths, costs = np.zeros((LAYERS, rows), np.float32), np.full((LAYERS, rows), UNUSABLE_BPS, np.float32)
    # Each next one is less dense, and fits only where the one before is not taken.
    costs[0] = 600_000.0 * 0.9 ** np.arange(rows)
    worths[0] = costs[0] / 1e5 * 0.9 ** np.arange(rows)
    options = Options.of(worths, costs, *numbered(np.zeros(rows, np.int64)))
    budget = float(costs[0, -1]) * 1.001
    assert densest_first(options, np.full(rows, PAUSED), np.array([budget])).tolist() == [
        *[PAUSED] * (rows - 1),
        0,
    ]


def test_of_equal_rows_the_first_are_served() -> None:
    worths, costs = np.zeros((LAYERS, 50), np.float32), np.full((LAYERS, 50), UNUSABLE_BPS, np.float32)
    worths[0], costs[0] = 1.0, 100_000
    options = Options.of(worths, costs, *numbered(np.zeros(50, np.int64)))
    found = densest_first(options, np.full(50, PAUSED), np.array([3_050_000.0]))
    assert found.tolist() == [0] * 30 + [PAUSED] * 20


def test_a_higher_layer_that_costs_less_is_taken_and_gives_nothing_back() -> None:
    worths, costs = np.zeros((LAYERS, 1), np.float32), np.full((LAYERS, 1), UNUSABLE_BPS, np.float32)
    worths[:2, 0], costs[:2, 0] = [1.0, 2.0], [500_000, 300_000]
    options = Options.of(worths, costs, *numbered(np.zeros(1, np.int64)))
    assert densest_first(options, np.array([0]), np.array([510_000.0])).tolist() == [1]
    assert densest_first(options, np.array([PAUSED]), np.array([310_000.0])).tolist() == [1]


@pytest.mark.parametrize(("numbers", "found"), [([], ([], [])), ([4, 4, 9], ([0, 0, 1], [0, 2]))])
def test_numbers_are_given_anew(numbers: list[int], found: tuple[list[int], list[int]]) -> None:
    renumbered, starts = numbered(np.array(numbers, np.int64))
    assert (renumbered.tolist(), starts.tolist()) == found
