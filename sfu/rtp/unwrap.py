"""Wire numbers that wrap, as plain growing numbers."""

from __future__ import annotations


class Unwrapper:
    """Turns n-bit wire numbers into integers that go on after a wrap.

    The first number starts one whole turn up, so that numbers reordered before it are never negative.
    """

    def __init__(self, bits: int) -> None:
        self._turn = 1 << bits
        self._last: int | None = None

    def unwrap(self, number: int) -> int:
        """The full number nearest to the highest so far (ties go down: as old as can be)."""
        full = self.nearest(number)
        if self._last is None or full > self._last:
            self._last = full
        return full

    def nearest(self, number: int) -> int:
        """What `unwrap` would say, for a number that is only heard of: nothing moves on."""
        if self._last is None:
            return self._turn + number
        half = self._turn >> 1
        step = (number - self._last) % self._turn
        return self._last + (step if step < half else step - self._turn)
