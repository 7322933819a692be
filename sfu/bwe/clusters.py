"""What became of probes: the rates at which their packets left and arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.reports import is_arrived
from sfu.bwe.roster import Table
from sfu.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from sfu.bwe.reports import Reports
    from sfu.bwe.roster import BoolArray, FloatArray, IntArray
    from sfu.rows import StructArray
    from sfu.units import Instant

SLOTS: Final = 2
"""Clusters of one transport under way: the two of a start."""

TIMEOUT_NS: Final = 2_000 * NS_PER_MS
"""A cluster is judged then by what is known of it. Lower: paths with long queues never pass. Higher: what was
never sent, or nobody tells of, is waited for."""

QUIET_NS: Final = 400 * NS_PER_MS
"""Or when nothing more of it was told for so long, after something was: the ends of it may be lost, and where
nothing else goes nobody says so. Lower: a report that comes late is not in it. Higher: the next one waits."""

AFTERMATH_NS: Final = 400 * NS_PER_MS
"""What a probe left in a queue is seen for so long after its end. Lower: it looks like overuse. Higher:
overuse at that time is answered later."""

MIN_PACKETS: Final = 4
MIN_PART: Final = 0.7
"""Fewer packets, or a smaller part of the bytes, say nothing. Lower: chance passes. Higher: on lossy paths
nothing does."""

FULL_PART: Final = 0.9
"""What arrives at this part of the rate at which it left was not held up."""

HELD_PART: Final = 0.95
"""What of a rate is used that was held up: the rate at which a queue was filled would leave it full."""

_BLANK: Final = np.zeros(
    1,
    np.dtype(
        [
            ("given", "<i8"),
            ("is_probing", "?"),
            ("ended_at", "<i8"),
            ("number", "<i8", (SLOTS,)),
            ("size_bytes", "<i8", (SLOTS,)),
            ("asked_at", "<i8", (SLOTS,)),
            ("told_at", "<i8", (SLOTS,)),
            ("told_bytes", "<i8", (SLOTS,)),
            ("told_packets", "<i8", (SLOTS,)),
            ("bytes", "<i8", (SLOTS,)),
            ("packets", "<i8", (SLOTS,)),
            ("first_sent_at", "<i8", (SLOTS,)),
            ("last_sent_at", "<i8", (SLOTS,)),
            ("first_arrived_at", "<i8", (SLOTS,)),
            ("last_arrived_at", "<i8", (SLOTS,)),
        ]
    ),
)
_NEVER: Final = 2**62
_BLANK["ended_at"] = -_NEVER


@dataclass(frozen=True, slots=True)
class ProbeResults:
    """What clusters that ended in this update say; all arrays are (subscribers,)."""

    has_ended: BoolArray
    rate_bps: FloatArray
    """What the path carries at least, by the best of them; NaN where they say nothing."""
    is_full: BoolArray
    """That one arrived as fast as it left: the path may carry more."""


class Clusters:
    """The probes under way of every subscriber."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    @property
    def is_probing(self) -> BoolArray:
        """(subscribers,) whether any is under way."""
        is_probing: BoolArray = self.table.rows["is_probing"].copy()
        return is_probing

    def disturbs(self, now: Instant) -> BoolArray:
        """(subscribers,) whether a queue may be a probe's."""
        is_fresh: BoolArray = now - self.table.rows["ended_at"] < AFTERMATH_NS
        return self.is_probing | is_fresh

    def ask(self, now: Instant, which: IntArray, slot: int, sizes_bytes: IntArray) -> IntArray:
        """Begin one probe each for some rows; their numbers, as the plane is to be told."""
        rows = self.table.rows
        rows["given"][which] += 1
        fresh = {
            "number": rows["given"][which],
            "size_bytes": sizes_bytes,
            "asked_at": now,
            "told_at": _NEVER,
            "told_bytes": 0,
            "told_packets": 0,
            "bytes": 0,
            "packets": 0,
            "first_sent_at": _NEVER,
            "last_sent_at": -_NEVER,
            "first_arrived_at": _NEVER,
            "last_arrived_at": -_NEVER,
        }
        for name, value in fresh.items():
            rows[name][which, slot] = value
        rows["is_probing"][which] = True
        return rows["given"][which]

    def update(self, now: Instant, reports: Reports, inherent_loss: FloatArray) -> ProbeResults:
        """Take up feedback about probes.

        Args:
            now: time.
            reports: of packets that were part of one.
            inherent_loss: (subscribers,) part of the packets that is lost whatever is sent.
        """
        rows = self.table.rows
        for slot in range(SLOTS):
            of_slot = reports.cluster == rows["number"][reports.row, slot]
            if of_slot.any():
                _count(now, rows, slot, reports.only(of_slot))
        is_told = rows["told_bytes"] >= rows["size_bytes"]
        is_over = (now - rows["asked_at"] >= TIMEOUT_NS) | (now - rows["told_at"] >= QUIET_NS)
        ends: BoolArray = (rows["number"] > 0) & (is_told | is_over)
        has_ended: BoolArray = ends.max(1)
        if not has_ended.any():
            return ProbeResults(has_ended, np.full(len(rows), np.nan), has_ended)
        rates, full = self._rates(inherent_loss)
        rates = np.where(ends, rates, np.nan)
        rows["number"][ends] = 0
        rows["is_probing"] = rows["number"].max(1) > 0
        rows["ended_at"][has_ended] = now
        has_rate = np.isfinite(rates)
        best = np.argmax(np.where(has_rate, rates, -1.0), axis=1)
        each = np.arange(len(rows))
        is_full: BoolArray = (full & has_rate)[each, best]
        return ProbeResults(has_ended, rates[each, best], is_full)

    def _rates(self, inherent_loss: FloatArray) -> tuple[FloatArray, BoolArray]:
        """(subscribers, SLOTS) what each says so far, and whether it was not held up."""
        rows = self.table.rows
        packets = rows["packets"]
        # The first packet ends no interval.
        parts = [np.maximum(count - 1, 0) / np.maximum(count, 1) for count in (rows["told_packets"], packets)]
        sent_ns = np.maximum(rows["last_sent_at"] - rows["first_sent_at"], NS_PER_MS)
        came_ns = np.maximum(rows["last_arrived_at"] - rows["first_arrived_at"], NS_PER_MS)
        sent = 8.0 * rows["told_bytes"] * parts[0] * NS_PER_S / sent_ns
        came = 8.0 * rows["bytes"] * parts[1] * NS_PER_S / came_ns / (1.0 - inherent_loss[:, None])
        full: BoolArray = came >= FULL_PART * sent
        says = (packets >= MIN_PACKETS) & (rows["bytes"] >= MIN_PART * rows["size_bytes"])
        return np.where(says, np.where(full, np.minimum(sent, came), HELD_PART * came), np.nan), full


def _count(now: Instant, rows: StructArray, slot: int, reports: Reports) -> None:
    told, arrived = reports, reports.only(is_arrived(reports))
    rows["told_at"][:, slot] = np.where(told.counts() > 0, now, rows["told_at"][:, slot])
    rows["told_bytes"][:, slot] += told.bytes().astype(np.int64)
    rows["told_packets"][:, slot] += told.counts()
    rows["bytes"][:, slot] += arrived.bytes().astype(np.int64)
    rows["packets"][:, slot] += arrived.counts()
    for name, some, values in (("sent_at", told, told.sent_at), ("arrived_at", arrived, arrived.arrived_at)):
        first, last = rows[f"first_{name}"], rows[f"last_{name}"]
        first[:, slot] = np.minimum(first[:, slot], some.least(values, _NEVER))
        last[:, slot] = np.maximum(last[:, slot], some.newest(values, -_NEVER))
