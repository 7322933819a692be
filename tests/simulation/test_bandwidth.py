"""What the estimate makes of simulated paths: short versions of what `focus bench bwe` plays.

A row asserts its effect, and that its control, which lacks the cause, does not show it. Limits are generous:
how good it is, is the bench's to say.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from sfu.bwe.estimators import Estimators
from sfu.netem.link import LinkProfile, RateStep
from sfu.simulation.cores import native_core
from sfu.simulation.figures import DROP, HOME, JAIN_2, JAIN_5, JITTER, LOSS, POLICER, STEADY, TCP
from sfu.simulation.measures import (
    audio_hurt,
    bunched,
    delay_ms,
    fairness,
    loss,
    media_share,
    overload_s,
    queue_ms,
    rate_bps,
    time_to_use,
    use,
)
from sfu.simulation.rfc8867 import CASES
from sfu.simulation.run import run
from sfu.simulation.scenario import Bound, Control, Effect, Figure, MediaFlow, TcpFlow, at_s

if TYPE_CHECKING:
    from sfu.simulation.recording import Recording
    from sfu.simulation.scenario import Scenario

pytest.importorskip("sfu.dataplane._native", reason="the Python twin takes minutes")

RFC8867 = {scenario.name: scenario for scenario in CASES}

ROWS = (
    replace(
        STEADY,
        duration_s=14,
        effect=Effect(partial(rate_bps, flow=0, begin_s=7, end_s=14), Bound(high=3e6)),
        figures=(
            Figure("starts", partial(time_to_use, share=0.9, since_s=0), Bound(high=6)),
            Figure("use", partial(use, begin_s=7, end_s=14), Bound(low=0.7)),
            Figure("queue", partial(queue_ms, rank=95, begin_s=7, end_s=14), Bound(high=120)),
        ),
    ),
    replace(
        DROP,
        duration_s=24,
        forward=replace(
            HOME, queue_ms=600, rate_steps=(RateStep(at_s(8), 800_000), RateStep(at_s(16), 3_000_000))
        ),
        effect=Effect(partial(queue_ms, rank=100, begin_s=8, end_s=11), Bound(low=150)),
        figures=(
            Figure("overload", partial(overload_s, limit_ms=200, begin_s=8, end_s=16), Bound(high=3)),
            Figure("rises", partial(time_to_use, share=0.8, since_s=16), Bound(high=8)),
        ),
    ),
    replace(
        LOSS,
        duration_s=14,
        effect=Effect(partial(loss, flow=0, begin_s=5, end_s=13), Bound(low=0.06)),
        figures=(Figure("use", partial(use, begin_s=7, end_s=14), Bound(low=0.55)),),
    ),
    replace(
        JITTER,
        duration_s=14,
        effect=Effect(partial(bunched, flow=0, begin_s=5, end_s=13), Bound(low=0.1)),
        figures=(Figure("use", partial(use, begin_s=7, end_s=14), Bound(low=0.5)),),
    ),
    replace(
        POLICER,
        duration_s=14,
        effect=Effect(partial(rate_bps, flow=0, begin_s=7, end_s=14), Bound(high=1.5e6)),
        figures=(Figure("use", partial(use, begin_s=7, end_s=14), Bound(low=0.5)),),
    ),
    replace(
        JAIN_2,
        duration_s=25,
        flows=(MediaFlow(), MediaFlow(starts_at_s=2)),
        effect=Effect(partial(rate_bps, flow=0, begin_s=15, end_s=25), Bound(high=3.3e6)),
        figures=(
            Figure("fairness", partial(fairness, begin_s=15, end_s=25), Bound(low=0.7)),
            Figure("use", partial(use, begin_s=15, end_s=25), Bound(low=0.7)),
        ),
    ),
    replace(
        JAIN_5,
        duration_s=20,
        flows=tuple(MediaFlow(starts_at_s=number) for number in range(5)),
        effect=Effect(partial(rate_bps, flow=0, begin_s=12, end_s=20), Bound(high=3.6e6)),
        figures=(
            Figure("fairness", partial(fairness, begin_s=12, end_s=20), Bound(low=0.6)),
            Figure("use", partial(use, begin_s=12, end_s=20), Bound(low=0.7)),
        ),
    ),
    replace(
        TCP,
        duration_s=25,
        tcp=(TcpFlow(starts_at_s=5),),
        effect=Effect(partial(media_share, begin_s=8, end_s=25), Bound(high=0.9)),
        figures=(Figure("share", partial(media_share, begin_s=8, end_s=25), Bound(low=0.02)),),
    ),
    replace(
        RFC8867["rfc8867_5_3"],
        duration_s=20,
        forward=LinkProfile(rate_bps=2_000_000, delay_ms=50, queue_ms=300),
        backward=replace(HOME, rate_bps=2_000_000, delay_ms=50, rate_steps=(RateStep(at_s(8), 800_000),)),
        effect=Effect(partial(rate_bps, flow=1, begin_s=12, end_s=20), Bound(high=0.8e6)),
        control=Control(backward=LinkProfile(rate_bps=2_000_000, delay_ms=50, queue_ms=300)),
        figures=(Figure("use", partial(use, begin_s=12, end_s=20), Bound(low=0.5)),),
    ),
    replace(
        RFC8867["rfc8867_5_5"],
        duration_s=20,
        flows=(MediaFlow(), MediaFlow(delay_ms=140)),
        effect=Effect(partial(delay_ms, flow=1, rank=1, begin_s=5, end_s=18), Bound(low=150)),
        control=Control(flows=(MediaFlow(), MediaFlow())),
        figures=(Figure("use", partial(use, begin_s=10, end_s=20), Bound(low=0.6)),),
    ),
    replace(
        RFC8867["rfc8867_5_8"],
        duration_s=24,
        flows=(MediaFlow(pauses=((8, 14),)), MediaFlow()),
        effect=Effect(partial(rate_bps, flow=0, begin_s=9, end_s=14), Bound(high=0.1e6)),
        control=Control(flows=(MediaFlow(), MediaFlow())),
        figures=(
            Figure("resumes", partial(rate_bps, flow=0, begin_s=19, end_s=24), Bound(low=0.5e6)),
            Figure("use", partial(use, begin_s=16, end_s=24), Bound(low=0.6)),
        ),
    ),
)


def played(scenario: Scenario) -> Recording:
    return run(scenario, native_core(), Estimators(), seed=1)


@pytest.mark.parametrize("scenario", ROWS, ids=lambda scenario: scenario.name)
def test_a_network_shows_its_effect_and_media_lives_with_it(scenario: Scenario) -> None:
    recording = played(scenario)
    assert scenario.effect.is_seen(recording), scenario.effect.measure(recording)
    values = {figure.key: figure.measure(recording) for figure in scenario.figures}
    assert [
        key for key, figure in zip(values, scenario.figures, strict=True) if not holds(figure, values)
    ] == [], values
    assert audio_hurt(recording) == 0
    assert not scenario.effect.is_seen(played(scenario.as_control()))


def holds(figure: Figure, values: dict[str, float]) -> bool:
    return figure.goal is not None and figure.goal.holds(values[figure.key])


def test_the_same_numbers_make_the_same_run() -> None:
    short = replace(LOSS, duration_s=3)
    one, other = played(short), played(short)
    assert one.flows[0].ticks.tobytes() == other.flows[0].ticks.tobytes()
    different = run(short, native_core(), Estimators(), seed=2)
    assert (one.flows[0].ticks["acknowledged_bytes"] != different.flows[0].ticks["acknowledged_bytes"]).any()
