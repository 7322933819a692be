"""Where the clock of one received RTP stream stands on its publisher's NTP clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.units import Instant

TICK_BITS: Final = 32
"""Values called `_fixed` count 2**-32 ticks, so that no switch loses a fraction of one."""

_NTP_SECOND: Final = 1 << 32
_NTP_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class _Report:
    ntp: int
    ts: int
    at: Instant


class StreamClock:
    """The RTP clock of one received stream, fixed by its sender reports (RFC 3550 section 6.4.1).

    An `ntp` is a 64-bit NTP timestamp as on the wire: seconds in the upper half. Only differences count, so
    the era that begins in 2036 does no harm.

    Args:
        clock_rate: ticks a second.
        now: when the first packet arrived.
        ts: its timestamp, unwrapped.
    """

    def __init__(self, clock_rate: int, now: Instant, ts: int) -> None:
        self.clock_rate: Final = clock_rate
        self.first_at: Final = now
        self._ts = ts
        self._report: _Report | None = None

    @property
    def has_report(self) -> bool:
        """A sender report has come."""
        return self._report is not None

    def received(self, ts: int) -> None:
        """A packet came; tells where a report's 32-bit timestamp lies."""
        self._ts = max(self._ts, ts)

    def sender_report(self, now: Instant, ntp: int, timestamp: int) -> None:
        """A sender report arrived: `timestamp` (32 bits, as on the wire) was the clock's at `ntp`."""
        ts = self._ts + _signed(timestamp - self._ts, bits=32)
        self._report = _Report(ntp, ts, now)

    def ntp_of(self, ts: int) -> int | None:
        """The publisher's NTP time of a timestamp; None before the first report."""
        if self._report is None:
            return None
        return self._report.ntp + (ts - self._report.ts) * _NTP_SECOND // self.clock_rate

    def ts_fixed_of(self, ntp: int) -> int | None:
        """The unwrapped timestamp at an NTP time of the publisher; None before the first report."""
        if self._report is None:
            return None
        return (self._report.ts << TICK_BITS) + _signed(
            ntp - self._report.ntp, bits=_NTP_BITS
        ) * self.clock_rate

    def ntp_at(self, now: Instant) -> int | None:
        """The publisher's NTP time now, as late as its report was; None before the first report."""
        if self._report is None:
            return None
        return (self._report.ntp + (now - self._report.at) * _NTP_SECOND // NS_PER_S) % (1 << _NTP_BITS)


def _signed(difference: int, *, bits: int) -> int:
    """The difference of two values of so many bits, taken the short way round."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half
