"""Ours: the budget buys what is worth most (`sfu.allocation.worth`), and pictures stay as they are.

Every subscriber has two candidates. One keeps what there is, which must fit what the path carries now, and
adds to it what fits what the path has carried for a while. The other begins from nothing. What is worth more
wins, where it counts for a while as worth something (`STAY`) that a layer is what it was; but not against a
step up while much of the budget is idle. Nothing else holds layers: the more there is to be won, the sooner
they move. Where all the best fits, all is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.few import best_of_few
from sfu.allocation.options import UNUSABLE_BPS, Options, densest_first, numbered
from sfu.allocation.problem import LAYERS, NEVER
from sfu.allocation.rotation import has_turn
from sfu.allocation.worth import short_worths, turned
from sfu.rows import PAUSED
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray
    from sfu.allocation.worth import ShortArray
    from sfu.units import Instant

STAY: Final = 0.17
"""What it is worth that a layer stays, as a part of the row's best, just after it has changed. Lower:
pictures change for little. Higher: they stay worse than they need be."""

STAY_S: Final = 120.0
"""Until that has faded to nothing. Lower: pictures change sooner again. Higher: a small step up that fits
waits longer, and its reason is not its budget."""

MARGIN: Final = 1.2
"""What a layer that is higher than before is taken to cost. Lower: a rate that wavers takes it away again.
Higher: budget is left unused."""

IDLE: Final = 1.4
"""Where the budget is so many times what is taken of it, nothing holds a layer back. Lower: rates that waver
move pictures up and down. Higher: who has a wide line again waits until `STAY` has faded."""

AFRESH_AT_ONCE: Final = 600
"""Rows that are chosen from nothing in one tick, where nothing makes it necessary; subscribers take turns.
Lower: what would be better is found later. Higher: time."""

FEW: Final = 8
"""Rows up to which a subscriber's choice is gone through by `best_of_few`. Lower: greedy steps leave more
unspent. Higher: time."""

FEW_AT_ONCE: Final = 16
"""Subscribers for whom that is done in one tick; they take turns. Lower: the best choice is found later.
Higher: time. In ticks between, what was found stays, as long as nothing is worth more."""


def utility(problem: Problem) -> IntArray:
    """(rows,) layers or `PAUSED`."""
    order = _in_order(problem)
    layer = np.where(problem.is_audio & problem.usable[:, 0], 0, PAUSED)
    spent_bps = np.where(layer == 0, problem.costs_bps[:, 0], 0.0)
    audio_bps = np.bincount(problem.subscriber, spent_bps, len(problem.keep_bps)).astype(np.float64)
    rows = order[~problem.is_audio[order]]
    if not len(rows):
        return layer
    keep_bps = problem.keep_bps - audio_bps
    change_bps = np.minimum(problem.change_bps, problem.keep_bps) - audio_bps
    layer[rows] = _chosen(problem, rows, keep_bps, change_bps)
    return layer


def _in_order(problem: Problem) -> IntArray:
    """(rows,) rows by subscriber and rank; most often they stand like that."""
    is_next = np.diff(problem.subscriber)
    if ((is_next > 0) | ((is_next == 0) & (np.diff(problem.rank) > 0))).all():
        return np.arange(len(problem.rank))
    return np.lexsort((problem.rank, problem.subscriber))


def _chosen(problem: Problem, rows: IntArray, keep_bps: FloatArray, change_bps: FloatArray) -> IntArray:
    options, numbers = _options(problem, rows)
    keep_bps, change_bps = keep_bps[numbers], change_bps[numbers]
    best = options.highest()
    stay = _hold(problem, rows, options)
    fits = options.totals(options.costs_of(best)) <= change_bps
    tight = np.flatnonzero(~fits[options.subscriber])
    if not len(tight):
        return best
    some, subscribers = options.some_of(tight)
    must = problem.reordered[numbers[subscribers]]
    must |= some.any_of(problem.changed[rows[tight]])
    _let_rise(some, problem.previous[rows[tight]], stay[tight], change_bps[subscribers])
    best[tight] = _divided(
        some,
        problem.previous[rows[tight]],
        (keep_bps[subscribers], change_bps[subscribers]),
        must,
        problem.now,
    )
    return best


def _options(problem: Problem, rows: IntArray) -> tuple[Options, IntArray]:
    """Of video, in order of subscriber and rank; and the numbers of these subscribers in the budgets."""
    subscriber, starts = numbered(problem.subscriber[rows])
    worth, costs = short_worths(problem, rows), turned(problem.costs_bps, rows)
    costs += np.float32(UNUSABLE_BPS) * (worth <= 0)
    return Options.of(worth, costs, subscriber, starts), problem.subscriber[rows[starts]]


def _hold(problem: Problem, rows: IntArray, options: Options) -> ShortArray:
    """Make staying worth more, and what is higher than before dearer; in place.

    Returns:
        (rows,) how much more.
    """
    worth, costs, previous = options.worths, options.costs_bps, problem.previous[rows]
    age_s = (problem.now - problem.previous_at[rows]) / NS_PER_S
    stay = STAY * np.clip(1.0 - age_s / STAY_S, 0.0, 1.0)
    is_new = problem.previous_at[rows] == NEVER
    was_given, before_bps = previous != PAUSED, options.costs_of(previous)
    bonus = np.where(is_new, 0.0, stay * worth.max(axis=0)).astype(np.float32)
    worth[:LAYERS] -= np.where(was_given, np.float32(0.0), bonus)
    stays = was_given & (before_bps < UNUSABLE_BPS)
    worth[previous, np.arange(len(previous))] += np.where(stays, bonus, np.float32(0.0))
    is_dearer = costs > np.where(is_new, np.float32(UNUSABLE_BPS), before_bps)
    costs *= np.float32(1.0) + np.float32(MARGIN - 1.0) * is_dearer
    return bonus


def _let_rise(options: Options, previous: IntArray, stay: ShortArray, change_bps: FloatArray) -> None:
    """Where budgets are idle, take staying as worth no more than a step up; in place."""
    before_bps, before = options.costs_of(previous), options.worths_of(previous)
    is_idle = change_bps >= IDLE * options.totals(before_bps)
    if not is_idle.any():
        return
    rises = (options.costs_bps > before_bps) & (options.worths + stay >= before)
    options.worths[:] += stay * (rises & is_idle[options.subscriber])


def _divided(
    options: Options,
    previous: IntArray,
    budgets: tuple[FloatArray, FloatArray],
    must: BoolArray,
    now: Instant,
) -> IntArray:
    """(rows,) the better of both candidates, where not everybody can have the best.

    Args:
        options: of those who can't.
        previous: (rows,) what they have.
        budgets: (subscribers,) each, for what is kept and for what changes.
        must: (subscribers,) what they have was chosen for another situation.
        now: says whose turn it is.
    """
    keep_bps, change_bps = budgets
    stays = np.where(options.worths_of(previous) > 0, previous, PAUSED)
    # What is left over behind a step that does not fit is found in the next tick: it begins with these.
    kept = densest_first(options, stays, change_bps, passes=1)
    fits = options.totals(options.costs_of(kept)) <= keep_bps
    at_once = max(1, AFRESH_AT_ONCE * len(fits) // len(kept))
    rows = np.flatnonzero((~fits | must | has_turn(len(fits), at_once, now))[options.subscriber])
    some, subscribers = options.some_of(rows)
    anew = _from_nothing(some, change_bps[subscribers], now)
    worth_kept, worth_anew = (some.totals(some.worths_of(one)) for one in (kept[rows], anew))
    is_kept = fits[subscribers] & (worth_kept >= worth_anew)
    kept[rows] = np.where(is_kept[some.subscriber], kept[rows], anew)
    return kept


def _from_nothing(options: Options, budget_bps: FloatArray, now: Instant) -> IntArray:
    """(rows,) the densest steps; where a subscriber has few rows and its turn, the best combination."""
    layer = densest_first(options, np.full(len(options.subscriber), PAUSED), budget_bps)
    few = np.flatnonzero(np.diff(options.starts, append=len(layer)) <= FEW)
    is_few = np.zeros(len(budget_bps), np.bool_)
    is_few[few[has_turn(len(few), FEW_AT_ONCE, now)]] = True
    rows = np.flatnonzero(is_few[options.subscriber])
    if not len(rows):
        return layer
    some, subscribers = options.some_of(rows)
    found = best_of_few(some, budget_bps[subscribers])
    is_better = some.totals(some.worths_of(found)) > some.totals(some.worths_of(layer[rows]))
    layer[rows] = np.where(is_better[some.subscriber], found, layer[rows])
    return layer
