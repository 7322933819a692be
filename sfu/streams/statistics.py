"""What a receiver knows of one RTP stream (RFC 3550 sections 6.4 and A.1, A.3, A.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.plane import DropReason
from sfu.rtp.ntp import middle_bits, ns_to_compact
from sfu.rtp.rtcp import ReportBlock
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.units import Instant, Ssrc

WINDOW: Final = 2_048
"""Sequence numbers for which duplicates are told from late packets. What is older is refused."""

MAX_DROPOUT: Final = 3_000
"""A jump of at least this many numbers is a source that started anew, not loss (A.1, which first waits for
two packets in sequence; ours are authenticated by SRTP)."""

MAX_CLOCK_STEP_S: Final = 5.0
"""A difference in transit above this is a clock that was set, not jitter."""

_JITTER_GAIN: Final = 16
_MOST_LOST: Final = (1 << 23) - 1
_SEQUENCE_BITS: Final = 16


class ReplayWindow:
    """Remembers which of the last `WINDOW` numbers have been seen."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._seen = 0

    def check(self, seq: int) -> DropReason | None:
        """Mark a number as seen; a reason where it was before, or is too old to tell."""
        if self._highest is None:
            self._highest = seq
        ahead = seq - self._highest
        if ahead > 0:
            # A jump as wide as the window leaves nothing of it: don't make a number that long.
            kept = (self._seen << ahead) & ((1 << WINDOW) - 1) if ahead < WINDOW else 0
            self._seen = kept | 1
            self._highest = seq
            return None
        if -ahead >= WINDOW:
            return DropReason.TOO_OLD
        bit = 1 << -ahead
        if self._seen & bit:
            return DropReason.DUPLICATE
        self._seen |= bit
        return None


class ReceiveStatistics:
    """Counts one received RTP stream, and makes its report blocks.

    Packets repaired by RTX are told apart by `repaired`: they keep duplicates out, but don't hide the loss
    from the sender (RFC 4588 section 6.2: the two streams are reported separately).

    Args:
        clock_rate: ticks a second of the stream's clock.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._counted = ReplayWindow()
        self._seen = ReplayWindow()
        self._base = 0
        self._first = 0
        self._highest: int | None = None
        self._packets_received = 0
        self._bytes_received = 0
        self._last_received_at: Instant | None = None
        self._transit: int | None = None
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0
        self._sender_report: tuple[int, Instant] | None = None

    @property
    def highest_seq(self) -> int | None:
        """The highest so far, unwrapped; None before the first packet."""
        return self._highest

    @property
    def packets_received(self) -> int:
        """Packets counted, duplicates and repaired ones apart."""
        return self._packets_received

    @property
    def bytes_received(self) -> int:
        """Their sizes together."""
        return self._bytes_received

    @property
    def last_received_at(self) -> Instant | None:
        """When the last of them arrived."""
        return self._last_received_at

    @property
    def packets_lost(self) -> int:
        """Expected and not received, over the life of the stream (A.3); repaired ones are lost here."""
        return self._expected - self._packets_received

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter (A.8)."""
        return self._jitter * 1_000 / self._clock_rate

    @property
    def _expected(self) -> int:
        return 0 if self._highest is None else self._highest - self._base + 1

    def received(self, now: Instant, seq: int, ts: int, size_bytes: int) -> DropReason | None:
        """A packet of the stream itself arrived.

        Args:
            now: arrival.
            seq: unwrapped.
            ts: unwrapped.
            size_bytes: whatever the caller counts by.

        Returns:
            None, or why it must not be forwarded: `DUPLICATE` (also of a repaired packet) or `TOO_OLD`.
        """
        drop = self._seen.check(seq)
        if drop is DropReason.TOO_OLD or self._counted.check(seq) is not None:
            return drop
        self._count(seq)
        self._packets_received += 1
        self._bytes_received += size_bytes
        self._last_received_at = now
        self._measure_jitter(now, ts)
        return drop

    def repaired(self, seq: int) -> DropReason | None:
        """A packet came by RTX; a reason where it must not be forwarded.

        One far ahead of what was received is refused: nobody asked for it, and it would make all that comes
        too old.
        """
        if self._highest is None or seq - self._highest >= MAX_DROPOUT:
            return DropReason.TOO_OLD
        return self._seen.check(seq)

    def sender_report(self, now: Instant, ntp: int) -> None:
        """A sender report of the stream arrived, with this 64-bit NTP timestamp."""
        self._sender_report = (ntp, now)

    def report_block(self, now: Instant, ssrc: Ssrc) -> ReportBlock | None:
        """The block of the next report; None where nothing was received since the last (section 6.4)."""
        received = self._packets_received - self._received_before
        if self._highest is None or not received:
            return None
        expected = self._expected - self._expected_before
        self._expected_before = self._expected
        self._received_before = self._packets_received
        lost = max(0, expected - received)
        last_report = delay = 0
        if self._sender_report is not None:
            ntp, at = self._sender_report
            last_report, delay = middle_bits(ntp), ns_to_compact(max(0, now - at))
        return ReportBlock(
            ssrc,
            fraction_lost=min(255, (lost << 8) // expected) if lost else 0,
            packets_lost=max(-_MOST_LOST - 1, min(self.packets_lost, _MOST_LOST)),
            highest_sequence_number=self._extended(self._highest),
            jitter=min(int(self._jitter), 0xFFFF_FFFF),
            last_sender_report=last_report,
            delay_since_last_sender_report=delay,
        )

    def _count(self, seq: int) -> None:
        if self._highest is None:
            self._base = self._first = self._highest = seq
        elif seq - self._highest >= MAX_DROPOUT:
            # What was jumped over is not expected.
            self._base += seq - self._highest - 1
            self._highest = seq
        else:
            self._highest = max(self._highest, seq)

    def _extended(self, seq: int) -> int:
        """Cycles since the first packet in the upper half, as A.1 counts them."""
        cycle = self._first >> _SEQUENCE_BITS << _SEQUENCE_BITS
        return (seq - cycle) & 0xFFFF_FFFF

    def _measure_jitter(self, now: Instant, ts: int) -> None:
        transit = now * self._clock_rate // NS_PER_S - ts
        if self._transit is not None:
            difference = abs(transit - self._transit)
            if difference <= MAX_CLOCK_STEP_S * self._clock_rate:
                self._jitter += (difference - self._jitter) / _JITTER_GAIN
        self._transit = transit
