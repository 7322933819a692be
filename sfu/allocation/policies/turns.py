"""What the peers' policies share: audio first, rows that take turns, and when a choice is kept.

All four give layers one row after another, and what is left for the next row depends on what the one before
took. That can't be summed ahead, but subscribers do not depend on each other: the first row of every
subscriber goes at once, then everybody's second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.problem import LAYERS
from sfu.rows import PAUSED
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray

UNLIMITED_BPS: Final = 1e12
"""In place of an infinite budget, from which nothing could be subtracted. Lower: some link is faster. Higher:
single bits get lost in the sum."""

_COLUMNS: Final = np.arange(LAYERS)


def video_layers(problem: Problem) -> BoolArray:
    """(rows, LAYERS) what a subscriber may be given: of video only, and only of tiles that can be seen.

    The peers' clients say so themselves: a height of 0 (Signal, Jitsi), a disabled track (LiveKit), a paused
    consumer (mediasoup).
    """
    wanted: BoolArray = problem.usable & (problem.is_visible & ~problem.is_audio)[:, None]
    return wanted


def given_audio(problem: Problem) -> IntArray:
    """(rows,) the layer of each audio track that flows, `PAUSED` everywhere else."""
    is_given = problem.is_audio & problem.usable.any(axis=1)
    return np.where(is_given, problem.usable.argmax(axis=1), PAUSED)


def video_budget(problem: Problem, budget_bps: FloatArray) -> FloatArray:
    """(subscribers,) what audio leaves of a budget, finite and never below 0.

    The peers' allocators do not see audio: it is neither counted nor refused. Here it is counted.
    """
    audio_bps = cost_of(problem.costs_bps, given_audio(problem))
    left = np.minimum(budget_bps, UNLIMITED_BPS) - per_subscriber(problem, audio_bps)
    return np.maximum(left, 0.0)


def per_subscriber(problem: Problem, values: FloatArray) -> FloatArray:
    """(subscribers,) sums of (rows,) values."""
    return np.bincount(problem.subscriber, values, len(problem.keep_bps)).astype(np.float64, copy=False)


def cost_of(costs_bps: FloatArray, layer: IntArray) -> FloatArray:
    """(rows,) what a layer costs, 0 where paused."""
    rows = np.arange(len(layer))
    return np.where(layer == PAUSED, 0.0, costs_bps[rows, np.maximum(layer, 0)])


def highest(layers: BoolArray) -> IntArray:
    """(rows,) the highest of a row's layers, `PAUSED` where it has none."""
    found: IntArray = np.where(layers, _COLUMNS, PAUSED).max(axis=1)
    return found


def next_above(layers: BoolArray) -> IntArray:
    """(rows, LAYERS + 1) the lowest of a row's layers above each, `PAUSED` where there is none.

    The last column is for who has none yet: index it with a layer or with `PAUSED`, which is -1.
    """
    above = np.full((len(layers), LAYERS + 1), PAUSED, np.int64)
    lowest_so_far = np.full(len(layers), PAUSED, np.int64)
    for layer in range(LAYERS - 1, -1, -1):
        above[:, layer] = lowest_so_far
        lowest_so_far = np.where(layers[:, layer], layer, lowest_so_far)
    above[:, LAYERS] = lowest_so_far
    return above


def in_turn(
    problem: Problem, takes_part: BoolArray, *keys: IntArray | FloatArray | BoolArray
) -> list[IntArray]:
    """Rows in groups: everybody's first, everybody's second, and so on; no group has two of a subscriber.

    Args:
        problem: `rank` decides where all keys are equal.
        takes_part: (rows,) the others are in no group.
        keys: (rows,) each, lower goes first, most significant first.
    """
    rows = np.flatnonzero(takes_part)
    if not len(rows):
        return []
    subscriber = problem.subscriber[rows]
    order = np.lexsort((problem.rank[rows], *(key[rows] for key in reversed(keys)), subscriber))
    ordered = subscriber[order]
    turn = np.arange(len(rows)) - np.searchsorted(ordered, ordered)
    by_turn = np.argsort(turn, kind="stable")
    return np.split(rows[order[by_turn]], np.cumsum(np.bincount(turn))[:-1])


def has_waited(problem: Problem, interval_s: float) -> BoolArray:
    """(subscribers,) whether a policy that decides every so often is due: a row changed, or it is time."""
    changed = np.zeros(len(problem.keep_bps), np.bool_)
    changed[problem.subscriber[problem.changed]] = True
    due: BoolArray = changed | (problem.now - problem.decided_at >= interval_s * NS_PER_S)
    return due


def hold(problem: Problem, due: BoolArray, chosen: IntArray) -> IntArray:
    """(rows,) what is chosen where a subscriber is due, else what it had, as long as that may be given."""
    previous = problem.previous
    held = (previous == PAUSED) | video_layers(problem)[np.arange(len(previous)), np.maximum(previous, 0)]
    return np.where(held & ~due[problem.subscriber] & ~problem.is_audio, previous, chosen)
