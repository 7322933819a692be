"""Who gets how much of a subscriber's budget: the interface of policies, and ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sfu.plane import MAX_ENCODINGS, PAUSED

if TYPE_CHECKING:
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Problem:
    """One tick's choice for all subscribers of all calls. Rows may stand in any order."""

    subscriber: IntArray
    """(rows,) index into `budget_bps`."""
    rank: IntArray
    """(rows,) lower goes first among a subscriber's rows; unique there."""
    is_audio: BoolArray
    """(rows,) audio comes before all video, whatever the budget."""
    costs_bps: FloatArray
    """(rows, MAX_ENCODINGS) what each layer takes; above 0."""
    usable: BoolArray
    """(rows, MAX_ENCODINGS) layers that flow, that the subscriber may have and can use."""
    budget_bps: FloatArray
    """(subscribers,) what each path carries; infinite where it is not known."""


class Policy(Protocol):
    """Chooses a layer for every row: a usable one, or `PAUSED`."""

    def __call__(self, problem: Problem) -> IntArray:
        """(rows,) index of the layer, `PAUSED` where nothing is sent."""
        ...


def lowest_layers_first(problem: Problem) -> IntArray:
    """Everybody's lowest layer first, then the next one up, in rank order, while the budget lasts.

    Within a pass the first row that does not fit ends it: who gets more depends on rank alone, so a rate that
    wavers moves one row at the edge and not a whole set that happened to add up.
    """
    rows = len(problem.rank)
    every = np.arange(rows)
    count = len(problem.budget_bps)
    has_any = problem.usable.any(axis=1)
    if np.isinf(problem.budget_bps).all():
        highest = MAX_ENCODINGS - 1 - problem.usable[:, ::-1].argmax(axis=1)
        return np.where(has_any, highest, PAUSED)
    lowest = problem.usable.argmax(axis=1)
    layer = np.where(problem.is_audio & has_any, lowest, PAUSED)
    audio_bps = np.where(layer >= 0, problem.costs_bps[every, lowest], 0.0)
    remaining = problem.budget_bps - np.bincount(problem.subscriber, audio_bps, count)

    order = np.lexsort((problem.rank, problem.subscriber))
    following = _next_usable(problem.usable)
    step, has_step = lowest, ~problem.is_audio & has_any
    paid = np.zeros(rows)
    for _ in range(MAX_ENCODINGS):
        # A higher layer that costs less gives nothing back: sums then stay on the safe side.
        extra = np.where(has_step, np.maximum(problem.costs_bps[every, step] - paid, 0.0), 0.0)
        spent = _running_sum(extra, problem.subscriber, order)
        granted = has_step & (spent <= remaining[problem.subscriber])
        layer = np.where(granted, step, layer)
        paid = paid + np.where(granted, extra, 0.0)
        remaining = remaining - np.bincount(problem.subscriber, np.where(granted, extra, 0.0), count)
        upper = following[every, step]
        has_step = granted & (upper < MAX_ENCODINGS)
        step = np.where(has_step, upper, step)
    return layer


def _next_usable(usable: BoolArray) -> IntArray:
    """(rows, MAX_ENCODINGS) the lowest usable layer above each, MAX_ENCODINGS where there is none."""
    following = np.full(usable.shape, MAX_ENCODINGS, np.int64)
    for layer in range(MAX_ENCODINGS - 2, -1, -1):
        following[:, layer] = np.where(usable[:, layer + 1], layer + 1, following[:, layer + 1])
    return following


def _running_sum(values: FloatArray, group: IntArray, order: IntArray) -> FloatArray:
    """Each row's sum of its group up to itself, where `order` sorts by group and then as wanted."""
    ordered = np.cumsum(values[order])
    starts = np.searchsorted(group[order], group[order])
    sums = np.empty(len(values))
    sums[order] = ordered - (ordered - values[order])[starts]
    return sums
