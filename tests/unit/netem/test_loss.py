from __future__ import annotations

import random
from itertools import groupby

import pytest

from sfu.netem.loss import NO_LOSS, BurstLoss, Loss, LossProcess, RandomLoss

COUNT = 20_000


def losses(loss: Loss, seed: int = 1) -> list[bool]:
    process = LossProcess(loss, random.Random(seed))
    return [process.loses_next() for _ in range(COUNT)]


def mean_burst(lost: list[bool]) -> float:
    bursts = [len(list(run)) for is_lost, run in groupby(lost) if is_lost]
    return sum(bursts) / len(bursts)


def test_no_loss_loses_nothing_and_draws_nothing() -> None:
    rng = random.Random(1)
    before = rng.getstate()
    process = LossProcess(NO_LOSS, rng)
    assert not any(process.loses_next() for _ in range(100))
    assert rng.getstate() == before


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.5, 1.0])
def test_random_loss_loses_its_share(probability: float) -> None:
    assert sum(losses(RandomLoss(probability))) / COUNT == pytest.approx(probability, abs=0.01)


def test_the_same_seed_loses_the_same_datagrams() -> None:
    assert losses(RandomLoss(0.1), seed=3) == losses(RandomLoss(0.1), seed=3)
    assert losses(RandomLoss(0.1), seed=3) != losses(RandomLoss(0.1), seed=4)


def test_burst_loss_loses_as_much_as_random_loss_but_in_bursts() -> None:
    bursty = losses(BurstLoss(to_bad=0.02, to_good=0.2))
    even = losses(RandomLoss(0.02 / 0.22))
    assert sum(bursty) / COUNT == pytest.approx(0.02 / 0.22, abs=0.015)
    assert mean_burst(bursty) == pytest.approx(1 / 0.2, rel=0.15)
    assert mean_burst(even) < 1.3


def test_the_two_states_have_each_their_own_loss() -> None:
    lost = losses(BurstLoss(to_bad=0.5, to_good=0.5, loss_in_bad=0.8, loss_in_good=0.2))
    assert sum(lost) / COUNT == pytest.approx(0.5, abs=0.02)
    assert not any(losses(BurstLoss(to_bad=0.5, to_good=0.5, loss_in_bad=0.0)))


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="no probability"):
        RandomLoss(probability)
    with pytest.raises(ValueError, match="no probability"):
        BurstLoss(0.1, 0.1, probability)
