"""The counters of a swarm as arrays, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest.fleet.native import load_swarm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loadtest._swarm import Stats

    Rows = NDArray[np.void]
    Counts = NDArray[np.int64]

NS_PER_MS: Final = 1e6

FACTS: Final = frozenset(
    {
        "id",
        "is_publisher",
        "is_full",
        "is_connected",
        "is_open",
        "participant",
        "ssrc",
        "payload_type",
        "is_video",
    }
)
"""Columns that say what something is; all others count."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one moment; the difference of two is what happened between them.

    Attributes:
        participants: one row per participant, named columns of int64 (`PARTICIPANT_FIELDS`).
        streams: one row per received RTP stream (`STREAM_FIELDS`).
        delays: how many packets took so long, by `delay_bounds_ns`.
        delay_bounds_ns: the smallest delay of each bucket.
        full_receivers: whose media went through str0m whole.
        lean_receivers: whose media took the lean path.
        cpu_s: what the swarm's thread used of a core.
        lateness_max_ms: by how much the latest reading of sockets missed its time, since the reading before.
    """

    participants: Rows
    streams: Rows
    delays: Counts
    delay_bounds_ns: Counts
    full_receivers: int
    lean_receivers: int
    cpu_s: float
    lateness_max_ms: float

    @classmethod
    def of(cls, stats: Stats) -> Reading:
        """What `Swarm.stats` told.

        Raises:
            SwarmMissingError: the native module was not built.
        """
        module = load_swarm()
        return cls(
            participants=_rows(stats["participants"], module.PARTICIPANT_FIELDS),
            streams=_rows(stats["streams"], module.STREAM_FIELDS),
            delays=np.frombuffer(stats["delays"], np.int64).copy(),
            delay_bounds_ns=np.array(module.DELAY_BOUNDS_NS, np.int64),
            full_receivers=stats["full_receivers"],
            lean_receivers=stats["lean_receivers"],
            cpu_s=stats["cpu_ns"] / 1e9,
            lateness_max_ms=stats["lateness_max_ns"] / NS_PER_MS,
        )

    def __sub__(self, before: Reading) -> Reading:
        """What was counted since an earlier reading; rows that were not there then count from zero."""
        return Reading(
            participants=_since(self.participants, before.participants, ("id",)),
            streams=_since(self.streams, before.streams, ("participant", "ssrc")),
            delays=self.delays - before.delays,
            delay_bounds_ns=self.delay_bounds_ns,
            full_receivers=self.full_receivers,
            lean_receivers=self.lean_receivers,
            cpu_s=self.cpu_s - before.cpu_s,
            lateness_max_ms=self.lateness_max_ms,
        )

    @property
    def packets_received(self) -> int:
        """Media packets of all receivers, each once."""
        return int(self.streams["packets_received"].sum())

    @property
    def packets_lost(self) -> int:
        """Media packets that receivers miss."""
        return int(self.streams["packets_lost"].sum())

    @property
    def media_sent(self) -> int:
        """Media packets of all publishers, without resends."""
        return int(self.participants["media_sent"].sum())

    @property
    def breaks(self) -> int:
        """How often a picture id, an index of the base layer or a timestamp did not go on as it should."""
        return sum(int(self.streams[f"{what}_breaks"].sum()) for what in ("picture_id", "tl0", "timestamp"))

    @property
    def kernel_drops(self) -> int:
        """Datagrams that a receive buffer had no room for: losses that are the swarm's own fault."""
        return int(self.participants["kernel_drops"].sum())

    @property
    def full_share(self) -> float:
        """The part of the receivers whose media went through str0m whole."""
        return self.full_receivers / max(1, self.full_receivers + self.lean_receivers)

    def delay_ms(self, quantile: float) -> float | None:
        """The delay that this part of the packets stayed below, to 1.6 %; None without any."""
        total = int(self.delays.sum())
        if total == 0:
            return None
        # The rank is of a packet: of 100 packets, the 0.99 quantile is the 99th.
        bucket = int(np.searchsorted(self.delays.cumsum(), max(1, quantile * total)))
        return float(self.delay_bounds_ns[bucket]) / NS_PER_MS

    @property
    def delay_max_ms(self) -> float | None:
        """The longest delay, to 1.6 %; None without any."""
        return self.delay_ms(1.0)


def _rows(data: bytes, fields: tuple[str, ...]) -> Rows:
    dtype: Any = [(name, np.int64) for name in fields]
    return np.frombuffer(data, dtype).copy()


def _since(now: Rows, before: Rows, keys: tuple[str, ...]) -> Rows:
    """Rows whose counters have lost what an earlier row of the same key had."""
    known = {tuple(int(row[key]) for key in keys): row for row in before}
    rows = now.copy()
    for row in rows:
        old = known.get(tuple(int(row[key]) for key in keys))
        if old is not None:
            for name in set(now.dtype.names or ()) - FACTS:
                row[name] -= old[name]
    return rows
