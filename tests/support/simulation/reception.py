"""The packets of one received RTP stream in order: what is missing, what is asked for again, reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from sfu.rtp.ntp import middle_bits, ns_to_compact
from sfu.rtp.rtcp import ReportBlock
from sfu.units import NS_PER_S, Instant, Ssrc, after_ms

if TYPE_CHECKING:
    from sfu.rtp.rtcp import SenderReport

MAX_NACK_TRIES: Final = 10
NACK_RETRY_MS: Final = 100
"""As libwebrtc with its default round trip."""

_T = TypeVar("_T")


class Unwrapper:
    """Wire numbers of so many bits as plain growing numbers."""

    def __init__(self, bits: int) -> None:
        self._turn = 1 << bits
        self._newest: int | None = None

    def unwrap(self, number: int) -> int:
        """The number nearest to the newest that ends in these bits."""
        if self._newest is None:
            self._newest = number + self._turn
            return self._newest
        ahead = (number - self._newest + self._turn // 2) % self._turn - self._turn // 2
        found = self._newest + ahead
        self._newest = max(found, self._newest)
        return found


@dataclass(slots=True)
class _Missing:
    since: Instant
    ask_at: Instant
    tries: int = 0


class Reception(Generic[_T]):
    """Counts one stream's packets, keeps them in order, and knows the gaps.

    Args:
        ssrc: of the stream.
        clock_rate: of its timestamps.
        asks_again: whether losses are worth a NACK.
    """

    def __init__(self, ssrc: Ssrc, clock_rate: int, *, asks_again: bool) -> None:
        self.ssrc: Final = ssrc
        self.packets_received = 0
        self.packets_repaired = 0
        self.duplicates = 0
        self.probes = 0
        """Packets that came again over RTX."""
        self.nack_count = 0
        """Numbers asked for, each as often as it was."""
        self.reordered = 0
        self.late = 0
        """Packets that came after they had been given up."""
        self.last_received_at: Instant | None = None
        self.newest_seq = 0
        """Of the packet that came last, unwrapped."""
        self._clock_rate = clock_rate
        self._asks_again = asks_again
        self._sequence = Unwrapper(16)
        self._first: int | None = None
        self._highest = 0
        self._next = 0
        self._waiting: dict[int, _T] = {}
        self._missing: dict[int, _Missing] = {}
        self._given_up: set[int] = set()
        self._reported = (0, 0)
        self._transit: int | None = None
        self._jitter = 0.0
        self._last_report: tuple[int, Instant] | None = None

    @property
    def packets_missing(self) -> int:
        """Gaps that are open now."""
        return len(self._missing)

    @property
    def packets_given_up(self) -> int:
        """Gaps that were never closed in time."""
        return len(self._given_up)

    def received(self, now: Instant, number: int, timestamp: int, packet: _T) -> list[_T]:
        """Take a packet; return those that are in order now."""
        seq = self._sequence.unwrap(number)
        if self._first is None:
            self._first = self._next = seq
            self._highest = seq - 1
        self._note_jitter(now, timestamp)
        if not self._admit(now, seq):
            return []
        self.packets_received += 1
        self._waiting[seq] = packet
        return self._in_order()

    def repaired(self, now: Instant, number: int, packet: _T) -> list[_T]:
        """Take a packet that came over RTX; return those that are in order now."""
        if self._first is None:
            return []
        seq = self._sequence.unwrap(number)
        if self._is_there(seq):
            # What measures a path is sent twice on purpose.
            self.probes += 1
            return []
        if not self._admit(now, seq):
            return []
        self.packets_repaired += 1
        self._waiting[seq] = packet
        return self._in_order()

    def due_nacks(self, now: Instant) -> list[int]:
        """The 16-bit numbers to ask for now."""
        due = []
        for seq, missing in self._missing.items():
            if self._asks_again and now >= missing.ask_at and missing.tries < MAX_NACK_TRIES:
                missing.tries += 1
                missing.ask_at = after_ms(now, NACK_RETRY_MS)
                due.append(seq % 2**16)
        self.nack_count += len(due)
        return due

    def blocked_since(self) -> Instant | None:
        """Since when packets wait for one that is missing; None while none does."""
        return next(iter(self._missing.values())).since if self._missing else None

    def holds(self, first: int, count: int) -> bool:
        """Whether so many packets wait in a row, behind one that is missing."""
        return first > self._next and all(seq in self._waiting for seq in range(first, first + count))

    def give_up(self, before: int | None = None) -> list[_T]:
        """Go on without the packets missing before a number, or before the first that waits.

        Returns:
            what is in order then.
        """
        if not self._waiting:
            return []
        self._next = min(self._waiting) if before is None else before
        self._waiting = {seq: one for seq, one in self._waiting.items() if seq >= self._next}
        given_up = [seq for seq in self._missing if seq < self._next]
        for seq in given_up:
            del self._missing[seq]
        self._given_up.update(given_up)
        return self._in_order()

    def sender_report(self, now: Instant, report: SenderReport) -> None:
        """A report came; the next block answers it."""
        self._last_report = middle_bits(report.ntp_timestamp), now

    def report_block(self, now: Instant) -> ReportBlock:
        """What to say of the stream (RFC 3550 section 6.4.1)."""
        expected = self._highest - (self._first or 0) + 1
        fresh = expected - self._reported[0]
        lost = fresh - (self.packets_received - self._reported[1])
        self._reported = expected, self.packets_received
        last, delay = 0, 0
        if self._last_report is not None:
            last, delay = self._last_report[0], ns_to_compact(now - self._last_report[1])
        return ReportBlock(
            self.ssrc,
            min(255, (lost << 8) // fresh) if lost > 0 else 0,
            max(0, expected - self.packets_received),
            self._highest % 2**32,
            int(self._jitter),
            last,
            delay,
        )

    def _admit(self, now: Instant, seq: int) -> bool:
        self.newest_seq, self.last_received_at = seq, now
        if self._is_there(seq):
            is_late = seq in self._given_up
            self.late += is_late
            self.duplicates += not is_late
            return False
        if seq > self._highest:
            self._missing.update((gap, _Missing(now, now)) for gap in range(self._highest + 1, seq))
            self._highest = seq
        else:
            self.reordered += 1
            del self._missing[seq]
        return True

    def _is_there(self, seq: int) -> bool:
        return seq < self._next or seq in self._waiting

    def _in_order(self) -> list[_T]:
        ready = []
        while self._next in self._waiting:
            ready.append(self._waiting.pop(self._next))
            self._next += 1
        return ready

    def _note_jitter(self, now: Instant, timestamp: int) -> None:
        transit = now * self._clock_rate // NS_PER_S - timestamp
        if self._transit is not None:
            difference = abs((transit - self._transit + 2**31) % 2**32 - 2**31)
            self._jitter += (difference - self._jitter) / 16
        self._transit = transit
