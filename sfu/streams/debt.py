"""A rate as a debt: what was sent is owed, and paid as time goes by.

Kept as the instant at which all will be paid, in whole nanoseconds: two planes come to the same one.
"""

from __future__ import annotations

from typing import Final

from sfu.units import NS_PER_MS, NS_PER_S, Instant

MIN_RATE_BPS: Final = 30_000
"""No rate is less. Lower: one packet owes more than `MAX_DEBT_MS`. Higher: a link that carries no more is
overloaded."""

MAX_RATE_BPS: Final = 100_000_000_000
"""From here on nothing is owed."""

MAX_DEBT_MS: Final = 500
"""More is never owed. Lower: what goes whatever is owed (sound) is soon forgotten. Higher: after much of it,
the rest waits when the rate has long been enough again."""

_MAX_DEBT_NS: Final = MAX_DEBT_MS * NS_PER_MS
_BITS: Final = 8 * NS_PER_S


class Debt:
    """What is owed for a stream of packets, at no rate limit before `set_rate`.

    Args:
        ahead_ns: how much may be owed for a packet to leave beside others at once.
        behind_ns: what is paid in advance at most, by sending nothing or by sending late.
    """

    def __init__(self, ahead_ns: int, behind_ns: int) -> None:
        self._ahead_ns = ahead_ns
        self._behind_ns = behind_ns
        self._rate_bps: int | None = None
        self._paid_at = Instant(0)

    @property
    def paid_at(self) -> Instant:
        """When nothing is owed any more; it may be past."""
        return self._paid_at

    def set_rate(self, now: Instant, rate_bps: float) -> None:
        """Pay at another rate; what is owed stays so many bytes."""
        before = self._rate_bps
        self._rate_bps = whole_rate(rate_bps)
        owed_ns = self._paid_at - now
        if before is None or owed_ns <= 0:
            return
        if self._rate_bps is None:
            self._paid_at = now
        else:
            owed_ns = min(_divided(owed_ns * before, self._rate_bps), _MAX_DEBT_NS)
            self._paid_at = Instant(now + owed_ns)

    def begin(self, now: Instant) -> None:
        """Owe nothing, and have nothing paid in advance."""
        self._paid_at = now

    def admits(self, now: Instant, size_bytes: int) -> bool:
        """Whether a packet may leave now."""
        return self._rate_bps is None or now >= self.admits_at(size_bytes)

    def admits_at(self, size_bytes: int) -> Instant:
        """When a packet may leave, if no other does before."""
        return Instant(self._paid_at - max(0, self._ahead_ns - self._cost_ns(size_bytes)))

    def charge(self, now: Instant, size_bytes: int) -> None:
        """A packet has left."""
        if self._rate_bps is None:
            return
        paid_at = max(self._paid_at, now - self._behind_ns) + self._cost_ns(size_bytes)
        self._paid_at = Instant(min(paid_at, now + _MAX_DEBT_NS))

    def _cost_ns(self, size_bytes: int) -> int:
        return 0 if self._rate_bps is None else _divided(size_bytes * _BITS, self._rate_bps)


def whole_rate(rate_bps: float) -> int | None:
    """A rate in whole bits a second; None for one without limit. What is no number is the least."""
    if rate_bps >= MAX_RATE_BPS:
        return None
    return int(rate_bps) if rate_bps >= MIN_RATE_BPS else MIN_RATE_BPS


def _divided(number: int, by: int) -> int:
    """Rounded up: what is owed is never less than what was sent."""
    return -(-number // by)
