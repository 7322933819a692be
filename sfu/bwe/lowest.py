"""The lowest target of the last seconds: what a step up must fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.roster import Table
from sfu.units import NS_PER_MS

if TYPE_CHECKING:
    from sfu.bwe.roster import FloatArray
    from sfu.units import Instant

GENERATION_NS: Final = 2_500 * NS_PER_MS
"""The lowest is of this generation and the one before. Shorter: layers go up and down again. Longer: they go
up late."""

PROVEN: Final = 0.95
"""What a probe has proven counts so much, at once. Lower: what fits just so waits for seconds. Higher: it is
undone by the next frame."""

_BLANK: Final = np.zeros(1, np.dtype([("this_bps", "<f8"), ("last_bps", "<f8"), ("since", "<i8")]))
_BLANK["this_bps"] = np.inf
_BLANK["last_bps"] = np.inf


class LowestTargets:
    """Two generations of minima for every subscriber."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def raise_to(self, proven_bps: FloatArray) -> None:
        """A probe has just shown that so much passes, NaN: none has; what was before counts no more."""
        rows = self.table.rows
        for name in ("this_bps", "last_bps"):
            rows[name] = np.fmax(rows[name], PROVEN * proven_bps)

    def update(self, now: Instant, target_bps: FloatArray) -> FloatArray:
        """(subscribers,) the lowest so far, this one included."""
        rows = self.table.rows
        ends = now - rows["since"] >= GENERATION_NS
        if ends.any():
            rows["last_bps"][ends] = rows["this_bps"][ends]
            rows["this_bps"][ends] = np.inf
            rows["since"][ends] = now
        rows["this_bps"] = np.minimum(rows["this_bps"], target_bps)
        lowest: FloatArray = np.minimum(rows["this_bps"], rows["last_bps"])
        return lowest
