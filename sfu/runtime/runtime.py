"""What wakes: inputs become engine turns, outputs become effects, one turn at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from sfu.allocation.policies.utility import utility
from sfu.conference.turn import (
    DataChannelClosed,
    DataChannelOpened,
    DataReceived,
    DataRefused,
    LegConnected,
    LegFailed,
)
from sfu.plane import ConsentLost, PairSelected, PortRefused
from sfu.runtime.alarm import Alarm
from sfu.runtime.clocks import monotonic_clock, wall_clock
from sfu.runtime.drain import PlaneDrain
from sfu.runtime.failures import Failures
from sfu.runtime.inbox import Inbox
from sfu.runtime.lag import watch_lag
from sfu.runtime.legs import Legs
from sfu.runtime.performer import Performer, leg_of
from sfu.runtime.tick import Ticker
from sfu.units import NS_PER_S, Instant, after_ms, after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.allocation.problem import Policy
    from sfu.conference.turn import Engine, RuntimeInput
    from sfu.config import SfuConfig
    from sfu.metrics import Metrics
    from sfu.plane import Batch, Plane
    from sfu.recording.watched import WatchedControl
    from sfu.transport.certificate import Certificate
    from sfu.units import TransportId, WallTime

TIMER_GAP_MS: Final = 5
"""Between two `handle_timeout`. Lower: an engine whose timer does not move on takes the whole processor.
Higher: what is due one after the other drags on."""

TIMER_HOLD_S: Final = 1.0
"""After a `handle_timeout` that failed: it would most likely fail again at once."""

_ABOUT_A_LEG: Final = (
    LegConnected
    | LegFailed
    | DataChannelOpened
    | DataChannelClosed
    | DataReceived
    | DataRefused
    | PairSelected
    | ConsentLost
)


class Runtime:
    """Drives one engine over one plane.

    An exception in a turn about a leg is logged and counted and ends that leg by
    `LegFailed(leg, "internal")`; in any other turn it is logged and counted. A `LegFailed` is final: once the
    engine has been told, the leg is closed, whether it asked for that or not. Nothing is told of a leg that
    has been closed.

    Args:
        engine: decides.
        plane: forwards. The caller closes it, after `run`.
        certificate: ours, for every leg.
        config: of the media server.
        metrics: where everything is counted.
        perform: takes the outputs of the dialect, in their order among the others.
        policy: divides what paths to participants carry.
        clock: monotonic now, as the plane counts.
        wall_clock: now, as Matrix counts.
    """

    def __init__(
        self,
        engine: Engine,
        plane: Plane,
        certificate: Certificate,
        config: SfuConfig,
        metrics: Metrics,
        perform: Callable[[Any], None],
        *,
        policy: Policy = utility,
        clock: Callable[[], Instant] = monotonic_clock,
        wall_clock: Callable[[], WallTime] = wall_clock,
    ) -> None:
        self._engine = engine
        self._plane = plane
        self._metrics = metrics
        self._clock = clock
        self._wall_clock = wall_clock
        self._inbox = Inbox()
        self._failures = Failures(metrics, clock)
        self._drain = PlaneDrain(plane, self._take_batch, self._failures)
        self._ticker = Ticker(
            plane, metrics, self._failures, clock=clock, report=self._inbox.put_report, policy=policy
        )
        self._legs = Legs(
            certificate,
            config.limits,
            consent_timeout_s=config.media.consent_timeout_s,
            clock=clock,
            emit=self._emit,
            apply=plane.apply,
            metrics=metrics,
            failures=self._failures,
        )
        self._performer = Performer(plane, self._legs, self._ticker, perform, metrics, self._failures)
        self._timers_from = Instant(0)

    def submit(self, given: Any) -> bool:  # noqa: ANN401  # inputs of whatever dialect
        """Queue an input of the dialect for its turn.

        Returns:
            False where too many wait (`inbox.MAX_WAITING`): it was not taken, and that is counted. Whoever
            can wait awaits `ready` and submits it again.
        """
        taken = self._inbox.offer(given)
        if not taken:
            self._metrics.inputs_refused.inc()
        return taken

    async def ready(self) -> None:
        """Wait until `submit` takes inputs; at once while not too many wait."""
        await self._inbox.room()

    @property
    def control(self) -> WatchedControl:
        """What decides about layers, for whoever wants to watch it."""
        return self._ticker.control

    @property
    def waiting(self) -> int:
        """How many inputs wait for their turn."""
        return len(self._inbox)

    async def idle(self) -> None:
        """Wait until everything that was submitted has had its turn, and its outputs are performed."""
        await self._inbox.emptied()

    async def run(self) -> None:
        """Run until cancelled; then every client is told, and every task has ended."""
        self._metrics.plane_info.labels(self._plane.name).set(1)
        async with self._legs.living():
            try:
                async with asyncio.TaskGroup() as group:
                    self._drain.open()
                    group.create_task(self._turns())
                    group.create_task(self._ticker.run())
                    group.create_task(watch_lag(self._clock, self._metrics))
            finally:
                self._drain.close()

    # --- inputs -------------------------------------------------------------------------------------------

    def _emit(self, given: RuntimeInput) -> None:
        if isinstance(given, LegFailed):
            self._metrics.leg_failures.labels(given.reason).inc()
        self._inbox.put(given)

    def _take_batch(self, batch: Batch) -> None:
        for transport, data in batch.datagrams:
            self._legs.feed(transport, data)
        for event in batch.events:
            if isinstance(event, PortRefused):
                self._legs.port_refused(event.transport)
                continue
            if isinstance(event, ConsentLost):
                self._metrics.leg_failures.labels("consent").inc()
            elif isinstance(event, PairSelected):
                self._legs.pair_selected(event.transport)
                self._ticker.route_changed(event.transport)
            self._inbox.put(event)
        for transport, address, data in batch.responses:
            self._legs.respond(transport, address, data)
        if self._inbox.is_full:
            self._drain.close()

    # --- turns --------------------------------------------------------------------------------------------

    async def _turns(self) -> None:
        alarm = Alarm(self._clock, self._inbox.rouse)
        try:
            while True:
                if await self._due_or_arrived(alarm):
                    self._timers_from = after_ms(self._clock(), TIMER_GAP_MS)
                    self._turn(None)
                else:
                    self._turn(self._inbox.take())
                if not self._inbox.is_full:
                    self._drain.open()
                if len(self._inbox):
                    await asyncio.sleep(0)
        finally:
            alarm.set(None)

    async def _due_or_arrived(self, alarm: Alarm) -> bool:
        """Wait for either; True: timers are due, and go first."""
        due_at = self._due_at()  # another one after each turn, and not before
        while due_at is None or due_at > self._clock():
            if len(self._inbox):
                return False
            alarm.set(due_at)
            await self._inbox.arrival()
        return True

    def _due_at(self) -> Instant | None:
        try:
            due_at = self._engine.next_timeout()
        except Exception as error:  # noqa: BLE001  # a supervisor
            self._failures.note("turn", error, given="next_timeout")
            return after_s(self._clock(), TIMER_HOLD_S)
        return None if due_at is None else max(due_at, self._timers_from)

    def _turn(self, given: Any) -> None:  # noqa: ANN401
        leg = leg_of(given)
        if isinstance(given, _ABOUT_A_LEG) and leg is not None and leg not in self._legs:
            return
        broken = self._handle(given)
        while broken:
            ending = broken.pop()
            if ending in self._legs:
                self._metrics.leg_failures.labels("internal").inc()
                broken += self._handle(LegFailed(ending, "internal"))

    def _handle(self, given: Any) -> list[TransportId]:  # noqa: ANN401
        """One turn of the engine, of its timers when `given` is None; return the legs that must end of it."""
        leg = leg_of(given)
        began_at = self._clock()
        broken: list[TransportId] = []
        try:
            broken = self._performer.perform(self._ask(began_at, given), leg)
        except Exception as error:  # noqa: BLE001  # the supervisor of all legs: one of them ends, not the server
            self._failures.note("turn", error, given=type(given).__name__, leg=leg)
            if given is None:
                self._timers_from = after_s(began_at, TIMER_HOLD_S)
            if leg is not None:
                broken = [leg]
        if isinstance(given, LegFailed):
            self._legs.close(given.leg)
        self._metrics.turn_seconds.observe((self._clock() - began_at) / NS_PER_S)
        return broken

    def _ask(self, now: Instant, given: Any) -> Sequence[Any]:  # noqa: ANN401
        if given is None:
            return self._engine.handle_timeout(now, self._wall_clock())
        return self._engine.handle(now, self._wall_clock(), given)
