"""What a policy's decisions were like for each subscriber: how good, how restless, how far above the path.

Weighted with time: what was decided counts until something else is. How good a decision is, is told as
`sfu.allocation.worth` has it, whoever decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sfu.allocation.problem import NEVER, Paced
from sfu.allocation.worth import worths
from sfu.rows import MAX_TEMPORAL, PAUSED
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.allocation.problem import Policy, Problem
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray
    from sfu.rows import StructArray
    from sfu.units import Instant


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one subscriber, or of all together."""

    seconds: float
    """How long it wanted pictures, and there were some."""
    utility: float
    """What it was given, as a part of what it would have been given without a limit; NaN where there were no
    pictures."""
    switches_per_min: float
    """Layers that changed under it."""
    size_switches_per_min: float
    """Without those of frame rate alone."""
    over_budget: float
    """Part of the time in which it was given more than its path was taken to carry."""


class JudgedPolicy:
    """A policy that can be asked what it was asked last, and what it answered.

    Args:
        policy: decides.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._first: tuple[Problem, IntArray] | None = None

    def __call__(self, problem: Problem, /) -> IntArray:
        """What the policy answers."""
        layer = self._policy(problem)
        if self._first is None:
            # What follows in the same step are questions of what it would do otherwise.
            self._first = problem, layer
        return layer

    def due(self, problem: Problem, /) -> BoolArray:
        """For whom it decides anew (`sfu.allocation.problem.Paced`)."""
        if isinstance(self._policy, Paced):
            return self._policy.due(problem)
        return np.ones(len(problem.keep_bps), np.bool_)

    def take(self) -> tuple[Problem, IntArray] | None:
        """What was decided since the last time this was called, of one step; None: nothing."""
        first, self._first = self._first, None
        return first


@dataclass(slots=True)
class _Sums:
    """Of one subscriber."""

    seconds: float = 0.0
    given: float = 0.0
    over_s: float = 0.0
    switches: int = 0
    size_switches: int = 0


@dataclass(slots=True)
class Judge:
    """Follows decisions as they are made."""

    _sums: dict[int, _Sums] = field(default_factory=dict)
    _since: Instant | None = None
    _holds: list[tuple[_Sums, float, float, bool]] = field(default_factory=list)
    """What counts until the next decision: whose it is, what is given and what could be, and whether it is
    too much."""

    def note(self, now: Instant, decisions: StructArray, problem: Problem, layer: IntArray) -> None:
        """Something was decided, (n,) of `DECISION_DTYPE`."""
        self.pass_to(now)
        transports = np.unique(decisions["subscriber"])
        count = len(transports)
        worth = worths(problem)
        best = np.bincount(problem.subscriber, worth.max(axis=1, initial=0.0), count)
        given = np.bincount(problem.subscriber, _of(worth, layer), count)
        sent_bps = np.bincount(problem.subscriber, _of(problem.costs_bps, layer), count)
        is_over = sent_bps > problem.keep_bps
        is_old = problem.previous_at != NEVER
        moved = is_old & (layer != problem.previous)
        resized = is_old & (_encoding(layer) != _encoding(problem.previous))
        self._holds = []
        for number, transport in enumerate(transports.tolist()):
            sums = self._sums.setdefault(transport, _Sums())
            self._holds.append((sums, float(given[number]), float(best[number]), bool(is_over[number])))
        for which, name in ((moved, "switches"), (resized, "size_switches")):
            counts = np.bincount(problem.subscriber[which], minlength=count)
            for transport, moves in zip(transports[counts > 0].tolist(), counts[counts > 0], strict=True):
                sums = self._sums[transport]
                setattr(sums, name, getattr(sums, name) + int(moves))

    def pass_to(self, now: Instant) -> None:
        """Let time pass without a decision."""
        elapsed_s = 0.0 if self._since is None else (now - self._since) / NS_PER_S
        self._since = now
        for sums, given, best, is_over in self._holds:
            if best > 0:
                sums.seconds += elapsed_s
                sums.given += elapsed_s * given / best
                sums.over_s += elapsed_s * is_over

    def outcomes(self) -> dict[int, Outcome]:
        """By subscriber, of whom there is anything to say."""
        return {transport: _outcome([sums]) for transport, sums in sorted(self._sums.items()) if sums.seconds}

    def together(self) -> Outcome:
        """Of all, each of their minutes alike."""
        return _outcome(list(self._sums.values()))


def _outcome(some: Sequence[_Sums]) -> Outcome:
    seconds = sum(one.seconds for one in some)
    if not seconds:
        return Outcome(0.0, float("nan"), 0.0, 0.0, 0.0)
    return Outcome(
        seconds=seconds,
        utility=sum(one.given for one in some) / seconds,
        switches_per_min=sum(one.switches for one in some) / seconds * 60,
        size_switches_per_min=sum(one.size_switches for one in some) / seconds * 60,
        over_budget=sum(one.over_s for one in some) / seconds,
    )


def _of(values: FloatArray, layer: IntArray) -> FloatArray:
    """(rows,) the value of the layer that is given, 0 where it is none."""
    return np.where(layer == PAUSED, 0.0, values[np.arange(len(layer)), np.maximum(layer, 0)])


def _encoding(layer: IntArray) -> IntArray:
    return np.floor_divide(layer, MAX_TEMPORAL)
