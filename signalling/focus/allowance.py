"""How often something may be done: token buckets by name, and a window for one thing."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_S, Instant, after_s

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_NAMES: Final = 10_000
"""Names remembered; the one seen longest ago is forgotten first, and begins with a full bucket again."""


class Allowances:
    """A token bucket for each name: `rate_per_s` in the long run, `burst` at once."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = max(burst, 1.0)
        self._buckets: OrderedDict[Hashable, tuple[Instant, float]] = OrderedDict()

    def take(self, now: Instant, name: Hashable) -> bool:
        """Whether it may be done once more for this name; if so, it counts."""
        at, tokens = self._buckets.pop(name, (now, self._burst))
        tokens = min(self._burst, tokens + (now - at) / NS_PER_S * self._rate_per_s)
        is_allowed = tokens >= 1.0
        self._buckets[name] = now, tokens - 1.0 if is_allowed else tokens
        if len(self._buckets) > MAX_NAMES:
            self._buckets.popitem(last=False)
        return is_allowed


class Window:
    """At most `limit` times in any second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: deque[Instant] = deque(maxlen=limit)

    def take(self, now: Instant) -> bool:
        """Whether it may be done once more now; if so, it counts."""
        free_at = self.free_at()
        if free_at is not None and now < free_at:
            return False
        self._taken.append(now)
        return True

    def free_at(self) -> Instant | None:
        """From when on it may be done again; None: it may be at any time."""
        return after_s(self._taken[0], 1.0) if len(self._taken) == self._limit else None
