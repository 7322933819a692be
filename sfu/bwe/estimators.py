"""Estimation of all subscribers' paths: one call advances all (`Estimators`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.acked import LONG_NS, SHORT_NS, AckedRates
from sfu.bwe.aimd import MIN_BPS, START_BPS, DelayRate, PathSigns
from sfu.bwe.delay import DelayTrend
from sfu.bwe.estimate import ESTIMATE_DTYPE, WISH_DTYPE, BweUpdate, EstimateState
from sfu.bwe.falls import Falls
from sfu.bwe.loss import LossRate
from sfu.bwe.lowest import LowestTargets
from sfu.bwe.overuse import OVER, UNDER, OveruseDetector
from sfu.bwe.pacing import PacingRows
from sfu.bwe.probing import ProbeNeeds, Prober
from sfu.bwe.reports import is_arrived, sorted_reports
from sfu.bwe.rivals import Rivals
from sfu.bwe.roster import Roster
from sfu.bwe.sending import Sending
from sfu.bwe.served import ServedRates
from sfu.units import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.bwe.aimd import DelayRates
    from sfu.bwe.delay import Delays
    from sfu.bwe.loss import LossRates
    from sfu.bwe.reports import Reports
    from sfu.bwe.roster import FloatArray, IdArray, IntArray
    from sfu.bwe.sending import Sent
    from sfu.rows import StructArray
    from sfu.units import Instant, TransportId

UNANSWERED_S: Final = 2.0
"""A peer to which packets go out is sent `START_BPS` for so long, to hear what it says of them; one that says
nothing is sent all. Lower: over a long path, what was sent without limit is in a queue before the first word
comes. Higher: a peer without feedback waits longer for its pictures."""

DEFAULT_ROUND_TRIP_NS: Final = 200 * NS_PER_MS
"""In place of a round trip that is not known."""

PROBE_QUEUE_MS: Final = 30.0
"""No probe goes where more than this waits. Lower: a path that jitters is never probed. Higher: probes make
queues longer."""

LOSS_SLACK: Final = 1.2
"""How far the rate that delay allows may be above the one that loss does. Lower: it grows again from below.
Higher: when the loss ends, it is proven by less."""

# An enumeration's members are slow to look up.
_UNKNOWN, _NORMAL, _OVERUSE, _UNDERUSE, _LOSS, _REMB, _SILENT = (np.int8(state) for state in EstimateState)


class Estimators:
    """What every transport's path carries. Call `update` each tick, with all feedback since the last.

    State is one row a transport, in the order of their ids; nothing depends on the other rows.
    """

    def __init__(self) -> None:
        self._roster = Roster()
        self._sending = Sending()
        self._acked = AckedRates()
        self._trend = DelayTrend()
        self._served = ServedRates()
        self._rivals = Rivals()
        self._overuse = OveruseDetector()
        self._delay = DelayRate()
        self._loss = LossRate()
        self._lowest = LowestTargets()
        self._falls = Falls()
        self._prober = Prober()
        self._pacing = PacingRows()
        self._of_path = (
            self._acked.table,
            self._trend.table,
            self._served.table,
            self._rivals.table,
            self._overuse.table,
            self._delay.table,
            self._loss.table,
            self._lowest.table,
            self._falls.table,
        )
        """What is forgotten when the path is another."""

    def update(
        self, now: Instant, feedback: StructArray, transports: StructArray, wishes: StructArray
    ) -> BweUpdate:
        """Advance all estimates to now.

        Args:
            now: time, not before any earlier one.
            feedback: (n,) of `FEEDBACK_DTYPE`, of all transports and in any order.
            transports: (transports,) of `TRANSPORT_DTYPE`; those not in it are forgotten.
            wishes: (n,) of `WISH_DTYPE`; a transport without one wants nothing.
        """
        transports = _ascending(transports)
        self._arrange(transports["transport"].copy())
        reports = sorted_reports(feedback, self._roster)
        is_media, arrived = reports.cluster == 0, is_arrived(reports)
        sent = self._sending.update(now, transports, reports)
        came = reports.only(arrived)
        self._acked.update(came)
        delays = self._trend.update(now, reports.only(arrived & is_media), self._rivals.has_rival)
        self._served.update(now, came, self._trend.waited(came))
        losses = self._loss.update(now, reports.only(is_media))
        signs = self._signs(now, delays, sent, losses)
        rates = self._delay.update(now, signs)
        self._rivals.meet(rates.grew_on)
        if losses.lowered.any():
            self._delay.lower_to(np.where(losses.lowered, LOSS_SLACK * losses.limit_bps, np.inf))
        remb_bps = _remb(transports)
        path = _Path(transports, signs, sent, losses, rates, remb_bps, _others(sent, remb_bps))
        path = self._prove(now, reports, path)
        return self._told(now, path, _aligned(wishes, self._roster))

    def route_changed(self, transports: Iterable[TransportId]) -> None:
        """The path is another (a pair was selected, the peer moved): nothing known of the old one holds."""
        at, found = self._roster.find(np.fromiter(transports, np.uint32))
        which = np.zeros(len(self._roster), np.bool_)
        which[at[found]] = True
        for table in self._of_path:
            table.clear(which)
        self._prober.clear(which)

    def _arrange(self, transports: IdArray) -> None:
        move = self._roster.adopt(transports)
        if move is None:
            return
        for table in (*self._of_path, self._sending.table, self._pacing.table):
            table.arrange(move)
        self._prober.arrange(move)

    def _signs(self, now: Instant, delays: Delays, sent: Sent, losses: LossRates) -> PathSigns:
        round_trip_ns = np.where(np.isnan(sent.round_trip_ns), DEFAULT_ROUND_TRIP_NS, sent.round_trip_ns)
        has_rival = self._rivals.update(now, delays)
        # Near a known limit others feel a probe as well: who does not give way would take from them.
        is_probed = self._prober.clusters.disturbs(now) & ~self._delay.knows_limit
        short_acked_bps, acked_bps = self._acked.over(now, SHORT_NS, LONG_NS)
        return PathSigns(
            signal=self._overuse.update(now, delays, has_rival, is_probed),
            queue_ms=delays.queue_ms,
            short_acked_bps=short_acked_bps,
            acked_bps=acked_bps,
            served_bps=self._served.rates(now),
            round_trip_ns=round_trip_ns.astype(np.int64),
            inherent_loss=losses.inherent,
            has_rival=has_rival,
            excess_loss=losses.excess,
            is_silent=sent.is_silent,
        )

    def _prove(self, now: Instant, reports: Reports, path: _Path) -> _Path:
        """Take up what probes say."""
        if not self._prober.clusters.is_probing.any():
            return path
        probes = reports.only(reports.cluster != 0)
        results = self._prober.clusters.update(now, probes, path.losses.inherent)
        if not results.has_ended.any():
            return path
        rate_bps = np.minimum(path.rates.rate_bps, path.losses.limit_bps)
        lowered_bps = self._prober.disproven(results)
        proven_bps = self._prober.judge(now, results, rate_bps, self._delay.knows_limit)
        if not np.isnan(lowered_bps).all():
            self._delay.lower_to(np.where(np.isnan(lowered_bps), np.inf, lowered_bps))
            path = replace(path, rates=path.rates.at_most(lowered_bps))
        if np.isnan(proven_bps).all():
            return path
        self._delay.raise_to(proven_bps)
        self._loss.raise_to(proven_bps)
        self._lowest.raise_to(proven_bps)
        rates = replace(
            path.rates,
            rate_bps=np.fmax(path.rates.rate_bps, proven_bps),
            drained_bps=np.fmax(path.rates.drained_bps, proven_bps),
        )
        losses = replace(
            path.losses,
            limit_bps=np.fmax(path.losses.limit_bps, proven_bps),
            held_bps=np.fmax(path.losses.held_bps, proven_bps),
        )
        return replace(path, rates=rates, losses=losses)

    def _told(self, now: Instant, path: _Path, wishes: StructArray) -> BweUpdate:
        """Put together what is said, and ask for probes."""
        signs, sent, transports = path.signs, path.sent, path.transports
        ids = self._roster.transports
        target_bps, state = _targets(path, path.rates.drained_bps, path.losses.held_bps), _states(path)
        # What is held back for a moment is no reason to wait with a step up.
        steady_bps = _targets(path, path.rates.rate_bps, path.losses.limit_bps)
        is_limited = self._sending.limited(target_bps) & sent.has_reports
        fell = (signs.signal == OVER) | sent.is_silent
        is_clear = sent.has_reports & ~fell & (signs.queue_ms < PROBE_QUEUE_MS)
        probes = self._prober.ask(
            now,
            ids,
            ProbeNeeds(
                target_bps=target_bps,
                allocated_bps=wishes["allocated_bps"],
                desired_bps=wishes["desired_bps"],
                next_bps=wishes["next_bps"],
                may_probe=is_clear,
                is_untried=sent.can_send
                & ~sent.has_reports
                & np.isnan(sent.unanswered_s)
                & np.isinf(path.remb_bps),
                has_reports=sent.has_reports,
                fell=fell,
                returns=self._falls.update(now, has_room=is_limited, fell=fell, is_clear=is_clear),
                outgrew=path.rates.outgrew,
            ),
        )
        self._sending.tried(now, self._prober.clusters.is_probing)
        estimates = np.zeros(len(ids), ESTIMATE_DTYPE)
        estimates["transport"] = ids
        estimates["target_bps"] = target_bps
        # Who never says anything is sent all, and at once: there is nothing to wait for.
        lowest_bps = np.where(np.isinf(target_bps), np.inf, self._lowest.update(now, steady_bps))
        estimates["stable_bps"] = np.minimum(lowest_bps, target_bps)
        estimates["acked_bps"] = signs.acked_bps
        estimates["queue_ms"] = signs.queue_ms
        estimates["loss"] = path.losses.loss
        told_ms = transports["round_trip_time_ms"]
        estimates["round_trip_time_ms"] = np.where(np.isnan(told_ms), sent.round_trip_ns / NS_PER_MS, told_ms)
        estimates["state"] = state
        estimates["is_probing"] = self._prober.clusters.is_probing
        estimates["is_limited_by_us"] = is_limited
        # A receiver that estimates itself sees no more than it is sent: it is shown what is withheld.
        pads = (state == _REMB) & ~sent.has_reports & (wishes["next_bps"] > 0)
        begins = self._prober.begins | ((state == _UNKNOWN) & np.isfinite(target_bps))
        pacing = self._pacing.update(ids, target_bps, np.where(pads, target_bps, 0.0), begins)
        return BweUpdate(estimates, pacing, probes)


@dataclass(frozen=True, slots=True)
class _Path:
    """All that one update has found."""

    transports: StructArray
    signs: PathSigns
    sent: Sent
    losses: LossRates
    rates: DelayRates
    remb_bps: FloatArray
    others_bps: FloatArray


def _ascending(transports: StructArray) -> StructArray:
    """(transports,) in order of their ids, as most often they are."""
    ids = transports["transport"]
    if (ids[1:] > ids[:-1]).all():
        return transports
    return transports[np.argsort(ids, kind="stable")]


def _remb(transports: StructArray) -> FloatArray:
    """(subscribers,) what peers estimate themselves; infinite where they say nothing of it."""
    remb_bps = transports["remb_bps"]
    return np.where(remb_bps > 0, np.maximum(remb_bps, MIN_BPS), np.inf)


def _others(sent: Sent, remb_bps: FloatArray) -> FloatArray:
    """(subscribers,) the target of those who tell of no packet."""
    is_waited_for = ~(sent.unanswered_s >= UNANSWERED_S)
    return np.where(is_waited_for & np.isinf(remb_bps), START_BPS, remb_bps)


def _targets(path: _Path, delay_bps: FloatArray, loss_bps: FloatArray) -> FloatArray:
    """(subscribers,) the target, by what delay and loss allow."""
    own_bps = np.minimum(np.minimum(delay_bps, loss_bps), path.remb_bps)
    return np.maximum(np.where(path.sent.has_reports, own_bps, path.others_bps), MIN_BPS)


def _states(path: _Path) -> IntArray:
    """(subscribers,) `EstimateState` of each."""
    signal, delay_bps, loss_bps = path.signs.signal, path.rates.drained_bps, path.losses.held_bps
    state = np.where(loss_bps <= delay_bps, _LOSS, _NORMAL)
    # What comes later is the better reason.
    for holds, value in (
        (signal == UNDER, _UNDERUSE),
        (path.remb_bps < np.minimum(delay_bps, loss_bps), _REMB),
        (signal == OVER, _OVERUSE),
        (path.sent.is_silent, _SILENT),
        (~path.sent.has_reports, np.where(np.isinf(path.remb_bps), _UNKNOWN, _REMB)),
    ):
        state = np.where(holds, value, state)
    return state


def _aligned(wishes: StructArray, roster: Roster) -> StructArray:
    """(subscribers,) wishes in the roster's order; of one who has none, nothing."""
    if np.array_equal(wishes["transport"], roster.transports):
        return wishes
    aligned = np.zeros(len(roster), WISH_DTYPE)
    at, found = roster.find(wishes["transport"])
    aligned[at[found]] = wishes[found]
    return aligned
