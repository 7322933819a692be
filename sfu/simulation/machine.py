"""The machine of a subscriber that has too much to do: it looks at what has come only now and then."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from sfu.units import Instant, after_ms, after_s

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Starved:
    """For so long a program runs only for moments, and stamps what came meanwhile when it looks."""

    begin_s: float
    """After its flow has begun, as `end_s`."""
    end_s: float
    every_ms: float
    """Between two looks; it sleeps in between."""
    datagrams: int | None = None
    """What it comes to in one look; None: all that is there."""


class Machine(Generic[_T]):
    """What has reached a machine, and when its program runs.

    Args:
        spells: in which it is starved, by time, none of which overlap.
        starts_at: when its flow begins.
    """

    def __init__(self, spells: Sequence[Starved], starts_at: Instant) -> None:
        self._spells = [
            (after_s(starts_at, one.begin_s), after_s(starts_at, one.end_s), one) for one in spells
        ]
        self._waiting: deque[_T] = deque()
        self._wakes_at: Instant | None = None

    def take(self, datagram: _T) -> None:
        """Something has come."""
        self._waiting.append(datagram)

    def is_asleep(self, now: Instant) -> bool:
        """Whether the program does not run now."""
        return self._wakes_at is not None and now < self._wakes_at

    def poll(self, now: Instant) -> list[_T]:
        """Run, if it is time, and what the program looks at now, in the order of its coming."""
        if self.is_asleep(now):
            return []
        while self._spells and self._spells[0][1] <= now:
            del self._spells[0]
        if not self._spells or now < self._spells[0][0]:
            self._wakes_at = None
            return self._read(None)
        _, ends_at, spell = self._spells[0]
        self._wakes_at = min(after_ms(now, spell.every_ms), ends_at)
        return self._read(spell.datagrams)

    def next_timeout(self) -> Instant | None:
        """When it wakes; None while nothing keeps it from running."""
        return self._wakes_at

    def _read(self, most: int | None) -> list[_T]:
        found = list(islice(self._waiting, most))
        for _ in found:
            self._waiting.popleft()
        return found
