"""Falls from a rate of which little was used: what caused them was not ours, and may be gone at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.roster import Table
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.bwe.roster import BoolArray
    from sfu.units import Instant

MIN_GAP_NS: Final = 3 * NS_PER_S
MAX_GAP_NS: Final = 30 * NS_PER_S
"""Between two returns: the first, doubled by each that another fall follows within twice the gap, up to the
second. Lower: a machine that can't take what is sent gets it again and again. Higher: who was back is not
believed for longer."""

_BLANK: Final = np.zeros(
    1,
    np.dtype([("had_room", "?"), ("is_down", "?"), ("returned_at", "<i8"), ("gap_ns", "<i8")]),
)
_BLANK["returned_at"] = -(2**62)
_BLANK["gap_ns"] = MIN_GAP_NS


class Falls:
    """Remembers who fell so, until the path is clear again.

    A queue that grows where much less is sent than was known to pass says that the path has changed, or that
    the peer's machine does not run: it tells of what came when it looks. Nothing but the queue tells these
    apart: a path that has changed is clear when less is sent, and a machine that runs again is clear as well,
    and carries what it did before.
    """

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(self, now: Instant, *, has_room: BoolArray, fell: BoolArray, is_clear: BoolArray) -> BoolArray:
        """(subscribers,) whose path is clear again after such a fall; once for each.

        Args:
            now: time.
            has_room: (subscribers,) less is sent than is known to pass.
            fell: the rate was lowered.
            is_clear: no queue stands on the way.
        """
        rows = self.table.rows
        falls = fell & rows["had_room"] & ~rows["is_down"]
        since = now - rows["returned_at"]
        gap = rows["gap_ns"]
        doubled = np.where(since < 2 * gap, np.minimum(2 * gap, MAX_GAP_NS), MIN_GAP_NS)
        rows["gap_ns"] = np.where(falls, doubled, gap)
        is_down = rows["is_down"] | falls
        returns: BoolArray = is_down & is_clear & ~fell & (since >= rows["gap_ns"])
        rows["returned_at"] = np.where(returns, now, rows["returned_at"])
        rows["is_down"] = is_down & ~returns
        rows["had_room"] = has_room & ~fell
        return returns
