"""Numbers that stay without gaps though some of what they count is left out."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

MAX_RANGES: Final = 256
"""Ranges remembered of one numbering. Lower: packets late by less can't be placed. Higher: more memory per
route. Dropping every other packet at 500 packets a second, this remembers half a second."""

MAX_GAP: Final = 1_000
"""A loss longer than this is not shown to the receiver. It could not be repaired any more, and a jump of
2**15 breaks the receiver's own unwrapping (and SRTP's roll-over counter, RFC 3711 section 3.3.1)."""


class OffsetMap:
    """Maps growing numbers to growing numbers: what is dropped closes up, what is lost stays a gap.

    Every run of numbers has the offset that was valid when it passed, so that a number that comes late is
    put where it belongs, and one that was dropped never comes back under the number of another.

    Args:
        first: what the first number becomes; None keeps it as it is.
    """

    def __init__(self, first: int | None = None) -> None:
        self._next_out = first
        self._highest: int | None = None
        self._offset = 0
        self._starts: list[int] = []
        self._offsets: list[int | None] = []

    @property
    def next_out(self) -> int | None:
        """The number after the highest given out; None before the first, where that is not fixed."""
        return self._next_out if self._highest is None else self._highest + 1 + self._offset

    def rebase(self) -> None:
        """What comes next continues the outgoing numbers whatever its own; nothing before it passes."""
        self._next_out = self.next_out
        self._highest = None
        self._starts.clear()
        self._offsets.clear()

    def forward(self, number: int) -> int | None:
        """The outgoing number of what is forwarded; the same for the same number.

        Returns:
            None where `number` was dropped, or is from before the last rebase or the oldest range known.
        """
        if self._highest is None or number > self._highest:
            self._advance(number)
            return number + self._offset
        index = bisect_right(self._starts, number) - 1
        offset = self._offsets[index] if index >= 0 else None
        return None if offset is None else number + offset

    def drop(self, number: int) -> None:
        """Leave `number` out: what follows closes up. What has been passed already can't be left out."""
        if self._highest is not None and number <= self._highest:
            return
        if self.next_out is None:
            return
        self._advance(number)
        self._offset -= 1
        if self._starts[-1] != number:
            self._append(number, None)
        elif self._offsets[-2:-1] == [None]:
            # The run of dropped numbers grows by one.
            self._starts[-1] = number + 1
            self._offsets[-1] = self._offset
            return
        else:
            self._offsets[-1] = None
        self._append(number + 1, self._offset)

    def _advance(self, number: int) -> None:
        """Move on to a number above the highest."""
        if self._highest is not None and number - self._highest - 1 > MAX_GAP:
            self.rebase()
        if self._highest is None:
            self._offset = 0 if self._next_out is None else self._next_out - number
            self._append(number, self._offset)
        self._highest = number

    def _append(self, start: int, offset: int | None) -> None:
        self._starts.append(start)
        self._offsets.append(offset)
        if len(self._starts) > MAX_RANGES:
            del self._starts[0]
            del self._offsets[0]
