"""An allocator that goes on where another one was: nothing that it decides tells."""

from __future__ import annotations

import pytest

from sfu.allocation.allocate import Allocator
from sfu.allocation.budgets import NO_CAPS
from sfu.allocation.layout import layout_of
from sfu.allocation.past import Past
from sfu.allocation.rates import EncodingRates
from sfu.allocation.speech import NO_SPEECH
from sfu.allocation.table import DemandTable
from sfu.runtime.policies import POLICIES
from signalling.cli.bench.allocation_scene import Scene

TICK_S = 0.2


@pytest.mark.parametrize("name", POLICIES)
def test_whoever_resumes_decides_the_same_and_whoever_begins_anew_does_not(name: str) -> None:
    policy = POLICIES[name]
    scene, rates, allocator = Scene(5, 1, 6), EncodingRates(), Allocator(policy)
    speech = NO_SPEECH
    for _ in range(30):
        moment = scene.after(TICK_S)
        rates.update(moment.stats)
        speech = moment.speech
        allocator.decide(scene.demand, rates, moment.budgets, speech=speech)
    past = allocator.past
    assert past is not None
    layout = layout_of(scene.demand.rows, speech, NO_CAPS)
    again = EncodingRates.resumed(rates.remembered, rates.measured_at, rates.now)
    resumed = Allocator.resumed(policy, Past.of(layout, past.rows, past.subscribers))
    demand = DemandTable.of(scene.demand.rows)
    fresh_rates, fresh = EncodingRates(), Allocator(policy)
    is_other = False
    for _ in range(20):
        moment = scene.after(TICK_S)
        decisions = []
        for counted, one, wanted in (
            (rates, allocator, scene.demand),
            (again, resumed, demand),
            (fresh_rates, fresh, scene.demand),
        ):
            counted.update(moment.stats)
            decisions.append(one.decide(wanted, counted, moment.budgets, speech=moment.speech).tobytes())
        assert decisions[0] == decisions[1]
        is_other |= decisions[0] != decisions[2]
    assert is_other
