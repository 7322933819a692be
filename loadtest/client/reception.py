"""What arrives of one RTP stream: numbers unwrapped, losses asked for again, statistics for reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_S, Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

NACK_RETRY_MS: Final = 60
"""A resend that did not come is asked for again after this long."""
NACK_TRIES: Final = 8
MAX_MISSING: Final = 512
MAX_JUMP: Final = 3_000
"""A sequence number further away than this is no loss but another stream (RFC 3550 appendix A.1)."""


class SequenceUnwrapper:
    """16-bit sequence numbers to whole numbers that never wrap."""

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, number: int) -> int:
        """The number nearest to the last one that ends in these 16 bits."""
        if self._last is None:
            self._last = number + 2**16  # room for packets from before the first one
            return self._last
        difference = (number - self._last + 2**15) % 2**16 - 2**15
        seq = self._last + difference
        self._last = max(self._last, seq)
        return seq


@dataclass(slots=True)
class _Missing:
    ask_at: Instant
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Reception:
    """The numbers of one report block (RFC 3550 section 6.4.1)."""

    fraction_lost: int
    packets_lost: int
    highest_seq: int
    jitter: int


class ReceptionLog:
    """Counts one RTP stream's packets and remembers which are missing."""

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._base: int | None = None
        self._highest = 0
        self._received = 0
        self._reported = (0, 0)
        self._transit: int | None = None
        self._jitter = 0.0
        self._missing: dict[int, _Missing] = {}
        self.nacks_sent = 0
        self.packets_repaired = 0
        self.duplicates = 0
        self._recent: set[int] = set()

    @property
    def packets_received(self) -> int:
        """Every packet that arrived as itself."""
        return self._received

    @property
    def packets_lost(self) -> int:
        """Sequence numbers that never arrived as themselves; a resend does not change that."""
        return 0 if self._base is None else max(0, self._highest - self._base + 1 - self._received)

    def note(self, now: Instant, seq: int, timestamp: int, *, wants_resend: bool) -> bool:
        """Count one packet; False for one that was here before."""
        if self._base is None:
            self._base, self._highest = seq, seq - 1
        if seq in self._recent:
            self.duplicates += 1
            return False
        self._recent.add(seq)
        if len(self._recent) > 2 * MAX_JUMP:
            self._recent = {s for s in self._recent if s > self._highest - MAX_JUMP}
        self._missing.pop(seq, None)
        if seq > self._highest:
            skipped = range(self._highest + 1, seq)
            if wants_resend and len(skipped) <= MAX_MISSING:
                self._missing.update((s, _Missing(now)) for s in skipped)
            self._highest = seq
        self._received += 1
        self._note_jitter(now, timestamp)
        return True

    def note_repair(self, seq: int) -> bool:
        """A lost packet came by RTX; False where it was here before."""
        if seq in self._recent:
            self.duplicates += 1
            return False
        self._recent.add(seq)
        self._missing.pop(seq, None)
        self.packets_repaired += 1
        return True

    def missing(self, now: Instant) -> list[int]:
        """The sequence numbers to ask for now."""
        due: list[int] = []
        for seq, entry in list(self._missing.items()):
            if now < entry.ask_at:
                continue
            if entry.tries == NACK_TRIES:
                del self._missing[seq]
                continue
            entry.tries += 1
            entry.ask_at = after_ms(now, NACK_RETRY_MS)
            due.append(seq)
        if len(self._missing) > MAX_MISSING:
            self._missing.clear()
        self.nacks_sent += bool(due)
        return due

    def report(self) -> Reception:
        """The next report block's numbers; each covers what came since the one before."""
        expected = 0 if self._base is None else self._highest - self._base + 1
        expected_before, received_before = self._reported
        self._reported = (expected, self._received)
        fresh = expected - expected_before
        lost = fresh - (self._received - received_before)
        fraction = min(255, (lost << 8) // fresh) if fresh > 0 and lost > 0 else 0
        return Reception(fraction, max(0, expected - self._received), self._highest, int(self._jitter))

    def _note_jitter(self, now: Instant, timestamp: int) -> None:
        transit = now * self._clock_rate // NS_PER_S - timestamp
        if self._transit is not None:
            difference = abs(transit - self._transit) % 2**32
            if difference < self._clock_rate * 10:
                self._jitter += (difference - self._jitter) / 16
        self._transit = transit


def nack_runs(seqs: Iterable[int]) -> list[int]:
    """16-bit sequence numbers for a NACK, lowest first."""
    return [seq % 2**16 for seq in sorted(seqs)]
