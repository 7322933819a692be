"""The rate that loss allows: how much of what is lost is lost because so much is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from sfu.bwe.aimd import MIN_BPS
from sfu.bwe.reports import begins, is_arrived
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

PLACES: Final = 16
"""Observations remembered: 4 s. Lower: the rates among them differ too little to tell why packets are lost.
Higher: a path that changed is known as it was."""

FADE: Final = 0.93
"""What an observation counts, against the one after it."""

TRUST: Final = 0.5
MIN_TRUST: Final = 0.04
"""How much of the number of packets counts as evidence, where each is lost by itself, and at least. What is
lost in a row counts as one: it has one cause. Lower: limits are found later. Higher: a radio's gaps look like
limits."""

MARGIN: Final = 3.0
"""A limit is believed where it is likelier than none by this (log-likelihood). Lower: chance looks like a
limit. Higher: a limit is found later."""

MAX_INHERENT: Final = 0.3
USUAL_INHERENT: Final = 0.12
"""A path that loses more than the first whatever is sent is taken for one that is overloaded, and one that
loses more than the second is at first: less is sent, to see. Lower: lossy paths are tried in vain. Higher: an
overload that was there from the beginning stays."""

LEAST_PLACES: Final = 6
LEAST_PACKETS: Final = 100
LEAST_NS: Final = 15 * NS_PER_S
"""The least that was lost of so many observations and packets, in the last one to two of these times, is what
the path loses whatever is sent. Shorter: an overload that lasts is taken for it. Longer: a path that becomes
lossy is taken for overloaded for longer."""

SURPRISE: Final = 6.0
"""How much likelier (log-likelihood) it must be that the path loses more than that least. Lower: an overload
is answered later. Higher: a path that becomes lossy loses more of its rate before it is understood."""

SIMPLE: Final = 10.0
"""What a part of 1 that is lost whatever is sent costs an explanation (log-likelihood): of two that explain
as much, the one with the lower limit holds. Lower: chance decides, and an overload lasts. Higher: lossy paths
are limited."""

CANDIDATES: Final = 8
"""The rates that arrived in so many of the last observations are the limits that are thought of: an
overloaded path lets through what it carries. Lower: chance moves the limit. Higher: a pass takes longer."""

MIN_LOSS: Final = 0.02
"""Where less is lost, nothing proves that it would be lost at any rate. Lower: a limit is given up for one
packet. Higher: one that was none lasts longer."""

MARGIN_BELOW: Final = 0.95
"""What of a limit is used. Lower: less of the path is used. Higher: what waits or is lost already, stays."""

MIN_ARRIVED: Final = 0.85
"""What of the rate that arrived last a limit is at least: observations over a change of rate are of
neither."""

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
            ("lost_bytes", "<i8"),
            ("lost", "<i8"),
            ("gaps", "<i8"),
            ("bytes", "<i8"),
            ("began_at", "<i8"),
            ("highest_seq", "<i8"),
            ("limit_bps", "<f8"),
            ("found_bps", "<f8"),
            ("inherent", "<f8"),
            ("loss", "<f8"),
            ("least", "<f8"),
            ("last_least", "<f8"),
            ("least_since", "<i8"),
            ("updated_at", "<i8"),
            ("sum_packets", "<f8", (PLACES,)),
            ("sum_lost", "<f8", (PLACES,)),
            ("sum_apart", "<f8", (PLACES,)),
            ("rate_bps", "<f8", (PLACES,)),
            ("closed_at", "<i8", (PLACES,)),
        ]
    ),
)
_BLANK["highest_seq"] = -1
_BLANK["limit_bps"] = np.inf
_BLANK["found_bps"] = np.inf
_BLANK["least"] = USUAL_INHERENT
_BLANK["last_least"] = USUAL_INHERENT
_BLANK["closed_at"] = -(2**62)
_COUNTS: Final = ("packets", "lost", "gaps", "bytes", "lost_bytes")
_NOBODY: Final = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class LossRates:
    """What loss allows; all arrays are (subscribers,)."""

    limit_bps: FloatArray
    """Infinite where loss says nothing."""
    held_bps: FloatArray
    """The same, less what is held back while packets are lost."""
    loss: FloatArray
    """Part of the packets of `RECENT_NS` that was lost."""
    inherent: FloatArray
    """Part of the packets that is lost whatever is sent."""
    excess: FloatArray
    """Part of the newest packets that was lost beyond that."""
    lowered: BoolArray
    """The limit was found, or fell, in this update."""


class LossRate:
    """Tells loss by overload from loss that is there whatever is sent.

    For a path of B bit/s that loses a part p of all packets, `q = p + (1 - p) max(0, 1 - B / R)` of those
    sent at R are lost. Observations at several R tell B from p: each B has its best p by moments, and the
    likelihood of what was observed says which B to believe. Where one rate alone was observed, the least loss
    of the last time says what p can be, unless observations speak against it.
    """

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(self, now: Instant, reports: Reports) -> LossRates:
        """Take up feedback, without probes: what a probe loses, it loses by being one."""
        rows = self.table.rows
        lowered = np.zeros(len(rows), np.bool_)
        which = self._close(reports) if len(reports.row) else _NOBODY
        if len(which):
            self._learn_least(now, which)
            lowered[which] = self._judge(which)
            rows["loss"][which] = self._recent(which)
        elapsed_s = np.minimum((now - rows["updated_at"]) / NS_PER_S, 1.0)
        limit = rows["limit_bps"] * (1.0 + GROWTH * elapsed_s)
        rows["limit_bps"] = np.where(limit > FREE_FACTOR * rows["found_bps"], np.inf, limit)
        rows["updated_at"] = now
        newest = rows["sum_lost"][:, 0] / np.maximum(rows["sum_packets"][:, 0], 1.0)
        excess = np.maximum(newest - rows["inherent"], 0.0)
        return LossRates(
            limit_bps=rows["limit_bps"].copy(),
            # What is lost now is sent again, and needs its part.
            held_bps=rows["limit_bps"] * (1.0 - excess),
            loss=rows["loss"].copy(),
            inherent=rows["inherent"].copy(),
            excess=excess,
            lowered=lowered,
        )

    def raise_to(self, rates_bps: FloatArray) -> None:
        """It was proven that paths carry this; NaN where nothing was."""
        rows = self.table.rows
        rows["limit_bps"] = np.fmax(rows["limit_bps"], rates_bps)

    def _count(self, reports: Reports) -> None:
        rows = self.table.rows
        came = is_arrived(reports)
        # Behind what was told before: it was told as lost then, and came after all.
        is_late = came & (reports.seq <= rows["highest_seq"][reports.row])
        first = reports.only(~is_late)
        rows["packets"] += first.counts()
        rows["bytes"] += first.bytes().astype(np.int64)
        rows["highest_seq"] = np.maximum(rows["highest_seq"], reports.newest(reports.seq, -1))
        if came.all() and not is_late.any():
            return
        lost = np.where(is_late, -1, ~came) * reports.size_bytes
        rows["lost_bytes"] += np.bincount(reports.row, lost, reports.size).astype(np.int64)
        rows["lost"] += reports.counts_of(~came)
        # Losses in a row are one gap; one that goes on in the next report is two.
        is_gap = ~came
        is_gap[1:] &= came[:-1] | begins(reports.row)[1:] | (reports.seq[1:] - reports.seq[:-1] != 1)
        rows["gaps"] += reports.counts_of(is_gap)

    def _close(self, reports: Reports) -> IntArray:
        """Count, and end observations that are long enough; return whose."""
        self._count(reports)
        rows = self.table.rows
        sent_at = reports.newest(reports.sent_at, 0)
        is_first = (rows["began_at"] == 0) & (sent_at > 0)
        if is_first.any():
            # What came with the first report was sent over an unknown time.
            rows["began_at"][is_first] = sent_at[is_first]
            for name in _COUNTS:
                rows[name][is_first] = 0
        span_ns = sent_at - rows["began_at"]
        is_enough = (span_ns >= WINDOW_NS) & (rows["packets"] >= MIN_PACKETS)
        closes = (sent_at > 0) & (is_enough | (span_ns >= MAX_WINDOW_NS)) & (rows["packets"] > 0)
        which: IntArray = closes.nonzero()[0]
        if not len(which):
            return which
        told = {name: rows[name][which] for name in _COUNTS}
        closed = {
            "sum_packets": told["packets"],
            # In packets of the mean size: a bottleneck counts bytes, and sound is small.
            "sum_lost": told["packets"]
            * np.minimum(np.maximum(told["lost_bytes"] / np.maximum(told["bytes"], 1), 0.0), 1.0),
            "sum_apart": told["gaps"] / np.maximum(told["lost"], 1),
            "rate_bps": told["bytes"] * 8 * NS_PER_S / np.maximum(span_ns[which], 1),
            "closed_at": sent_at[which],
        }
        for name, values in closed.items():
            column = rows[name]
            column[which, 1:] = column[which, :-1]
            column[which, 0] = values
        rows["began_at"][which] = sent_at[which]
        for name in _COUNTS:
            rows[name][which] = 0
        return which

    def _learn_least(self, now: Instant, which: IntArray) -> None:
        """Whatever is sent, no more is lost than was lost lately, with the doubt there is about that."""
        rows = self.table.rows
        packets = rows["sum_packets"][which, :LEAST_PLACES].sum(1)
        lost = rows["sum_lost"][which, :LEAST_PLACES].sum(1)
        most = (lost + 2.5 * np.sqrt(lost) + 2.0) / np.maximum(packets, 1.0)
        most = np.where(packets >= LEAST_PACKETS, most, np.inf)
        is_old = now - rows["least_since"][which] >= LEAST_NS
        rows["last_least"][which] = np.where(is_old, rows["least"][which], rows["last_least"][which])
        rows["least"][which] = np.minimum(np.where(is_old, np.inf, rows["least"][which]), most)
        rows["least_since"][which] = np.where(is_old, now, rows["least_since"][which])

    def _judge(self, which: IntArray) -> BoolArray:
        """Find the limits of some rows; return where one was found or fell."""
        rows = self.table.rows
        fall = np.zeros(len(which), np.bool_)
        has_lost = rows["sum_lost"][which].any(1)
        rows["inherent"][which[~has_lost]] = 0.0
        at = which[has_lost]
        if not len(at):
            return fall
        packets, lost, rates = (rows[name][at] for name in ("sum_packets", "sum_lost", "rate_bps"))
        apart = (rows["sum_apart"][at] * lost).sum(1) / lost.sum(1)
        least = np.minimum(rows["least"][at], rows["last_least"][at])
        likely = _likely_limit(packets, lost, rates, least, np.maximum(TRUST * apart, MIN_TRUST))
        limit = rows["limit_bps"][at]
        arrived = rates[:, 0] * (1.0 - lost[:, 0] / np.maximum(packets[:, 0], 1.0))
        # From nothing at all no limit would ever grow.
        new = np.maximum(np.maximum(MARGIN_BELOW * likely.limit_bps, MIN_ARRIVED * arrived), MIN_BPS)
        falls = new < limit
        # More was sent than the limit, and the loss is not because of that.
        frees = likely.is_free & (limit <= rates.max(1))
        rows["limit_bps"][at] = np.where(falls, new, np.where(frees, np.inf, limit))
        rows["found_bps"][at] = np.where(falls, new, rows["found_bps"][at])
        rows["inherent"][at] = likely.inherent
        fall[has_lost] = falls
        return fall

    def _recent(self, which: IntArray) -> FloatArray:
        closed_at, packets, lost = (
            self.table.rows[name][which] for name in ("closed_at", "sum_packets", "sum_lost")
        )
        is_recent = closed_at > closed_at[:, :1] - RECENT_NS
        loss: FloatArray = (lost * is_recent).sum(1) / np.maximum((packets * is_recent).sum(1), 1.0)
        return loss


class _Likely(NamedTuple):
    """The best explanation of each row; arrays are (n,)."""

    limit_bps: FloatArray
    """Infinite where there need be none."""
    is_free: BoolArray
    """There is none: what is lost is lost at any rate."""
    inherent: FloatArray
    """What is lost whatever is sent."""


def _likely_limit(
    packets: FloatArray, lost: FloatArray, rates_bps: FloatArray, least: FloatArray, trust: FloatArray
) -> _Likely:
    """Explain observations.

    Args:
        packets: (n, PLACES) packets of each; 0 where there is none.
        lost: the same, lost.
        rates_bps: the same, rate at which they were sent.
        least: (n,) what is lost whatever is sent, as far as was known before.
        trust: (n,) how much of the packets counts as evidence.
    """
    weight = trust[:, None] * FADE ** np.arange(packets.shape[1])
    seen, gone = (packets * weight)[:, None, :], (lost * weight)[:, None, :]
    arrived = (rates_bps * (1.0 - lost / np.maximum(packets, 1.0)))[:, :CANDIDATES]
    usual = np.minimum(least, USUAL_INHERENT)[:, None]
    none = np.full((len(packets), 1), np.inf)
    limits = np.concatenate((none, arrived, arrived / (1.0 - usual)), axis=1)
    over = np.maximum(1.0 - limits[:, :, None] / np.maximum(rates_bps, 1.0)[:, None, :], 0.0)
    inherent = (gone - seen * over).sum(2) / np.maximum((seen * (1.0 - over)).sum(2), 1e-9)
    inherent = np.minimum(np.maximum(inherent, 1e-3), MAX_INHERENT)
    expected = np.minimum(inherent, least[:, None])
    free = _likelihood(seen, gone, over, inherent) - np.where(inherent > expected, SURPRISE, 0.0)
    bound = _likelihood(seen, gone, over, expected)
    inherent = np.where(bound >= free, expected, inherent)
    likelihood = np.maximum(bound, free) - SIMPLE * inherent
    advantage = likelihood[:, 1:].max(1) - likelihood[:, 0]
    best = 1 + np.argmax(likelihood[:, 1:], axis=1)
    chosen = np.where(advantage > MARGIN, best, 0)
    each = np.arange(len(best))
    is_there = packets > 0
    highest = np.where(is_there, rates_bps, 0.0).max(1)
    others = np.where(limits[:, 1:] < MARGIN_BELOW * highest[:, None], likelihood[:, 1:], -np.inf).max(1)
    total = gone.sum((1, 2)) / np.maximum(seen.sum((1, 2)), 1e-9)
    is_free: BoolArray = (total >= MIN_LOSS) & (likelihood[:, 0] > others + MARGIN) & (chosen == 0)
    return _Likely(limits[each, chosen], is_free, inherent[each, chosen])


def _likelihood(seen: FloatArray, gone: FloatArray, over: FloatArray, inherent: FloatArray) -> FloatArray:
    """(n, limits) the logarithm of how likely what is gone is, of what was seen."""
    chance = np.minimum(inherent[:, :, None] + (1.0 - inherent[:, :, None]) * over, 0.999)
    likelihood: FloatArray = (gone * np.log(chance) + (seen - gone) * np.log1p(-chance)).sum(2)
    return likelihood
