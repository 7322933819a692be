"""Counters by the numbers of what they count, for people: built once for a snapshot of all calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        self.estimates: dict[int, Row] = _by_number(newest.estimates, "transport")
        self._elapsed_s = (newest.stats.now - earlier.stats.now) / NS_PER_S
        self._earlier = _by_encoding(earlier.stats.encodings)
        self._earlier_transports = _by_number(earlier.stats.transports, "transport")

    def bitrate_bps(self, key: tuple[int, int]) -> float:
        """What an encoding has received, on the average since the earlier report; 0 before that is known."""
        return self._rate_bps(self.encodings.get(key), self._earlier.get(key), "bytes_received")

    def wire_bps(self, transport: int, column: str) -> float:
        """What a transport has sent or received, whatever it was; likewise.

        Args:
            transport: its number.
            column: `bytes_sent` or `bytes_received`.
        """
        rows = self.transports.get(transport), self._earlier_transports.get(transport)
        return self._rate_bps(*rows, column)

    def loss(self, keys: Iterable[tuple[int, int]]) -> float | None:
        """The part of some encodings' packets that was lost since the earlier report; None: none came."""
        received = lost = 0
        for key in keys:
            now, before = self.encodings.get(key), self._earlier.get(key)
            if now is not None and before is not None:
                received += _growth(now, before, "packets_received")
                # What was late and not lost is taken back.
                lost += int(now["packets_lost"]) - int(before["packets_lost"])
        return max(lost, 0) / (received + max(lost, 0)) if received > 0 else None

    def _rate_bps(self, now: Row | None, before: Row | None, column: str) -> float:
        if now is None or before is None or self._elapsed_s <= 0:
            return 0.0
        return _growth(now, before, column) * 8 / self._elapsed_s


def _growth(now: Row, before: Row, column: str) -> int:
    return max(int(now[column]) - int(before[column]), 0)


def _by_number(rows: StructArray, column: str) -> dict[int, Row]:
    return dict(zip(rows[column].tolist(), rows, strict=True))


def _by_encoding(rows: StructArray) -> dict[tuple[int, int], Row]:
    return dict(zip(zip(rows["track"].tolist(), rows["encoding"].tolist(), strict=True), rows, strict=True))
