"""What has come of every route in one tick, laid out so that a call finds its own, and changes, at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sfu.rows import PAUSED

if TYPE_CHECKING:
    from sfu.rows import StructArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
RouteArray = NDArray[np.uint32]

NO_ROUTES: Final[RouteArray] = np.zeros(0, np.uint32)

NO_MARK: Final = -1
"""Of a route that nothing was decided about yet."""

_FIELDS: Final = (
    ("wanted_encoding", 3),
    ("allowed_encoding", 3),
    ("chosen_encoding", 3),
    ("cause", 4),
    ("is_unseen", 2),
)
"""Of decisions: what makes them different ones, with the bits that each takes."""
_TEMPORAL_BITS: Final = 4
_SHOWN: Final = (
    "wanted_encoding",
    "allowed_encoding",
    "chosen_encoding",
    "cause",
    "rate_bps",
    "next_rate_bps",
    "budget_bps",
    "max_videos",
)
"""Columns of decisions, as they stand in an `Outcome`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision about one route, and what flows on it. Encodings are indices, `PAUSED`: none."""

    current: int
    temporal: int
    wanted: int
    allowed: int
    chosen: int
    cause: int
    """A `Cause`."""
    rate_bps: float
    """Of the chosen encoding."""
    next_rate_bps: float
    budget_bps: float
    max_videos: int = 0


class Outcomes:
    """Decisions joined with counters, by route, and sorted once for all calls."""

    changed: RouteArray
    """Routes about which something else was decided than before, or on which something else flows."""
    token: object
    """The same object as long as there is no such route."""
    _counted: _Index
    _decided: _Index
    _current: IntArray
    _temporal: IntArray
    _marks: IntArray

    def __init__(self, decisions: StructArray, routes: StructArray, before: Outcomes | None = None) -> None:
        """Sort both, or take over what `before` has found where nothing has changed.

        Args:
            decisions: (n,) of `DECISION_DTYPE`.
            routes: (m,) of `ROUTE_DTYPE`.
            before: of the tick before, if there was one.
        """
        self._decisions = decisions
        self._routes = routes
        self._counted = _Index(routes, None if before is None else before._counted)
        self._decided = _Index(decisions, None if before is None else before._decided)
        # Compared as bytes: arrays of a call's size spend their time on being arrays.
        self._flow = routes["encoding"].tobytes(), routes["temporal"].tobytes()
        if before is not None and self._flows_as(before):
            self._current, self._temporal, self._marks = before._current, before._temporal, before._marks
            self.changed, self.token = NO_ROUTES, before.token
            return
        at, is_counted = self._counted.find(decisions["route"])
        self._current = np.full(len(decisions), PAUSED, np.int64)
        self._current[is_counted] = routes["encoding"][at[is_counted]]
        self._temporal = np.zeros(len(decisions), np.int64)
        self._temporal[is_counted] = routes["temporal"][at[is_counted]]
        marks = (self._current + 1) << _TEMPORAL_BITS | self._temporal
        for name, bits in _FIELDS:
            marks = marks << bits | (decisions[name].astype(np.int64) + 1)
        self._marks = marks
        self.changed = self._decided.numbers if before is None else self._changed_since(before)
        self.token = before.token if before is not None and not len(self.changed) else object()

    def find(self, routes: RouteArray) -> tuple[IntArray, IntArray]:
        """Where each route's decision stands, and its mark: equal as long as nothing else was decided.

        A measured rate is no part of it. `NO_MARK`, and any place, where nothing was decided.
        """
        at, found = self._decided.find(routes)
        marks = self._marks[at] if len(self._marks) else NO_MARK
        return at, np.where(found, marks, NO_MARK)

    def decisions_at(self, at: IntArray, name: str) -> NDArray[Any]:
        """(len(at),) one column of `DECISION_DTYPE`."""
        return self._decisions[name][at]

    def flowing_at(self, at: IntArray) -> IntArray:
        """(len(at),) the encoding that flows, `PAUSED`: none."""
        return self._current[at]

    def outcomes(self, routes: RouteArray) -> list[Outcome | None]:
        """The decision about each route, and what flows on it; None: nothing was decided."""
        at, marks = self.find(routes)
        found = marks != NO_MARK
        at = at[found]
        rows = self._decisions[at]
        columns = (rows[name].tolist() for name in _SHOWN)
        decided = (
            Outcome(current, temporal, *row)
            for current, temporal, row in zip(
                self._current[at].tolist(),
                self._temporal[at].tolist(),
                zip(*columns, strict=True),
                strict=True,
            )
        )
        return [next(decided) if is_found else None for is_found in found.tolist()]

    def counters_of(self, routes: RouteArray) -> tuple[StructArray, BoolArray]:
        """(len(routes),) of `ROUTE_DTYPE`, and whether each is there; zeros where not."""
        rows = np.zeros(len(routes), self._routes.dtype)
        at, found = self._counted.find(routes)
        rows[found] = self._routes[at[found]]
        return rows, found

    def _flows_as(self, before: Outcomes) -> bool:
        """Whether the same flows on the same routes, by the very same decisions."""
        return (
            self._decisions is before._decisions
            and self._counted.order is before._counted.order
            and self._flow == before._flow
        )

    def _changed_since(self, before: Outcomes) -> RouteArray:
        routes = self._decided.numbers
        if routes is not before._decided.numbers:
            routes = np.union1d(routes, before._decided.numbers)
        changed: RouteArray = routes[self.find(routes)[1] != before.find(routes)[1]]
        return changed


class _Index:
    """Rows by route, sorted anew where they are of other routes than those before, or in another order."""

    order: IntArray
    numbers: RouteArray

    def __init__(self, rows: StructArray, before: _Index | None) -> None:
        routes = rows["route"]
        self._bytes = routes.tobytes()
        if before is not None and self._bytes == before._bytes:
            self.order, self.numbers = before.order, before.numbers
            return
        self.order = np.argsort(routes)
        self.numbers = routes[self.order]

    def find(self, routes: RouteArray) -> tuple[IntArray, BoolArray]:
        """In which row each route stands, and whether it does; any row where not."""
        at, found = find(self.numbers, routes)
        return (self.order[at] if len(self.order) else at), found


def find(haystack: RouteArray, needles: RouteArray) -> tuple[IntArray, BoolArray]:
    """Where each needle stands in sorted numbers, and whether it does; any place where not."""
    if not len(haystack):
        return np.zeros(len(needles), np.int64), np.zeros(len(needles), np.bool_)
    at = np.minimum(np.searchsorted(haystack, needles), len(haystack) - 1)
    return at, haystack[at] == needles
