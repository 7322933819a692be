from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sfu.allocation.allocate import Allocator
from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.allocation.policies.lowest_layers_first import lowest_layers_first
from sfu.allocation.policies.utility import MARGIN, utility
from sfu.allocation.wishes import Wishes, wishes_of
from sfu.units import RouteId, TransportId
from tests.unit.allocation.arrays import AUDIO, budgets_of, rates_of, table_of, video


def decided(budget_bps: float) -> Wishes:
    rates = rates_of(
        {(track, encoding): rate for track in (1, 3) for encoding, rate in enumerate((1e5, 3e5, 1.5e6))}
    )
    table = table_of(
        [
            video(1),
            replace(AUDIO, route=RouteId(2)),
            video(3, height=360, width=640),
            video(4, subscriber=TransportId(9)),
        ]
    )
    return wishes_of(Allocator(lowest_layers_first).decide(table, rates, budgets_of({1: budget_bps})))


@pytest.mark.parametrize(
    ("budget_bps", "allocated_bps", "next_bps"),
    [
        (3e6, 40e3 + 1.5e6 + 3e5, 0),
        (1e6, 40e3 + 3e5 + 3e5, MARGIN * 1.5e6 - 3e5),
        (5e5, 40e3 + 3e5 + 1e5, MARGIN * 3e5 - 1e5),
        (50e3, 40e3, MARGIN * 1e5),
    ],
)
def test_the_next_step_is_the_least_that_is_withheld(
    budget_bps: float, allocated_bps: float, next_bps: float
) -> None:
    found = decided(budget_bps)
    assert found.transports.tolist() == [1, 9]
    assert found.allocated_bps.tolist() == pytest.approx([allocated_bps, 0])
    assert found.desired_bps.tolist() == pytest.approx([40e3 + 1.5e6 + 3e5, 0])
    assert found.next_bps.tolist() == pytest.approx([next_bps, 0])


def test_what_no_path_would_change_is_not_desired() -> None:
    decisions = np.zeros(3, DECISION_DTYPE)
    decisions["best_rate_bps"], decisions["next_rate_bps"] = 900.0, 500.0
    decisions["cause"] = [Cause.LAST_N, Cause.CAP, Cause.NOT_VISIBLE]
    found = wishes_of(decisions)
    assert (found.desired_bps.tolist(), found.next_bps.tolist()) == ([0], [0])
    decisions["cause"] = Cause.SPEAKER
    assert wishes_of(decisions).desired_bps.tolist() == [2_700]


def withheld(*rows: tuple[float, float, float], budget_bps: float) -> Wishes:
    """Given, next and best of each row of one subscriber."""
    decisions = np.zeros(len(rows), DECISION_DTYPE)
    for name, values in zip(
        ("rate_bps", "next_rate_bps", "best_rate_bps"), zip(*rows, strict=True), strict=True
    ):
        decisions[name] = values
    decisions["cause"], decisions["budget_bps"] = Cause.BUDGET, budget_bps
    return wishes_of(decisions)


@pytest.mark.parametrize(
    ("budget_bps", "next_bps"),
    [
        (700e3, MARGIN * 800e3 - 500e3),
        # There is room for the next step, which is not taken: the best one is waited for.
        (1.5e6, MARGIN * 2e6 - 500e3),
        (2.45e6, MARGIN * 2e6 - 500e3),
    ],
)
def test_a_step_that_would_fit_and_is_not_taken_is_not_waited_for(budget_bps: float, next_bps: float) -> None:
    found = withheld((500e3, 800e3, 2e6), budget_bps=budget_bps)
    assert found.next_bps.tolist() == pytest.approx([next_bps])


def test_where_each_step_by_itself_would_fit_all_together_are_waited_for() -> None:
    found = withheld((100e3, 300e3, 300e3), (100e3, 300e3, 300e3), budget_bps=500e3)
    assert found.next_bps.tolist() == pytest.approx([MARGIN * 600e3 - 200e3])


def test_nobody_wishes_anything() -> None:
    assert len(wishes_of(np.zeros(0, DECISION_DTYPE)).transports) == 0


def test_a_path_that_carries_the_next_step_too_is_given_it() -> None:
    rates = rates_of({(1, encoding): rate for encoding, rate in enumerate((1e5, 3e5, 1.5e6))})
    allocator, table, budget_bps = Allocator(utility), table_of([video(1)]), 150e3
    given = []
    for _ in range(3):
        decisions = allocator.decide(table, rates, budgets_of({1: budget_bps}))
        wishes = wishes_of(decisions)
        given.append(int(decisions[0]["chosen_encoding"]))
        budget_bps = float(wishes.allocated_bps[0] + wishes.next_bps[0]) + 10.0
    assert given == [0, 1, 2]
