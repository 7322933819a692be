"""What estimation is asked and what it says: the arrays that go in and out."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from sfu.rows import StructArray

WISH_DTYPE: Final = np.dtype(
    [("transport", "<u4"), ("allocated_bps", "<f8"), ("desired_bps", "<f8"), ("next_bps", "<f8")]
)
"""What a subscriber is to be sent: the sum of what was chosen for it, what would be chosen without any limit,
and the cost of the cheapest step up that is withheld (0: nothing is withheld)."""

ESTIMATE_DTYPE: Final = np.dtype(
    [
        ("transport", "<u4"),
        ("target_bps", "<f8"),
        ("stable_bps", "<f8"),
        ("acked_bps", "<f8"),
        ("queue_ms", "<f4"),
        ("loss", "<f4"),
        ("round_trip_time_ms", "<f4"),
        ("state", "i1"),
        ("is_probing", "?"),
        ("is_limited_by_us", "?"),
    ]
)
"""What a path carries. `target_bps` now (infinite: nothing is known, nothing is limited); `stable_bps` is its
lowest in the last 2.5 to 5 seconds, which a step up must fit. `acked_bps` arrived, NaN before that is known.
`queue_ms` is what stands in queues on the way: one-way delay above its minimum. `loss` is the part of the
last second's packets that was lost. `state` is an `EstimateState`. `is_limited_by_us`: less is sent than the
target (ALR, "application limited region"), so that the target is proven by nothing."""


NO_ESTIMATES: Final = np.zeros(0, ESTIMATE_DTYPE)


class EstimateState(enum.IntEnum):
    """Why a target is what it is."""

    UNKNOWN = 0
    """The peer has said nothing of any packet."""
    NORMAL = 1
    """Nothing stands in the way: the target grows where it is used."""
    OVERUSE = 2
    """A queue grows on the way."""
    UNDERUSE = 3
    """A queue is emptied: the target waits for its end."""
    LOSS = 4
    """More packets are lost the more are sent."""
    REMB = 5
    """What the peer estimates itself is all that is known, or less than we do."""
    SILENT = 6
    """Packets go out, and the peer says nothing of them any more."""


@dataclass(frozen=True, slots=True)
class BweUpdate:
    """What one update found."""

    estimates: StructArray
    """(transports,) of `ESTIMATE_DTYPE`, ascending by transport."""
    pacing: StructArray
    """(n,) of `PACING_DTYPE`: those that changed so much that the plane should know."""
    probes: StructArray
    """(n,) of `PROBE_DTYPE`: what to measure now."""
