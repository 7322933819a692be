"""Where estimates go on paths that are known. Each has a control: the path without what it is about."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sfu.bwe.aimd import START_BPS
from sfu.bwe.estimate import EstimateState
from sfu.units import NS_PER_S

from .paths import START, Flow, Policer, Queue, Run, acked_bps

MEGABIT = 1e6


def test_an_unknown_path_is_used_within_two_seconds_and_kept_without_a_queue() -> None:
    flow = Flow(1, Queue(3 * MEGABIT))
    run = Run([flow])
    run.until(12)
    assert acked_bps(flow, 1, 2) > 0.85 * 3 * MEGABIT
    assert acked_bps(flow, 4, 12) > 0.85 * 3 * MEGABIT
    assert np.percentile(run.traces[1].queue(4, 12), 95) < 60


def test_a_path_without_end_is_not_limited() -> None:
    flow = Flow(1, Queue(100 * MEGABIT), most_bps=2 * MEGABIT)
    run = Run([flow])
    run.until(6)
    assert flow.target_bps > 2 * MEGABIT
    states = run.traces[1].over("state", 1, 6)
    assert set(states) == {EstimateState.NORMAL}


def test_a_drop_is_answered_before_the_queue_is_a_second_long_and_undone() -> None:
    flow = Flow(1, Queue(3 * MEGABIT, limit_ms=1_000))
    run = Run([flow])
    run.until(8)
    flow.path.change(run.now, 0.8 * MEGABIT)
    run.until(18)
    over = run.traces[1].queue(8, 18) > 200
    assert over.sum() * 0.05 <= 1.0
    assert over.any()
    assert acked_bps(flow, 12, 18) > 0.75 * 0.8 * MEGABIT
    flow.path.change(run.now, 3 * MEGABIT)
    run.until(25.2)  # of the last 0.1 s nothing has been told yet
    assert acked_bps(flow, 24, 25) > 0.8 * 3 * MEGABIT


@pytest.mark.parametrize(("loss", "least"), [(0.0, 0.85), (0.1, 0.7)])
def test_loss_by_chance_costs_little_more_than_what_is_lost(loss: float, least: float) -> None:
    flow = Flow(1, Queue(2 * MEGABIT, loss=loss, rng=random.Random(2)))
    run = Run([flow])
    run.until(15)
    assert acked_bps(flow, 5, 15) > least * 2 * MEGABIT
    assert run.traces[1].over("loss", 5, 15).mean() == pytest.approx(loss, abs=0.04)


@pytest.mark.parametrize("bps", [1 * MEGABIT, 100 * MEGABIT])
def test_a_policer_is_found_by_what_it_throws_away(bps: float) -> None:
    flow = Flow(1, Policer(bps), most_bps=2 * MEGABIT)
    run = Run([flow])
    run.until(20)
    sent = [
        seq for seq, (_, _, at) in flow.sent.items() if START + 5 * NS_PER_S <= at < START + 19 * NS_PER_S
    ]
    missing = set(sent) - {seq for seq in sent if seq in flow.came}
    assert len(missing) / len(sent) < 0.05
    assert acked_bps(flow, 8, 20) > 0.7 * min(bps, 2 * MEGABIT)
    assert run.traces[1].over("loss", 0, 5).max() > 0.1 or bps > 2 * MEGABIT


def test_jitter_is_no_queue() -> None:
    flow = Flow(1, Queue(100 * MEGABIT, jitter_ms=20), most_bps=1.5 * MEGABIT)
    run = Run([flow])
    run.until(10)
    assert flow.target_bps > 1.5 * MEGABIT
    assert EstimateState.OVERUSE not in run.traces[1].over("state", 2, 10)


def test_two_who_share_a_path_come_to_share_it_equally() -> None:
    path = Queue(3 * MEGABIT)
    first, second = Flow(1, path), Flow(2, path, begins_s=5)
    run = Run([first, second])
    run.until(45)
    rates = np.array([acked_bps(flow, 30, 45) for flow in (first, second)])
    assert rates.sum() > 0.8 * 3 * MEGABIT
    assert rates.sum() ** 2 / (2 * (rates**2).sum()) > 0.93


def test_a_source_that_sends_little_keeps_what_was_proven_and_proves_no_more() -> None:
    flow = Flow(1, Queue(3 * MEGABIT), most_bps=0.2 * MEGABIT, withheld_bps=0.0)
    run = Run([flow])
    run.until(2)
    proven = flow.target_bps
    run.until(15)
    assert flow.target_bps == pytest.approx(proven, rel=0.05)
    assert run.traces[1].over("is_limited_by_us", 3, 15).all()


def test_where_all_is_paused_probes_find_the_path_again() -> None:
    flow = Flow(1, Queue(0.1 * MEGABIT, limit_ms=500))
    run = Run([flow])
    run.until(8)
    assert flow.target_bps < 0.2 * MEGABIT
    flow.path.change(run.now, 3 * MEGABIT)
    flow.most_bps, flow.withheld_bps = 0.0, 0.5 * MEGABIT
    run.until(22)
    assert flow.target_bps >= 0.5 * MEGABIT


def test_without_anything_withheld_no_probe_is_sent_after_the_first() -> None:
    flow = Flow(1, Queue(3 * MEGABIT), most_bps=0.3 * MEGABIT, withheld_bps=0.0)
    run = Run([flow])
    run.until(15)
    assert all(at_s < 1 for at_s, _ in run.probes)


@pytest.mark.parametrize(
    ("bps", "is_narrow"), [(0.5 * MEGABIT, True), (0.8 * MEGABIT, True), (5 * MEGABIT, False)]
)
def test_a_narrow_path_is_not_overloaded_for_long_by_what_is_assumed_at_the_start(
    bps: float, is_narrow: bool
) -> None:
    flow = Flow(1, Queue(bps, limit_ms=1_500), target_bps=START_BPS)
    run = Run([flow])
    run.until(10)
    queue = run.traces[1].queue(0, 10)
    assert (queue > 200).sum() * 0.05 <= 1.0
    assert (queue > 50).any() == is_narrow


@pytest.mark.parametrize("bps", [0.4 * MEGABIT, 4 * MEGABIT])
def test_what_is_assumed_is_tried_before_anything_is_sent(bps: float) -> None:
    flow = Flow(1, Queue(bps, limit_ms=1_500), most_bps=0.05 * MEGABIT, withheld_bps=2 * MEGABIT)
    run = Run([flow])
    run.until(1.5)
    assert flow.target_bps > START_BPS if bps > START_BPS else 0.5 * bps < flow.target_bps < 1.1 * bps
