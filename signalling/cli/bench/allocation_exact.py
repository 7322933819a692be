"""The exact optimum of one subscriber's choice, to hold policies against; far too slow for a tick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sfu.allocation.rates import FloatArray

MAX_ROWS = 6
"""With nine layers each, a million combinations."""


def optimum(worths: FloatArray, costs_bps: FloatArray, budget_bps: float) -> float:
    """The most that a choice of one layer or none for each row is worth within a budget.

    Row after row, the combinations so far are kept that no cheaper one outdoes: nothing else can be part of
    the optimum.

    Args:
        worths: (rows, layers), 0 where a layer is not to be had.
        costs_bps: (rows, layers).
        budget_bps: not infinite.
    """
    costs, values = np.zeros(1), np.zeros(1)
    for row in range(len(worths)):
        is_there = worths[row] > 0
        costs = np.add.outer(costs, np.append(0.0, costs_bps[row][is_there])).ravel()
        values = np.add.outer(values, np.append(0.0, worths[row][is_there])).ravel()
        fits = np.flatnonzero(costs <= budget_bps)
        order = fits[np.lexsort((-values[fits], costs[fits]))]
        costs, values = costs[order], values[order]
        best_before = np.maximum.accumulate(np.append(-1.0, values[:-1]))
        is_kept = values > best_before
        costs, values = costs[is_kept], values[is_kept]
    return float(values[-1])
