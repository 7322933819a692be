from __future__ import annotations

import numpy as np
import pytest

from sfu.allocation.layers import ENCODING_BPS, USUAL_FRAME_RATE, EncodingLayers, layers_of
from sfu.allocation.rates import Measured
from sfu.rows import MAX_TEMPORAL


def layers(
    rate_bps: float, bits: list[float], frames: list[float], encoding: int = 0, settled: float = 1.0
) -> EncodingLayers:
    is_there = np.ones(1, np.bool_)
    measured = Measured(
        np.array([rate_bps]),
        is_there,
        is_there,
        ~is_there,
        np.array([bits]),
        np.array([frames]),
        np.array([settled]),
    )
    return layers_of(measured, np.array([encoding]))


def test_a_layer_takes_and_shows_what_those_below_it_do_too() -> None:
    found = layers(210_000, [80_000, 40_000, 80_000], [7.5, 7.5, 15])
    # What the layers do not account for, headers and resends, is shared by all.
    assert found.costs_bps[:, 0].tolist() == pytest.approx([84_000, 126_000, 210_000])
    assert found.frame_rates[:, 0].tolist() == [7.5, 15, 30]
    assert found.is_there[:, 0].all()
    assert found.top[0] == MAX_TEMPORAL - 1


@pytest.mark.parametrize(
    ("frames", "top"), [([30, 0, 0], 0), ([15, 15, 0], 1), ([15, 0, 15], 2), ([0, 0, 0], 0), ([5, 0.1, 0], 0)]
)
def test_only_layers_that_flow_can_be_left_out(frames: list[float], top: int) -> None:
    found = layers(200_000, [f * 1_000 for f in frames], frames)
    assert found.top[0] == top
    assert found.is_there[:, 0].tolist() == [t == 0 or frames[t] >= 0.5 for t in range(MAX_TEMPORAL)]
    assert found.costs_bps[top, 0] == pytest.approx(200_000)


def test_before_anything_is_counted_the_usual_is_assumed() -> None:
    unknown = [float("nan")] * MAX_TEMPORAL
    found = layers(float("nan"), unknown, unknown, encoding=1)
    assert found.costs_bps[0, 0] == ENCODING_BPS[1]
    assert found.frame_rates[0, 0] == USUAL_FRAME_RATE
    assert not found.is_known[0]
    assert layers(1.0, unknown, unknown).is_known[0]


def test_what_has_just_begun_takes_what_was_measured_and_the_rest_of_what_is_usual() -> None:
    found = layers(20_000, [0, 0, 80_000], [0, 30, 30], encoding=1, settled=0.25)
    assert found.costs_bps[:, 0].tolist() == pytest.approx([20_000 + 0.75 * ENCODING_BPS[1]] * MAX_TEMPORAL)
    assert found.is_there[:, 0].tolist() == [True, False, False]
    assert found.frame_rates[0, 0] == USUAL_FRAME_RATE
    assert found.top[0] == 0
    assert not found.is_known[0]
