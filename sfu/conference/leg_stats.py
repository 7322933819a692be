"""Figures of one leg for its own client, as often as it asked for them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.conference.values import LegStats, TrackStats
from sfu.rows import PAUSED
from sfu.units import NS_PER_S, Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.conference.outcomes import RouteArray
    from sfu.conference.reports import Counted, Reports
    from sfu.conference.subscriptions import Subscriptions
    from sfu.units import Rid, TrackHandle, TransportId

MIN_EVERY_MS: Final = 200
MAX_EVERY_MS: Final = 10_000
"""How often figures may be asked for. More often: they cost more than they tell."""

MAX_PER_TICK: Final = 4
"""Legs of one call that are told in one tick; the others are told in the next. Lower: where fifty ask for
figures five times a second, they get fewer. Higher: a tick takes longer than it should."""

MAX_TRACKS: Final = 256
"""Tracks of one leg that figures are told of."""


@dataclass(slots=True)
class StatsRequest:
    """A leg that wants figures."""

    every_ms: int
    due_at: Instant

    @classmethod
    def asked(cls, now: Instant, every_ms: int) -> StatsRequest | None:
        """What a client asked for, brought into the legal range; None: it wants none."""
        if every_ms <= 0:
            return None
        every_ms = min(max(every_ms, MIN_EVERY_MS), MAX_EVERY_MS)
        return cls(every_ms, after_ms(now, every_ms))

    def told(self, now: Instant) -> None:
        """Figures were told: the next ones are due a while later."""
        self.due_at = after_ms(now, self.every_ms)


def leg_stats(
    leg: TransportId,
    subscriptions: Subscriptions,
    rids: Mapping[TrackHandle, tuple[Rid, ...]],
    reports: Reports,
) -> LegStats:
    """The figures of one leg.

    Args:
        leg: whose.
        subscriptions: of it.
        rids: of the encodings of each track of the call, lowest first.
        reports: the counters, and those of a second or two ago, for rates.
    """
    forwarded = [
        (one.wish, one.forwarding.announced.track, route)
        for one in subscriptions
        if one.forwarding is not None and (route := one.route) is not None
    ][:MAX_TRACKS]
    newest, earlier = reports.newest, reports.earlier
    routes = np.array([route for _, _, route in forwarded], np.uint32)
    now, _ = newest.outcomes.counters_of(routes)
    before, was_there = earlier.outcomes.counters_of(routes)
    elapsed_s = (newest.stats.now - earlier.stats.now) / NS_PER_S
    sent_bytes = now["bytes_sent"].astype(np.int64) - before["bytes_sent"].astype(np.int64)
    bitrates_bps = np.where(was_there & (elapsed_s > 0), sent_bytes * 8 / max(elapsed_s, 1e-9), 0.0)
    losses = np.maximum(now["packets_lost"], 0)
    tracks = tuple(
        TrackStats(
            stream_id=wish.stream_id,
            track_id=wish.track_id,
            rid=rids[track][encoding] if PAUSED < encoding < len(rids[track]) else None,
            bitrate_bps=max(bitrate_bps, 0.0),
            packets_sent=packets,
            packets_lost=lost,
        )
        for (wish, track, _), encoding, bitrate_bps, packets, lost in zip(
            forwarded,
            now["encoding"].tolist(),
            bitrates_bps.tolist(),
            now["packets_sent"].tolist(),
            losses.tolist(),
            strict=True,
        )
    )
    return LegStats(
        leg=leg,
        estimate_bps=_estimate_bps(newest, routes[:1]),
        round_trip_time_ms=_round_trip_time_ms(newest, leg),
        packets_lost=int(losses.sum()),
        tracks=tracks,
    )


def _estimate_bps(counted: Counted, routes: RouteArray) -> float | None:
    """What there was to divide among the routes of the leg, of which one is given; infinite: not known."""
    budgets_bps = [one.budget_bps for one in counted.outcomes.outcomes(routes) if one is not None]
    return next((budget_bps for budget_bps in budgets_bps if isfinite(budget_bps)), None)


def _round_trip_time_ms(counted: Counted, leg: TransportId) -> float | None:
    rows = counted.stats.transports
    found = rows["round_trip_time_ms"][rows["transport"] == leg]
    return float(found[0]) if len(found) and np.isfinite(found[0]) else None
