"""The control tick: counters in, layer choices out, in one pass over all subscribers of all calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.allocate import allocate
from sfu.allocation.decision import DECISION_DTYPE, Cause, targets_of
from sfu.allocation.rates import EncodingRates
from sfu.allocation.table import DemandTable
from sfu.conference.turn import MediaReport
from sfu.plane import TARGET_DTYPE
from sfu.units import NS_PER_S, Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.conference.turn import SetDemand
    from sfu.metrics import Metrics
    from sfu.plane import Plane, StructArray
    from sfu.runtime.failures import Failures
    from sfu.units import RouteId

TICK_MS: Final = 50
"""Lower: more of a core goes into looking than into forwarding. Higher: a layer that stops is noticed later,
and speakers are slower to appear."""

ALLOCATION_GAP_MS: Final = 10
"""Between allocations that a change of demand asks for. Lower: fifty people who subscribe in one burst cost
fifty passes. Higher: each waits for its first picture."""

FULL_TICKS: Final = 10
"""One tick in so many allocates and counts although nothing has changed. Lower: more of a core goes into
finding that out. Higher: rates that people and metrics are told are older, by `TICK_MS` each."""

_LEAST_SLEEP_S: Final = 0.001
"""uvloop counts milliseconds: a shorter sleep would be a spin."""

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
        self._changed = asyncio.Event()
        self._ticks = 0
        self._decisions: StructArray = np.zeros(0, DECISION_DTYPE)
        self._allocated_changes = -1

    def set_demand(self, demand: SetDemand) -> None:
        """Somebody wants a track, or wants it in another size; it is allocated at once."""
        self._demand.set(demand)
        self._changed.set()

    def drop_demand(self, route: RouteId) -> None:
        """Somebody wants a track no more; what that frees is given away at once."""
        self._demand.drop(route)
        self._changed.set()

    async def run(self) -> None:
        """Tick until cancelled."""
        tick_at = self._clock()
        allocate_at = tick_at
        while True:
            now = self._clock()
            if now >= tick_at:
                self._metrics.tick_lateness_seconds.observe((now - tick_at) / NS_PER_S)
                self._guarded(self._tick)
                tick_at, skipped = following_tick(tick_at, self._clock())
                self._metrics.ticks_skipped.inc(skipped)
                allocate_at = after_ms(self._clock(), ALLOCATION_GAP_MS)
            elif self._changed.is_set() and now >= allocate_at:
                self._guarded(self._allocate)
                allocate_at = after_ms(self._clock(), ALLOCATION_GAP_MS)
            elif self._changed.is_set():
                await self._sleep_until(min(tick_at, allocate_at))
            else:
                await self._changed_before(tick_at)

    def _tick(self) -> None:
        began_at = self._clock()
        is_full = self._ticks % FULL_TICKS == 0
        self._ticks += 1
        stats = self._plane.stats()
        self._rates.update(stats)
        if is_full or self._changed.is_set() or self._rates.changes != self._allocated_changes:
            self._allocate()
        else:
            self._plane.set_targets(NO_TARGETS)
        self._report(MediaReport(stats, self._decisions))
        if is_full:
            self._metrics.publish(stats)
            self._metrics.publish_decisions(self._decisions, _CAUSES)
        self._metrics.tick_seconds.observe((self._clock() - began_at) / NS_PER_S)

    def _allocate(self) -> None:
        self._changed.clear()
        self._allocated_changes = self._rates.changes
        self._decisions = allocate(self._demand, self._rates)
        self._plane.set_targets(targets_of(self._decisions))

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001  # one bad tick must not be the last
            self._failures.note("tick", error)

    async def _sleep_until(self, instant: Instant) -> None:
        await asyncio.sleep(max(_LEAST_SLEEP_S, (instant - self._clock()) / NS_PER_S))

    async def _changed_before(self, instant: Instant) -> None:
        try:
            async with asyncio.timeout(max(_LEAST_SLEEP_S, (instant - self._clock()) / NS_PER_S)):
                await self._changed.wait()
        except TimeoutError:
            return


def following_tick(due_at: Instant, now: Instant) -> tuple[Instant, int]:
    """When the next tick is due, after `now` and in step with those before, and how many were missed."""
    period = after_ms(Instant(0), TICK_MS)
    steps = max(1, (now - due_at) // period + 1)
    return Instant(due_at + steps * period), steps - 1
