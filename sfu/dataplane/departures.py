"""What waits for its turn to be sent to one peer, and when its turn comes (packet rules 7 and 8)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from sfu.dataplane.filling import PADDING_BYTES, can_fill, fill
from sfu.dataplane.wire import Transmit
from sfu.plane import DropReason
from sfu.streams.pacer import Turn
from sfu.streams.slow_receiver import Fate, cut

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping

    from sfu.dataplane.agenda import Agenda
    from sfu.dataplane.reception import Received
    from sfu.dataplane.resending import Again
    from sfu.dataplane.route import Route
    from sfu.dataplane.transport import Transport
    from sfu.streams.pacer import Queued
    from sfu.units import Instant, Ssrc


class Waiting(NamedTuple):
    """A packet that a route has decided to forward. It is made into what is sent when it leaves."""

    route: Route
    received: Received
    active: int | None = None
    """The decode targets that it is to tell (`EncodingSelector.active_targets`)."""
    is_left_out: bool = False
    """It is not sent after all: those around it are to stand side by side."""


class Resend(NamedTuple):
    """A packet that is sent again."""

    route: Route
    again: Again


class Departures:
    """The packets of one peer between their routes and the wire.

    Args:
        transport: its bytes, and its pacer.
        routes: that lead to it.
        agenda: where its timers go.
        drops: where they are counted.
    """

    def __init__(
        self,
        transport: Transport,
        routes: Mapping[Ssrc, Route],
        agenda: Agenda,
        drops: Counter[DropReason],
    ) -> None:
        self.transport: Final = transport
        self._pacer = transport.pacer
        self._routes = routes
        self._agenda = agenda
        self._drops = drops

    def set_pacing(self, now: Instant, rate_bps: float, padding_bps: float, queue_limit_ms: float) -> None:
        """Send at other rates from now on (`sfu.rows.PACING_DTYPE`); the next poll is due at once."""
        self._pacer.set_pacing(now, rate_bps, padding_bps, queue_limit_ms)
        self._agenda.plan(self.transport.id, now)

    def probe(self, now: Instant, cluster: int, rate_bps: float, size_bytes: int) -> None:
        """Send so much at this rate, when the probes before have ended; the next poll is due at once."""
        self._pacer.probe(now, cluster, rate_bps, size_bytes)
        self._agenda.plan(self.transport.id, now)

    def wake(self, now: Instant) -> None:
        """There may be something now that carries the fillers that wait."""
        if self._pacer.wants_fillers:
            self._agenda.plan(self.transport.id, now)

    def make_room(self, now: Instant) -> None:
        """Let one more wait, where no more can: who has waited longest gives way."""
        self._cut(now, self._pacer.first_flow())

    def wait(self, now: Instant, waiting: Waiting, size_bytes: int) -> None:
        """Queue a packet, or without a size that one was left out; after `make_room`."""
        self._pacer.wait(now, waiting.route.spec.route, size_bytes, waiting)
        self._plan()

    def resend(self, now: Instant, route: Route, asked: Iterable[Again]) -> list[Transmit]:
        """Send packets of a route again, at once or when they may be."""
        transmits: list[Transmit] = []
        for again in asked:
            size_bytes = again.size_bytes
            if self._pacer.admits_resend(now, size_bytes):
                self._note(route.send_again(now, again), transmits)
            elif self._pacer.wait_resend(now, route.spec.route, size_bytes, Resend(route, again)):
                self._plan()
            else:
                self._drops[DropReason.SLOW_RECEIVER] += 1
        return transmits

    def forget(self, route: Route, reason: DropReason) -> None:
        """Nothing that waits of a route is sent any more."""
        number = route.spec.route
        waiting = self._pacer.of(number)
        self._drops[reason] += sum(not queued.item.is_left_out for queued in waiting)
        self._pacer.forget(number)

    def poll(self, now: Instant) -> list[Transmit]:
        """What leaves now."""
        while (flow := self._pacer.overdue(now)) is not None:
            self._cut(now, flow)
        transmits: list[Transmit] = []
        fills = self._fills()
        while (turn := self._pacer.turn(now, can_fill=fills)) is not None:
            match turn:
                case Turn.RESEND:
                    route, again = self._pacer.take_resend().item
                    self._note(route.send_again(now, again), transmits)
                case Turn.MEDIA:
                    self._note(self._depart(now), transmits)
                case Turn.FILLER:
                    self._note(self._fill(now), transmits)
                case _:
                    assert_never(turn)
        return transmits

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to do."""
        return self._pacer.next_timeout(can_fill=self._fills())

    def _fills(self) -> bool:
        return self._pacer.wants_fillers and can_fill(self.transport, self._routes.values())

    def _plan(self) -> None:
        self._agenda.plan(self.transport.id, self.next_timeout())

    def _note(self, outcome: Transmit | DropReason | None, transmits: list[Transmit]) -> None:
        if isinstance(outcome, Transmit):
            transmits.append(outcome)
        elif outcome is not None:
            self._drops[outcome] += 1

    def _depart(self, now: Instant) -> Transmit | DropReason | None:
        queued = self._pacer.take()
        return queued.item.route.depart(now, queued.queued_at, queued.item)

    def _fill(self, now: Instant) -> Transmit | DropReason:
        outcome = fill(now, self.transport, self._routes.values())
        if isinstance(outcome, Transmit):
            self.transport.padding_bytes_sent += len(outcome.data)
        else:
            self._pacer.sent(now, PADDING_BYTES)  # or it would be tried again at once, for ever
        return outcome

    def _cut(self, now: Instant, flow: int) -> None:
        """Spare a subscriber some of what waits of a route, the oldest of which has waited for too long."""
        waiting = self._pacer.of(flow)
        route = waiting[0].item.route
        verdict = cut([None if one.item.is_left_out else one.item.received.facts for one in waiting])
        fates = iter(verdict.fates)

        def judge(queued: Queued[Waiting]) -> Queued[Waiting] | None:
            fate = next(fates)
            if fate is Fate.KEPT:
                return queued
            self._drops[DropReason.SLOW_RECEIVER] += not queued.item.is_left_out
            if fate is Fate.GONE:
                return None
            return replace(queued, size_bytes=0, item=queued.item._replace(is_left_out=True))

        self._pacer.sift(flow, judge)
        route.was_cut(now, verdict)
        while (oldest := self._pacer.oldest) is not None and oldest.item.is_left_out:
            self._depart(now)
