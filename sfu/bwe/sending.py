"""What we send ourselves: whether it is less than a path carries, and whether the peer still tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.roster import Table
from sfu.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from sfu.bwe.reports import Reports
    from sfu.bwe.roster import BoolArray, FloatArray
    from sfu.rows import StructArray
    from sfu.units import Instant

WINDOW_S: Final = 0.5
"""Time constant of the rate at which media is sent. Lower: pauses between frames look like a limit of ours.
Higher: a source that ends is noticed late."""

LIMITED_BELOW: Final = 0.7
FREE_ABOVE: Final = 0.85
"""Parts of the target: below the first we limit ourselves, above the second no more. Closer to 1: an encoder
below its rate counts as limited. Further apart: one state lasts longer than it is true."""

SILENT_NS: Final = 1_000 * NS_PER_MS
SILENT_PACKETS: Final = 10
"""A peer that says nothing of so many packets for so long is silent. Lower: a lost report is an alarm.
Higher: a path that is dead is filled for longer."""

_NEVER: Final = 2**63 - 1

_BLANK: Final = np.zeros(
    1,
    np.dtype(
        [
            ("media_bytes", "<i8"),
            ("packets", "<i8"),
            ("updated_at", "<i8"),
            ("rate_bps", "<f8"),
            ("is_limited", "?"),
            ("began_at", "<i8"),
            ("reported_at", "<i8"),
            ("reported_packets", "<i8"),
            ("awaited_from", "<i8"),
            ("round_trip_ns", "<f8"),
        ]
    ),
)
_BLANK["updated_at"] = -1
_BLANK["began_at"] = -1
_BLANK["awaited_from"] = -1
_BLANK["round_trip_ns"] = np.nan


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent and told; all arrays are (subscribers,)."""

    rate_bps: FloatArray
    """Media, without padding."""
    has_reports: BoolArray
    """The peer has ever told of a packet."""
    is_silent: BoolArray
    """It does no more."""
    unanswered_s: FloatArray
    """How long packets have gone out to one that has never told of any, or were to; NaN while none have."""
    can_send: BoolArray
    """Packets can go out."""
    round_trip_ns: FloatArray
    """From a packet to the feedback on it, at least; NaN before any."""


class Sending:
    """Follows the plane's counters and when feedback comes."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(self, now: Instant, transports: StructArray, reports: Reports) -> Sent:
        """Take up the newest counters, (subscribers,) of `TRANSPORT_DTYPE`, and feedback."""
        rows = self.table.rows
        media = transports["bytes_sent"].astype(np.int64) - transports["padding_bytes_sent"].astype(np.int64)
        packets = transports["numbered_packets_sent"].astype(np.int64)
        elapsed_s = (now - rows["updated_at"]) / NS_PER_S
        is_first = rows["updated_at"] < 0
        newest = (media - rows["media_bytes"]) * 8 / np.maximum(elapsed_s, 1e-3)
        weight = -np.expm1(-elapsed_s / WINDOW_S)
        rate = rows["rate_bps"] + weight * (newest - rows["rate_bps"])
        rows["rate_bps"] = np.where(is_first, 0.0, rate)
        rows["media_bytes"] = media
        rows["updated_at"] = now
        rows["began_at"][(rows["began_at"] < 0) & (packets > 0)] = now
        self._hear(reports, packets)
        rows["packets"] = packets
        has_reports = rows["reported_at"] > 0
        # Since packets went out, not since it spoke: a source may have been paused in between.
        is_awaited = has_reports & (packets - rows["reported_packets"] >= SILENT_PACKETS)
        begins = is_awaited & (rows["awaited_from"] < 0)
        rows["awaited_from"] = np.where(begins, now, np.where(is_awaited, rows["awaited_from"], -1))
        is_silent = is_awaited & (now - rows["awaited_from"] >= SILENT_NS)
        unanswered_s = np.where(
            has_reports | (rows["began_at"] < 0), np.nan, (now - rows["began_at"]) / NS_PER_S
        )
        return Sent(
            rate_bps=rows["rate_bps"].copy(),
            has_reports=has_reports,
            is_silent=is_silent,
            unanswered_s=unanswered_s,
            can_send=transports["can_send"],
            round_trip_ns=rows["round_trip_ns"].copy(),
        )

    def tried(self, now: Instant, which: BoolArray) -> None:
        """Packets are to go out to these for their size alone, where the peer says that it would tell."""
        rows = self.table.rows
        rows["began_at"][which & (rows["began_at"] < 0)] = now

    def limited(self, target_bps: FloatArray) -> BoolArray:
        """(subscribers,) whether less is sent than these targets."""
        rows = self.table.rows
        border = np.where(rows["is_limited"], FREE_ABOVE, LIMITED_BELOW)
        rows["is_limited"] = rows["rate_bps"] < border * target_bps
        is_limited: BoolArray = rows["is_limited"].copy()
        return is_limited

    def _hear(self, reports: Reports, packets: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        rows = self.table.rows
        reported_at = reports.newest(reports.reported_at, 0)
        has_news = reported_at > 0
        rows["reported_at"] = np.maximum(rows["reported_at"], reported_at)
        rows["reported_packets"] = np.where(has_news, packets, rows["reported_packets"])
        newest = reports.least(reports.reported_at - reports.sent_at, _NEVER)
        known = np.where(np.isnan(rows["round_trip_ns"]), newest, rows["round_trip_ns"])
        # The least of a report tells of the path; the receiver waits with the others.
        rows["round_trip_ns"] = np.where(has_news, known + 0.2 * (newest - known), rows["round_trip_ns"])
