"""Rows for tests: feedback and counters in few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sfu.bwe.reports import Reports, sorted_reports
from sfu.bwe.roster import Move, Roster, Table
from sfu.rows import FEEDBACK_DTYPE, TRANSPORT_DTYPE
from sfu.units import NS_PER_MS, Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.rows import StructArray

START = Instant(1_000 * 10**9)
SIZE = 1_000


def at_ms(offset_ms: float) -> Instant:
    return after_ms(START, offset_ms)


def sized(table: Table, size: int) -> None:
    """Give a table so many rows of which nothing is known."""
    nothing = np.zeros(0, np.int64)
    table.arrange(Move(size, nothing, nothing))


def packet(
    sent_ms: float,
    delay_ms: float | None,
    *,
    seq: int = 0,
    row: int = 0,
    cluster: int = 0,
    size: int = SIZE,
    reported_ms: float = 0.0,
) -> tuple[int, ...]:
    """Feedback about one packet of transport `row`; without a delay it was lost."""
    arrived_at = -1 if delay_ms is None else at_ms(sent_ms + delay_ms)
    return row, seq, cluster, size, at_ms(sent_ms), arrived_at, at_ms(reported_ms)


def feedback_of(packets: Iterable[tuple[int, ...]]) -> StructArray:
    return np.array(list(packets), FEEDBACK_DTYPE)


def reports_of(packets: Iterable[tuple[int, ...]], size: int = 1) -> Reports:
    """Feedback as the parts of an estimator see it: transports are rows."""
    roster = Roster()
    roster.adopt(np.arange(size, dtype=np.uint32))
    return sorted_reports(feedback_of(packets), roster)


def transports_of(
    *ids: int,
    bytes_sent: int = 0,
    padding: int = 0,
    packets: int = 0,
    remb_bps: float = 0.0,
    can_send: bool = True,
) -> StructArray:
    rows = np.zeros(len(ids), TRANSPORT_DTYPE)
    rows["transport"] = ids
    rows["bytes_sent"], rows["padding_bytes_sent"], rows["numbered_packets_sent"] = (
        bytes_sent,
        padding,
        packets,
    )
    rows["remb_bps"], rows["round_trip_time_ms"] = remb_bps, np.nan
    rows["can_send"] = can_send
    return rows


def milliseconds(ns: float) -> float:
    return ns / NS_PER_MS
