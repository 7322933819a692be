"""What every subscriber of the process wants, as rows of one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from sfu.rows import MAX_ENCODINGS
from sfu.units import Kind, RouteId

if TYPE_CHECKING:
    from sfu.rows import StructArray
    from sfu.units import TrackHandle, TransportId

MAX_PIXELS: Final = 65_535
"""Sizes beyond are taken for this."""

DEMAND_DTYPE: Final = np.dtype(
    [
        ("route", "<u4"),
        ("subscriber", "<u4"),
        ("track", "<u4"),
        ("is_audio", "?"),
        ("is_screen", "?"),
        ("encodings", "<i1"),
        ("width", "<u2"),
        ("height", "<u2"),
        ("full_width", "<u2"),
        ("full_height", "<u2"),
        ("max_height", "<u2"),
        ("is_pinned", "?"),
        ("is_visible", "?"),
        ("only", "<i1"),
    ]
)
"""One wish that is being fulfilled; the fields are those of `Demand`. Sizes in pixels, 0: none. `only` is an
encoding that there is, or -1."""

_FIRST_ROWS: Final = 64


class Demand(Protocol):
    """A subscriber wants a track in this size (`sfu.conference.turn.SetDemand` is one)."""

    @property
    def route(self) -> RouteId: ...
    @property
    def subscriber(self) -> TransportId: ...
    @property
    def track(self) -> TrackHandle: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def full_width(self) -> int: ...
    @property
    def full_height(self) -> int: ...
    @property
    def encodings(self) -> int: ...
    @property
    def max_height(self) -> int: ...
    @property
    def screen_share(self) -> bool: ...
    @property
    def is_pinned(self) -> bool: ...
    @property
    def is_visible(self) -> bool: ...
    @property
    def only(self) -> int: ...


class DemandTable:
    """Rows by route, dense: a dropped row's place is taken by the last. Each change costs O(1), amortised."""

    def __init__(self) -> None:
        self._rows = np.zeros(_FIRST_ROWS, DEMAND_DTYPE)
        self._index: dict[RouteId, int] = {}
        self._changes = 0

    @classmethod
    def of(cls, rows: StructArray) -> DemandTable:
        """A table with these rows, (n,) of `DEMAND_DTYPE`, each route once."""
        table = cls()
        table._rows = np.concatenate([rows, np.zeros(_FIRST_ROWS, DEMAND_DTYPE)])
        table._index = {RouteId(int(route)): index for index, route in enumerate(rows["route"])}
        return table

    def __len__(self) -> int:
        return len(self._index)

    @property
    def changes(self) -> int:
        """Grows with every change."""
        return self._changes

    @property
    def rows(self) -> StructArray:
        """(n,) of `DEMAND_DTYPE`, in no order. A view: valid until the next change."""
        return self._rows[: len(self._index)]

    def set(self, demand: Demand) -> None:
        """Add a row, or replace the one of the same route."""
        index = self._index.get(demand.route)
        if index is None:
            index = len(self._index)
            if index == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros(index, DEMAND_DTYPE)])
            self._index[demand.route] = index
        encodings = min(max(demand.encodings, 1), MAX_ENCODINGS)
        self._rows[index] = (
            demand.route,
            demand.subscriber,
            demand.track,
            demand.kind is Kind.AUDIO,
            demand.screen_share,
            encodings,
            _pixels(demand.width),
            _pixels(demand.height),
            _pixels(demand.full_width),
            _pixels(demand.full_height),
            _pixels(demand.max_height),
            demand.is_pinned,
            demand.is_visible,
            min(max(demand.only, -1), encodings - 1),
        )
        self._changes += 1

    def drop(self, route: RouteId) -> None:
        """Forget a row; a route that has none is ignored."""
        index = self._index.pop(route, None)
        if index is None:
            return
        self._changes += 1
        last = len(self._index)
        if index != last:
            self._rows[index] = self._rows[last]
            self._index[RouteId(int(self._rows[index]["route"]))] = index


def _pixels(size: int) -> int:
    return min(max(size, 0), MAX_PIXELS)
