"""What subscribers say of packets, kept for Python as rows of `FEEDBACK_DTYPE`."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.rows import FEEDBACK_DTYPE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.dataplane.transport import Transport
    from sfu.rows import StructArray
    from sfu.streams.twcc_sender import Reported
    from sfu.units import Instant

MAX_ROWS: Final = 1 << 16
"""Rows that wait, of all transports; the oldest go. Lower: a stall of Python leaves a hole in what estimates
are made of, at 250,000 packets a second after a quarter of a second. Higher: more memory, for the past."""

_ROW: Final = struct.Struct("<IqIIqqq")


class FeedbackRows:
    """A bounded queue of rows."""

    def __init__(self) -> None:
        self._rows: deque[tuple[Transport, bytes]] = deque()

    def add(self, now: Instant, transport: Transport, reported: Iterable[Reported]) -> None:
        """Keep what a peer has reported now."""
        for one in reported:
            if len(self._rows) == MAX_ROWS:
                loser, _ = self._rows.popleft()
                loser.feedback_lost += 1
            row = _ROW.pack(
                transport.id, one.seq, one.cluster, one.size_bytes, one.sent_at, one.arrived_at, now
            )
            self._rows.append((transport, row))

    def take(self) -> StructArray:
        """All rows since the last call, in order."""
        rows = np.frombuffer(b"".join(row for _, row in self._rows), FEEDBACK_DTYPE)
        self._rows.clear()
        return rows
