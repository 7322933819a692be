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
    from sfu.units import Instant

AMISS_MS: Final = 15.0
"""A queue is one where packets of one report differ so much in delay, or all of them came so much later than
others since the last look. Lower: jitter is an alarm. Higher: a queue is noticed when it is longer."""

AMISS_LOST: Final = 2
"""So many lost packets of one report are worth a look. Lower: one packet is an alarm. Higher: a path that
ends is noticed later."""

UNANSWERED_MS: Final = 250
UNANSWERED_PACKETS: Final = 10
"""A peer that has said nothing for the first, of as many packets as the second, is looked at: it may be gone.
Lower: a report that comes late is an alarm. Higher: a path that is dead is filled for longer."""

_AMISS_NS: Final = round(AMISS_MS * NS_PER_MS)
_UNANSWERED_NS: Final = UNANSWERED_MS * NS_PER_MS
_NEVER: Final = 2**62
_FIRST: Final = np.zeros(1, np.int64)


class Watch:
    """What is remembered of paths from one close look at them to the next."""

    def __init__(self) -> None:
        self._named = b""
        self._order: IntArray = np.zeros(0, np.int64)
        self._roster = Roster()
        # Of each transport, in the roster's order:
        self._shortest = np.zeros(0, np.int64)
        """The least delay of a packet since the last look, by clocks that differ."""
        self._heard_at = np.zeros(0, np.int64)
        """`_NEVER`: nothing is awaited."""
        self._packets = np.zeros(0, np.uint64)
        """Sent by the last look."""
        self._unheard: frozenset[int] = frozenset()

    def looked(self, now: Instant, transports: StructArray, unheard: IdArray) -> None:
        """They were looked at closely.

        Args:
            now: time.
            transports: (transports,) of `TRANSPORT_DTYPE`.
            unheard: (n,) those who have said nothing lately: their next word is worth a look, that they still
                say nothing is not.
        """
        ids = transports["transport"]
        named = ids.tobytes()
        if named != self._named:
            self._named = named
            self._order = np.argsort(ids, kind="stable")
            self._roster = Roster()
            self._roster.adopt(ids[self._order])
        self._shortest = np.full(len(ids), _NEVER)
        self._heard_at = np.full(len(ids), now, np.int64)
        at, is_there = self._roster.find(unheard)
        self._heard_at[at[is_there]] = _NEVER
        self._packets = transports["numbered_packets_sent"][self._order]
        self._unheard = frozenset(unheard.tolist())

    def is_amiss(self, now: Instant, transports: StructArray, feedback: StructArray) -> bool:
        """Whether they are to be looked at now.

        Args:
            now: time.
            transports: (transports,) of `TRANSPORT_DTYPE`: others than at the last look are looked at.
            feedback: (n,) of `FEEDBACK_DTYPE`, all since the last call, each peer's reports in one piece.
        """
        if transports["transport"].tobytes() != self._named:
            return True
        return (len(feedback) > 0 and self._is_told(now, feedback)) or self._is_gone(now, transports)

    def _is_told(self, now: Instant, feedback: StructArray) -> bool:
        """Whether feedback tells of a queue, of losses, or of a peer that had said nothing."""
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
        at, is_there = self._roster.find(reporting)
        self._heard_at[at[is_there]] = now
        np.minimum.at(self._shortest, at[is_there], shortest[is_there])
        risen = np.where(is_there, shortest - self._shortest[at], 0)
        has_arrived = shortest < _NEVER
        return bool((has_arrived & (np.maximum(longest - shortest, risen) > _AMISS_NS)).any())

    def _is_gone(self, now: Instant, transports: StructArray) -> bool:
        """Whether somebody says nothing of what is sent."""
        is_mute = now - self._heard_at >= _UNANSWERED_NS
        if not is_mute.any():
            return False
        sent = transports["numbered_packets_sent"][self._order] - self._packets
        return bool((is_mute & (sent >= UNANSWERED_PACKETS)).any())
