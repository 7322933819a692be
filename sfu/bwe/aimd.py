"""The rate that delay allows: up slowly, down at once (AIMD, draft-ietf-rmcat-gcc-02 section 5.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.overuse import NORMAL, OVER, UNDER
from sfu.bwe.roster import Table
from sfu.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfu.bwe.roster import BoolArray, FloatArray, IntArray
    from sfu.units import Instant

START_BPS: Final = 1_000_000.0
"""Where an estimate begins. Lower: a first picture is worse until the first probe has come back, a round trip
and 50 ms. Higher: narrow links begin with a queue."""

MIN_BPS: Final = 30_000.0
"""No estimate is less: sound alone, and what `sfu.streams.debt` takes for a rate."""

MAX_BPS: Final = 100_000_000.0
"""No estimate is more: the fastest probe (`sfu.streams.probing`)."""

BACKOFF: Final = 0.85
"""What is left of the rate that arrives, on overuse. Lower: queues empty faster, less of the link is used.
Higher: flows that share a link take longer to share it equally."""

DROP_PART: Final = 0.75
"""What arrives lately is believed where it is less than this of what arrived over a longer time. Lower: a
drop of the path's rate is answered in two steps. Higher: what is lowered is chance, and flows that share a
link are unequal."""

GROWTH: Final = 0.08
"""By how much the rate grows in a second where nothing is known of the path's limit. Lower: what probes did
not find is found later. Higher: the overshoot is larger."""

PACKET_BITS: Final = 9_600.0
NEAR_PACKETS: Final = 2.0
RESPONSE_MS: Final = 100.0
NEAR_GROWTH: Final = (0.01, 0.15)
"""Near the limit it grows by so many packets in each response time (a round trip and the third of these), and
by the first to the last of these parts of itself in a second. Lower: a rate stays below the limit for longer,
and flows that share a link are unequal for longer. Higher: the queue at the limit is longer."""

FREE_FACTOR: Final = 1.1
"""A rate so far above the limit that was known is proof of another limit."""

MAX_DEVIATION: Final = 0.25
"""A limit that differs so much from the one known is a new one; else it is one more measurement."""

MAX_ACKED_FACTOR: Final = 1.25
ACKED_MARGIN_BPS: Final = 100_000.0
"""The rate does not grow past what arrives by this factor and so much: the lowest layer of a camera, or who
hears only sound would never see anything. Lower: pauses of a source hold the rate back. Higher: it is proven
by less, and several layers are given that the path does not carry."""

KNOWN_ACKED_FACTOR: Final = 1.1
FREE_BPS: Final = 250_000.0
"""Where a limit is known, the rate does not grow past it and past what arrives by the first, but up to the
second: layers take less than the rate, so that nothing tells when it has grown past the path, until several
step up at once. Probes find more. Lower: a source that wavers holds the rate back. Higher: such steps."""

WAIT_NS: Final = 300 * NS_PER_MS
"""After a decrease and a round trip, no other for so long: the trend has the old growth in it."""

DRAIN_FROM_MS: Final = 40.0
DRAIN_MS: Final = 300.0
MAX_DRAIN: Final = 0.8
MAX_DRAIN_NS: Final = 1_500 * NS_PER_MS
"""After a decrease, the queue above the first is to be sent off within the second, by holding back up to the
third of the rate, for the fourth at most: a queue that stays is somebody else's. Faster: layers fall further
for a moment. Slower: sound comes late for longer."""

GREW_ON_MS: Final = 100.0
"""Our own queue is shorter when a rate has to be lowered again soon. One that is longer by so much then is a
rival's that has just begun. Lower: a path that falls in steps is taken for one. Higher: a download that
begins takes all of the rate, and pictures stand still."""

RIVAL_BACKOFF: Final = 0.7
RIVAL_WAIT_NS: Final = 2_000 * NS_PER_MS
"""Beside a rival the rate grows as TCP's does, by a packet each round trip, and falls when the rival's does,
by this and not again within so long: its queue is full then, and packets are lost. Higher: the rival gets
less. Lower: we do."""

RIVAL_LOSS: Final = 0.03
"""So does it where more than this of our own packets is lost. Without, two of us that take each other for the
rival would keep a queue full for good. Lower: one packet is enough. Higher: more is lost."""

RIVAL_ACKED_FACTOR: Final = 1.5
"""Beside it the rate grows past what arrives by this and `ACKED_MARGIN_BPS`: no probe passes a queue that
stands, and what was a limit was a moment's share. What has grown so far is left what it was by the next fall,
and a camera keeps its layer. Lower: a camera stays in its lowest. Higher: several steps are taken at once."""

SILENT_FACTOR: Final = 0.64
"""What is left of a rate after a second in which the peer says nothing. Lower: a few lost reports cost a
picture. Higher: a path that is dead is filled for longer."""

_LONG_AGO: Final = -(2**62)
_LOG_GROWTH: Final = np.log1p(GROWTH)

_BLANK: Final = np.zeros(
    1,
    np.dtype(
        [
            ("rate_bps", "<f8"),
            ("limit_bps", "<f8"),
            ("decreased_at", "<i8"),
            ("decreased_queue_ms", "<f8"),
            ("grew_on_at", "<i8"),
            ("updated_at", "<i8"),
        ]
    ),
)
_BLANK["rate_bps"] = START_BPS
_BLANK["limit_bps"] = np.nan
_BLANK["decreased_at"] = _LONG_AGO
_BLANK["grew_on_at"] = _LONG_AGO


@dataclass(frozen=True, slots=True)
class PathSigns:
    """What is known of the paths now; all arrays are (subscribers,)."""

    signal: NDArray[np.int8]
    """`Signal` of each."""
    queue_ms: FloatArray
    short_acked_bps: FloatArray
    """What the path let through lately; NaN where unknown."""
    acked_bps: FloatArray
    """The same over a longer time."""
    served_bps: FloatArray
    """What queues let through, where they were seen at work; else NaN."""
    round_trip_ns: IntArray
    inherent_loss: FloatArray
    """Part of the packets that is lost whatever is sent: the path let it through, but for that."""
    has_rival: BoolArray
    """Somebody else fills the queue on purpose."""
    excess_loss: FloatArray
    """Part of the packets that is lost beyond that, lately."""
    is_silent: BoolArray
    """Packets go out, and the peer says nothing of them."""


@dataclass(frozen=True, slots=True)
class DelayRates:
    """What delay allows; all arrays are (subscribers,)."""

    rate_bps: FloatArray
    drained_bps: FloatArray
    """The same, less what is held back while a queue is sent off."""
    outgrew: BoolArray
    """The limit that was known is none any more."""
    grew_on: BoolArray
    """The rate was lowered, and the queue grew on: somebody else fills it."""

    def at_most(self, rates_bps: FloatArray) -> DelayRates:
        """These, or what paths carry at most (NaN: nobody knows), whichever is lower."""
        lower = (np.fmin(self.rate_bps, rates_bps), np.fmin(self.drained_bps, rates_bps))
        return DelayRates(*lower, self.outgrew, self.grew_on)


class DelayRate:
    """The rate of every subscriber that its queue's growth allows."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)

    @property
    def knows_limit(self) -> BoolArray:
        """(subscribers,) whether overuse has shown where the path ends, and nothing else has since."""
        knows_limit: BoolArray = np.isfinite(self.table.rows["limit_bps"])
        return knows_limit

    def update(self, now: Instant, signs: PathSigns) -> DelayRates:
        """Advance all rates to now."""
        rows = self.table.rows
        is_over = signs.signal == OVER
        elapsed_s = np.minimum((now - rows["updated_at"]) / NS_PER_S, 1.0)
        grew_on = self._decrease(now, signs, is_over) if is_over.any() else is_over
        if signs.has_rival.any():
            self._give_way(now, signs)
        if signs.is_silent.any():
            self.lower_to(np.where(signs.is_silent, rows["rate_bps"] * SILENT_FACTOR**elapsed_s, np.inf))
        outgrew = self._increase(now, signs, elapsed_s)
        rows["updated_at"] = now
        rate = rows["rate_bps"].copy()
        rows["grew_on_at"][grew_on] = now
        # The path may have fallen twice, and the queue be our own.
        is_doubtful = now - rows["grew_on_at"] < MAX_DRAIN_NS
        drains = (~signs.has_rival | is_doubtful) & (now - rows["decreased_at"] < MAX_DRAIN_NS)
        if not drains.any():
            return DelayRates(rate, rate, outgrew, grew_on)
        held = np.minimum(np.maximum((signs.queue_ms - DRAIN_FROM_MS) / DRAIN_MS, 0.0), MAX_DRAIN)
        drained = np.maximum(np.where(drains, rate * (1.0 - held), rate), MIN_BPS)
        return DelayRates(rate, drained, outgrew, grew_on)

    def raise_to(self, rates_bps: FloatArray) -> None:
        """It was proven that paths carry this; NaN where nothing was."""
        rows = self.table.rows
        rows["rate_bps"] = np.fmax(rows["rate_bps"], np.minimum(rates_bps, MAX_BPS))
        outgrown = rates_bps > FREE_FACTOR * rows["limit_bps"]
        rows["limit_bps"][outgrown] = np.nan

    def lower_to(self, rates_bps: FloatArray) -> None:
        """Another part of estimation allows no more than this."""
        rows = self.table.rows
        rows["rate_bps"] = np.maximum(np.minimum(rows["rate_bps"], rates_bps), MIN_BPS)

    def _decrease(self, now: Instant, signs: PathSigns, is_over: BoolArray) -> BoolArray:
        """Lower rates; return whose queue went on growing after the last time."""
        rows = self.table.rows
        age = now - rows["decreased_at"]
        is_new = age >= signs.round_trip_ns + WAIT_NS
        grew_on = is_over & is_new & (age < MAX_DRAIN_NS)
        grew_on &= signs.queue_ms >= rows["decreased_queue_ms"] + GREW_ON_MS
        # Over a short time it is right where the path or the rate has changed, and noise where it has not.
        has_dropped = signs.short_acked_bps < DROP_PART * signs.acked_bps
        acked_bps = np.fmax(signs.short_acked_bps, np.where(has_dropped, 0.0, signs.acked_bps))
        # Of a burst, what arrived in all tells what was sent, and not what the path carries.
        acked_bps = np.fmax(acked_bps, signs.served_bps)
        # What arrives within a round trip was sent before: it tells of the path, not of the decrease. Beside
        # a rival it tells of what that one has taken since.
        tells = is_new | ((age <= signs.round_trip_ns) & ~signs.has_rival)
        falls = is_over & tells & np.isfinite(acked_bps)
        arrived = np.where(falls, acked_bps / (1.0 - signs.inherent_loss), np.inf)
        self.lower_to(BACKOFF * np.where(falls & is_new, np.minimum(arrived, rows["rate_bps"]), arrived))
        limit = rows["limit_bps"]
        is_near = np.abs(arrived - limit) <= MAX_DEVIATION * limit
        rows["limit_bps"] = np.where(falls, np.where(is_near, (limit + arrived) / 2, arrived), limit)
        begins = falls & is_new
        rows["decreased_at"][begins] = now
        rows["decreased_queue_ms"][begins] = signs.queue_ms[begins]
        return grew_on

    def _give_way(self, now: Instant, signs: PathSigns) -> None:
        rows = self.table.rows
        is_full = signs.excess_loss > RIVAL_LOSS
        falls = signs.has_rival & ((signs.signal == UNDER) | is_full)
        falls &= now - rows["decreased_at"] >= RIVAL_WAIT_NS
        self.lower_to(np.where(falls, RIVAL_BACKOFF * rows["rate_bps"], np.inf))
        rows["decreased_at"][falls] = now

    def _increase(self, now: Instant, signs: PathSigns, elapsed_s: FloatArray) -> BoolArray:
        rows = self.table.rows
        rate, limit = rows["rate_bps"], rows["limit_bps"]
        knows_limit = np.isfinite(limit)
        growth = rate * np.expm1(elapsed_s * _LOG_GROWTH)
        arrived = signs.acked_bps / (1.0 - signs.inherent_loss)
        most = np.minimum(MAX_ACKED_FACTOR * arrived + ACKED_MARGIN_BPS, MAX_BPS)
        if knows_limit.any():
            response_s = signs.round_trip_ns / NS_PER_S + RESPONSE_MS / 1000
            packets = np.maximum(NEAR_PACKETS * PACKET_BITS / response_s, NEAR_GROWTH[0] * rate)
            near = elapsed_s * np.minimum(packets, NEAR_GROWTH[1] * rate)
            growth = np.where(knows_limit, near, growth)
            known = np.fmax(np.fmax(limit, KNOWN_ACKED_FACTOR * arrived), FREE_BPS)
            most = np.where(knows_limit, np.minimum(most, known), most)
        if signs.has_rival.any():
            beside = elapsed_s * PACKET_BITS / (signs.round_trip_ns / NS_PER_S) ** 2
            growth = np.where(signs.has_rival, beside, growth)
            most = np.where(signs.has_rival, RIVAL_ACKED_FACTOR * arrived + ACKED_MARGIN_BPS, most)
        grown = np.minimum(rate + growth, most)
        grows = (
            (signs.signal == NORMAL) & ~signs.is_silent & (now - rows["decreased_at"] > signs.round_trip_ns)
        )
        rows["rate_bps"] = np.where(grows, np.fmax(rate, grown), rate)
        outgrew: BoolArray = knows_limit & (rows["rate_bps"] > FREE_FACTOR * limit)
        limit[outgrew] = np.nan
        return outgrew
