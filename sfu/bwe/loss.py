"""The rate that loss allows: how much of what is lost is lost because so much is sent."""

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
    from sfu.units import Instant

WINDOW_NS: Final = 250 * NS_PER_MS
MIN_PACKETS: Final = 15
"""An observation is of so much time and so many packets at least. Lower: it is noise. Higher: late."""

MAX_WINDOW_NS: Final = 2_000 * NS_PER_MS
"""A slow stream's observation ends here, whatever is in it."""

PLACES: Final = 20
"""Observations remembered: 5 s. Lower: the rates among them differ too little to tell why packets are lost.
Higher: a path that changed is known as it was."""

FADE: Final = 0.93
"""What an observation counts, against the one after it."""

TRUST: Final = 0.5
"""Packets are not lost independently of each other: so much of their number counts as evidence."""

MARGIN: Final = 2.0
"""Limits whose log-likelihood is this close to the best are possible. Lower: chance looks like a limit.
Higher: a limit is found later."""

MAX_INHERENT: Final = 0.3
"""A path that loses more whatever is sent is taken for one that is overloaded."""

LOSSY: Final = 0.12
ALIKE: Final = 1.15
"""Where more than the first is lost and all rates were within the second, nothing tells why: less is sent, to
see. Lower: a lossy path is tried in vain. Higher: an overload by a steady source stays."""

RATIOS: Final = np.geomspace(0.25, 1.0, 29)
"""The limits that are thought of, as parts of the highest rate observed; the last stands for none."""

MARGIN_BELOW: Final = 0.97
"""What of a limit is used."""

GROWTH: Final = 0.05
"""By how much a limit grows in a second without signs of it. Lower: a path that became wider is used later.
Higher: more is lost while it is tried."""

FREE_FACTOR: Final = 1.5
"""A limit that grew by this is none any more."""

RECENT_NS: Final = NS_PER_S
"""Over what loss is told."""

_BLANK: Final = np.zeros(
    1,
    np.dtype(
        [
            ("packets", "<i8"),
            ("lost", "<i8"),
            ("bytes", "<i8"),
            ("began_at", "<i8"),
            ("highest_seq", "<i8"),
            ("limit_bps", "<f8"),
            ("found_bps", "<f8"),
            ("updated_at", "<i8"),
            ("sum_packets", "<f8", (PLACES,)),
            ("sum_lost", "<f8", (PLACES,)),
            ("rate_bps", "<f8", (PLACES,)),
            ("closed_at", "<i8", (PLACES,)),
        ]
    ),
)
_BLANK["highest_seq"] = -1
_BLANK["limit_bps"] = np.inf
_BLANK["found_bps"] = np.inf
_BLANK["closed_at"] = -(2**62)


@dataclass(frozen=True, slots=True)
class LossRates:
    """What loss allows; all arrays are (subscribers,)."""

    limit_bps: FloatArray
    """Infinite where loss says nothing."""
    loss: FloatArray
    """Part of the packets of `RECENT_NS` that was lost."""
    lowered: BoolArray
    """The limit was found, or fell, in this update."""


class LossRate:
    """Tells loss by overload from loss that is there whatever is sent.

    For a path of B bit/s that loses a part p of all packets, `q = p + (1 - p) max(0, 1 - B / R)` of those
    sent at R are lost. Observations at several R tell B from p. Each B has its best p by moments, and the
    likelihood of what was observed says which B are possible; of these the highest is believed.
    """

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(self, now: Instant, reports: Reports) -> LossRates:
        """Take up feedback, without probes: what a probe loses, it loses by being one."""
        rows = self.table.rows
        self._count(reports)
        closes = self._close(reports)
        lowered = np.zeros(len(rows), np.bool_)
        which = np.flatnonzero(closes)
        if len(which):
            lowered[which] = self._judge(which)
        elapsed_s = np.minimum((now - rows["updated_at"]) / NS_PER_S, 1.0)
        limit = rows["limit_bps"] * (1.0 + GROWTH * elapsed_s)
        rows["limit_bps"] = np.where(limit > FREE_FACTOR * rows["found_bps"], np.inf, limit)
        rows["updated_at"] = now
        return LossRates(rows["limit_bps"].copy(), self._recent(), lowered)

    def raise_to(self, rates_bps: FloatArray) -> None:
        """It was proven that paths carry this; NaN where nothing was."""
        rows = self.table.rows
        rows["limit_bps"] = np.fmax(rows["limit_bps"], rates_bps)

    def _count(self, reports: Reports) -> None:
        rows = self.table.rows
        came = is_arrived(reports)
        # Behind what was told before: it was told as lost then, and came after all.
        is_late = came & (reports.seq <= rows["highest_seq"][reports.row])
        size = reports.size
        lost = np.bincount(reports.row, np.where(is_late, -1, ~came), size).astype(np.int64)
        rows["packets"] += np.bincount(reports.row, ~is_late, size).astype(np.int64)
        rows["bytes"] += np.bincount(reports.row, reports.size_bytes * ~is_late, size).astype(np.int64)
        rows["lost"] = np.maximum(rows["lost"] + lost, 0)
        rows["highest_seq"] = np.maximum(rows["highest_seq"], reports.newest(reports.seq, -1))

    def _close(self, reports: Reports) -> BoolArray:
        """End observations that are long enough."""
        rows = self.table.rows
        sent_at = reports.newest(reports.sent_at, 0)
        begins = (rows["began_at"] == 0) & (sent_at > 0)
        if begins.any():
            # What came with the first report was sent over an unknown time.
            rows["began_at"][begins] = sent_at[begins]
            for name in ("packets", "lost", "bytes"):
                rows[name][begins] = 0
        span_ns = sent_at - rows["began_at"]
        is_enough = (span_ns >= WINDOW_NS) & (rows["packets"] >= MIN_PACKETS)
        closes: BoolArray = (sent_at > 0) & (is_enough | (span_ns >= MAX_WINDOW_NS)) & (rows["packets"] > 0)
        which = np.flatnonzero(closes)
        closed = {
            "sum_packets": rows["packets"],
            "sum_lost": rows["lost"],
            "rate_bps": rows["bytes"] * 8 * NS_PER_S / np.maximum(span_ns, 1),
            "closed_at": sent_at,
        }
        for name, values in closed.items():
            column = rows[name]
            column[which, 1:] = column[which, :-1]
            column[which, 0] = values[which]
        rows["began_at"][which] = sent_at[which]
        for name in ("packets", "lost", "bytes"):
            rows[name][which] = 0
        return closes

    def _judge(self, which: IntArray) -> BoolArray:
        """Find the limits of some rows; return where one was found or fell."""
        rows = self.table.rows
        packets, lost, rates = (rows[name][which] for name in ("sum_packets", "sum_lost", "rate_bps"))
        fall = np.zeros(len(which), np.bool_)
        has_lost = np.flatnonzero(lost.any(1))
        if not len(has_lost):
            return fall
        highest, ratio = _likely_limit(packets[has_lost], lost[has_lost], rates[has_lost])
        at = which[has_lost]
        limit = rows["limit_bps"][at]
        found = ratio * highest
        is_limited = ratio < 1.0
        new = MARGIN_BELOW * found
        falls = is_limited & (new < limit)
        # More was sent than the limit, and the loss is not because of that.
        frees = ~is_limited & (limit <= highest)
        rows["limit_bps"][at] = np.where(falls, new, np.where(frees, np.inf, limit))
        rows["found_bps"][at] = np.where(falls, new, rows["found_bps"][at])
        fall[has_lost] = falls
        return fall

    def _recent(self) -> FloatArray:
        rows = self.table.rows
        closed_at = rows["closed_at"]
        is_recent = closed_at > closed_at[:, :1] - RECENT_NS
        packets = (rows["sum_packets"] * is_recent).sum(1)
        loss: FloatArray = (rows["sum_lost"] * is_recent).sum(1) / np.maximum(packets, 1.0)
        return loss


def _likely_limit(
    packets: FloatArray, lost: FloatArray, rates_bps: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The highest rate observed and the likely limit as a part of it; 1 where there is none.

    Args:
        packets: (n, PLACES) packets of each observation; 0 where there is none.
        lost: the same, lost.
        rates_bps: the same, rate at which they were sent.
    """
    is_there = packets > 0
    highest = np.where(is_there, rates_bps, 0.0).max(1)
    lowest = np.where(is_there, rates_bps, np.inf).min(1)
    weight = TRUST * FADE ** np.arange(packets.shape[1])
    seen, gone = (packets * weight)[:, None, :], (lost * weight)[:, None, :]
    relative = np.maximum(rates_bps / np.maximum(highest, 1.0)[:, None], 1e-3)[:, None, :]
    over = np.maximum(1.0 - RATIOS[None, :, None] / relative, 0.0)
    inherent = (gone - seen * over).sum(2) / np.maximum((seen * (1.0 - over)).sum(2), 1e-9)
    inherent = np.clip(inherent, 1e-3, MAX_INHERENT)[:, :, None]
    chance = np.minimum(inherent + (1.0 - inherent) * over, 0.999)
    likelihood = (gone * np.log(chance) + (seen - gone) * np.log1p(-chance)).sum(2)
    is_possible = likelihood >= likelihood.max(1)[:, None] - MARGIN
    total = gone.sum((1, 2)) / np.maximum(seen.sum((1, 2)), 1e-9)
    is_lowest = (total > LOSSY) & (highest < ALIKE * lowest)
    largest = len(RATIOS) - 1 - np.argmax(is_possible[:, ::-1], axis=1)
    chosen = np.where(is_lowest, np.argmax(is_possible, axis=1), largest)
    return highest, RATIOS[chosen]
