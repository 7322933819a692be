"""Feedback in order: by subscriber, and of each as it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.rows import LOST

if TYPE_CHECKING:
    from sfu.bwe.roster import BoolArray, FloatArray, IntArray, Roster
    from sfu.rows import StructArray

_SEQ_BITS: Final = 40
_SEQ_MASK: Final = (1 << _SEQ_BITS) - 1
"""Of a transport-wide number: 10,000 packets a second for three years."""


@dataclass(frozen=True)
class Reports:
    """One update's feedback; each packet once. All arrays are (packets,)."""

    size: int
    """How many subscribers there are."""
    row: IntArray
    seq: IntArray
    cluster: IntArray
    size_bytes: IntArray
    sent_at: IntArray
    arrived_at: IntArray
    reported_at: IntArray

    def only(self, which: BoolArray) -> Reports:
        """Some of the packets, in the same order."""
        if which.all():
            return self
        return Reports(
            self.size,
            self.row[which],
            self.seq[which],
            self.cluster[which],
            self.size_bytes[which],
            self.sent_at[which],
            self.arrived_at[which],
            self.reported_at[which],
        )

    def counts(self) -> IntArray:
        """(subscribers,) packets of each."""
        return np.bincount(self.row, minlength=self.size)

    def counts_of(self, which: BoolArray) -> IntArray:
        """(subscribers,) of some of the packets only."""
        return np.bincount(self.row[which], minlength=self.size)

    def bytes(self) -> FloatArray:
        """(subscribers,) bytes of each."""
        return np.bincount(self.row, self.size_bytes, self.size).astype(np.float64, copy=False)

    def newest(self, values: IntArray, nothing: int) -> IntArray:
        """(subscribers,) the largest of a column; `nothing` for one without packets."""
        return self._extreme(np.maximum, values, nothing)

    def least(self, values: IntArray, nothing: int) -> IntArray:
        """(subscribers,) the smallest of a column; `nothing` for one without packets."""
        return self._extreme(np.minimum, values, nothing)

    @cached_property
    def starts(self) -> IntArray:
        """Where each subscriber's packets begin, of those that have some."""
        return begins(self.row).nonzero()[0]

    @cached_property
    def told(self) -> IntArray:
        """The subscribers that have some."""
        return self.row[self.starts]

    def _extreme(self, ufunc: np.ufunc, values: IntArray, nothing: int) -> IntArray:
        if len(self.told) == self.size:
            return ufunc.reduceat(values, self.starts)
        extreme = np.full(self.size, nothing, np.int64)
        if len(values):
            extreme[self.told] = ufunc.reduceat(values, self.starts)
        return extreme


def begins(*columns: IntArray) -> BoolArray:
    """(n,) where something else begins than stands before it, in any of some columns of n."""
    is_first = np.ones(len(columns[0]), np.bool_)
    if len(is_first):
        np.not_equal(columns[0][1:], columns[0][:-1], out=is_first[1:])
        for column in columns[1:]:
            is_first[1:] |= column[1:] != column[:-1]
    return is_first


def sorted_reports(feedback: StructArray, roster: Roster) -> Reports:
    """Put feedback in order.

    What was told as lost and as arrived in one batch has arrived. Rows of transports nobody knows are left
    out.
    """
    row, found = roster.find(feedback["transport"])
    if not found.all():
        row, feedback = row[found], feedback[found]
    # One key sorts faster than three, and feedback mostly comes in order.
    key = ((row << _SEQ_BITS) | (feedback["seq"] & _SEQ_MASK)) << 1 | (feedback["arrived_at"] != LOST)
    order = np.argsort(key, kind="stable")
    key, row = key[order], row[order]
    # Of two rows about one packet the later one has the arrival.
    is_last = np.ones(len(order), np.bool_)
    key >>= 1
    np.not_equal(key[1:], key[:-1], out=is_last[:-1])
    order = order[is_last]
    return Reports(
        size=len(roster),
        row=row[is_last],
        seq=feedback["seq"][order],
        cluster=feedback["cluster"][order].astype(np.int64),
        size_bytes=feedback["size_bytes"][order].astype(np.int64),
        sent_at=feedback["sent_at"][order],
        arrived_at=feedback["arrived_at"][order],
        reported_at=feedback["reported_at"][order],
    )


def is_arrived(reports: Reports) -> BoolArray:
    """(packets,) whether each has come."""
    arrived: BoolArray = reports.arrived_at != LOST
    return arrived
