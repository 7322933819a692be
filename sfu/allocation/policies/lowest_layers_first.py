"""Everybody's lowest layer first, then the next one up, in rank order, while the budget lasts.

It knows no worth, no frame rates and no past; what it does is seen at a glance. Within a pass the first row
that does not fit ends it: who gets more depends on rank alone, so a rate that wavers moves one row at the
edge and not a whole set that happened to add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sfu.allocation.problem import LAYERS
from sfu.rows import PAUSED

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray


def lowest_layers_first(problem: Problem) -> IntArray:
    """(rows,) layers or `PAUSED`."""
    rows = len(problem.rank)
    every = np.arange(rows)
    count = len(problem.change_bps)
    has_any = problem.usable.any(axis=1)
    if np.isinf(problem.change_bps).all():
        highest = LAYERS - 1 - problem.usable[:, ::-1].argmax(axis=1)
        return np.where(has_any, highest, PAUSED)
    lowest = problem.usable.argmax(axis=1)
    layer = np.where(problem.is_audio & has_any, lowest, PAUSED)
    audio_bps = np.where(layer >= 0, problem.costs_bps[every, lowest], 0.0)
    remaining = problem.change_bps - np.bincount(problem.subscriber, audio_bps, count)

    order = np.lexsort((problem.rank, problem.subscriber))
    following = _next_usable(problem.usable)
    step, has_step = lowest, ~problem.is_audio & has_any
    paid = np.zeros(rows)
    for _ in range(LAYERS):
        # A higher layer that costs less gives nothing back: sums then stay on the safe side.
        extra = np.where(has_step, np.maximum(problem.costs_bps[every, step] - paid, 0.0), 0.0)
        spent = _running_sum(extra, problem.subscriber, order)
        granted = has_step & (spent <= remaining[problem.subscriber])
        layer = np.where(granted, step, layer)
        paid = paid + np.where(granted, extra, 0.0)
        remaining = remaining - np.bincount(problem.subscriber, np.where(granted, extra, 0.0), count)
        upper = following[every, step]
        has_step = granted & (upper < LAYERS)
        step = np.where(has_step, upper, step)
    return layer


def _next_usable(usable: BoolArray) -> IntArray:
    """(rows, LAYERS) the lowest usable layer above each, LAYERS where there is none."""
    following = np.full(usable.shape, LAYERS, np.int64)
    for layer in range(LAYERS - 2, -1, -1):
        following[:, layer] = np.where(usable[:, layer + 1], layer + 1, following[:, layer + 1])
    return following


def _running_sum(values: FloatArray, group: IntArray, order: IntArray) -> FloatArray:
    """Each row's sum of its group up to itself, where `order` sorts by group and then as wanted."""
    ordered = np.cumsum(values[order])
    starts = np.searchsorted(group[order], group[order])
    sums = np.empty(len(values))
    sums[order] = ordered - (ordered - values[order])[starts]
    return sums
