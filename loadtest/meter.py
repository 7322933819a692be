"""Frames a second out of counters that are read now and then."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_S, Instant

if TYPE_CHECKING:
    from collections.abc import Hashable

WINDOW_NS: Final = 2 * NS_PER_S
"""The rate is that of the last two seconds. Shorter: it flickers. Longer: a freeze shows late."""


class RateMeter:
    """The rates of many counters."""

    def __init__(self) -> None:
        self._readings: dict[Hashable, deque[tuple[Instant, int]]] = {}

    def rate(self, now: Instant, key: Hashable, count: int) -> float:
        """Note a counter's value; how much it grew in a second, of late. 0 at its first reading."""
        readings = self._readings.setdefault(key, deque())
        readings.append((now, count))
        # The newest reading that is a whole window old stays: a rate spans at least the window.
        while len(readings) > 2 and readings[1][0] <= now - WINDOW_NS:
            readings.popleft()
        began_at, before = readings[0]
        return (count - before) * NS_PER_S / (now - began_at) if now > began_at else 0.0
