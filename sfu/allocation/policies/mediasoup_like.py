"""What mediasoup would choose: a layer for everybody, then a few for each by priority.

Consumers go by the priority that the application gives them. In the first round each may take its lowest
layer; in every further one as many steps as its priority says, where a step is the next temporal layer, or
the lowest of the next encoding. A step costs what it adds. A consumer whose encoding was lowered for want
of bits may not go above it for 10 s. Decided once a second, at once when the estimate falls by a quarter or
rises by a half.

Priorities are those of the use case that the rule was made for: what is presented has 2, the rest 1. There
is no loss here, so the rule for receivers without transport-wide feedback is left out. Sources:
docs/allocation-policies.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.policies.turns import (
    UNLIMITED_BPS,
    cost_of,
    given_audio,
    has_waited,
    hold,
    in_turn,
    next_above,
    video_budget,
    video_layers,
)
from sfu.allocation.problem import LAYERS
from sfu.rows import MAX_TEMPORAL, PAUSED
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray

INTERVAL_S: Final = 1.0
"""How often it decides. Lower: each wobble of the estimate may switch layers. Higher: a better link shows
later."""

AT_ONCE_BELOW: Final = 0.75
AT_ONCE_ABOVE: Final = 1.5
"""Parts of the estimate it decided with, outside of which it does not wait. Closer to 1: noise decides.
Farther: a queue grows, or a picture stays soft, for up to a second."""

CAUTION_S: Final = 10.0
"""How long an encoding that was lowered is not raised. Lower: the same layer goes up and down with the
estimate. Higher: a short dip costs a soft picture for longer."""

PRESENTED_PRIORITY: Final = 2
PRIORITY: Final = 1
"""Steps a consumer may take in a round. Closer: everybody climbs alike. Farther: the presented one first
takes all that its tile can use."""

_SMALLEST_STEP_BPS: Final = 1.0
"""What a step costs that adds nothing."""

_COLUMNS: Final = np.arange(LAYERS)


class MediasoupLike:
    """One layer each, then a few for each in the order of priority."""

    def due(self, problem: Problem, /) -> BoolArray:
        """(subscribers,) a second has passed, something changed, or the estimate moved far."""
        now_bps = np.minimum(problem.keep_bps, UNLIMITED_BPS)
        before_bps = np.minimum(problem.decided_bps, UNLIMITED_BPS)
        moved_far = (now_bps < before_bps * AT_ONCE_BELOW) | (now_bps > before_bps * AT_ONCE_ABOVE)
        due: BoolArray = has_waited(problem, INTERVAL_S) | moved_far
        return due

    def __call__(self, problem: Problem, /) -> IntArray:
        """(rows,) layers."""
        due = self.due(problem)
        layers = video_layers(problem) & ~_too_soon(problem)
        above = next_above(layers)
        is_presented = problem.is_screen | problem.is_pinned
        takes_part = layers.any(axis=1) & due[problem.subscriber]
        turns = in_turn(problem, takes_part, ~is_presented)
        chosen = given_audio(problem)
        left_bps = video_budget(problem, problem.keep_bps)
        is_base_round, is_climbing = True, due
        while is_climbing.any():
            before_bps = left_bps.copy()
            for turn in turns:
                row = turn[is_climbing[problem.subscriber[turn]]]
                for step in range(1 if is_base_round else PRESENTED_PRIORITY):
                    row = row[is_presented[row] | (step < PRIORITY)]
                    following = above[row, chosen[row]]
                    cost_bps = _step_bps(problem.costs_bps[row], chosen[row], following)
                    fits = (following != PAUSED) & (cost_bps <= left_bps[problem.subscriber[row]])
                    row = row[fits]
                    chosen[row] = following[fits]
                    left_bps[problem.subscriber[row]] -= cost_bps[fits]
            is_climbing = left_bps != before_bps
            is_base_round = False
        return hold(problem, due, chosen)


mediasoup_like: Final = MediasoupLike()


def _too_soon(problem: Problem) -> BoolArray:
    """(rows, LAYERS) what is above an encoding that was lowered a moment ago; never a row's lowest."""
    is_cautious = problem.now - problem.lowered_at < CAUTION_S * NS_PER_S
    lowest = video_layers(problem).argmax(axis=1)
    limit = np.maximum(problem.previous, lowest) // MAX_TEMPORAL
    above_limit: BoolArray = is_cautious[:, None] & (limit[:, None] < _COLUMNS // MAX_TEMPORAL)
    return above_limit


def _step_bps(costs_bps: FloatArray, layer: IntArray, following: IntArray) -> FloatArray:
    """(rows,) what `following` adds to `layer`; nothing is given back where it costs less."""
    return np.maximum(cost_of(costs_bps, following) - cost_of(costs_bps, layer), _SMALLEST_STEP_BPS)
