"""Queues on the way, by one-way delay: how long what stands in them waits, and how fast it grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.reports import begins
from sfu.bwe.roster import Table
from sfu.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from sfu.bwe.reports import Reports
    from sfu.bwe.roster import BoolArray, FloatArray, IntArray
    from sfu.units import Instant

GROUP_NS: Final = 5 * NS_PER_MS
"""Packets sent within one such step of our clock are one sample, the least delayed of them: what a batch
waits for its own first packets is no queue (draft-ietf-rmcat-gcc-02 section 5.2 groups bursts for the same
reason). Lower: more samples, more noise. Higher: fewer, and a queue is seen later."""

PLACES: Final = 64
"""Samples remembered. Lower: a window of a fast stream is not full. Higher: a pass takes longer."""

TREND_MS: Final = 300.0
"""Over what growth is measured. Lower: jitter looks like growth. Higher: slow growth is seen later."""

QUEUE_MS: Final = 100.0
"""What stands in a queue is the least delay of so long, so that jitter and bunches count as none. Lower: they
do. Higher: a queue is seen later."""

MIN_SAMPLES: Final = 5
"""Fewer say nothing about growth."""

MIN_SPREAD_MS: Final = 40.0
"""Samples that arrived closer together say nothing about growth."""

BASE_S: Final = 15.0
"""The least delay is of the last one to two such times. Lower: a queue that others fill is soon taken for the
path. Higher: a path that became longer looks like a queue for so long, as does a clock that runs apart."""

RIVAL_BASE_S: Final = 120.0
"""The same while a rival fills the queue, and it is never empty. Lower: the rival's queue is taken for the
path, and we give way to it. Higher: a path that became longer is taken for a rival's queue for so long."""

STALE_NS: Final = NS_PER_S
"""What nobody tells anything of for so long has no queue. Lower: a pause between frames empties it. Higher: a
path on which nothing flows any more is not probed."""

WAITED_MS: Final = 10.0
"""A packet that took so much longer than the fastest stood in a queue. Lower: jitter counts. Higher: a burst
must be longer to tell what a path carries."""

MAX_JUMP_MS: Final = 10_000.0
"""A change of delay above this is another clock, and measuring begins anew."""

_BLANK: Final = np.zeros(
    1,
    np.dtype(
        [
            ("used", "<i8"),
            ("next", "<i8"),
            ("origin_at", "<i8"),
            ("origin_delay", "<i8"),
            ("at_ms", "<f8", (PLACES,)),
            ("delay_ms", "<f8", (PLACES,)),
            ("base_ms", "<f8"),
            ("last_base_ms", "<f8"),
            ("base_since", "<i8"),
            ("heard_at", "<i8"),
        ]
    ),
)
_BLANK["at_ms"] = -np.inf
_BLANK["base_ms"] = np.inf
_BLANK["last_base_ms"] = np.inf


@dataclass(frozen=True, slots=True)
class Delays:
    """What is known of each subscriber's queues; all arrays are (subscribers,)."""

    queue_ms: FloatArray
    """One-way delay above its minimum."""
    growth_ms: FloatArray
    """By how much it grew over `TREND_MS`, by least squares; 0 where too little is known."""
    growth_error_ms: FloatArray
    """The standard error of that, by how far delays are from the line."""
    noise_ms: FloatArray
    """The standard deviation of delays about the line: jitter, and bursts."""
    is_new: BoolArray
    """There were samples in this update, or there have been none for `STALE_NS`."""


class DelayTrend:
    """The last samples of one-way delay of every subscriber.

    Sums of inter-group delay variation, as the draft has them, are one-way delay but for a constant; so the
    delay itself is kept, and a group that two updates share may be two samples.
    """

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    def update(self, now: Instant, arrived: Reports, has_rival: BoolArray) -> Delays:
        """Take up what has arrived.

        Args:
            now: time.
            arrived: what has come, without probes: their queue is of their own making.
            has_rival: (subscribers,) somebody else filled the queue so far.
        """
        row, at, delay = _samples(arrived)
        counts = np.bincount(row, minlength=arrived.size)
        is_new = counts > 0
        rows = self.table.rows
        if len(row):
            firsts, told = counts.cumsum() - counts, is_new.nonzero()[0]
            self._begin(now, told, at[firsts[told]], delay[firsts[told]])
            at_ms = (at - rows["origin_at"][row]) / NS_PER_MS
            delay_ms = (delay - rows["origin_delay"][row]) / NS_PER_MS
            self._keep(row, np.arange(len(row)) - firsts[row], at_ms, delay_ms, counts)
            np.minimum.at(rows["base_ms"], row, delay_ms)
        self._age(now, has_rival)
        rows["heard_at"][is_new] = now
        is_stale = now - rows["heard_at"] >= STALE_NS
        growth_ms, error_ms, noise_ms, queue_ms = self._measure()
        return Delays(
            queue_ms=np.where(is_stale, 0.0, queue_ms),
            growth_ms=np.where(is_stale, 0.0, growth_ms),
            growth_error_ms=error_ms,
            noise_ms=noise_ms,
            is_new=is_new | is_stale,
        )

    def waited(self, arrived: Reports) -> BoolArray:
        """(packets,) whether each stood in a queue."""
        rows = self.table.rows
        base_ms = np.minimum(rows["base_ms"], rows["last_base_ms"]) + WAITED_MS
        waited: BoolArray = (
            arrived.arrived_at - arrived.sent_at
            > (rows["origin_delay"] + np.minimum(base_ms, MAX_JUMP_MS) * NS_PER_MS)[arrived.row]
        )
        return waited

    def _begin(self, now: Instant, which: IntArray, first_at: IntArray, first_delay: IntArray) -> None:
        """Begin anew where the clock jumped, and where nothing is known yet, by the first samples of each."""
        rows = self.table.rows
        offset_ms = (first_delay - rows["origin_delay"][which]) / NS_PER_MS
        jumped = (rows["used"][which] > 0) & (np.abs(offset_ms) > MAX_JUMP_MS)
        if jumped.any():
            rows[which[jumped]] = _BLANK
        begins = rows["used"][which] == 0
        which = which[begins]
        rows["origin_delay"][which] = first_delay[begins]
        rows["origin_at"][which] = first_at[begins]
        rows["base_since"][which] = now

    def _keep(
        self, row: IntArray, index: IntArray, at_ms: FloatArray, delay_ms: FloatArray, counts: IntArray
    ) -> None:
        """Remember the newest samples; `index` is the number of each among those of its row."""
        rows = self.table.rows
        if counts.max() > PLACES:
            keeps = index >= (counts - PLACES)[row]
            row, index, at_ms, delay_ms = row[keeps], index[keeps], at_ms[keeps], delay_ms[keeps]
        place = (rows["next"][row] + index) % PLACES
        rows["at_ms"][row, place] = at_ms
        rows["delay_ms"][row, place] = delay_ms
        rows["next"] = (rows["next"] + counts) % PLACES
        rows["used"] = np.minimum(rows["used"] + counts, PLACES)

    def _age(self, now: Instant, has_rival: BoolArray) -> None:
        """Let what is too old of the least delays go."""
        rows = self.table.rows
        lasts_s = np.where(has_rival, RIVAL_BASE_S, BASE_S)
        is_old = now - rows["base_since"] >= lasts_s * NS_PER_S
        if is_old.any():
            rows["last_base_ms"][is_old] = rows["base_ms"][is_old]
            rows["base_ms"][is_old] = np.inf
            rows["base_since"][is_old] = now

    def _measure(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Growth, its error, noise and queue from what is remembered."""
        rows = self.table.rows
        at_ms, delay_ms = rows["at_ms"], rows["delay_ms"]
        newest_ms = at_ms.max(1)
        known = np.isfinite(newest_ms)
        ages = np.where(known, newest_ms, 0.0)[:, None] - at_ms
        is_recent = ages <= TREND_MS
        count = np.maximum(is_recent.sum(1), 1)
        x, y = np.where(is_recent, -ages, 0.0), np.where(is_recent, delay_ms, 0.0)
        x_sum, y_sum = x.sum(1), y.sum(1)
        spread = np.einsum("ij,ij->i", x, x) - x_sum * x_sum / count
        spread = np.maximum(spread, 1e-9)
        slope = (np.einsum("ij,ij->i", x, y) - x_sum * y_sum / count) / spread
        off_line = np.einsum("ij,ij->i", y, y) - y_sum * y_sum / count - slope * slope * spread
        noise_ms = np.sqrt(np.maximum(off_line, 0.0) / np.maximum(count - 2, 1))
        enough = known & (count >= MIN_SAMPLES) & (-x.min(1) >= MIN_SPREAD_MS)
        recent = np.where(ages <= QUEUE_MS, delay_ms, np.inf).min(1)
        base = np.minimum(rows["base_ms"], rows["last_base_ms"])
        queue_ms = np.where(
            known & np.isfinite(base), np.maximum(recent - np.where(known, base, 0.0), 0.0), 0.0
        )
        growth_ms = np.where(enough, slope * TREND_MS, 0.0)
        return growth_ms, noise_ms * TREND_MS / np.sqrt(spread), noise_ms, queue_ms


def _samples(arrived: Reports) -> tuple[IntArray, IntArray, IntArray]:
    """One sample of each group: its row, when its least delayed packet arrived, and that one's delay."""
    if not len(arrived.row):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    group = arrived.sent_at // GROUP_NS
    starts = begins(group, arrived.row).nonzero()[0]
    delay = arrived.arrived_at - arrived.sent_at
    least = np.minimum.reduceat(delay, starts)
    return arrived.row[starts], arrived.sent_at[starts] + least, least
