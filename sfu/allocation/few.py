"""The best choice of a few rows, close to exactly: a table of the least that each worth costs.

With few rows greedy steps leave much of a budget unspent: two thumbnails, or the screen share that does not
fit beside them? Here all combinations are gone through, by dynamic programming over worths in `CELLS` cells:
for each cell the cheapest combination that is worth about so much, and what it is worth exactly. The table
does not know the budget, which only picks from it: so more budget never gives less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.options import SAFE, UNUSABLE_BPS
from sfu.allocation.problem import LAYERS
from sfu.rows import PAUSED

if TYPE_CHECKING:
    from sfu.allocation.options import Options
    from sfu.allocation.rates import FloatArray, IntArray

CELLS: Final = 128
"""Cells of worth between nothing and all. Lower: combinations that differ fall into one cell, and the cheaper
is kept. Higher: time, in proportion."""

_CHOICES: Final = np.arange(PAUSED, LAYERS)[:, None]
"""Nothing first: of what costs the same, the first is taken."""


def best_of_few(options: Options, budget_bps: FloatArray) -> IntArray:
    """Choose for subscribers of few rows each, from nothing.

    Args:
        options: (rows,); the time grows with the most rows that a subscriber has.
        budget_bps: (subscribers,).

    Returns:
        (rows,) layers or `PAUSED`.
    """
    count = len(options.starts)
    sizes = np.diff(options.starts, append=len(options.subscriber))
    best = np.maximum(options.worths, 0.0).max(axis=0)
    cell = np.maximum(options.totals(best), 1e-12) / CELLS
    width = CELLS + int(sizes.max()) + 1
    steps = np.rint(options.worths / cell.take(options.subscriber)).astype(np.int64)
    # Behind what is worth nothing, room for steps that reach below it.
    costs = np.full((count, width + CELLS + 1), UNUSABLE_BPS)
    worths = np.zeros((count, width + CELLS + 1))
    costs[:, CELLS + 1] = 0.0
    taken = []
    columns = np.arange(CELLS + 1, width + CELLS + 1)
    for number in range(int(sizes.max())):
        has_row = np.flatnonzero(sizes > number)
        each, row = np.arange(len(has_row))[:, None], options.starts[has_row] + number
        worth, cost = options.worths[_CHOICES, row], options.costs_bps[_CHOICES, row]
        is_use = (_CHOICES == PAUSED) | ((worth > 0) & (cost < UNUSABLE_BPS))
        step = np.where(is_use, steps[_CHOICES, row], 0)
        # (choices, subscribers, cells); what is the cheapest of each cell is (subscribers, cells).
        found_costs = costs[has_row[:, None], columns - step[:, :, None]]
        found_costs += np.where(is_use, cost, UNUSABLE_BPS)[:, :, None]
        best = found_costs.argmin(axis=0)
        costs[has_row, CELLS + 1 :] = found_costs.min(axis=0)
        found_worths = worths[has_row[:, None], columns - step[best, each]] + worth[best, each]
        worths[has_row, CELLS + 1 :] = found_worths
        taken.append((has_row, row, best - 1))
    fits = costs[:, CELLS + 1 :] <= SAFE * budget_bps[:, None]
    at = np.where(fits, worths[:, CELLS + 1 :], -1.0).argmax(axis=1)
    layers = np.full(len(options.subscriber), PAUSED)
    for has_row, row, choice in reversed(taken):
        layers[row] = choice[np.arange(len(has_row)), at[has_row]]
        at[has_row] -= steps[layers[row], row]
    return layers
