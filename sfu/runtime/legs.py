"""The transports of all legs: made, run and ended."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sfu.conference.turn import LegFailed
from sfu.errors import LocalError
from sfu.plane import RemoveTransport
from sfu.runtime.dials import Dials
from sfu.transport.handshakes import HandshakeSlots
from sfu.transport.leg_transport import LegTransport
from sfu.transport.sctp import SendOutcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from sfu.conference.turn import Dial, OpenChannel, RuntimeInput, SendData, StartDtls
    from sfu.config import LimitsConfig
    from sfu.dataplane.wire import UdpAddress
    from sfu.metrics import Metrics
    from sfu.plane import PlaneOperation
    from sfu.runtime.failures import Failures
    from sfu.transport.certificate import Certificate
    from sfu.units import Instant, TransportId


class Legs:
    """Every leg from `AddTransport` to its end, and the task that lives as long as it does.

    Args:
        certificate: ours.
        limits: of messages and handshakes.
        consent_timeout_s: a leg that we dial, and that does not answer for this long, is over.
        clock: monotonic now.
        emit: takes inputs for the engine.
        apply: takes operations for the plane, at once.
        metrics: where it counts.
        failures: where its mistakes go.
    """

    def __init__(
        self,
        certificate: Certificate,
        limits: LimitsConfig,
        *,
        consent_timeout_s: float,
        clock: Callable[[], Instant],
        emit: Callable[[RuntimeInput], None],
        apply: Callable[[Sequence[PlaneOperation]], None],
        metrics: Metrics,
        failures: Failures,
    ) -> None:
        self._certificate = certificate
        self._limits = limits
        self._clock = clock
        self._emit = emit
        self._apply = apply
        self._metrics = metrics
        self._failures = failures
        self._slots = HandshakeSlots(limits.joins_at_once)
        self._dials = Dials(consent_timeout_s, clock=clock, apply=apply, lose=self._lose, failures=failures)
        self._transports: dict[TransportId, LegTransport] = {}
        self._tasks: dict[TransportId, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def __contains__(self, leg: TransportId) -> bool:
        return leg in self._transports

    def __len__(self) -> int:
        return len(self._transports)

    def add(self, leg: TransportId) -> None:
        """The plane is about to listen for it: from now on its datagrams find their inbox."""
        self._transports[leg] = LegTransport(
            leg,
            self._certificate,
            self._limits,
            clock=self._clock,
            emit=self._emit,
            program=lambda operation: self._apply((operation,)),
            slots=self._slots,
            metrics=self._metrics,
        )
        self._metrics.legs.set(len(self._transports))

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """While inside, legs can be started; at the end all are closed, and waited for."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                self._close_all()

    def start(self, given: StartDtls) -> None:
        """Begin or await the handshake of a leg; of one that is gone or was started before, nothing.

        Raises:
            LocalError: outside `living`.
        """
        if self._group is None:
            raise LocalError(f"leg {given.leg} started while nothing runs")
        transport = self._transports.get(given.leg)
        if transport is not None and given.leg not in self._tasks:
            self._tasks[given.leg] = self._group.create_task(self._live(transport, given))

    def feed(self, leg: TransportId, data: bytes) -> None:
        """Take a DTLS datagram; of a leg that is gone it is dropped and counted."""
        transport = self._transports.get(leg)
        if transport is None:
            self._metrics.datagrams_dropped.labels("closed").inc()
        else:
            transport.feed(data)

    def dial(self, given: Dial) -> None:
        """Look for the far side of a leg, or look for it anew; of a leg that is gone, nothing.

        Raises:
            LocalError: an address is none that the plane could send to.
        """
        if given.leg in self._transports:
            self._dials.dial(given)

    def respond(self, leg: TransportId, address: UdpAddress, data: bytes) -> None:
        """Take what came back to a check of a leg that we dial."""
        self._dials.respond(leg, address, data)

    def port_refused(self, leg: TransportId) -> None:
        """There is no port for a leg that was to have its own: it ends, and the engine is told."""
        transport = self._transports.get(leg)
        if transport is not None:
            transport.lose("no_port")

    def pair_selected(self, leg: TransportId) -> None:
        """There is somewhere to send to: a handshake that is ours to begin may begin."""
        transport = self._transports.get(leg)
        if transport is not None:
            transport.pair_selected()

    def open_channel(self, given: OpenChannel) -> None:
        """Open a channel of ours; of a leg that is gone, nothing."""
        transport = self._transports.get(given.leg)
        if transport is not None:
            transport.open_channel(given.label)

    def send(self, given: SendData) -> SendOutcome:
        """Queue a text on a channel."""
        transport = self._transports.get(given.leg)
        return SendOutcome.NOT_OPEN if transport is None else transport.send(given.channel, given.text)

    def close(self, leg: TransportId) -> None:
        """End a leg, telling the peer; harmless when it is gone."""
        transport = self._transports.pop(leg, None)
        if transport is None:
            return
        self._metrics.legs.set(len(self._transports))
        self._dials.forget(leg)
        task = self._tasks.pop(leg, None)
        if task is not None:
            task.cancel()
        try:
            transport.close()
        finally:
            self._apply((RemoveTransport(leg),))

    def _lose(self, leg: TransportId, reason: str) -> None:
        self._transports[leg].lose(reason)  # who is dialled is there: `close` forgets the dial

    def _close_all(self) -> None:
        for leg in list(self._transports):
            try:
                self.close(leg)
            except Exception as error:  # noqa: BLE001  # one that can't be told must not keep the others from it
                self._failures.note("leg", error, leg=leg)

    async def _live(self, transport: LegTransport, given: StartDtls) -> None:
        """All that dies with a leg, in one group."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    transport.run(given.fingerprints, given.data_port, is_client=given.is_client)
                )
        except* Exception as errors:  # noqa: BLE001  # the supervisor of a member's group
            self._failures.note("leg", errors, leg=given.leg)
            self._emit(LegFailed(given.leg, "internal"))
