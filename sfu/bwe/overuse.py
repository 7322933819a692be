"""Whether a path is overused: growth of its queue against a threshold that adapts."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.roster import Table
from sfu.units import NS_PER_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfu.bwe.delay import Delays
    from sfu.bwe.roster import BoolArray
    from sfu.units import Instant

THRESHOLD_MS: Final = 12.5
"""Where the threshold begins (draft-ietf-rmcat-gcc-02 section 5.4)."""

MIN_THRESHOLD_MS: Final = 6.0
MAX_THRESHOLD_MS: Final = 600.0
"""Bounds of the threshold. A lower least one: noise looks like overuse. A higher: queues are seen late."""

GAIN_UP: Final = 0.0087
GAIN_DOWN: Final = 0.039
"""How fast the threshold follows what is above and below it, for each ms (the draft's K_u and K_d). A higher
first, or a lower second: flows that fill queues on purpose, as TCP does, are answered less, and so is our own
overuse."""

MAX_EXCESS_MS: Final = 15.0
"""What is so far above the threshold does not move it: that is a sudden overuse, no competitor."""

MAX_STEP_MS: Final = 100.0
"""The threshold moves for so long at most after a pause."""

MIN_QUEUE_MS: Final = 10.0
PROBED_QUEUE_MS: Final = 45.0
"""A queue shorter than the first is no overuse, however it grows; after a probe, than the second. Lower:
jitter looks like overuse. Higher: everybody waits so much longer."""


SURE: Final = 3.0
"""Growth counts that is so many times its standard error. Lower: where packets are few and jitter is large,
it looks like overuse now and then, and each time a part of the rate is taken. Higher: there, overuse is seen
late."""

NOISE: Final = 1.5
"""A queue counts that is longer by so many standard deviations of delay. The same."""

RIVAL_THRESHOLD_MS: Final = 30.0
"""The least threshold where a rival fills the queue: its slow growth is the rival's. Lower: we give way to
it. Higher: our own overuse makes its queue longer."""


class Signal(enum.IntEnum):
    """What a path says."""

    UNDER = -1
    """Its queue shrinks."""
    NORMAL = 0
    OVER = 1
    """Its queue grows."""


UNDER, NORMAL, OVER = (np.int8(signal) for signal in Signal)
"""The same as arrays are compared with: an enumeration's members are slow to look up."""

_BLANK: Final = np.zeros(1, np.dtype([("signal", "i1"), ("threshold_ms", "<f8"), ("updated_at", "<i8")]))
_BLANK["threshold_ms"] = THRESHOLD_MS


class OveruseDetector:
    """Compares growth, once an update; without news the last word holds."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(
        self, now: Instant, delays: Delays, has_rival: BoolArray, is_probed: BoolArray
    ) -> NDArray[np.int8]:
        """(subscribers,) the `Signal` of each.

        Args:
            now: time.
            delays: what is known of queues.
            has_rival: somebody else fills the queue.
            is_probed: a probe may be in it.
        """
        rows = self.table.rows
        growth, threshold = delays.growth_ms, rows["threshold_ms"]
        least = np.where(has_rival, np.maximum(threshold, RIVAL_THRESHOLD_MS), threshold)
        queue_ms = np.where(is_probed, PROBED_QUEUE_MS, MIN_QUEUE_MS) + NOISE * delays.noise_ms
        least = np.maximum(least, SURE * delays.growth_error_ms)
        is_over = (growth > least) & (delays.queue_ms >= queue_ms)
        signal = is_over.astype(np.int8) - (growth < -least)
        rows["signal"] = np.where(delays.is_new, signal, rows["signal"])
        height = np.abs(growth)
        step_ms = np.minimum((now - rows["updated_at"]) / NS_PER_MS, MAX_STEP_MS)
        gain = np.where(height > threshold, GAIN_UP, GAIN_DOWN)
        # A step of a whole update must not carry it past what it follows.
        moved = threshold + np.minimum(gain * step_ms, 1.0) * (height - threshold)
        moves = delays.is_new & (height <= threshold + MAX_EXCESS_MS)
        moved = np.minimum(np.maximum(moved, MIN_THRESHOLD_MS), MAX_THRESHOLD_MS)
        rows["threshold_ms"] = np.where(moves, moved, threshold)
        rows["updated_at"][delays.is_new] = now
        signals: NDArray[np.int8] = rows["signal"].copy()
        return signals
