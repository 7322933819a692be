"""When which transport next has something to do, over all of them."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.units import Instant, TransportId


class Agenda:
    """One appointment for each transport, the earliest that was planned. Planning costs O(log transports)."""

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, TransportId]] = []
        self._planned: dict[TransportId, Instant] = {}

    def plan(self, transport: TransportId, at: Instant | None) -> None:
        """The transport has something to do then, if not before; None is never."""
        if at is None:
            return
        planned = self._planned.get(transport)
        if planned is None or at < planned:
            self._planned[transport] = at
            heappush(self._heap, (at, transport))

    def cancel(self, transport: TransportId) -> None:
        """The transport has nothing to do any more."""
        self._planned.pop(transport, None)

    def pop_due(self, now: Instant) -> TransportId | None:
        """The transport whose time came first; it has no appointment any more. None: nobody's has come."""
        at = self.next_timeout()
        if at is None or now < at:
            return None
        _, transport = heappop(self._heap)
        del self._planned[transport]
        return transport

    def next_timeout(self) -> Instant | None:
        """The earliest appointment."""
        while self._heap:
            at, transport = self._heap[0]
            if self._planned.get(transport) == at:
                return at
            heappop(self._heap)  # moved forward or cancelled since
        return None
