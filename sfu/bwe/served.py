"""How much a queue lets through: the rate at which packets come that had to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.roster import Table
from sfu.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from sfu.bwe.reports import Reports
    from sfu.bwe.roster import BoolArray, FloatArray
    from sfu.units import Instant

WINDOW_NS: Final = 150 * NS_PER_MS
"""Over what the rate is measured. Lower: it is noise. Higher: after a drop of a path's rate, what came before
it still counts."""

MIN_BUSY_NS: Final = 40 * NS_PER_MS
"""A queue must be seen at work for so long. Lower: two packets tell the rate of a path. Higher: a burst
that is overuse is answered by what came before it."""

PLACES: Final = 4
"""Updates remembered, at 50 ms each: `WINDOW_NS` and one more."""

_BLANK: Final = np.zeros(
    1,
    np.dtype(
        [
            ("told_at", "<i8", (PLACES,)),
            ("bytes", "<f8", (PLACES,)),
            ("busy_ns", "<f8", (PLACES,)),
        ]
    ),
)
_BLANK["told_at"] = -(2**62)


class ServedRates:
    """Counts what came out of queues.

    A packet that waited was served from the arrival of the one before it to its own. So a burst tells what a
    path carries, even where little is sent on average.
    """

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(self, now: Instant, arrived: Reports, waited: BoolArray) -> None:
        """Take up what has arrived.

        Args:
            now: time.
            arrived: what has come.
            waited: (packets,) it stood in a queue.
        """
        if not waited.any():
            return
        # Of the first of a subscriber's packets it is not known when the one before arrived.
        waited = waited.copy()
        waited[arrived.starts] = False
        gaps = np.zeros(len(waited), np.int64)
        np.subtract(arrived.arrived_at[1:], arrived.arrived_at[:-1], out=gaps[1:])
        served = arrived.only(waited)
        busy_ns = np.bincount(served.row, np.maximum(gaps[waited], 0), served.size)
        rows = self.table.rows
        which = busy_ns.nonzero()[0]
        for name, value in (
            ("told_at", np.full(len(rows), now)),
            ("bytes", served.bytes()),
            ("busy_ns", busy_ns),
        ):
            column = rows[name]
            column[which, 1:] = column[which, :-1]
            column[which, 0] = value[which]

    def rates(self, now: Instant) -> FloatArray:
        """(subscribers,) bit/s; NaN where no queue was seen at work."""
        rows = self.table.rows
        is_recent = now - rows["told_at"] < WINDOW_NS
        busy_ns = (rows["busy_ns"] * is_recent).sum(1)
        served = (rows["bytes"] * is_recent).sum(1) * 8 * NS_PER_S / np.maximum(busy_ns, 1.0)
        return np.where(busy_ns >= MIN_BUSY_NS, served, np.nan)
