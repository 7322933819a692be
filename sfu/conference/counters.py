"""Counters by the numbers of what they count, for people: built once for a snapshot of all calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.conference.reports import Counted
    from sfu.rows import StructArray

Row = Any
"""A row of a struct array: numpy types it no further."""


class CountersByNumber:
    """Rows of the newest report.

    Args:
        newest: the report.
        earlier: one to take rates against.
    """

    def __init__(self, newest: Counted, earlier: Counted) -> None:
        self.transports: dict[int, Row] = _by_number(newest.stats.transports, "transport")
        self.encodings: dict[tuple[int, int], Row] = _by_encoding(newest.stats.encodings)
        self.routes: dict[int, Row] = _by_number(newest.stats.routes, "route")
        self.decisions: dict[int, Row] = _by_number(newest.decisions, "route")
        self._elapsed_s = (newest.stats.now - earlier.stats.now) / NS_PER_S
        self._earlier = _by_encoding(earlier.stats.encodings)

    def bitrate_bps(self, key: tuple[int, int]) -> float:
        """What an encoding has received, on the average since the earlier report; 0 before that is known."""
        if key not in self._earlier or self._elapsed_s <= 0:
            return 0.0
        received = int(self.encodings[key]["bytes_received"]) - int(self._earlier[key]["bytes_received"])
        return max(received, 0) * 8 / self._elapsed_s


def _by_number(rows: StructArray, column: str) -> dict[int, Row]:
    return dict(zip(rows[column].tolist(), rows, strict=True))


def _by_encoding(rows: StructArray) -> dict[tuple[int, int], Row]:
    return dict(zip(zip(rows["track"].tolist(), rows["encoding"].tolist(), strict=True), rows, strict=True))
