"""How often something may be done for people who have not proved who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.units import Instant


class Allowance:
    """A token bucket that holds a second's worth."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._tokens = float(per_s)
        self._at: Instant | None = None

    def admit(self, now: Instant) -> bool:
        """Whether it may be done once more now."""
        if self._at is not None:
            earned = (now - self._at) * self._per_s / NS_PER_S
            self._tokens = min(self._per_s, self._tokens + max(0.0, earned))
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
