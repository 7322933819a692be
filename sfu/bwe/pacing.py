"""How the plane is to send: a little faster than paths carry, and told only of what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.roster import Table
from sfu.rows import PACING_DTYPE

if TYPE_CHECKING:
    from sfu.bwe.roster import BoolArray, FloatArray, IdArray
    from sfu.rows import StructArray

FACTOR: Final = 1.5
"""Media leaves at most so much faster than the target. Lower: key frames wait here. Higher: they wait in the
path's queue, and sound behind them."""

BEGINNING_BPS: Final = 2_500_000.0
"""And at least so fast while nothing is known: a call begins with key frames. Lower: they wait here. Higher:
they wait in front of a narrow line."""

QUEUE_LIMIT_MS: Final = 250.0
"""How long video waits at most, as by default (`sfu.streams.pacer`)."""

CHANGE: Final = 0.05
"""A rate is told again when it differs by this. Lower: more for the plane to do. Higher: it is obeyed less
exactly."""

_BLANK: Final = np.zeros(1, np.dtype([("rate_bps", "<f8"), ("padding_bps", "<f8")]))
_BLANK["rate_bps"] = np.inf


class PacingRows:
    """What the plane was told last."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(
        self, transports: IdArray, target_bps: FloatArray, padding_bps: FloatArray, begins: BoolArray
    ) -> StructArray:
        """Those to tell again, (n,) of `PACING_DTYPE`.

        Args:
            transports: (subscribers,) their ids.
            target_bps: (subscribers,) what paths carry.
            padding_bps: (subscribers,) what is to be sent at least.
            begins: (subscribers,) what the path carries is not known yet.
        """
        rows = self.table.rows
        rate_bps = np.maximum(FACTOR * target_bps, np.where(begins, BEGINNING_BPS, 0.0))
        wanted = {"rate_bps": rate_bps, "padding_bps": padding_bps}
        changed = np.zeros(len(rows), np.bool_)
        for name, value in wanted.items():
            told = rows[name]
            is_other = value != told
            if not is_other.any():
                continue
            # From and to infinite there is no difference to compare.
            least = np.minimum(value, told)
            both = np.isfinite(value) & np.isfinite(told)
            difference = np.subtract(value, told, out=np.zeros(len(rows)), where=both)
            changed |= np.where(both, np.abs(difference) > CHANGE * least, is_other)
        which = changed.nonzero()[0]
        pacing = np.zeros(len(which), PACING_DTYPE)
        pacing["transport"] = transports[which]
        pacing["queue_limit_ms"] = QUEUE_LIMIT_MS
        for name, value in wanted.items():
            rows[name][which] = value[which]
            pacing[name] = value[which]
        return pacing
