"""Which transport has which row, and what happens to rows when transports come and go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sfu.rows import StructArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IdArray = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Move:
    """Rows that stay, at their new places among `size`; all others begin anew."""

    size: int
    before: IntArray
    after: IntArray


class Roster:
    """The transports that are known, ascending. A transport's place here is its row everywhere."""

    def __init__(self) -> None:
        self.transports: IdArray = np.zeros(0, np.uint32)

    def __len__(self) -> int:
        return len(self.transports)

    def adopt(self, transports: IdArray) -> Move | None:
        """Know these, sorted and each once, and no others; None where they are the same as before."""
        if np.array_equal(transports, self.transports):
            return None
        at, found = self.find(transports)
        self.transports = transports
        return Move(len(transports), at[found], found.nonzero()[0])

    def find(self, transports: IdArray) -> tuple[IntArray, BoolArray]:
        """The row of each, and whether it has one; 0 where it has none."""
        if not len(self.transports):
            return np.zeros(len(transports), np.int64), np.zeros(len(transports), np.bool_)
        at = np.minimum(np.searchsorted(self.transports, transports), len(self.transports) - 1)
        found = self.transports[at] == transports
        return np.where(found, at, 0), found


class Table:
    """What one part of estimation remembers: a row of `blank`'s dtype for each transport.

    Args:
        blank: (1,), the row of one of which nothing is known.
    """

    def __init__(self, blank: StructArray) -> None:
        self._blank = blank
        self.rows: StructArray = blank[:0].copy()

    def arrange(self, move: Move) -> None:
        """Take up the new order."""
        rows = np.repeat(self._blank, move.size)
        rows[move.after] = self.rows[move.before]
        self.rows = rows

    def clear(self, which: BoolArray) -> None:
        """Forget all about some rows."""
        self.rows[which] = self._blank
