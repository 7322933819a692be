"""Answering NACKs: the RTX payload (RFC 4588) and which requests are honoured."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from sfu.units import after_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.units import Instant

MAX_RESENDS: Final = 3
"""How often one packet is sent again to one subscriber. More would feed the congestion that lost it."""

MAX_SPACING_MS: Final = 100.0
"""Longest time for which a second request for one packet is taken for an echo of the first."""

MAX_TRACKED: Final = 2_048
"""Packets whose resends are counted. More than a packet cache holds of full-sized packets."""

RESEND_SHARE: Final = 0.5
"""Bytes sent again for each byte sent. Lower: a loss of a third is not repaired. Higher: a subscriber that
asks for everything multiplies its traffic."""

RESEND_BURST_BYTES: Final = 150_000
"""Resends that are possible at once, earned over time: a lost key frame of a high encoding."""

OSN_BYTES: Final = 2
"""The original sequence number in front of an RTX payload."""


def encapsulate(sequence_number: int, payload: bytes) -> bytes:
    """An RTX payload: the original sequence number, then the original payload (RFC 4588 section 4)."""
    return sequence_number.to_bytes(OSN_BYTES, "big") + payload


def decapsulate(payload: bytes) -> tuple[int, bytes]:
    """The original sequence number and payload of an RTX payload (RFC 4588 section 4).

    Raises:
        ParseError: there is no room for a sequence number.
    """
    if len(payload) < OSN_BYTES:
        raise ParseError("rtx_malformed", f"payload of {len(payload)} bytes")
    return int.from_bytes(payload[:OSN_BYTES], "big"), payload[OSN_BYTES:]


@dataclass(slots=True)
class _Resent:
    count: int
    at: Instant


class ResendBudget:
    """What one subscriber may be sent again, over all its streams: a share of what it was sent."""

    def __init__(self) -> None:
        self._left_bytes = float(RESEND_BURST_BYTES)

    def sent(self, size_bytes: int) -> None:
        """A packet was sent for the first time."""
        self._left_bytes = min(RESEND_BURST_BYTES, self._left_bytes + size_bytes * RESEND_SHARE)

    def take(self, size_bytes: int) -> bool:
        """Whether a packet of this size may be sent again now; it is taken for sent then."""
        if size_bytes > self._left_bytes:
            return False
        self._left_bytes -= size_bytes
        return True


class ResendPolicy:
    """Which packets one subscriber gets again: a few times, not while the last answer may be under way."""

    def __init__(self) -> None:
        self._resent: OrderedDict[int, _Resent] = OrderedDict()

    def answer(self, now: Instant, seqs: Sequence[int], round_trip_ms: float | None) -> list[int]:
        """The requested packets to send again now, in the order asked for; each counts as sent.

        Call it with what the cache holds, so that only packets that can be sent are counted. A packet is sent
        at most `MAX_RESENDS` times, and not sooner than the lesser of `MAX_SPACING_MS` and two round trips
        after the last time.
        """
        spacing_ms = MAX_SPACING_MS if round_trip_ms is None else min(MAX_SPACING_MS, 2 * round_trip_ms)
        return [seq for seq in seqs if self._admit(now, seq, spacing_ms)]

    def _admit(self, now: Instant, seq: int, spacing_ms: float) -> bool:
        resent = self._resent.get(seq)
        if resent is None:
            self._resent[seq] = _Resent(1, now)
            if len(self._resent) > MAX_TRACKED:
                self._resent.popitem(last=False)
            return True
        if resent.count >= MAX_RESENDS or now < after_ms(resent.at, spacing_ms):
            return False
        resent.count += 1
        resent.at = now
        return True
