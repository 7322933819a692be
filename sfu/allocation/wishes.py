"""What each subscriber is given and would be given: what an estimator of its path has to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.decision import Cause
from sfu.allocation.policies.utility import MARGIN

if TYPE_CHECKING:
    from sfu.allocation.rates import FloatArray, IntArray
    from sfu.rows import StructArray

_WITHHELD: Final = (Cause.BUDGET, Cause.PINNED_FIRST, Cause.SCREEN_FIRST, Cause.SPEAKER)
"""Causes that end when the path carries more."""
_IS_WITHHELD: Final = np.isin(list(Cause), _WITHHELD)
"""The same by cause."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """(subscribers,) in order of their transports."""

    transports: IntArray
    allocated_bps: FloatArray
    """What is given."""
    desired_bps: FloatArray
    """What would be given if the path carried everything."""
    next_bps: FloatArray
    """What the path must carry on top for one more step of any row, the least of all that it is not known to
    carry; 0: a better path would change nothing. It is more than the step takes: a policy asks for room
    (`MARGIN`), and who finds out only what the step takes never sees it taken. A step that would fit and was
    not taken was not worth it: then a larger one is what is waited for."""


def wishes_of(decisions: StructArray) -> Wishes:
    """Sum up the decisions of each subscriber: (n,) of `DECISION_DTYPE`, in any order."""
    order = np.argsort(decisions["subscriber"], kind="stable")
    subscriber = decisions["subscriber"].take(order).astype(np.int64)
    starts = np.flatnonzero(np.diff(subscriber, prepend=-1))
    if not len(starts):
        nothing = np.zeros(0)
        return Wishes(subscriber, nothing, nothing, nothing)
    rate_bps, best_bps, next_bps, budget_bps = (
        decisions[name].take(order) for name in ("rate_bps", "best_rate_bps", "next_rate_bps", "budget_bps")
    )
    is_withheld = _IS_WITHHELD.take(decisions["cause"].take(order))
    allocated = np.add.reduceat(rate_bps, starts)
    # Of what is more than its path's share for another reason (a ceiling, no picture) nothing is desired.
    desired = np.add.reduceat(np.where(is_withheld, best_bps, rate_bps), starts)
    room = budget_bps - np.repeat(allocated, np.diff(starts, append=len(order)))
    least = np.full(len(order), np.inf)
    for better_bps in (best_bps, next_bps):
        step = MARGIN * better_bps - rate_bps
        np.copyto(least, step, where=is_withheld & (step > 0) & (step > room))
    least = np.minimum.reduceat(least, starts)
    # Each step by itself would fit: what is waited for is all together.
    is_waiting = np.isinf(least) & np.logical_or.reduceat(is_withheld, starts)
    least = np.where(is_waiting, MARGIN * desired - allocated, least)
    return Wishes(
        transports=subscriber[starts],
        allocated_bps=allocated,
        desired_bps=desired,
        next_bps=np.where(np.isinf(least), 0.0, least),
    )
