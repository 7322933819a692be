"""Short versions of `focus bench allocation`, and the instruments it measures with."""

from __future__ import annotations

import itertools
import statistics
from statistics import mean
from typing import Final

import numpy as np
import pytest

from sfu.allocation.policies.lowest_layers_first import lowest_layers_first
from sfu.allocation.policies.utility import utility
from sfu.allocation.rates import EncodingRates
from sfu.runtime.policies import POLICIES
from signalling.cli.bench.allocation import Outcome, compared, parts_of_optimum
from signalling.cli.bench.allocation_exact import optimum
from signalling.cli.bench.allocation_instances import problem, tracks
from signalling.cli.bench.allocation_scene import Scene
from signalling.cli.bench.allocation_tick import MEMBERS, SKIPPED_TICKS, tick_times


@pytest.mark.parametrize("seed", range(20))
def test_the_optimum_is_that_of_all_combinations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    worths, costs = rng.random((3, 4)) * (rng.random((3, 4)) < 0.8), rng.random((3, 4))
    budget = float(rng.uniform(0, 2))
    layers = [[None, *np.flatnonzero(row > 0)] for row in worths]
    best = 0.0
    for combination in itertools.product(*layers):
        given = [(row, layer) for row, layer in enumerate(combination) if layer is not None]
        if sum(costs[at] for at in given) <= budget:
            best = max(best, sum(worths[at] for at in given))
    assert optimum(worths, costs, budget) == pytest.approx(best)


def test_an_instance_has_a_budget_that_is_worth_dividing() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        asked = problem(rng, tracks(rng, 6), np.arange(6), np.zeros(6, np.int64))
        cheapest = np.where(asked.usable, asked.costs_bps, np.inf).min()
        dearest = np.where(asked.usable, asked.costs_bps, 0.0).max(axis=1).sum()
        assert cheapest <= asked.change_bps[0] <= 1.1 * dearest
        assert asked.usable.any(axis=1).all()


def test_ours_is_close_to_the_optimum_and_another_is_not() -> None:
    parts = parts_of_optimum(100)
    assert statistics.fmean(parts) >= 0.99
    assert min(parts) >= 0.95
    assert max(parts) <= 1 + 1e-6


def test_a_scene_is_the_same_for_everybody_who_sees_it() -> None:
    one, other = Scene(3, 2, 4), Scene(3, 2, 4)
    for _ in range(20):
        left, right = one.after(0.2), other.after(0.2)
        assert left.stats.encodings.tobytes() == right.stats.encodings.tobytes()
        assert left.budgets.tobytes() == right.budgets.tobytes()
        assert left.speech.tolist() == right.speech.tolist()
    assert Scene(3, 2, 4).after(0.2).speech.shape == (8,)
    first = [Scene(seed, 2, 4).after(0.2).budgets.tobytes() for seed in (3, 4)]
    assert first[0] != first[1]


def test_in_a_whole_tick_everybody_is_told_of_and_what_they_say_is_read() -> None:
    pytest.importorskip("sfu.dataplane._native")
    calls, ticks = 1, SKIPPED_TICKS + 20
    times = tick_times(calls, ticks)
    assert len(times.whole) == ticks - SKIPPED_TICKS
    # Ten packets in each tick for everybody, sound and four pictures.
    told = statistics.fmean(times.packets_told) / calls / MEMBERS
    assert told == pytest.approx(10.4, rel=0.15)
    for whole, reading, estimating in zip(times.whole, times.reading, times.estimating, strict=True):
        assert 0 < reading + estimating < whole


def test_a_scene_wavers_within_what_its_links_carry() -> None:
    scene, rates = Scene(0, 2, 5), EncodingRates()
    keep, has_failed = [], False
    for _ in range(300):
        moment = scene.after(0.2)
        rates.update(moment.stats)
        assert (moment.budgets["change_bps"] <= moment.budgets["keep_bps"]).all()
        assert (moment.budgets["keep_bps"] <= moment.capacity_bps).all()
        keep.append(moment.budgets["keep_bps"])
        has_failed |= not rates.measured.live.all()
    assert len(scene.demand) == 2 * 5 * 4 * 2 + 5
    assert np.std(keep, axis=0).min() > 0
    assert has_failed


SHORT: Final = ((2, 8), 40.0)
"""Rooms and members, and seconds."""
SEEDS: Final = (0, 2)
"""One short scene alone is as good as chance where two policies are close."""


def test_with_ours_fewer_pictures_jump_than_with_the_peers_and_it_is_worth_about_as_much() -> None:
    outcomes: dict[str, list[Outcome]] = {
        name: [compared(policy, seed, *SHORT) for seed in SEEDS] for name, policy in POLICIES.items()
    }
    ours = outcomes.pop("utility")
    assert [one.over_link for one in ours] == [0] * len(SEEDS)
    for name, theirs in outcomes.items():
        assert mean(one.utility for one in ours) >= mean(one.utility for one in theirs) - 0.02, name
        jumps, their_jumps = (mean(one.size_switches_per_min for one in those) for those in (ours, theirs))
        assert jumps < their_jumps, name


def test_what_is_counted_tells_policies_apart() -> None:
    ours, simple = compared(utility, 1, *SHORT), compared(lowest_layers_first, 1, *SHORT)
    assert ours != simple
    assert 0 < ours.utility < 1
    assert ours.size_switches_per_min <= ours.switches_per_min
