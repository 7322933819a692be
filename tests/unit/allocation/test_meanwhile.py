from __future__ import annotations

import numpy as np
import pytest

from sfu.allocation.allocate import Allocator
from sfu.allocation.decision import Cause, targets_of
from sfu.allocation.meanwhile import bridge
from sfu.allocation.policies.lowest_layers_first import lowest_layers_first
from sfu.allocation.rates import EncodingRates
from sfu.rows import ALL_TEMPORAL, PAUSED, ROUTE_DTYPE, StructArray
from sfu.units import Instant, after_ms
from tests.unit.allocation.arrays import NOW, VIDEO, budgets_of, stats_of, table_of, video

LADDER = (100_000, 300_000, 1_500_000)


def resting(*at_rest: int, frame_rate: float = 30.0) -> tuple[EncodingRates, Instant]:
    """Encodings that nobody was given, some of which showed so many frames and have stopped long ago."""
    rates, now = EncodingRates(), NOW
    for tick in range(100):
        now = after_ms(NOW, 100 * tick)
        stopped = after_ms(NOW, 100 * min(tick, 50))
        ticks = {key: min(tick, 50) if key in at_rest else tick for key in range(3)}
        stats = stats_of(
            now,
            {(1, key): LADDER[key] // 80 * count for key, count in ticks.items()},
            {(1, key): stopped for key in at_rest},
        )
        for key, count in ticks.items():
            per_tick = (frame_rate if key in at_rest else 30.0) / 10
            stats.encodings["temporal_bytes_received"][key, 0] = LADDER[key] // 80 * count
            stats.encodings["temporal_frames_received"][key, 0] = per_tick * count
        rates.update(stats)
    return rates, now


def decided(rates: EncodingRates, budget_bps: float, demand: object = VIDEO) -> StructArray:
    allocator = Allocator(lowest_layers_first)
    return allocator.decide(table_of([demand]), rates, budgets_of({1: budget_bps}))  # type: ignore[list-item]  # a demand


def flowing(encoding: int) -> StructArray:
    routes = np.zeros(1, ROUTE_DTYPE)
    routes["route"], routes["encoding"] = 1, encoding
    return routes


def test_what_rests_is_given_to_whom_it_fits_and_its_cost_is_the_reason_where_it_does_not() -> None:
    rates, _ = resting(2)
    (fits,) = decided(rates, 2e6)
    assert (fits["chosen_encoding"], fits["cause"]) == (2, Cause.SIZE)
    (short,) = decided(rates, 1e6)
    assert (short["chosen_encoding"], short["cause"]) == (1, Cause.BUDGET)
    assert short["next_rate_bps"] == short["best_rate_bps"] == pytest.approx(1_500_000, rel=0.02)


def test_what_rests_and_had_only_begun_is_asked_for_and_not_judged_by_what_it_was() -> None:
    slow, _ = resting(2, frame_rate=5)
    (decision,) = Allocator().decide(table_of([VIDEO]), slow, budgets_of({1: 5e6}))
    assert (decision["chosen_encoding"], decision["cause"]) == (1, Cause.LAYER_NOT_SENT)
    usual, _ = resting(2, frame_rate=20)
    (decision,) = Allocator().decide(table_of([VIDEO]), usual, budgets_of({1: 5e6}))
    assert (decision["chosen_encoding"], decision["cause"]) == (2, Cause.SIZE)


def test_of_a_track_of_which_nothing_flows_nothing_is_given_that_rests() -> None:
    rates, now = resting(2)
    last_at = dict.fromkeys([(1, 0), (1, 1)], now) | {(1, 2): after_ms(NOW, 5_000)}
    rates.update(stats_of(after_ms(now, 3_000), dict.fromkeys(last_at, 10**6), last_at))
    (decision,) = decided(rates, 2e6)
    assert (decision["chosen_encoding"], decision["cause"]) == (PAUSED, Cause.PAUSED)


@pytest.mark.parametrize(
    ("at_rest", "budget_bps", "current", "target"),
    [
        # Who gets more waits with what there is.
        ((2,), 2e6, 1, 2),
        ((2,), 2e6, 0, 2),
        # Who has nothing yet, or more than the path carries, does not.
        ((2,), 2e6, PAUSED, 1),
        ((1, 2), 2e6, PAUSED, 0),
        ((1,), 5e5, 2, 0),
        # What flows is given as it is.
        ((2,), 5e5, PAUSED, 1),
        ((), 2e6, PAUSED, 2),
        # There is nothing else.
        ((0, 1), 5e5, 2, 1),
    ],
)
def test_nobody_stands_still_for_what_rests(
    at_rest: tuple[int, ...], budget_bps: float, current: int, target: int
) -> None:
    rates, _ = resting(*at_rest)
    decisions = decided(rates, budget_bps)
    targets = targets_of(decisions)
    bridge(targets, table_of([VIDEO]).rows, flowing(current), rates)
    assert targets["encoding"].tolist() == [target]
    assert target == decisions["chosen_encoding"][0] or targets["temporal"][0] == ALL_TEMPORAL


def test_of_a_route_that_is_new_nothing_flows() -> None:
    rates, _ = resting(2)
    targets = targets_of(decided(rates, 2e6))
    bridge(targets, table_of([VIDEO]).rows, np.zeros(0, ROUTE_DTYPE), rates)
    assert targets["encoding"].tolist() == [1]


def test_a_route_for_one_encoding_waits_for_it() -> None:
    rates, _ = resting(2)
    demand = video(1, only=2)
    targets = targets_of(decided(rates, 2e6, demand))
    bridge(targets, table_of([demand]).rows, flowing(PAUSED), rates)
    assert targets["encoding"].tolist() == [2]
