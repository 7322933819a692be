from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from sfu.netem.link import PERFECT, LinkProfile, RateStep
from sfu.netem.policer import Policer
from sfu.simulation.measures import (
    audio_hurt,
    bunched,
    capacity_bps,
    delay_ms,
    fairness,
    loss,
    media_share,
    overload_s,
    padding_share,
    queue_ms,
    rate_bps,
    rolling_bps,
    time_to_rate,
    time_to_use,
    use,
)
from sfu.simulation.recording import PACKET_DTYPE, TICK_DTYPE, FlowRecording, Recording
from sfu.simulation.scenario import Bound, Control, Effect, MediaFlow, Scenario, at_s

SECONDS = 10
TICKS_S = 20
LINE = LinkProfile(rate_bps=1_000_000)
SCENARIO = Scenario(
    name="a",
    about="A row.",
    duration_s=SECONDS,
    forward=LINE,
    figures=(),
    effect=Effect(lambda _: 0.0, Bound()),
    control=Control(forward=PERFECT),
)


def flow(*rates_bps: float, padding: float = 0.0, held: int = 0, dropped: int = 0) -> FlowRecording:
    """What was acknowledged at each of these rates for an equal part of the time."""
    ticks = np.zeros(SECONDS * TICKS_S, TICK_DTYPE)
    ticks["at_s"] = np.arange(1, len(ticks) + 1) / TICKS_S
    per_tick = np.repeat(np.array(rates_bps), len(ticks) // len(rates_bps)) / 8 / TICKS_S
    ticks["acknowledged_bytes"] = ticks["sent_bytes"] = per_tick
    ticks["padding_bytes"] = padding * per_tick
    return FlowRecording(ticks, np.zeros(0, PACKET_DTYPE), 500, held, dropped)


def with_packets(*packets: tuple[float, float]) -> FlowRecording:
    """(sent, arrived), 972 bytes each: 1,000 with headers."""
    rows = [(sent_at, arrived_at, 972, False) for sent_at, arrived_at in packets]
    return replace(flow(0), packets=np.array(rows, PACKET_DTYPE))


def recording(
    *flows: FlowRecording, scenario: Scenario = SCENARIO, queue: tuple[float, ...] = (), tcp_bytes: float = 0
) -> Recording:
    """`queue` is sampled over all the time; `tcp_bytes` come at each tick."""
    number = len(queue)
    return Recording(
        scenario=replace(scenario, flows=(MediaFlow(),) * len(flows)),
        flows=flows,
        tcp_acknowledged=(np.full(SECONDS * TICKS_S, tcp_bytes),) if tcp_bytes else (),
        queue_at_s=np.arange(number) * SECONDS / max(number, 1),
        queue_ms=np.array(queue),
    )


def test_capacity_follows_steps_and_policers() -> None:
    line = LinkProfile(rate_bps=3, rate_steps=(RateStep(at_s(1), 0), RateStep(at_s(2), None)))
    at = np.array([0.0, 0.99, 1.0, 2.5])
    assert capacity_bps(line, at).tolist() == [3, 3, 0, math.inf]
    assert capacity_bps(replace(line, policer=Policer(2, 1_000)), at).tolist() == [2, 2, 0, 2]


def test_rate_and_use_are_over_their_span() -> None:
    run = recording(flow(400_000, 800_000))
    assert rate_bps(run, 0, 0, 5) == pytest.approx(400_000, rel=0.02)
    assert rate_bps(run, 0, 6, 10) == pytest.approx(800_000, rel=0.02)
    assert use(run, 6, 10) == pytest.approx(0.8, rel=0.02)


def test_use_counts_all_forward_flows() -> None:
    run = recording(flow(300_000), flow(200_000), flow(250_000))
    backward = replace(run.scenario, flows=(MediaFlow(), MediaFlow(), MediaFlow(is_forward=False)))
    assert use(replace(run, scenario=backward), 2, 8) == pytest.approx(0.5)


def test_the_time_to_a_share_is_that_of_a_whole_second() -> None:
    run = recording(flow(100_000, 900_001))
    # From 5 s on, and a second later it is all of the second before.
    assert time_to_use(run, share=0.9, since_s=2) == pytest.approx(4.0, abs=0.06)
    assert time_to_use(run, share=0.95, since_s=0) == math.inf


def test_the_time_to_a_rate_is_that_of_the_first_flow() -> None:
    run = recording(flow(100_000, 500_001), flow(1e6))
    assert time_to_rate(run, bps=500_000, since_s=1) == pytest.approx(5.0, abs=0.06)
    assert time_to_rate(run, bps=600_000, since_s=0) == math.inf


def test_an_effect_is_seen_where_its_measure_is_within_bounds() -> None:
    effect = Effect(lambda one: rate_bps(one, 0, 0, SECONDS), Bound(high=500_000))
    assert effect.is_seen(recording(flow(400_000)))
    assert not effect.is_seen(recording(flow(600_000)))


def test_a_rolling_rate_is_that_of_the_second_before() -> None:
    rates = rolling_bps(recording(flow(0, 800_000)), 0)
    at = {round(second * TICKS_S) - 1: second for second in (5, 5.5, 6, 10)}
    assert [rates[index] for index in at] == pytest.approx([0, 400_000, 800_000, 800_000])


def test_queues_are_percentiles_and_overload_is_a_time() -> None:
    run = recording(flow(0), queue=(0,) * 90 + (300,) * 10)
    assert queue_ms(run, 50, 0, SECONDS) == 0
    assert queue_ms(run, 99, 0, SECONDS) == 300
    assert overload_s(run, 200, 0, SECONDS) == pytest.approx(1.0)
    assert overload_s(run, 200, 0, 9) == 0


def test_loss_and_delay_are_of_packets_sent_in_the_span() -> None:
    run = recording(with_packets((1, 1.03), (2, math.nan), (3, 3.05), (4, 4.01)))
    assert loss(run, 0, 0, 4) == pytest.approx(1 / 3)
    assert delay_ms(run, 0, 100, 0, 4) == pytest.approx(50)
    assert delay_ms(run, 0, 0, 0, 5) == pytest.approx(10)
    assert math.isnan(loss(run, 0, 5, 6))


def test_bunches_come_at_one_instant() -> None:
    run = recording(with_packets((1, 2), (1.1, 2), (1.2, math.nan), (1.3, 2.1)))
    assert bunched(run, 0, 0, 9) == 0.5
    assert math.isnan(bunched(run, 0, 5, 9))


def test_fairness_is_jains() -> None:
    assert fairness(recording(flow(5e5), flow(5e5)), 1, 9) == pytest.approx(1)
    assert fairness(recording(flow(1e6), flow(0)), 1, 9) == pytest.approx(0.5)
    assert math.isnan(fairness(recording(flow(0), flow(0)), 1, 9))


def test_the_share_of_media_counts_headers_of_both() -> None:
    packets = with_packets(*((second, second + 0.01) for second in range(2, 8)))
    run = recording(packets, tcp_bytes=6_000 / TICKS_S / 6)
    assert media_share(run, 2, 8) == pytest.approx(0.5, rel=0.01)
    assert media_share(recording(packets), 2, 8) == 1


def test_padding_is_a_share_of_all_that_was_sent() -> None:
    assert padding_share(recording(flow(1e5, padding=0.5), flow(3e5)), 1, 9) == pytest.approx(0.125)
    assert math.isnan(padding_share(recording(flow(0)), 1, 9))


def test_sound_is_hurt_by_waiting_and_by_ending() -> None:
    assert audio_hurt(recording(flow(0, held=2, dropped=3), flow(0, held=1))) == 6
