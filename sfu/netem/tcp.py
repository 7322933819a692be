"""Cross traffic: what sends as TCP does, as fast as its losses allow.

Slow start, congestion avoidance and the halving at a loss are NewReno's (RFC 5681, RFC 6582). Losses are
found packet by packet as in RFC 9002 section 6.1, which is what TCP with SACK comes to: the plain duplicate
acknowledgements of RFC 6582 repair one packet a round trip, and no system sends like that any more.
"""

from __future__ import annotations

import math
from itertools import takewhile
from typing import Final

from sfu.units import NS_PER_MS, Instant

PACKET_BYTES: Final = 1_500
"""Of a full packet on the wire, headers included."""
ACKNOWLEDGEMENT_BYTES: Final = 52
"""On the wire: IPv4 and TCP with timestamps."""

INITIAL_WINDOW: Final = 10
"""Packets (RFC 6928)."""
MAX_WINDOW: Final = 1_000
"""What the receiver has room for: at a round trip of 100 ms, 120 Mbit/s."""
MIN_WINDOW: Final = 2.0
"""After a halving (RFC 5681 section 3.1)."""
REORDER_PACKETS: Final = 3
"""A packet is lost when one sent so much later has come."""
MIN_TIMEOUT_NS: Final = 200 * NS_PER_MS
"""As Linux has it; RFC 6298 says a second, which makes TCP a weaker rival than the real one."""
FIRST_TIMEOUT_NS: Final = 1_000 * NS_PER_MS
MAX_TIMEOUT_NS: Final = 60_000 * NS_PER_MS


class TcpSender:
    """Sends numbered packets, a number once; every one that arrives is acknowledged by its number.

    What packets carry is nobody's business: one that is lost makes another one necessary.

    Args:
        size_bytes: to be carried in all; None never ends.
        first_number: of its first packet.
    """

    def __init__(self, size_bytes: int | None = None, first_number: int = 0) -> None:
        self._needed: float = math.inf if size_bytes is None else -(-size_bytes // PACKET_BYTES)
        self._acknowledged = 0
        self._first_number = self._next_number = first_number
        self._in_flight: dict[int, Instant] = {}
        self._window = float(INITIAL_WINDOW)
        self._threshold = math.inf
        self._recovered_from = 0
        """Packets before this number tell of what the window has been halved for already."""
        self._smoothed_ns: float | None = None
        self._variation_ns = 0.0
        self._timeout_ns = FIRST_TIMEOUT_NS
        self._timeout_at: Instant | None = None

    @property
    def acknowledged_bytes(self) -> int:
        """What is known to have come through."""
        return self._acknowledged * PACKET_BYTES

    @property
    def has_begun(self) -> bool:
        """Something was sent."""
        return self._next_number > self._first_number

    @property
    def next_number(self) -> int:
        """Of the packet that comes next."""
        return self._next_number

    @property
    def is_done(self) -> bool:
        """Everything has come through."""
        return self._acknowledged >= self._needed

    def poll(self, now: Instant) -> range:
        """The numbers of the packets to send now."""
        if self._timeout_at is not None and now >= self._timeout_at:
            self._time_out()
        first = self._next_number
        room = int(self._window) - len(self._in_flight)
        wanted = self._needed - self._acknowledged - len(self._in_flight)
        self._next_number += max(0, int(min(room, wanted)))
        numbers = range(first, self._next_number)
        self._in_flight.update(dict.fromkeys(numbers, now))
        if numbers and self._timeout_at is None:
            self._timeout_at = Instant(now + self._timeout_ns)
        return numbers

    def acknowledged(self, now: Instant, number: int) -> None:
        """A packet has arrived; call `poll` then."""
        sent_at = self._in_flight.pop(number, None)
        if sent_at is None:
            # Taken for lost: what replaces it is under way.
            return
        self._acknowledged += 1
        self._measure(now - sent_at)
        if number >= self._recovered_from:
            growth = 1 if self._window < self._threshold else 1 / self._window
            self._window = min(self._window + growth, MAX_WINDOW)
        # They are in order.
        lost = list(takewhile(lambda other: other <= number - REORDER_PACKETS, self._in_flight))
        for other in lost:
            del self._in_flight[other]
        if lost and lost[-1] >= self._recovered_from:
            self._threshold = self._window = max(MIN_WINDOW, self._window / 2)
            self._recovered_from = self._next_number
        self._timeout_at = Instant(now + self._timeout_ns) if self._in_flight else None

    def next_timeout(self) -> Instant | None:
        """When to poll although nothing was acknowledged; None while nothing is under way."""
        return self._timeout_at

    def _time_out(self) -> None:
        """Take all for lost and begin anew (RFC 5681 section 3.1, RFC 6298 section 5)."""
        self._threshold = max(MIN_WINDOW, len(self._in_flight) / 2)
        self._window = 1.0
        self._in_flight.clear()
        self._recovered_from = self._next_number
        self._timeout_ns = min(2 * self._timeout_ns, MAX_TIMEOUT_NS)
        self._timeout_at = None

    def _measure(self, round_trip_ns: int) -> None:
        """RFC 6298 section 2."""
        if self._smoothed_ns is None:
            self._smoothed_ns, self._variation_ns = float(round_trip_ns), round_trip_ns / 2
        else:
            self._variation_ns += (abs(self._smoothed_ns - round_trip_ns) - self._variation_ns) / 4
            self._smoothed_ns += (round_trip_ns - self._smoothed_ns) / 8
        wanted_ns = round(self._smoothed_ns + 4 * self._variation_ns)
        self._timeout_ns = min(max(MIN_TIMEOUT_NS, wanted_ns), MAX_TIMEOUT_NS)
