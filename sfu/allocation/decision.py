"""What was decided for each route, and why: one record per pair of subscriber and track."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.plane import TARGET_DTYPE

if TYPE_CHECKING:
    from sfu.plane import StructArray


class Cause(enum.IntEnum):
    """Why a subscriber gets what it gets. Closed; the names are shown to people and kept in traces."""

    SIZE = 0
    """It gets what it asked for."""
    LAYER_NOT_SENT = 1
    """The encoding that would fit does not flow; the nearest that does is given."""
    CEILING = 2
    """The operator's `max_height`."""
    BUDGET = 3
    """Its link carries no more."""
    CODEC = 4
    """It can't decode what the publisher sends (a conference finds this out, never the allocator)."""
    PAUSED = 5
    """The publisher sends nothing of this track now."""

    @property
    def label(self) -> str:
        """In lower case, for people and metrics."""
        return self.name.lower()


DECISION_DTYPE: Final = np.dtype(
    [
        ("route", "<u4"),
        ("subscriber", "<u4"),
        ("track", "<u4"),
        ("is_audio", "?"),
        ("wanted_encoding", "<i1"),
        ("allowed_encoding", "<i1"),
        ("chosen_encoding", "<i1"),
        ("temporal", "<i1"),
        ("cause", "<i1"),
        ("rate_bps", "<f8"),
        ("next_rate_bps", "<f8"),
        ("budget_bps", "<f8"),
    ]
)
"""One decision. `wanted_encoding` fits the size asked for, `allowed_encoding` keeps below the ceiling too,
`chosen_encoding` is what is given (`PAUSED`: nothing). `rate_bps` is the cost of the chosen encoding, 0 where
paused, `next_rate_bps` that of the next higher one that flows and is allowed, 0 where there is none,
`budget_bps` the subscriber's, infinite where none was given."""


def targets_of(decisions: StructArray) -> StructArray:
    """What `Plane.set_targets` takes: (n,) of `TARGET_DTYPE` for (n,) of `DECISION_DTYPE`."""
    targets = np.empty(len(decisions), TARGET_DTYPE)
    targets["route"] = decisions["route"]
    targets["encoding"] = decisions["chosen_encoding"]
    targets["temporal"] = decisions["temporal"]
    return targets
