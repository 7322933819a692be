"""How a line loses datagrams: not at all, at random, or in bursts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

if TYPE_CHECKING:
    import random


@dataclass(frozen=True, slots=True)
class NoLoss:
    """Every datagram arrives."""


@dataclass(frozen=True, slots=True)
class RandomLoss:
    """Each datagram is lost with the same probability, whatever became of the one before."""

    probability: float

    def __post_init__(self) -> None:
        _check(self.probability)


@dataclass(frozen=True, slots=True)
class BurstLoss:
    """The Gilbert-Elliott model: a good and a bad state, each with its own loss.

    Its long-run loss is the mean of both losses weighted by the share of time in each state, which for the
    bad one is `to_bad / (to_bad + to_good)`. A bad spell lasts `1 / to_good` datagrams on average.
    """

    to_bad: float
    """Probability, before each datagram, of going from good to bad."""
    to_good: float
    """Probability, before each datagram, of going from bad to good."""
    loss_in_bad: float = 1.0
    loss_in_good: float = 0.0

    def __post_init__(self) -> None:
        for probability in (self.to_bad, self.to_good, self.loss_in_bad, self.loss_in_good):
            _check(probability)


Loss = NoLoss | RandomLoss | BurstLoss
NO_LOSS: Final = NoLoss()


class LossProcess:
    """Decides datagram by datagram. Without loss it draws no number."""

    def __init__(self, loss: Loss, rng: random.Random) -> None:
        self._loss = loss
        self._rng = rng
        self._bad = False

    def loses_next(self) -> bool:
        """Whether the next datagram is lost."""
        loss = self._loss
        match loss:
            case NoLoss():
                return False
            case RandomLoss():
                return self._rng.random() < loss.probability
            case BurstLoss():
                if self._rng.random() < (loss.to_good if self._bad else loss.to_bad):
                    self._bad = not self._bad
                return self._rng.random() < (loss.loss_in_bad if self._bad else loss.loss_in_good)
            case _:  # pragma: no cover
                assert_never(loss)


def _check(probability: float) -> None:
    if not 0 <= probability <= 1:
        raise ValueError(f"{probability} is no probability")
