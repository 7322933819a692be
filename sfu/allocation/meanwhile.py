"""What is asked of the plane until an encoding comes that rests: nobody stands still for it.

A target that differs from what flows is the request for its key frame, and what flows goes on until then. So
who is to get a larger picture waits with the one that there is. But who has none yet, or one that is too
large for the path, is given the nearest smaller one that flows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sfu.allocation.flow import picked
from sfu.rows import ALL_TEMPORAL, MAX_ENCODINGS, PAUSED

if TYPE_CHECKING:
    from sfu.allocation.rates import EncodingRates, IntArray
    from sfu.rows import StructArray


def bridge(targets: StructArray, demand: StructArray, routes: StructArray, rates: EncodingRates) -> None:
    """Put what flows in place of encodings that rest, where nothing else would tide people over; in place.

    Args:
        targets: (rows,) of `TARGET_DTYPE`.
        demand: (rows,) of `DEMAND_DTYPE`, in the same order.
        routes: (n,) of `ROUTE_DTYPE`: what flows to whom.
        rates: what flows at all.
    """
    if not rates.is_awaiting:
        return
    measured, places = rates.measured, rates.places(demand["track"])
    chosen = targets["encoding"].astype(np.int64)
    rests = places.found & measured.rests[places.at]
    flowing = places.found & measured.flowing[places.at]
    current = _current(targets["route"], routes)
    is_below = flowing & (np.arange(MAX_ENCODINGS)[:, None] < chosen)
    nearest = MAX_ENCODINGS - 1 - is_below[::-1].argmax(axis=0)
    is_short = (current == PAUSED) | (current > chosen)
    # A row for one encoding only is given that or nothing.
    is_bridged = (chosen != PAUSED) & picked(rests, chosen) & is_below.any(axis=0) & (demand["only"] < 0)
    which = np.flatnonzero(is_bridged & is_short)
    targets["encoding"][which] = nearest[which]
    targets["temporal"][which] = ALL_TEMPORAL


def _current(wanted: IntArray, routes: StructArray) -> IntArray:
    """(rows,) the encoding that flows on each route; `PAUSED`: none, or the route is new."""
    current = np.full(len(wanted), PAUSED, np.int64)
    if len(routes):
        order = np.argsort(routes["route"])
        at = order[np.minimum(np.searchsorted(routes["route"], wanted, sorter=order), len(routes) - 1)]
        found = routes["route"][at] == wanted
        current[found] = routes["encoding"][at[found]]
    return current
