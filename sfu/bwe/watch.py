"""Whether feedback is worth a closer look at once, where paths carry all that is wanted of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.roster import Roster
from sfu.rows import LOST
from sfu.units import NS_PER_MS

if TYPE_CHECKING:
    from sfu.bwe.roster import IdArray, IntArray
    from sfu.rows import StructArray

AMISS_MS: Final = 15.0
"""A queue is one where packets of one report differ so much in delay, or all of them came so much later than
others since the last look. Lower: jitter is an alarm. Higher: a queue is noticed when it is longer."""

AMISS_LOST: Final = 2
"""So many lost packets of one report are worth a look. Lower: one packet is an alarm. Higher: a path that
ends is noticed later."""

_AMISS_NS: Final = round(AMISS_MS * NS_PER_MS)
_NEVER: Final = 2**62
_FIRST: Final = np.zeros(1, np.int64)


class Watch:
    """What is remembered of paths from one close look at them to the next."""

    def __init__(self) -> None:
        self._roster = Roster()
        self._shortest = np.zeros(0, np.int64)
        """(transports,) the least delay of a packet since the last look, by clocks that differ."""
        self._unheard: frozenset[int] = frozenset()

    def looked(self, unheard: IdArray) -> None:
        """They were looked at closely; these (n,) have said nothing yet: their first word is worth a look."""
        self._roster, self._shortest = Roster(), self._shortest[:0]
        self._unheard = frozenset(unheard.tolist())

    def is_amiss(self, feedback: StructArray) -> bool:
        """Whether they are to be looked at now.

        Args:
            feedback: (n,) of `FEEDBACK_DTYPE`, all since the last call, each peer's reports in one piece.
        """
        if not len(feedback):
            return False
        transport, reported_at = feedback["transport"], feedback["reported_at"]
        begins = (transport[1:] != transport[:-1]) | (reported_at[1:] != reported_at[:-1])
        starts = np.concatenate((_FIRST, begins.nonzero()[0] + 1))
        reporting = transport[starts]
        if not self._unheard.isdisjoint(reporting.tolist()):
            return True
        arrived_at = feedback["arrived_at"]
        longest = shortest = arrived_at - feedback["sent_at"]
        is_lost = arrived_at == LOST
        if is_lost.any():
            if np.add.reduceat(is_lost.astype(np.int64), starts).max() >= AMISS_LOST:
                return True
            longest, shortest = np.where(is_lost, -_NEVER, longest), np.where(is_lost, _NEVER, shortest)
        longest, shortest = np.maximum.reduceat(longest, starts), np.minimum.reduceat(shortest, starts)
        risen = shortest - self._least(reporting, shortest)
        has_arrived = shortest < _NEVER
        return bool((has_arrived & (np.maximum(longest - shortest, risen) > _AMISS_NS)).any())

    def _least(self, transports: IdArray, shortest: IntArray) -> IntArray:
        """(reports,) the least delay known of each one's path, its own among them."""
        at, found = self._roster.find(transports)
        if not found.all():
            self._meet(transports)
            at, _ = self._roster.find(transports)
        np.minimum.at(self._shortest, at, shortest)
        least: IntArray = self._shortest[at]
        return least

    def _meet(self, transports: IdArray) -> None:
        """Remember those who said nothing before, too."""
        move = self._roster.adopt(np.union1d(self._roster.transports, transports))
        if move is not None:
            before, self._shortest = self._shortest, np.full(move.size, _NEVER)
            self._shortest[move.after] = before[move.before]
