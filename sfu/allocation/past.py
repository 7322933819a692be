"""What was decided in the tick before: all the memory that policies have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.decision import Cause
from sfu.allocation.problem import LAYERS, NEVER
from sfu.rows import PAUSED

if TYPE_CHECKING:
    from sfu.allocation.layout import Layout
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray
    from sfu.rows import StructArray

_ORDERING: Final = ("width", "height", "is_pinned")
"""Of a row of the demand: what decides what it is worth, beside its rank."""

PAST_ROW_DTYPE: Final = np.dtype(
    [
        ("encoding", "<i1"),
        ("temporal", "<i1"),
        ("previous_at", "<i8"),
        ("lowered_at", "<i8"),
        ("usable", "?", (LAYERS,)),
        ("short", "<i1"),
    ]
)
PAST_SUBSCRIBER_DTYPE: Final = np.dtype([("decided_at", "<i8"), ("decided_bps", "<f8")])
"""The fields of `Past` by row and by subscriber."""


@dataclass(frozen=True, slots=True)
class Past:
    """The tick before, in the order of a layout."""

    layout: Layout
    encoding: IntArray
    """(rows,) `PAUSED`: none."""
    temporal: IntArray
    """(rows,) the target: `ALL_TEMPORAL`, or the highest that was given."""
    previous_at: IntArray
    """(rows,) since when both are so; `NEVER`: the row is new."""
    lowered_at: IntArray
    """(rows,) as in `Problem`."""
    usable: BoolArray
    """(LAYERS, rows)."""
    decided_at: IntArray
    """(subscribers,) as in `Problem`."""
    decided_bps: FloatArray
    short: IntArray
    """(rows,) why a budget gives it no more (`sfu.allocation.first`)."""

    @classmethod
    def none(cls, layout: Layout) -> Past:
        """Of rows that are all new."""
        rows, subscribers = len(layout.rows), len(layout.transports)
        return cls(
            layout=layout,
            encoding=np.full(rows, PAUSED, np.int64),
            temporal=np.zeros(rows, np.int64),
            previous_at=np.full(rows, NEVER),
            lowered_at=np.full(rows, NEVER),
            usable=np.zeros((LAYERS, rows), np.bool_),
            decided_at=np.full(subscribers, NEVER),
            decided_bps=np.zeros(subscribers),
            short=np.full(rows, Cause.BUDGET),
        )

    @classmethod
    def of(cls, layout: Layout, rows: StructArray, subscribers: StructArray) -> Past:
        """What `rows` and `subscribers` of another one were, of a layout that is the same."""
        return cls(
            layout=layout,
            encoding=rows["encoding"].astype(np.int64),
            temporal=rows["temporal"].astype(np.int64),
            previous_at=rows["previous_at"].copy(),
            lowered_at=rows["lowered_at"].copy(),
            usable=np.ascontiguousarray(rows["usable"].T),
            decided_at=subscribers["decided_at"].copy(),
            decided_bps=subscribers["decided_bps"].copy(),
            short=rows["short"].astype(np.int64),
        )

    @property
    def rows(self) -> StructArray:
        """(rows,) of `PAST_ROW_DTYPE`, in the order of the layout."""
        rows = np.empty(len(self.encoding), PAST_ROW_DTYPE)
        for name in PAST_ROW_DTYPE.names or ():
            rows[name] = getattr(self, name).T
        return rows

    @property
    def subscribers(self) -> StructArray:
        """(subscribers,) of `PAST_SUBSCRIBER_DTYPE`, likewise."""
        rows = np.empty(len(self.decided_at), PAST_SUBSCRIBER_DTYPE)
        for name in PAST_SUBSCRIBER_DTYPE.names or ():
            rows[name] = getattr(self, name)
        return rows

    def moved_to(self, layout: Layout) -> tuple[Past, BoolArray]:
        """The same in the order of another layout; rows and subscribers that were not there are new.

        Returns:
            It, and (subscribers,) for whom pins, sizes or ranks are not what they were.
        """
        if layout is self.layout:
            return self, np.zeros(len(layout.transports), np.bool_)
        past = Past.none(layout)
        here, there = _same(layout.rows["route"], self.layout.rows["route"])
        for mine, theirs in (
            (past.encoding, self.encoding),
            (past.temporal, self.temporal),
            (past.previous_at, self.previous_at),
            (past.lowered_at, self.lowered_at),
            (past.short, self.short),
        ):
            mine[here] = theirs[there]
        past.usable[:, here] = self.usable[:, there]
        subscribers, before = _same(layout.transports, self.layout.transports)
        past.decided_at[subscribers] = self.decided_at[before]
        past.decided_bps[subscribers] = self.decided_bps[before]
        is_other = np.ones(len(layout.rows), np.bool_)
        is_other[here] = layout.rank[here] != self.layout.rank[there]
        for name in _ORDERING:
            is_other[here] |= layout.rows[name][here] != self.layout.rows[name][there]
        reordered = np.zeros(len(layout.transports), np.bool_)
        reordered[layout.subscriber[is_other]] = True
        return past, reordered


def _same(numbers: IntArray, others: IntArray) -> tuple[IntArray, IntArray]:
    """Where in either array the numbers stand that both have."""
    _, here, there = np.intersect1d(numbers, others, assume_unique=True, return_indices=True)
    return here, there
