"""Rows that are for one encoding only: the layers of a track, each on its way as a stream of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from sfu.allocation.allocate import allocate
from sfu.allocation.budgets import NO_BUDGETS
from sfu.allocation.decision import Cause
from sfu.allocation.policies.lowest_layers_first import lowest_layers_first
from sfu.allocation.policies.utility import utility
from sfu.rows import PAUSED
from sfu.units import RouteId, TrackHandle
from tests.unit.allocation.arrays import AUDIO, VIDEO, budgets_of, rates_of, table_of, video

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.allocation.problem import Policy
    from sfu.conference.turn import SetDemand
    from sfu.rows import StructArray

LADDER: Final = {(1, 0): 100_000.0, (1, 1): 300_000.0, (1, 2): 1_500_000.0}
SIZES: Final = ((320, 180), (640, 360), (1280, 720))


def layers(track: int = 1, routes: Sequence[int] = (11, 12, 13)) -> list[SetDemand]:
    """All encodings of a track, lowest first, each in its own size."""
    return [
        replace(
            VIDEO,
            route=RouteId(route),
            track=TrackHandle(track),
            only=encoding,
            width=SIZES[encoding][0],
            height=SIZES[encoding][1],
        )
        for encoding, route in enumerate(routes)
    ]


def by_route(decisions: StructArray, name: str) -> dict[int, int]:
    return dict(zip(decisions["route"].tolist(), decisions[name].tolist(), strict=True))


def test_each_layer_of_a_track_is_given_on_its_own_row() -> None:
    for policy in (utility, lowest_layers_first):
        decisions = allocate(table_of(layers()), rates_of(LADDER), policy=policy)
        for name in ("wanted_encoding", "allowed_encoding", "chosen_encoding"):
            assert by_route(decisions, name) == {11: 0, 12: 1, 13: 2}
        assert set(decisions["cause"]) == {Cause.SIZE}


def test_what_does_not_flow_is_replaced_by_no_other() -> None:
    flowing = {key: rate for key, rate in LADDER.items() if key != (1, 1)}
    decisions = allocate(table_of(layers()), rates_of(flowing))
    assert by_route(decisions, "chosen_encoding") == {11: 0, 12: PAUSED, 13: 2}
    assert by_route(decisions, "allowed_encoding")[12] == 1
    assert by_route(decisions, "cause")[12] == Cause.LAYER_NOT_SENT


def test_neither_a_size_nor_a_ceiling_chooses_another() -> None:
    rows = [replace(layers()[2], width=160, height=90, max_height=90)]
    decisions = allocate(table_of(rows), rates_of(LADDER))
    assert by_route(decisions, "chosen_encoding") == {13: 2}


@pytest.mark.parametrize("policy", [utility, lowest_layers_first])
@pytest.mark.parametrize(
    ("budget_bps", "expected"),
    [
        (30_000, {11: PAUSED, 12: PAUSED, 13: PAUSED}),
        (200_000, {11: 0, 12: PAUSED, 13: PAUSED}),
        (600_000, {11: 0, 12: 1, 13: PAUSED}),
        (2_600_000, {11: 0, 12: 1, 13: 2}),
    ],
)
def test_sound_comes_before_all_and_low_layers_before_higher_ones(
    policy: Policy, budget_bps: int, expected: dict[int, int]
) -> None:
    decisions = allocate(table_of([AUDIO, *layers()]), rates_of(LADDER), budgets_of({1: budget_bps}), policy)
    chosen = by_route(decisions, "chosen_encoding")
    assert chosen.pop(AUDIO.route) == 0
    assert chosen == expected
    assert {by_route(decisions, "cause")[route] for route, one in expected.items() if one == PAUSED} <= {
        Cause.BUDGET
    }


def test_the_layers_of_one_track_leave_room_for_the_lowest_of_another() -> None:
    rates = rates_of(LADDER | {(2, encoding): rate for (_, encoding), rate in LADDER.items()})
    table = table_of([*layers(1, (11, 12, 13)), *layers(2, (21, 22, 23))])
    decisions = allocate(table, rates, budgets_of({1: 300_000}), utility)
    chosen = by_route(decisions, "chosen_encoding")
    assert (chosen[11], chosen[21]) == (0, 0)


def test_what_is_not_wanted_now_is_not_given() -> None:
    lowest, middle, highest = layers()
    table = table_of([lowest, replace(middle, is_visible=False), highest])
    decisions = allocate(table, rates_of(LADDER), NO_BUDGETS, utility)
    assert by_route(decisions, "chosen_encoding") == {11: 0, 12: PAUSED, 13: 2}
    assert by_route(decisions, "cause")[12] == Cause.NOT_VISIBLE


def test_what_is_out_of_sight_is_known_though_nothing_of_it_flows() -> None:
    lowest, *_ = layers()
    table = table_of([lowest, replace(VIDEO, is_visible=False), replace(AUDIO, is_visible=False)])
    decisions = allocate(table, rates_of({}), NO_BUDGETS, utility)
    assert by_route(decisions, "cause")[VIDEO.route] == Cause.PAUSED
    assert by_route(decisions, "is_unseen") == {11: False, VIDEO.route: True, AUDIO.route: False}


def test_an_encoding_that_there_is_not_is_the_highest_and_any_other_number_is_for_all() -> None:
    assert table_of([video(1, only=7)]).rows["only"].tolist() == [2]
    assert table_of([video(1, only=-7)]).rows["only"].tolist() == [-1]
    assert table_of([VIDEO]).rows["only"].tolist() == [-1]
