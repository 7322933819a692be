"""What each subscriber may be given: what its path carries, and the operator's caps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from sfu.allocation.rates import IntArray
    from sfu.rows import StructArray

BUDGET_DTYPE: Final = np.dtype([("transport", "<u4"), ("keep_bps", "<f8"), ("change_bps", "<f8")])
"""What a subscriber's path carries now, and what it has carried for a while, which is never more: what stays
as it is must fit the first, with a change all must fit the second."""

NO_BUDGETS: Final = np.zeros(0, BUDGET_DTYPE)

CAPS_DTYPE: Final = np.dtype(
    [("transport", "<u4"), ("max_bps", "<f8"), ("max_height", "<u2"), ("max_videos", "<u2")]
)
"""What an operator gives a subscriber at most: bits a second (infinite: any), lines of one picture (0: any),
and pictures (0: any)."""

NO_CAPS: Final = np.zeros(0, CAPS_DTYPE)


def rows_of(transports: IntArray, given: StructArray, otherwise: tuple[float, ...]) -> StructArray:
    """One row for each of some transports; `otherwise`, but for its number, where nothing was given."""
    found = np.empty(len(transports), given.dtype)
    found["transport"] = transports
    for name, value in zip((given.dtype.names or ())[1:], otherwise, strict=True):
        found[name] = value
    if len(given):
        order = np.argsort(given["transport"], kind="stable")
        at = np.searchsorted(given["transport"], transports, sorter=order)
        at = order[np.minimum(at, len(given) - 1)]
        is_given = given["transport"][at] == transports
        found[is_given] = given[at[is_given]]
    return found
