"""Whether a queue is somebody else's: one that stays, whatever we do, is filled on purpose (TCP)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.roster import Table
from sfu.units import NS_PER_MS

if TYPE_CHECKING:
    from sfu.bwe.delay import Delays
    from sfu.bwe.roster import BoolArray
    from sfu.units import Instant

STANDING_MS: Final = 40.0
"""A queue that is never shorter than this for `AFTER_NS` is a rival's. Lower: our own is taken for it.
Higher: beside a rival that keeps a short queue, nothing is left for us."""

AFTER_NS: Final = 2_500 * NS_PER_MS
"""Our own queue is gone before this: what we add to it ends with the first decrease (`sfu.bwe.aimd`). Lower:
a deep one that we made is kept. Higher: we give way for longer."""

GONE_MS: Final = 20.0
"""A rival is gone when the queue is shorter than this once. Lower: we go on filling it. Higher: we give way
whenever the rival has backed off."""

_BLANK: Final = np.zeros(1, np.dtype([("low_at", "<i8"), ("has_rival", "?")]))


class Rivals:
    """Watches how long queues stand."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    @property
    def has_rival(self) -> BoolArray:
        """(subscribers,) whether a rival fills the queue."""
        has_rival: BoolArray = self.table.rows["has_rival"].copy()
        return has_rival

    def meet(self, which: BoolArray) -> None:
        """These have shown themselves in another way."""
        self.table.rows["has_rival"] |= which

    def update(self, now: Instant, delays: Delays) -> BoolArray:
        """(subscribers,) whether a rival fills the queue."""
        rows = self.table.rows
        is_low = delays.is_new & (delays.queue_ms < STANDING_MS)
        rows["low_at"][is_low | (rows["low_at"] == 0)] = now
        stands = delays.is_new & (now - rows["low_at"] >= AFTER_NS)
        is_gone = delays.is_new & (delays.queue_ms < GONE_MS)
        rows["has_rival"] = (rows["has_rival"] | stands) & ~is_gone
        return self.has_rival
