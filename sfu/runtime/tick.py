"""The control tick: counters in, layer choices out, in one pass over all subscribers of all calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.allocate import allocate
from sfu.allocation.decision import DECISION_DTYPE, Cause, targets_of
from sfu.allocation.rates import EncodingRates
from sfu.allocation.table import DemandTable
from sfu.conference.speakers import SILENT_DBOV
from sfu.conference.turn import MediaReport
from sfu.rows import TARGET_DTYPE
from sfu.runtime.alarm import Alarm
from sfu.units import NS_PER_S, Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.conference.turn import SetDemand
    from sfu.metrics import Metrics
    from sfu.plane import Plane
    from sfu.rows import StructArray
    from sfu.runtime.failures import Failures
    from sfu.units import RouteId

TICK_MS: Final = 50
"""Lower: more of a core goes into looking than into forwarding. Higher: a layer that stops is noticed later,
and speakers are slower to appear."""

ALLOCATION_GAP_MS: Final = 10
"""Between allocations that a change of demand asks for. Lower: fifty people who subscribe in one burst cost
fifty passes. Higher: each waits for its first picture."""

QUIET_TICK_MS: Final = 100
"""The same where nobody is heard, and nothing has changed for `QUIET_AFTER_MS`. Lower: an idle process wakes
more often. Higher: the first syllable after a silence, and a layer that comes or stops, are noticed later."""

QUIET_AFTER_MS: Final = 1_000
"""Lower: ticks slow down while somebody takes a breath. Higher: they go on longer for nothing."""

FULL_MS: Final = 1_000
"""So often a tick allocates and counts although nothing has changed. Lower: more of a core goes into finding
that out. Higher: rates that people and metrics are told are older."""

ALIVE_MS: Final = 200
"""Where nothing has changed, the plane is told so often that somebody still chooses. Lower: it is woken for
nothing. Higher: a tick or two that come late look like a stalled Python (`TARGETS_STALE_MS`)."""

_CAUSES: Final = {cause.value: cause.label for cause in Cause}

NO_TARGETS: Final = np.zeros(0, TARGET_DTYPE)
"""Says to the plane that somebody still chooses (`TARGETS_STALE_MS`)."""


class Ticker:
    """When and what a tick does. One that fails is counted, and the next one comes all the same.

    Args:
        plane: whose counters and targets.
        metrics: where counters go.
        failures: where its mistakes go.
        clock: monotonic now.
        report: takes each tick's report.
    """

    def __init__(
        self,
        plane: Plane,
        metrics: Metrics,
        failures: Failures,
        *,
        clock: Callable[[], Instant],
        report: Callable[[MediaReport], None],
    ) -> None:
        self._plane = plane
        self._metrics = metrics
        self._failures = failures
        self._clock = clock
        self._report = report
        self._demand = DemandTable()
        self._rates = EncodingRates()
        self._wake = asyncio.Event()
        self._is_stale = False
        """The demand is another than was allocated."""
        self._busy_until = self._full_at = self._targets_at = clock()
        self._decisions: StructArray = np.zeros(0, DECISION_DTYPE)
        self._allocated_changes = -1

    def set_demand(self, demand: SetDemand) -> None:
        """Somebody wants a track, or wants it in another size; it is allocated at once."""
        self._demand.set(demand)
        self._demand_changed()

    def drop_demand(self, route: RouteId) -> None:
        """Somebody wants a track no more; what that frees is given away at once."""
        self._demand.drop(route)
        self._demand_changed()

    async def run(self) -> None:
        """Tick until cancelled."""
        alarm = Alarm(self._clock, self._wake.set)
        tick_at = allocate_at = self._clock()
        try:
            while True:
                self._wake.clear()
                now = self._clock()
                if now >= tick_at:
                    self._metrics.tick_lateness_seconds.observe((now - tick_at) / NS_PER_S)
                    self._guarded(self._tick)
                    tick_at, skipped = following_tick(tick_at, self._clock(), self._period_ms())
                    if skipped:
                        self._metrics.ticks_skipped.inc(skipped)
                    allocate_at = after_ms(self._clock(), ALLOCATION_GAP_MS)
                elif self._is_stale and now >= allocate_at:
                    self._guarded(self._allocate)
                    allocate_at = after_ms(self._clock(), ALLOCATION_GAP_MS)
                alarm.set(min(tick_at, allocate_at) if self._is_stale else tick_at)
                await self._wake.wait()
        finally:
            alarm.set(None)

    def _demand_changed(self) -> None:
        self._busy_until = after_ms(self._clock(), QUIET_AFTER_MS)
        if not self._is_stale:
            self._is_stale = True
            self._wake.set()

    def _period_ms(self) -> int:
        return TICK_MS if self._clock() < self._busy_until else QUIET_TICK_MS

    def _tick(self) -> None:
        began_at = self._clock()
        is_full = began_at >= self._full_at
        stats = self._plane.stats()
        self._rates.update(stats)
        is_changed = self._is_stale or self._rates.changes != self._allocated_changes
        if is_changed or (stats.encodings["audio_level"] < SILENT_DBOV).any():
            self._busy_until = after_ms(began_at, QUIET_AFTER_MS)
        if is_changed or is_full:
            self._allocate()
        elif began_at >= after_ms(self._targets_at, ALIVE_MS):
            self._set_targets(NO_TARGETS)
        self._report(MediaReport(stats, self._decisions))
        if is_full:
            self._full_at = after_ms(began_at, FULL_MS)
            self._metrics.publish(stats)
            self._metrics.publish_decisions(self._decisions, _CAUSES)
        self._metrics.tick_seconds.observe((self._clock() - began_at) / NS_PER_S)

    def _allocate(self) -> None:
        self._is_stale = False
        self._allocated_changes = self._rates.changes
        self._decisions = allocate(self._demand, self._rates)
        self._set_targets(targets_of(self._decisions))

    def _set_targets(self, targets: StructArray) -> None:
        self._plane.set_targets(targets)
        self._targets_at = self._clock()

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001  # one bad tick must not be the last
            self._failures.note("tick", error)


def following_tick(due_at: Instant, now: Instant, period_ms: int) -> tuple[Instant, int]:
    """When the next tick is due, after `now` and in step with those before, and how many were missed."""
    period = after_ms(Instant(0), period_ms)
    steps = max(1, (now - due_at) // period + 1)
    return Instant(due_at + steps * period), steps - 1
