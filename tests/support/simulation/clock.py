"""A clock that goes from one appointment to the next, without ever waiting."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_MS, NS_PER_S, Instant, WallTime, after_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.netem.network import Datagram, Network

START: Final = Instant(1_000 * NS_PER_S)
"""Not 0: clocks that start there hide mistakes with times before the first event."""

START_WALL_MS: Final = 1_700_000_000_000


class VirtualClock:
    """Runs a network and appointments by time; what is due at one instant, in the order it was made.

    Args:
        network: whose datagrams are handed to `deliver`.
    """

    def __init__(self, network: Network) -> None:
        self.now = START
        self.deliver: Callable[[list[Datagram]], None] = lambda _: None
        self._network = network
        self._agenda: list[tuple[Instant, int, Callable[[], None]]] = []
        self._made = 0

    @property
    def wall(self) -> WallTime:
        """What a wall clock shows now."""
        return WallTime(START_WALL_MS + (self.now - START) // NS_PER_MS)

    def call_at(self, at: Instant, action: Callable[[], None]) -> None:
        """Do something then; at once where that has passed."""
        self._made += 1
        heappush(self._agenda, (max(at, self.now), self._made, action))

    def call_after_ms(self, delay_ms: float, action: Callable[[], None]) -> None:
        """Do something in so many milliseconds."""
        self.call_at(after_ms(self.now, delay_ms), action)

    def run_until(self, end: Instant) -> None:
        """Let time pass: datagrams before appointments, where both are due at once."""
        network, agenda = self._network, self._agenda
        while True:
            arrival = network.next_timeout()
            due = agenda[0][0] if agenda else None
            if arrival is not None and arrival <= end and (due is None or arrival <= due):
                self.now = max(self.now, arrival)
                datagrams = network.poll(self.now)
                if datagrams:
                    self.deliver(datagrams)
            elif due is not None and due <= end:
                self.now = due
                heappop(agenda)[2]()
            else:
                break
        self.now = max(self.now, end)
