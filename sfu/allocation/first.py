"""Who comes first where a budget does not reach: found by asking the policy what it would do otherwise.

"The screen share comes first" is true where a row would be given more if nothing else were a screen share. So
the policy is asked again, with the same budget and nothing given before: as it is, with nothing pinned, with
no screen shares, and with nobody speaking. That is dear; it is done for a few subscribers in each tick, first
of all for those who are given something else than before, and what was found stays until it is their turn
again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.decision import Cause
from sfu.allocation.problem import LAYERS, NEVER, NEVER_SPOKE, Problem
from sfu.allocation.rotation import first_in_turn, is_one_in
from sfu.rows import PAUSED

if TYPE_CHECKING:
    from sfu.allocation.problem import Policy
    from sfu.allocation.rates import BoolArray, IntArray

AT_ONCE: Final = 200
"""Rows asked about in one tick. Lower: a reason that has changed is told later. Higher: time."""

EVERY: Final = 8
"""In one tick of so many it is asked, where there are more rows than that; else in every tick. Lower: time.
Higher: a reason that has changed is told later."""

_CAUSES: Final = (Cause.PINNED_FIRST, Cause.SCREEN_FIRST, Cause.SPEAKER)
"""In the order in which rows are ranked; where several are true, the first is told."""


def why_short(policy: Policy, problem: Problem, layer: IntArray, known: IntArray) -> IntArray:
    """(rows,) the cause that holds where a budget is the reason: `BUDGET`, or why somebody else comes first.

    Args:
        policy: what chose.
        problem: what it chose from.
        layer: (rows,) what it chose.
        known: (rows,) what was found in ticks before.
    """
    if len(layer) > AT_ONCE and not is_one_in(EVERY, problem.now):
        return known
    rows = _asked_about(problem, layer)
    if not len(rows):
        return known
    asked = _with_what_if(problem, rows)
    chosen = policy(asked).reshape(1 + len(_CAUSES), len(rows))
    found = np.full(len(rows), Cause.BUDGET, np.int64)
    for cause, otherwise in reversed(list(zip(_CAUSES, chosen[1:], strict=True))):
        found[(otherwise > chosen[0]) & (otherwise > layer[rows])] = cause
    causes = known.copy()
    causes[rows] = found
    return causes


def _asked_about(problem: Problem, layer: IntArray) -> IntArray:
    """All rows of those subscribers whose turn it is, and who have somebody first and somebody short."""
    count = len(problem.keep_bps)
    if np.isinf(problem.change_bps).all():
        return np.zeros(0, np.int64)
    is_first = problem.is_pinned | problem.is_screen | (problem.speaker < NEVER_SPOKE)
    is_short = ~problem.is_audio & (layer < _highest(problem.usable))
    concerned = _any(problem, is_short) & _any(problem, is_first & ~problem.is_audio)
    moved = concerned & (problem.reordered | _any(problem, layer != problem.previous))
    for candidates in (moved, concerned):
        asked = np.flatnonzero(candidates)
        if len(asked):
            break
    else:
        return np.zeros(0, np.int64)
    sizes = np.bincount(problem.subscriber, minlength=count)
    asked = np.roll(asked, -first_in_turn(len(asked), problem.now))
    asked = asked[: max(1, int(np.searchsorted(np.cumsum(sizes[asked]), AT_ONCE, side="right")))]
    is_asked = np.zeros(count, np.bool_)
    is_asked[asked] = True
    return np.flatnonzero(is_asked[problem.subscriber])


def _with_what_if(problem: Problem, rows: IntArray) -> Problem:
    """These rows four times, as if of other subscribers, with nothing given before."""
    copies = 1 + len(_CAUSES)
    numbers, subscriber = np.unique(problem.subscriber[rows], return_inverse=True)
    which = np.repeat(np.arange(copies), len(rows))
    subscriber = np.tile(subscriber, copies) + which * len(numbers)
    rows, numbers = np.tile(rows, copies), np.tile(numbers, copies)
    is_pinned = problem.is_pinned[rows] & (which != 1)
    is_screen = problem.is_screen[rows] & (which != 2)
    speaker = np.where(which == 3, NEVER_SPOKE, problem.speaker[rows])
    order = np.lexsort((problem.track[rows], speaker, ~is_screen, ~is_pinned, subscriber))
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows))
    return Problem(
        now=problem.now,
        subscriber=subscriber,
        track=problem.track[rows],
        rank=rank,
        is_audio=problem.is_audio[rows],
        is_screen=is_screen,
        is_pinned=is_pinned,
        is_visible=problem.is_visible[rows],
        speaker=speaker,
        width=problem.width[rows],
        height=problem.height[rows],
        layer_widths=problem.layer_widths[rows],
        layer_heights=problem.layer_heights[rows],
        frame_rates=problem.frame_rates[rows],
        costs_bps=problem.costs_bps[rows],
        usable=problem.usable[rows],
        previous=np.full(len(rows), PAUSED),
        previous_at=np.full(len(rows), NEVER),
        changed=np.ones(len(rows), np.bool_),
        lowered_at=np.full(len(rows), NEVER),
        keep_bps=problem.keep_bps[numbers],
        change_bps=problem.change_bps[numbers],
        reordered=np.ones(len(numbers), np.bool_),
        decided_at=np.full(len(numbers), NEVER),
        decided_bps=np.zeros(len(numbers)),
    )


def _highest(usable: BoolArray) -> IntArray:
    """(rows,) the highest usable layer, `PAUSED` where there is none."""
    highest = LAYERS - 1 - usable[:, ::-1].argmax(axis=1)
    return np.where(usable.any(axis=1), highest, PAUSED)


def _any(problem: Problem, flags: BoolArray) -> BoolArray:
    """(subscribers,) whether a row of it is marked."""
    found = np.zeros(len(problem.keep_bps), np.bool_)
    found[problem.subscriber[flags]] = True
    return found
