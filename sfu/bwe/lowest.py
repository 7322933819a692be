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

_BLANK: Final = np.zeros(1, np.dtype([("this_bps", "<f8"), ("last_bps", "<f8"), ("since", "<i8")]))
_BLANK["this_bps"] = np.inf
_BLANK["last_bps"] = np.inf


class LowestTargets:
    """Two generations of minima for every subscriber."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(self, now: Instant, target_bps: FloatArray) -> FloatArray:
        """(subscribers,) the lowest so far, this one included."""
        rows = self.table.rows
        ends = now - rows["since"] >= GENERATION_NS
        rows["last_bps"] = np.where(ends, rows["this_bps"], rows["last_bps"])
        rows["this_bps"] = np.where(ends, target_bps, np.minimum(rows["this_bps"], target_bps))
        rows["since"] = np.where(ends, now, rows["since"])
        lowest: FloatArray = np.minimum(rows["this_bps"], rows["last_bps"])
        return lowest
