"""The two clocks of this process; everything else is given the time."""

from __future__ import annotations

import time

from sfu.units import NS_PER_MS, Instant, WallTime


def monotonic_clock() -> Instant:
    """Now, as planes and engines count."""
    return Instant(time.monotonic_ns())


def wall_clock() -> WallTime:
    """Now, as Matrix counts."""
    return WallTime(time.time_ns() // NS_PER_MS)
