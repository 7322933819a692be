"""A policer: what comes faster than its rate is thrown away at once, where a queue would let it wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.units import Instant


@dataclass(frozen=True, slots=True)
class Policer:
    """A token bucket: `rate_bps` pass in the long run, and `burst_bytes` at once after a pause."""

    rate_bps: int
    burst_bytes: int

    def __post_init__(self) -> None:
        if self.rate_bps <= 0 or self.burst_bytes <= 0:
            raise ValueError(f"a policer of {self.rate_bps} bit/s and {self.burst_bytes} bytes")


class TokenBucket:
    """Decides datagram by datagram. The bucket is full at first."""

    def __init__(self, policer: Policer) -> None:
        self._rate_bps = policer.rate_bps
        self._capacity = 8 * policer.burst_bytes * NS_PER_S
        self._tokens = self._capacity
        """In bits times ns per second, so that no fraction is lost."""
        self._at: Instant | None = None

    def admits(self, now: Instant, size_bytes: int) -> bool:
        """Whether a datagram passes; `now` must not go back."""
        if self._at is not None:
            self._tokens = min(self._capacity, self._tokens + self._rate_bps * (now - self._at))
        self._at = now
        price = 8 * size_bytes * NS_PER_S
        if price > self._tokens:
            return False
        self._tokens -= price
        return True
