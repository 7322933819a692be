"""Which lost packets to ask a publisher for, when, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.units import after_ms

if TYPE_CHECKING:
    from sfu.units import Instant

REORDER_TOLERANCE_MS: Final = 10.0
"""A missing packet is first asked for after this long. Lower: reordered packets are sent twice. Higher:
every repair is late by as much."""

MIN_RETRY_MS: Final = 20.0
"""Shortest time between two requests for one packet, however short the round trip."""

DEFAULT_ROUND_TRIP_MS: Final = 100.0
"""Assumed before the first measurement."""

MAX_ROUND_TRIP_MS: Final = 1_000.0
"""A measured round trip above this is taken for this: the publisher's cache has forgotten more."""

MAX_TRIES: Final = 10
"""Requests for one packet, the first included."""

MAX_MISSING: Final = 1_000
"""Packets waited for at once. Beyond, nothing is repaired in time, and a key frame is the cheaper cure."""


@dataclass(slots=True)
class _Missing:
    due_at: Instant
    tries: int = 0


class NackGenerator:
    """Generic NACK for one received RTP stream (RFC 4585 section 6.2.1), with retries by the round trip."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._missing: dict[int, _Missing] = {}
        self._retry_ms = max(MIN_RETRY_MS, DEFAULT_ROUND_TRIP_MS)
        self._due_at: Instant | None = None
        self._nack_count = 0

    @property
    def nack_count(self) -> int:
        """Packets asked for so far, each as often as it was asked for."""
        return self._nack_count

    @property
    def missing_count(self) -> int:
        """Packets waited for now."""
        return len(self._missing)

    def set_round_trip_time(self, round_trip_ms: float) -> None:
        """The publisher's round trip as measured; times the retries from now on."""
        self._retry_ms = max(MIN_RETRY_MS, min(round_trip_ms, MAX_ROUND_TRIP_MS))

    def received(self, now: Instant, seq: int) -> bool:
        """A packet came, by itself or repaired.

        Returns:
            True when too much is missing to ask for: all is forgotten, and only a key frame helps.
        """
        if self._highest is None:
            self._highest = seq
            return False
        if seq <= self._highest:
            self._missing.pop(seq, None)
            return False
        first, self._highest = self._highest + 1, seq
        if seq - first + len(self._missing) > MAX_MISSING:
            self.clear()
            return True
        if first < seq:
            due_at = after_ms(now, REORDER_TOLERANCE_MS)
            self._missing.update((number, _Missing(due_at)) for number in range(first, seq))
            self._due_at = due_at if self._due_at is None else min(self._due_at, due_at)
        return False

    def clear(self) -> None:
        """What is missing will not come any more: the stream has ended, or goes on with a key frame."""
        self._missing.clear()

    def poll(self, now: Instant) -> list[int]:
        """The sequence numbers to ask for now, ascending; those asked for `MAX_TRIES` times are given up."""
        if self._due_at is None or now < self._due_at:
            return []
        retry_at = after_ms(now, self._retry_ms)
        due = [seq for seq, missing in self._missing.items() if now >= missing.due_at]
        asked: list[int] = []
        for seq in due:
            missing = self._missing[seq]
            if missing.tries == MAX_TRIES:
                del self._missing[seq]
                continue
            missing.tries += 1
            missing.due_at = retry_at
            asked.append(seq)
        self._due_at = min((missing.due_at for missing in self._missing.values()), default=None)
        self._nack_count += len(asked)
        return asked

    def next_timeout(self) -> Instant | None:
        """When `poll` may have something to say; None while nothing is missing."""
        return self._due_at if self._missing else None
