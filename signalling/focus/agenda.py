"""What is due when, for many things: one heap instead of asking all of them after every turn."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from sfu.units import Instant

_SLACK: Final = 64
"""Entries that are no longer true are cleared away when they are this many more than the true ones. Lower: it
is done more often. Higher: more memory."""

_Key = TypeVar("_Key")


class Agenda(Generic[_Key]):
    """Instants by key."""

    def __init__(self) -> None:
        self._at: dict[_Key, Instant] = {}
        self._heap: list[tuple[Instant, int, _Key]] = []
        self._tie = count()

    def set(self, key: _Key, at: Instant | None) -> None:
        """Something is due then, and not when it was before; None: never."""
        if at is None:
            self._at.pop(key, None)
        elif self._at.get(key) != at:
            self._at[key] = at
            heapq.heappush(self._heap, (at, next(self._tie), key))
            if len(self._heap) > 2 * len(self._at) + _SLACK:
                self._heap = [(at, next(self._tie), key) for key, at in self._at.items()]
                heapq.heapify(self._heap)

    def due(self, now: Instant) -> list[_Key]:
        """Everything that is due, in order; it stays so until it is set anew."""
        first_at = self.next_timeout()
        if first_at is None or first_at > now:
            return []
        return sorted((key for key, at in self._at.items() if at <= now), key=self._at.__getitem__)

    def next_timeout(self) -> Instant | None:
        """When the first is due."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
