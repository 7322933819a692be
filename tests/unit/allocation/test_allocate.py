from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.allocation.allocate import allocate
from sfu.allocation.budgets import NO_BUDGETS
from sfu.allocation.decision import Cause
from sfu.allocation.rates import EncodingRates, IntArray
from sfu.allocation.table import DemandTable
from sfu.allocation.wanted import below_ceiling
from sfu.rows import ALL_TEMPORAL, MAX_ENCODINGS, MAX_TEMPORAL, PAUSED, StructArray
from sfu.units import RouteId, TrackHandle, TransportId, after_ms, after_s
from tests.unit.allocation.arrays import (
    AUDIO,
    NOW,
    VIDEO,
    budgets_of,
    rates_of,
    stats_of,
    table_of,
    video,
)

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.conference.turn import SetDemand

CAMERA = {(1, 0): 100_000.0, (1, 1): 300_000.0, (1, 2): 1_500_000.0}


def decide(
    demand: SetDemand, rates: EncodingRates, budgets: StructArray = NO_BUDGETS
) -> tuple[int, int, int, Cause]:
    """What is wanted, allowed and chosen, and why."""
    decision = allocate(table_of([demand]), rates, budgets)[0]
    return (
        int(decision["wanted_encoding"]),
        int(decision["allowed_encoding"]),
        int(decision["chosen_encoding"]),
        Cause(int(decision["cause"])),
    )


def only(*encodings: int) -> EncodingRates:
    return rates_of({key: rate for key, rate in CAMERA.items() if key[1] in encodings})


def test_what_was_asked_for_is_given_where_it_flows() -> None:
    assert decide(VIDEO, rates_of(CAMERA)) == (2, 2, 2, Cause.SIZE)
    assert decide(replace(VIDEO, height=360), rates_of(CAMERA)) == (1, 1, 1, Cause.SIZE)
    assert decide(replace(VIDEO, width=0, height=0), rates_of(CAMERA)) == (0, 0, 0, Cause.SIZE)


def test_a_record_says_whose_it_is_and_what_it_costs() -> None:
    decision = allocate(table_of([replace(VIDEO, height=360)]), rates_of(CAMERA))[0]
    assert [int(decision[name]) for name in ("route", "subscriber", "track", "temporal")] == [
        1,
        1,
        1,
        ALL_TEMPORAL,
    ]
    assert decision["rate_bps"] == pytest.approx(300_000)
    assert decision["next_rate_bps"] == pytest.approx(1_500_000)
    assert decision["budget_bps"] == np.inf
    assert not decision["is_audio"]


def test_where_it_does_not_flow_the_nearest_lower_is_given_and_else_the_nearest_higher() -> None:
    assert decide(VIDEO, only(0, 1)) == (2, 2, 1, Cause.LAYER_NOT_SENT)
    assert decide(VIDEO, only(0)) == (2, 2, 0, Cause.LAYER_NOT_SENT)
    assert decide(replace(VIDEO, height=360), only(0, 2)) == (1, 1, 0, Cause.LAYER_NOT_SENT)
    assert decide(replace(VIDEO, height=180), only(1, 2)) == (0, 0, 1, Cause.LAYER_NOT_SENT)


def test_nothing_is_chosen_of_a_track_that_sends_nothing() -> None:
    assert decide(VIDEO, EncodingRates()) == (2, 2, PAUSED, Cause.PAUSED)
    assert decide(VIDEO, rates_of({(9, 0): 1.0})) == (2, 2, PAUSED, Cause.PAUSED)


def test_audio_is_always_given_because_its_silence_may_be_dtx() -> None:
    assert decide(AUDIO, EncodingRates())[2:] == (0, Cause.SIZE)
    assert decide(AUDIO, EncodingRates(), budgets_of({1: 0.0}))[2:] == (0, Cause.SIZE)


def test_a_ceiling_lowers_what_is_allowed() -> None:
    assert decide(replace(VIDEO, max_height=360), rates_of(CAMERA)) == (2, 1, 1, Cause.CEILING)
    assert decide(replace(VIDEO, max_height=1), rates_of(CAMERA)) == (2, 0, 0, Cause.CEILING)
    assert decide(replace(VIDEO, max_height=360), only(2)) == (2, 1, PAUSED, Cause.CEILING)
    assert decide(replace(VIDEO, max_height=360), only(0)) == (2, 1, 0, Cause.LAYER_NOT_SENT)


def test_a_budget_lowers_what_is_given() -> None:
    budget = budgets_of({1: 500_000.0})
    assert decide(VIDEO, rates_of(CAMERA), budget) == (2, 2, 1, Cause.BUDGET)
    assert decide(VIDEO, rates_of(CAMERA), budgets_of({1: 1_000.0})) == (2, 2, PAUSED, Cause.BUDGET)
    assert decide(VIDEO, rates_of(CAMERA), budgets_of({2: 1_000.0})) == (2, 2, 2, Cause.SIZE)
    assert allocate(table_of([VIDEO]), rates_of(CAMERA), budget)[0]["budget_bps"] == 500_000


def test_what_has_not_been_measured_is_taken_to_cost_what_clients_send() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 0): 0, (1, 1): 0, (1, 2): 0}))
    assert decide(VIDEO, rates, budgets_of({1: 400_000.0}))[2] == 1
    assert decide(VIDEO, rates, budgets_of({1: 1_800_000.0}))[2] == 2


def test_a_layer_that_stalls_is_left_and_taken_again_only_after_it_has_flowed_for_a_while() -> None:
    rates, table = EncodingRates(), table_of([VIDEO])
    seen = []
    for tick in range(200):
        now = after_ms(NOW, 50 * tick)
        is_stalled = 20 <= tick < 100
        last_at = {(1, 2): after_ms(NOW, 1_000)} if is_stalled else {}
        rates.update(stats_of(now, dict.fromkeys(CAMERA, 0), last_at))
        seen.append(int(allocate(table, rates)[0]["chosen_encoding"]))
    assert [(layer, len(list(run))) for layer, run in itertools.groupby(seen)] == [(2, 61), (1, 59), (2, 80)]


def test_a_whole_track_that_comes_back_is_given_at_once() -> None:
    rates, table = EncodingRates(), table_of([VIDEO])
    rates.update(stats_of(NOW, dict.fromkeys(CAMERA, 0)))
    rates.update(stats_of(after_s(NOW, 9), dict.fromkeys(CAMERA, 0), dict.fromkeys(CAMERA, NOW)))
    assert allocate(table, rates)[0]["chosen_encoding"] == PAUSED
    rates.update(stats_of(after_s(NOW, 10), dict.fromkeys(CAMERA, 0)))
    assert allocate(table, rates)[0]["chosen_encoding"] == 2


def test_nobody_wants_anything_at_all() -> None:
    assert len(allocate(DemandTable(), EncodingRates())) == 0


def test_a_policy_of_ones_own_is_asked_with_everything_it_needs() -> None:
    asked: list[Problem] = []

    def nothing(problem: Problem) -> IntArray:
        asked.append(problem)
        return np.full(len(problem.rank), PAUSED)

    decisions = allocate(table_of([VIDEO]), rates_of(CAMERA), policy=nothing)
    assert Cause(int(decisions[0]["cause"])) is Cause.BUDGET
    # As long as no temporal layer is known, the first is all of an encoding.
    assert np.flatnonzero(asked[0].usable[0]).tolist() == [0, MAX_TEMPORAL, 2 * MAX_TEMPORAL]
    assert asked[0].costs_bps[0, ::MAX_TEMPORAL].tolist() == pytest.approx(list(CAMERA.values()))
    assert asked[0].layer_heights[0, ::MAX_TEMPORAL].tolist() == [180, 360, 720]


# --- properties -------------------------------------------------------------------------------------------

TRACKS = range(1, 7)
_DEMANDS = st.lists(
    st.builds(
        lambda route, subscriber, track, height, encodings, ceiling, screen, audio: (
            replace(AUDIO, route=RouteId(route), subscriber=TransportId(subscriber), track=TrackHandle(track))
            if audio
            else replace(
                VIDEO,
                route=RouteId(route),
                subscriber=TransportId(subscriber),
                track=TrackHandle(track),
                height=height,
                encodings=encodings,
                max_height=ceiling,
                screen_share=screen,
            )
        ),
        st.integers(1, 1_000),
        st.integers(1, 4),
        st.sampled_from(TRACKS),
        st.integers(0, 1_100),
        st.integers(1, MAX_ENCODINGS),
        st.sampled_from([0, 0, 90, 360, 720]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=30,
    unique_by=lambda one: one.route,
)
_RATES = st.dictionaries(
    st.tuples(st.sampled_from(TRACKS), st.integers(0, MAX_ENCODINGS - 1)),
    st.integers(10_000, 3_000_000).map(float),
)
_BUDGETS = st.dictionaries(st.integers(1, 4), st.integers(0, 6_000_000).map(float))


@settings(max_examples=200, deadline=None)
@given(_DEMANDS, _RATES, _BUDGETS)
def test_nothing_that_must_not_be_is_ever_decided(
    demands: list[SetDemand], flowing: dict[tuple[int, int], float], budgets: dict[int, float]
) -> None:
    table = table_of(demands)
    decisions = allocate(table, rates_of(flowing), budgets_of(budgets))
    below = below_ceiling(table.rows)
    spent: dict[int, float] = {}
    for row, decision, permitted in zip(table.rows, decisions, below, strict=True):
        chosen = int(decision["chosen_encoding"])
        if row["is_audio"]:
            assert chosen == 0
            continue
        if chosen == PAUSED:
            assert decision["cause"] in {Cause.PAUSED, Cause.BUDGET, Cause.CEILING}
            continue
        assert (int(row["track"]), chosen) in flowing
        assert chosen < int(row["encodings"])
        assert permitted[chosen]
        subscriber = int(row["subscriber"])
        spent[subscriber] = spent.get(subscriber, 0.0) + float(decision["rate_bps"])
    for subscriber, spent_bps in spent.items():
        audio = decisions[decisions["is_audio"] & (decisions["subscriber"] == subscriber)]
        assert spent_bps + audio["rate_bps"].sum() <= budgets.get(subscriber, np.inf) + 1


@settings(deadline=None)
@given(_DEMANDS, _RATES, _BUDGETS, st.integers())
def test_the_order_of_rows_decides_nothing(
    demands: list[SetDemand], flowing: dict[tuple[int, int], float], budgets: dict[int, float], seed: int
) -> None:
    shuffled = list(demands)
    random.Random(seed).shuffle(shuffled)  # a test must repeat itself
    rates, limits = rates_of(flowing), budgets_of(budgets)
    one = np.sort(allocate(table_of(demands), rates, limits), order="route")
    other = np.sort(allocate(table_of(shuffled), rates, limits), order="route")
    assert one.tolist() == other.tolist()


@settings(deadline=None)
@given(st.integers(2, 30), st.integers(0, 20_000_000), st.floats(-0.02, 0.02))
def test_a_small_change_of_the_budget_moves_few_layers(count: int, budget: int, change: float) -> None:
    table = table_of(video(route) for route in range(1, count + 1))
    rates = rates_of(
        {
            (track, encoding): rate * (1 + track / 100)
            for track in range(1, count + 1)
            for (_, encoding), rate in CAMERA.items()
        }
    )
    before = allocate(table, rates, budgets_of({1: float(budget)}))["chosen_encoding"]
    after = allocate(table, rates, budgets_of({1: budget * (1 + change)}))["chosen_encoding"]
    changed_bps = abs(budget * change)
    assert (before != after).sum() <= 3 + 3 * changed_bps / 100_000


@settings(deadline=None)
@given(
    st.integers(1, 10), st.lists(st.integers(-2_000, 2_000), min_size=30, max_size=30), st.integers(0, 10**7)
)
def test_rates_that_waver_move_one_row_at_each_edge(count: int, noise: list[int], budget: int) -> None:
    table = table_of(video(route) for route in range(1, count + 1))
    steady = {
        (track, encoding): rate for track in range(1, count + 1) for (_, encoding), rate in CAMERA.items()
    }
    wavering = {key: rate + wave for (key, rate), wave in zip(steady.items(), noise, strict=False)}
    budgets = budgets_of({1: float(budget)})
    before = allocate(table, rates_of(steady), budgets)["chosen_encoding"]
    after = allocate(table, rates_of(wavering), budgets)["chosen_encoding"]
    assert (before != after).sum() <= 3


def test_subscribers_have_nothing_to_do_with_each_other() -> None:
    rates = rates_of({(track, encoding): rate for track in (1, 2) for (_, encoding), rate in CAMERA.items()})
    rich, poor = video(1, subscriber=TransportId(1)), video(2, subscriber=TransportId(2))
    table = table_of([rich, poor])
    decisions = allocate(table, rates, budgets_of({2: 150_000.0}))
    assert decisions["chosen_encoding"].tolist() == [2, 0]


def test_a_screen_share_comes_before_cameras() -> None:
    rates = rates_of({(track, 0): 100_000.0 for track in (1, 2, 3)})
    table = table_of([video(1), video(2), video(3, screen_share=True)])
    decisions = allocate(table, rates, budgets_of({1: 150_000.0}))
    assert decisions["chosen_encoding"].tolist() == [PAUSED, PAUSED, 0]


def test_everybody_has_a_low_picture_before_anybody_has_a_high_one() -> None:
    rates = rates_of(
        {(track, encoding): rate for track in (1, 2, 3) for (_, encoding), rate in CAMERA.items()}
    )
    table = table_of([video(1), video(2), video(3)])
    budgets = [200_000.0, 300_000.0, 500_000.0, 900_000.0, 2_100_000.0]
    chosen = [allocate(table, rates, budgets_of({1: one}))["chosen_encoding"].tolist() for one in budgets]
    assert chosen == [[0, 0, PAUSED], [0, 0, 0], [1, 0, 0], [1, 1, 1], [2, 1, 1]]
