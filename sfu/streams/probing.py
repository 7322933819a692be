"""Probes: sending more than media for a moment, to see whether a path carries it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.streams.debt import Debt
from sfu.units import NS_PER_MS, after_ms

if TYPE_CHECKING:
    from sfu.units import Instant

MAX_CLUSTERS: Final = 8
"""Clusters that wait for the one before. What was asked for before that is out of date."""

MAX_WAIT_MS: Final = 2_000.0
"""A cluster that has not begun by then is forgotten. Lower: one that waits for a path to come up is lost.
Higher: it tells of a rate that nobody thinks of any more."""

MAX_PROBE_BPS: Final = 100_000_000.0
"""Fastest cluster. Lower: fast links are not found. Higher: a late timer sends more packets at once."""

LATE_NS: Final = 5 * NS_PER_MS
"""What a late timer makes up for. Lower: a cluster is slower than it says. Higher: it comes in lumps."""


@dataclass(slots=True)
class _Cluster:
    number: int
    rate_bps: float
    left_bytes: int
    asked_at: Instant


class Probes:
    """The clusters of one transport: each begins when what the one before has sent is paid at its rate."""

    def __init__(self) -> None:
        self._waiting: deque[_Cluster] = deque(maxlen=MAX_CLUSTERS)
        self._running: _Cluster | None = None
        self._debt = Debt(0, LATE_NS)

    @property
    def cluster(self) -> int:
        """The number of the cluster that runs; 0 for none."""
        return 0 if self._running is None else self._running.number

    def ask(self, now: Instant, number: int, rate_bps: float, size_bytes: int) -> None:
        """Send so much at this rate, when the clusters before have ended."""
        self._waiting.append(_Cluster(number, rate_bps, size_bytes, now))

    def poll(self, now: Instant) -> bool:
        """Whether the cluster that runs, or begins now, has a packet to send."""
        while self._running is None and self._waiting and self._debt.admits(now, 0):
            cluster = self._waiting.popleft()
            if cluster.left_bytes > 0 and now < after_ms(cluster.asked_at, MAX_WAIT_MS):
                self._running = cluster
                self._debt.set_rate(now, min(cluster.rate_bps, MAX_PROBE_BPS))
                self._debt.begin(now)
        return self._running is not None and self._debt.admits(now, 0)

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to say."""
        if self._running is not None:
            return self._debt.paid_at
        return max(self._waiting[0].asked_at, self._debt.paid_at) if self._waiting else None

    def sent(self, now: Instant, size_bytes: int) -> None:
        """A packet has left; it belongs to the cluster that runs."""
        if self._running is None:
            return
        self._debt.charge(now, size_bytes)
        self._running.left_bytes -= size_bytes
        if self._running.left_bytes <= 0:
            self._running = None
