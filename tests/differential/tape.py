"""Choices out of bytes: a fuzzer's bytes decide everything, and shrinking them makes calls simpler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP_BYTES: Final = 16
"""Of one step. Its choices are the digits of one number; when it is used up, all others are the first."""

_T = TypeVar("_T")


class Tape:
    """The choices of one step. Nothing but zeros chooses the simplest of everything."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        self._rest, digit = divmod(self._rest, count)
        return digit

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def one_in(self, count: int) -> bool:
        """True in one of so many cases, and not for zeros."""
        return self.below(count) == count - 1

    def of(self, choices: Sequence[_T]) -> _T:
        """One of these, the first for zeros."""
        return choices[self.below(len(choices))]
