"""How much arrives: the acknowledged rate of every subscriber, by the subscriber's own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.roster import Table
from sfu.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from sfu.bwe.reports import Reports
    from sfu.bwe.roster import FloatArray
    from sfu.units import Instant

SHORT_NS: Final = 150 * NS_PER_MS
"""Over what the rate is measured that a queue lets through. Lower: the pauses between frames look like a
slower path. Higher: after a drop of the path's rate, what arrived before it still counts."""

LONG_NS: Final = 500 * NS_PER_MS
"""Over what the rate is measured that people are told. Lower: it jumps with each key frame. Higher: it is
late."""

MIN_SPAN_NS: Final = 90 * NS_PER_MS
"""Less time than this gives no rate: one batch of a frame would be one of many megabits a second."""

STALE_NS: Final = 500 * NS_PER_MS
"""Nothing that arrived was reported for this long: the pause counts as well."""

PLACES: Final = 24
"""Reports remembered, one an update: 1.2 s at 50 ms. Lower: `LONG_NS` is not reached. Higher: more memory."""

MAX_JUMP_NS: Final = 10 * NS_PER_S
"""Arrivals further apart than this are of another clock, and measuring begins anew."""

_BLANK: Final = np.zeros(
    1,
    np.dtype(
        [
            ("bytes", "<i8"),
            ("at", "<i8", (PLACES,)),
            ("bytes_by", "<i8", (PLACES,)),
            ("used", "<i8"),
            ("reported_at", "<i8"),
        ]
    ),
)

_PLACES: Final = np.arange(PLACES)


class AckedRates:
    """Counts what arrived, as of the newest arrival of each update."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(self, arrived: Reports) -> None:
        """Take up what has arrived."""
        rows = self.table.rows
        newest = arrived.newest(arrived.arrived_at, -1)
        has_news = newest >= 0
        last = rows["at"][:, 0]
        jumped = has_news & (rows["used"] > 0) & (np.abs(newest - last) > MAX_JUMP_NS)
        if jumped.any():
            self.table.clear(jumped)
        rows["bytes"] += arrived.bytes().astype(np.int64)
        which = has_news.nonzero()[0]
        # The newest stands first: who reads a window reads backwards.
        for name, value in (
            ("at", np.maximum(newest, last * (rows["used"] > 0))),
            ("bytes_by", rows["bytes"]),
        ):
            column = rows[name]
            column[which, 1:] = column[which, :-1]
            column[which, 0] = value[which]
        rows["used"][which] = np.minimum(rows["used"][which] + 1, PLACES)
        rows["reported_at"] = np.maximum(rows["reported_at"], arrived.newest(arrived.reported_at, 0))

    def over(self, now: Instant, *windows_ns: int) -> tuple[FloatArray, ...]:
        """For each window, (subscribers,) bit/s over so long until now, or what there is of it.

        NaN before there is enough.
        """
        rows = self.table.rows
        at, bytes_by, used = rows["at"], rows["bytes_by"], rows["used"]
        ages = at[:, :1] - at
        is_used = used[:, None] > _PLACES
        silent_ns = now - rows["reported_at"]
        silent_ns = np.where(silent_ns > STALE_NS, silent_ns, 0)
        each = np.arange(len(rows))
        rates = []
        for window_ns in windows_ns:
            # The youngest that is old enough, else the oldest there is.
            begin = np.minimum((is_used & (ages < window_ns)).sum(1), np.maximum(used - 1, 0))
            span_ns = ages[each, begin] + silent_ns
            received = bytes_by[:, 0] - bytes_by[each, begin]
            is_known = (begin > 0) & (span_ns >= MIN_SPAN_NS)
            rates.append(np.where(is_known, received * 8 * NS_PER_S / np.maximum(span_ns, 1), np.nan))
        return tuple(rates)
