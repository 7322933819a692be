from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sfu.simulation.media_end import chosen_layer
from sfu.simulation.publisher import SOUND_BPS
from sfu.simulation.scenario import MediaFlow
from tests.support.fixed_target import FixedTarget
from tests.unit.simulation.test_run import SCENARIO, played

LAYERS = (100_000, 300_000, 900_000)


def cost(layer: int) -> int:
    return LAYERS[layer] + SOUND_BPS


def test_a_step_up_must_fit_what_the_path_has_carried_for_a_while() -> None:
    assert chosen_layer(LAYERS, 0, cost(2), cost(1)) == 1
    assert chosen_layer(LAYERS, 0, cost(2), cost(2)) == 2
    assert chosen_layer(LAYERS, 1, math.inf, math.inf) == 2


def test_what_is_shown_stays_while_it_fits_the_target() -> None:
    assert chosen_layer(LAYERS, 2, cost(2), cost(0)) == 2
    assert chosen_layer(LAYERS, 2, cost(2) - 1, cost(0)) == 1


def test_the_lowest_is_shown_whatever_the_path_carries() -> None:
    assert chosen_layer(LAYERS, 2, 1_000, 1_000) == 0
    assert chosen_layer((), 0, 1_000, 1_000) == 0


@pytest.mark.parametrize(("target_bps", "layer"), [(120_000, 0), (400_000, 1), (2_000_000, 2)])
def test_a_camera_of_several_encodings_is_shown_as_far_as_the_target_goes(
    target_bps: float, layer: int
) -> None:
    target = FixedTarget(target_bps)
    wide = replace(SCENARIO.forward, rate_bps=3_000_000)
    scenario = replace(SCENARIO, forward=wide, flows=(MediaFlow(layers_bps=LAYERS),))
    recording = played(scenario, target=target)
    acknowledged = recording.flows[0].ticks["acknowledged_bytes"][-40:].sum() * 8 / 2
    assert acknowledged == pytest.approx(cost(layer), rel=0.15)
    (wish,) = target.wishes[-1]
    next_bps = LAYERS[layer + 1] - LAYERS[layer] if layer < 2 else 0
    assert wish.item() == (2, cost(layer), cost(2), next_bps)
