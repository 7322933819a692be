"""What was seen in a run, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sfu.simulation.scenario import Scenario

Floats = NDArray[np.float64]

TICK_DTYPE: Final = np.dtype(
    [
        ("at_s", "<f8"),
        ("target_bps", "<f8"),
        ("stable_bps", "<f8"),
        ("estimated_bps", "<f8"),
        ("queue_ms", "<f4"),
        ("loss", "<f4"),
        ("state", "<i1"),
        ("acknowledged_bytes", "<f8"),
        ("sent_bytes", "<f8"),
        ("padding_bytes", "<f8"),
        ("probes", "<i4"),
    ]
)
"""One flow at one tick. `estimated_bps` to `state` are the estimate's own view; bytes are since the tick
before, `sent_bytes` with and `padding_bytes` of what was sent for its size alone."""

PACKET_DTYPE: Final = np.dtype(
    [("sent_at_s", "<f8"), ("arrived_at_s", "<f8"), ("size_bytes", "<u4"), ("is_audio", "?")]
)
"""One RTP packet on a subscriber's path; `arrived_at_s` is NaN where it never came."""


@dataclass(frozen=True, slots=True)
class PictureRecording:
    """What was decided and seen of one camera."""

    wanted_at_s: float
    """When it was subscribed to."""
    layers: NDArray[np.int64]
    """(ticks,) what was given: `encoding * MAX_TEMPORAL + temporal`, `PAUSED` for nothing."""
    whole_at_s: Floats
    """When the subscriber had all of it, up to the newest frame that had begun to come."""


@dataclass(frozen=True, slots=True)
class FlowRecording:
    """One media flow."""

    ticks: NDArray[np.void]
    """(ticks,) of `TICK_DTYPE`."""
    packets: NDArray[np.void]
    """(packets,) of `PACKET_DTYPE`, in the order in which the plane sent them."""
    audio_published: int
    audio_held: int
    """Packets of sound that waited in the plane for more than 20 ms."""
    audio_dropped: int
    """Those that never left it."""
    audio_lost_before: int = 0
    """Those that never reached it."""
    pictures: tuple[PictureRecording, ...] = ()
    """In a call, one of each camera."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One run of a scenario. Times are seconds from its beginning."""

    scenario: Scenario
    flows: tuple[FlowRecording, ...]
    tcp_acknowledged: tuple[Floats, ...]
    """Of each download, (ticks,): bytes since the tick before."""
    queue_at_s: Floats
    """(samples,)"""
    queue_ms: Floats
    """(samples,), what a datagram would have waited in front of the forward bottleneck."""
