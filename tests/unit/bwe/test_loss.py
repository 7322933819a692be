from __future__ import annotations

import random

import numpy as np
import pytest

from sfu.bwe.aimd import MIN_BPS
from sfu.bwe.loss import FREE_FACTOR, LEAST_NS, MAX_INHERENT, LossRate, LossRates
from sfu.units import NS_PER_S

from .arrays import SIZE, at_ms, packet, reports_of, sized


class Path:
    """Sends at a rate and loses what exceeds a limit, and a part of the rest by chance."""

    def __init__(self, seed: int = 1) -> None:
        self.rate = LossRate()
        sized(self.rate.table, 1)
        self.rng = random.Random(seed)
        self.ms = 0.0
        self.seq = 0
        self.passed = 0.0
        self.lowered = False

    def play(
        self, seconds: float, bps: float, *, limit_bps: float = np.inf, loss: float = 0.0, run: int = 1
    ) -> LossRates:
        gap_ms = SIZE * 8_000 / bps
        end = self.ms + seconds * 1_000
        lost_left = 0
        rates = self.rate.update(at_ms(self.ms), reports_of([]))
        while self.ms < end:
            packets = []
            for _ in range(max(1, round(50 / gap_ms))):
                self.passed = min(self.passed + gap_ms * limit_bps / 8_000, 2.0 * SIZE)
                if not lost_left and self.rng.random() < loss / run:
                    lost_left = run
                is_lost = self.passed < SIZE or lost_left > 0
                lost_left = max(0, lost_left - 1)
                self.passed -= 0 if is_lost else SIZE
                packets.append(packet(self.ms, None if is_lost else 20, seq=self.seq))
                self.seq += 1
                self.ms += gap_ms
            rates = self.rate.update(at_ms(self.ms), reports_of(packets))
            self.lowered |= bool(rates.lowered[0])
        return rates


def test_without_loss_there_is_no_limit() -> None:
    path = Path()
    rates = path.play(10, 1e6)
    assert np.isinf(rates.limit_bps[0])
    assert rates.loss[0] == 0
    assert not path.lowered


def test_a_path_on_which_nothing_came_can_be_found_again() -> None:
    path = Path()
    assert path.play(3, 1e6, loss=1.0).limit_bps[0] < 2 * MIN_BPS
    assert path.play(20, 1e5).limit_bps[0] > 1e5


def test_loss_of_what_exceeds_a_limit_finds_it() -> None:
    path = Path()
    path.play(3, 8e5, limit_bps=1e6)
    assert not path.lowered
    rates = path.play(2, 1.5e6, limit_bps=1e6)
    assert path.lowered
    assert rates.limit_bps[0] == pytest.approx(1e6, rel=0.15)
    assert rates.held_bps[0] < 0.8 * rates.limit_bps[0]
    assert rates.loss[0] == pytest.approx(1 / 3, abs=0.05)


def test_loss_that_is_the_same_at_any_rate_is_no_limit() -> None:
    path = Path()
    *_, rates = [path.play(2, bps, loss=0.1) for bps in (5e5, 1e6, 2e6, 1e6, 2e6, 1e6)]
    assert rates.limit_bps[0] > 2e6
    assert rates.inherent[0] == pytest.approx(0.1, abs=0.04)


def test_overload_that_was_there_from_the_beginning_is_tried_for_less() -> None:
    path = Path()
    rates = path.play(3, 1.5e6, limit_bps=1e6)
    assert rates.limit_bps[0] < 1.2e6


def test_a_path_that_becomes_lossy_is_understood_after_some_steps() -> None:
    path = Path()
    path.play(5, 2e6)
    bps = 2e6
    for _ in range(80):
        rates = path.play(0.25, bps, loss=0.1)
        bps = min(2e6, rates.limit_bps[0])
    assert bps > 1e6


def test_gaps_of_a_radio_are_no_limit_where_the_same_loss_apart_is() -> None:
    for run, is_limit in ((25, False), (1, True)):
        path = Path(seed=3)
        path.play(4, 2e6)
        path.play(2, 2e6, loss=0.1, run=run)
        assert path.lowered is is_limit


def test_a_limit_grows_and_is_none_in_the_end() -> None:
    path = Path()
    path.play(3, 8e5, limit_bps=1e6)
    path.play(2, 1.5e6, limit_bps=1e6)
    found = path.play(5, 8e5).limit_bps[0]
    grown = path.play(2, 8e5).limit_bps[0]
    assert found < grown < FREE_FACTOR * found
    assert np.isinf(path.play(10, 8e5).limit_bps[0])


def test_proof_raises_a_limit() -> None:
    path = Path()
    path.play(3, 8e5, limit_bps=1e6)
    path.play(2, 1.5e6, limit_bps=1e6)
    path.rate.raise_to(np.array([np.nan]))
    assert path.rate.table.rows["limit_bps"][0] < 2e6
    path.rate.raise_to(np.array([2e6]))
    assert path.rate.table.rows["limit_bps"][0] == 2e6


def test_what_comes_after_it_was_told_as_lost_is_not_lost() -> None:
    path = Path()
    rates = path.play(0, 1e6)
    for tick in range(40):
        first = tick * 10
        late = [packet(50 * tick - 50, 90, seq=first - 10)] if tick else []
        told = [packet(50 * tick + i, None if i == 0 else 20, seq=first + i) for i in range(10)]
        rates = path.rate.update(at_ms(50 * tick), reports_of([*late, *told]))
    assert rates.loss[0] < 0.02


def test_loss_counts_bytes_because_bottlenecks_do() -> None:
    path = Path()
    rates = path.play(0, 1e6)
    for tick in range(40):
        large = [packet(50 * tick + i, None, seq=20 * tick + i, size=900) for i in range(5)]
        small = [packet(50 * tick + i, 20, seq=20 * tick + i, size=100) for i in range(5, 20)]
        rates = path.rate.update(at_ms(50 * tick), reports_of([*large, *small]))
    assert rates.loss[0] == pytest.approx(0.75)


def test_the_least_loss_of_the_last_time_is_what_a_path_loses() -> None:
    path = Path()
    path.play(5, 2e6)
    assert path.rate.table.rows["least"][0] < 0.03
    path.play(2.5 * LEAST_NS / NS_PER_S, 2e6, loss=0.1)
    rows = path.rate.table.rows
    assert 0.07 < min(rows["least"][0], rows["last_least"][0]) < MAX_INHERENT
