"""The transport-wide numbers of what we send, and what the peer says became of each (packet rule 5).

By draft-holmer-rmcat-transport-wide-cc-extensions-01.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sfu.rows import LOST
from sfu.rtp.twcc import DELTA_NS
from sfu.rtp.unwrap import Unwrapper
from sfu.units import after_s

if TYPE_CHECKING:
    from sfu.rtp.twcc import TransportFeedback
    from sfu.units import Instant

MAX_NUMBERS: Final = 4_096
"""Numbers that feedback may be about. Lower: at 1,000 packets a second, feedback that comes later than this
many milliseconds is of no use. Higher: more memory for each transport."""

MAX_AGE_S: Final = 10.0
"""Nobody wants to know of packets that were sent earlier than this."""

MAX_TICKS: Final = 1 << 44
"""Times of the peer, in `DELTA_NS`, end here and begin anew: 139 years, or a peer that plays with its clock.
As nanoseconds they fit 64 bits."""

_NUMBER_BITS: Final = 16
_TICK_BITS: Final = 32
"""24 bits of reference time, in units of 256 ticks."""


class Reported(NamedTuple):
    """What the peer says of one packet."""

    seq: int
    """Its transport-wide number, unwrapped."""
    cluster: int
    size_bytes: int
    sent_at: Instant
    arrived_at: int
    """On the peer's clock, in nanoseconds; `LOST` where it had not come."""


@dataclass(slots=True)
class _Sent:
    seq: int
    at: Instant
    size_bytes: int
    cluster: int
    is_told_lost: bool = False


class TwccSender:
    """The one counter of a transport, over sound, video, RTX and padding, and what it counted lately."""

    def __init__(self) -> None:
        self._next_seq = 0
        self._sent: list[_Sent | None] = []
        self._clock = Unwrapper(_TICK_BITS)

    @property
    def next_number(self) -> int:
        """What the packet that is stamped next gets: 16 bits."""
        return self._next_seq % (1 << _NUMBER_BITS)

    def stamp(self, now: Instant, size_bytes: int, cluster: int) -> int:
        """A packet leaves under `next_number`; its unwrapped number. Call it for what is really sent."""
        seq = self._next_seq
        self._next_seq = seq + 1
        sent = _Sent(seq, now, size_bytes, cluster)
        if seq < MAX_NUMBERS:
            self._sent.append(sent)
        else:
            self._sent[seq % MAX_NUMBERS] = sent
        return seq

    def forget(self, seq: int) -> None:
        """Expect no more of a packet: it is sent once more, and nobody could say which of the two came."""
        if self._find(seq) is not None:
            self._sent[seq % MAX_NUMBERS] = None

    def report(self, now: Instant, feedback: TransportFeedback) -> list[Reported]:
        """What is new in the peer's feedback, in its order.

        Of each packet it tells once that it is lost, and once that it came. Numbers that were never given, or
        are too old, say nothing.
        """
        reported = []
        for number, arrival in feedback.arrivals:
            # The clock goes on with every arrival that is told, known or not.
            arrived_at = LOST if arrival is None else self._unwrapped(arrival)
            behind = (self._next_seq - number) % (1 << _NUMBER_BITS)
            sent = self._find(self._next_seq - behind)
            if sent is None or now > after_s(sent.at, MAX_AGE_S):
                continue
            if arrival is None:
                if sent.is_told_lost:
                    continue
                sent.is_told_lost = True
            else:
                self._sent[sent.seq % MAX_NUMBERS] = None
            reported.append(Reported(sent.seq, sent.cluster, sent.size_bytes, sent.at, arrived_at))
        return reported

    def _find(self, seq: int) -> _Sent | None:
        """What went out under a number, while it is remembered."""
        place = seq % MAX_NUMBERS
        sent = self._sent[place] if place < len(self._sent) else None
        return sent if sent is not None and sent.seq == seq else None

    def _unwrapped(self, arrival: int) -> int:
        ticks = self._clock.unwrap((arrival // DELTA_NS) % (1 << _TICK_BITS))
        if ticks >= MAX_TICKS:
            self._clock = Unwrapper(_TICK_BITS)
            ticks = self._clock.unwrap(ticks % (1 << _TICK_BITS))
        return ticks * DELTA_NS
