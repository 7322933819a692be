"""The control tick: counters and feedback in; layers, pacing and probes out, in one pass over all calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.decision import Cause
from sfu.allocation.policies.utility import utility
from sfu.bwe.estimate import EstimateState
from sfu.conference.speakers import SILENT_DBOV
from sfu.conference.turn import MediaReport
from sfu.control import Control
from sfu.recording.watched import WatchedControl
from sfu.rows import TARGET_DTYPE
from sfu.runtime.alarm import Alarm
from sfu.units import NS_PER_S, Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.allocation.problem import Policy
    from sfu.conference.turn import SetCaps, SetDemand, SetSpeech
    from sfu.metrics import Metrics
    from sfu.plane import Plane
    from sfu.rows import StructArray
    from sfu.runtime.failures import Failures
    from sfu.units import RouteId, TransportId

TICK_MS: Final = 50
"""Lower: more of a core goes into looking than into forwarding. Higher: a layer that stops is noticed later,
and speakers are slower to appear."""

ALLOCATION_GAP_MS: Final = 10
"""Between allocations that a change of demand asks for. Lower: fifty people who subscribe in one burst cost
fifty passes. Higher: each waits for its first picture."""

QUIET_TICK_MS: Final = 200
"""The same where nobody is heard, nothing has changed for `QUIET_AFTER_MS`, and everybody gets all they want.
Lower: an idle process wakes more often. Higher: the first syllable after a silence, a layer that comes or
stops, and a path that fills up are noticed later."""

QUIET_AFTER_MS: Final = 1_000
"""Lower: ticks slow down while somebody takes a breath. Higher: they go on longer for nothing."""

FULL_MS: Final = 1_000
"""So often a tick allocates and counts although nothing has changed. Lower: more of a core goes into finding
that out. Higher: rates that people and metrics are told are older."""

ALIVE_MS: Final = 150
"""Where nothing has changed, the plane is told so often that somebody still chooses. Lower: it is woken for
nothing. Higher: a tick or two that come late look like a stalled Python (`TARGETS_STALE_MS`)."""

_CAUSES: Final = {cause.value: cause.label for cause in Cause}
_STATES: Final = {state.value: state.name.lower() for state in EstimateState}

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
        policy: divides what paths carry.
    """

    def __init__(
        self,
        plane: Plane,
        metrics: Metrics,
        failures: Failures,
        *,
        clock: Callable[[], Instant],
        report: Callable[[MediaReport], None],
        policy: Policy = utility,
    ) -> None:
        self._plane = plane
        self._metrics = metrics
        self._failures = failures
        self._clock = clock
        self._report = report
        self._control = WatchedControl(Control(policy))
        self._wake = asyncio.Event()
        self._busy_until = self._full_at = self._targets_at = clock()

    @property
    def control(self) -> WatchedControl:
        """What decides, for whoever wants to watch it."""
        return self._control

    def set_demand(self, demand: SetDemand) -> None:
        """Somebody wants a track, or wants it in another size; it is allocated at once."""
        self._change(lambda: self._control.set_demand(demand))

    def drop_demand(self, route: RouteId) -> None:
        """Somebody wants a track no more; what that frees is given away at once."""
        self._change(lambda: self._control.drop_demand(route))

    def set_caps(self, caps: SetCaps) -> None:
        """The operator gives a leg no more than this; it holds at once."""
        given = caps.leg, caps.max_bps, caps.max_height, caps.max_videos
        self._change(lambda: self._control.set_caps(*given))

    def set_speech(self, speech: SetSpeech) -> None:
        """Others speak; who is heard now is forwarded at once."""
        given = speech.conference, speech.cameras, speech.unheard
        self._change(lambda: self._control.set_speech(*given))

    def route_changed(self, leg: TransportId) -> None:
        """A peer is somewhere else now: its path is measured anew."""
        self._control.route_changed((leg,))

    def forget(self, leg: TransportId) -> None:
        """A leg is over; its demands are dropped one by one."""
        self._control.forget(leg)

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
                elif self._control.is_stale and now >= allocate_at:
                    self._guarded(self._allocate)
                    allocate_at = after_ms(self._clock(), ALLOCATION_GAP_MS)
                alarm.set(min(tick_at, allocate_at) if self._control.is_stale else tick_at)
                await self._wake.wait()
        finally:
            alarm.set(None)

    def _change(self, change: Callable[[], None]) -> None:
        self._busy_until = after_ms(self._clock(), QUIET_AFTER_MS)
        was_stale = self._control.is_stale
        change()
        if not was_stale:
            self._wake.set()

    def _period_ms(self) -> int:
        return TICK_MS if self._clock() < self._busy_until else QUIET_TICK_MS

    def _tick(self) -> None:
        began_at = self._clock()
        is_full = began_at >= self._full_at
        stats = self._plane.stats()
        update = self._control.tick(began_at, stats, self._plane.feedback(), is_full=is_full)
        if len(update.pacing):
            self._plane.set_pacing(update.pacing)
        if len(update.probes):
            self._plane.probe(update.probes)
            self._metrics.probes.inc(len(update.probes))
        if update.targets is not None:
            self._set_targets(update.targets)
        elif began_at >= after_ms(self._targets_at, ALIVE_MS):
            self._set_targets(NO_TARGETS)
        is_heard = (stats.encodings["audio_level"] < SILENT_DBOV).any()
        if update.has_news or is_heard or not self._control.is_calm:
            self._busy_until = after_ms(began_at, QUIET_AFTER_MS)
        self._report(MediaReport(stats, update.decisions, update.estimates))
        if is_full:
            self._full_at = after_ms(began_at, FULL_MS)
            self._metrics.publish(stats)
            self._metrics.publish_decisions(update.decisions, _CAUSES)
            self._metrics.publish_estimates(update.estimates, _STATES)
        self._metrics.tick_seconds.observe((self._clock() - began_at) / NS_PER_S)

    def _allocate(self) -> None:
        self._set_targets(self._control.allocate(self._clock()))

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
