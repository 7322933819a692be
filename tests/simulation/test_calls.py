"""What is shown of cameras over simulated paths, as a focus chooses: short versions of `focus bench bwe`.

As in `test_bandwidth`, a row asserts its effect, and that its control does not show it; limits are generous.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from sfu.netem.link import LinkProfile, RateStep
from sfu.simulation.calls import GRID, LATE, LAYERS_DROP, LAYERS_STEADY, LAYERS_TCP, SCREEN, UPLINK
from sfu.simulation.cores import native_core
from sfu.simulation.deciding import mind_of
from sfu.simulation.figures import HOME
from sfu.simulation.measures import audio_hurt, overload_s, queue_ms, rate_bps, time_to_rate, use
from sfu.simulation.pictures import (
    all_seen_after_s,
    freeze_s,
    seen_after_s,
    shown_share,
    uplink_audio_loss,
)
from sfu.simulation.run import run
from sfu.simulation.scenario import Bound, Camera, Effect, Figure, MediaFlow, TcpFlow, at_s

if TYPE_CHECKING:
    from sfu.simulation.recording import Recording
    from sfu.simulation.scenario import Scenario

pytest.importorskip("sfu.dataplane._native", reason="the Python twin takes minutes")

ROWS = (
    replace(
        LAYERS_STEADY,
        duration_s=12,
        effect=Effect(partial(queue_ms, rank=95, begin_s=6, end_s=12), Bound(low=1)),
        figures=(Figure("starts", partial(time_to_rate, bps=1_800_000, since_s=0), Bound(high=4)),),
    ),
    replace(
        LAYERS_STEADY,
        name="layers_that_just_fit",
        duration_s=14,
        forward=replace(HOME, rate_bps=3_500_000),
        flows=(MediaFlow(cameras=(Camera(layers_bps=(200_000, 700_000, 2_500_000)),)),),
        effect=Effect(partial(queue_ms, rank=95, begin_s=6, end_s=14), Bound(low=1)),
        figures=(Figure("stays", partial(rate_bps, flow=0, begin_s=6, end_s=14), Bound(low=2.4e6)),),
    ),
    replace(
        LAYERS_DROP,
        duration_s=24,
        forward=replace(
            HOME, queue_ms=600, rate_steps=(RateStep(at_s(8), 800_000), RateStep(at_s(14), 3_000_000))
        ),
        effect=Effect(partial(queue_ms, rank=100, begin_s=8, end_s=11), Bound(low=150)),
        figures=(
            Figure("overload", partial(overload_s, limit_ms=200, begin_s=8, end_s=14), Bound(high=3)),
            Figure("shown", partial(shown_share, begin_s=1, end_s=24), Bound(low=0.95)),
            Figure("freeze", partial(freeze_s, begin_s=2, end_s=24), Bound(high=1)),
            Figure("rises", partial(time_to_rate, bps=1_800_000, since_s=14), Bound(high=8)),
        ),
    ),
    replace(
        LAYERS_TCP,
        duration_s=35,
        tcp=(TcpFlow(starts_at_s=5),),
        effect=Effect(partial(rate_bps, flow=0, begin_s=20, end_s=35), Bound(high=1.9e6)),
        figures=(
            Figure("freeze", partial(freeze_s, begin_s=2, end_s=33), Bound(high=1.5)),
            Figure("shown", partial(shown_share, begin_s=2, end_s=35), Bound(low=0.95)),
            Figure("sharper", partial(rate_bps, flow=0, begin_s=25, end_s=35), Bound(low=0.3e6)),
        ),
    ),
    replace(
        GRID,
        duration_s=6,
        effect=Effect(partial(rate_bps, flow=0, begin_s=3, end_s=6), Bound(high=3e6)),
        figures=(
            Figure("seen", all_seen_after_s, Bound(high=1)),
            Figure("shown", partial(shown_share, begin_s=2, end_s=6), Bound(low=0.95)),
            Figure("use", partial(use, begin_s=3, end_s=6), Bound(low=0.5)),
        ),
    ),
    replace(
        GRID,
        name="grid_narrow",
        duration_s=8,
        forward=LinkProfile(rate_bps=500_000, delay_ms=25, queue_ms=1_500),
        effect=Effect(partial(queue_ms, rank=100, begin_s=0, end_s=3), Bound(low=150)),
        figures=(
            Figure("overload", partial(overload_s, limit_ms=200, begin_s=0, end_s=8), Bound(high=1)),
            Figure("shown", partial(shown_share, begin_s=3, end_s=8), Bound(low=0.4)),
        ),
    ),
    replace(
        SCREEN,
        duration_s=12,
        flows=(
            MediaFlow(
                cameras=(
                    replace(SCREEN.flows[0].cameras[0], starts_at_s=4),
                    *SCREEN.flows[0].cameras[1:],
                )
            ),
        ),
        effect=Effect(partial(rate_bps, flow=0, begin_s=7, end_s=12), Bound(high=2e6)),
        figures=(Figure("seen", partial(seen_after_s, picture=0), Bound(high=1)),),
    ),
    replace(
        LATE,
        duration_s=12,
        flows=(
            MediaFlow(cameras=(*LATE.flows[0].cameras[:4], replace(LATE.flows[0].cameras[4], starts_at_s=5))),
        ),
        effect=Effect(partial(rate_bps, flow=0, begin_s=8, end_s=12), Bound(high=2e6)),
        figures=(Figure("seen", partial(seen_after_s, picture=4), Bound(high=0.5)),),
    ),
    replace(
        UPLINK,
        duration_s=12,
        effect=Effect(partial(rate_bps, flow=0, begin_s=6, end_s=12), Bound(high=600_000)),
        figures=(
            Figure("loss", uplink_audio_loss, Bound(high=0.01)),
            Figure("shown", partial(shown_share, begin_s=2, end_s=12), Bound(low=0.95)),
        ),
    ),
)


def played(scenario: Scenario) -> Recording:
    return run(scenario, native_core(), mind_of(scenario), seed=1)


@pytest.mark.parametrize("scenario", ROWS, ids=lambda scenario: scenario.name)
def test_a_call_lives_with_its_network(scenario: Scenario) -> None:
    recording = played(scenario)
    assert scenario.effect.is_seen(recording), scenario.effect.measure(recording)
    values = {figure.key: figure.measure(recording) for figure in scenario.figures}
    missed = [
        figure.key
        for figure in scenario.figures
        if figure.goal is not None and not figure.goal.holds(values[figure.key])
    ]
    assert not missed, values
    assert audio_hurt(recording) == 0
    assert not scenario.effect.is_seen(played(scenario.as_control()))


def test_the_same_numbers_make_the_same_call() -> None:
    short = replace(GRID, duration_s=2)
    one, other = played(short), played(short)
    assert one.flows[0].packets.tobytes() == other.flows[0].packets.tobytes()
    assert [picture.layers.tolist() for picture in one.flows[0].pictures] == [
        picture.layers.tolist() for picture in other.flows[0].pictures
    ]
