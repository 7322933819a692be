"""How much one peer may send: a token bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.units import Instant


class TokenBucket:
    """Allows `rate_per_s` on the average and `burst` at once.

    Args:
        rate_per_s: tokens a second, above 0.
        burst: tokens that a silence saves up, and how many there are at first.
    """

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._filled_at: Instant | None = None

    def take(self, now: Instant, tokens: int = 1) -> bool:
        """Take so many tokens; False, and none is taken, when there are not as many."""
        if self._filled_at is not None:
            earned = (now - self._filled_at) / NS_PER_S * self._rate_per_s
            self._tokens = min(self._burst, self._tokens + earned)
        self._filled_at = now
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True
