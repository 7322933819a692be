"""The reference plane: `PlaneCore` on its sockets under asyncio. For reading, and a handful of people."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING, Final

import structlog

from sfu.dataplane.core import PlaneCore
from sfu.dataplane.own_ports import OwnPorts
from sfu.dataplane.srtp import LibSrtp
from sfu.dataplane.tcp import TcpServer, TcpUser
from sfu.dataplane.udp import UdpSocket
from sfu.dataplane.wire import OwnPort
from sfu.plane import AddTransport, DropReason
from sfu.units import NS_PER_S, Instant, after_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.config import MediaConfig
    from sfu.dataplane.srtp import SrtpFactory
    from sfu.dataplane.udp import Arrived
    from sfu.dataplane.wire import Address, Transmit
    from sfu.plane import Batch, PlaneOperation, PlaneStats
    from sfu.rows import StructArray

LOG_INTERVAL_S: Final = 60.0
"""A fault that packets can trigger is logged this often; all are counted."""

log = structlog.get_logger()


class ReferencePlane:
    """Implements `sfu.plane.Plane` on the running loop, which must be the one that calls it.

    Args:
        config: of the sockets.
        rng: for numbers that must not be guessed.
        srtp: makes the cryptography of a transport.

    Raises:
        OSError: an address can't be bound.
    """

    name: Final = "reference"

    def __init__(
        self,
        config: MediaConfig,
        rng: random.Random | None = None,
        srtp: SrtpFactory = LibSrtp,
    ) -> None:
        self._core = PlaneCore(config, random.SystemRandom() if rng is None else rng, srtp)
        self._loop = asyncio.get_running_loop()
        self._socket = UdpSocket(config)
        try:
            user = TcpUser(self._arrived, self._core.is_known, self._core.forget)
            self._tcp = TcpServer(config, self._loop, user)
        except OSError:
            self._socket.close()
            raise
        self._own_ports = OwnPorts(config, self._loop, self._arrived)
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_signalled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = Instant(0)
        self._failures = 0
        self._logged_at: Instant | None = None
        self._loop.add_reader(self._socket.fileno(), self._readable)

    @property
    def port(self) -> int:
        """The UDP port that was bound."""
        return self._socket.port

    @property
    def ports(self) -> tuple[int, ...]:
        """That of its one worker."""
        return (self.port,)

    @property
    def tcp_port(self) -> int | None:
        """The TCP port that was bound; None: none."""
        return self._tcp.port

    @property
    def failures(self) -> int:
        """Exceptions that a datagram or a timer ended in: mistakes of ours, contained."""
        return self._failures

    def apply(self, operations: Sequence[PlaneOperation]) -> None:
        """Carry out operations in order.

        Raises:
            LocalError: an operation contradicts an earlier one.
        """
        wanted = [one.transport for one in operations if isinstance(one, AddTransport) and one.own_port]
        refused = [transport for transport in wanted if not self._own_ports.open(transport)]
        try:
            self._send(self._core.apply(_now(), operations))
        finally:
            for transport in refused:
                self._core.refuse_port(transport)
            # Not before: what was said last to who has ended goes by them.
            self._own_ports.keep(self._core.has_own_port)
            self._settle()

    def set_targets(self, targets: StructArray) -> None:
        """Layer choices, (n,) of `TARGET_DTYPE`; routes not named keep theirs."""
        now = _now()
        self._core.set_targets(now, targets)
        self._poll(now)

    def set_pacing(self, pacing: StructArray) -> None:
        """How transports are sent to, (n,) of `PACING_DTYPE`; transports not named keep theirs."""
        now = _now()
        self._core.set_pacing(now, pacing)
        self._poll(now)

    def probe(self, probes: StructArray) -> None:
        """Measure what a path carries, (n,) of `PROBE_DTYPE`; a transport's probes run one by one."""
        now = _now()
        self._core.probe(now, probes)
        self._poll(now)

    def feedback(self) -> StructArray:
        """What subscribers have said of packets since the last call, (n,) of `FEEDBACK_DTYPE`."""
        return self._core.feedback()

    def drain(self) -> Batch:
        """Everything that came up since the last call."""
        if self._is_signalled:
            self._is_signalled = False
            os.eventfd_read(self._eventfd)
        return self._core.drain()

    def stats(self) -> PlaneStats:
        """All counters now."""
        return self._core.stats(_now())

    def fileno(self) -> int:
        """An eventfd that is readable while `drain` would return something."""
        return self._eventfd

    def close(self) -> None:
        """Stop and release the sockets."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._own_ports.keep(lambda _: False)
        self._tcp.close()
        os.close(self._eventfd)

    def _readable(self) -> None:
        self._arrived(self._socket.receive())

    def _arrived(self, datagrams: Iterable[Arrived]) -> None:
        for arrived in datagrams:
            try:
                self._send(self._core.handle_datagram(arrived.at, arrived.address, arrived.data))
            except Exception:  # noqa: BLE001  # one peer's datagram must not take the port from all others
                self._failed("datagram")
        self._poll(_now())

    def _poll(self, now: Instant) -> None:
        try:
            self._send(self._core.poll(now))
        except Exception:  # noqa: BLE001  # one peer's timer must not stop all others'
            self._failed("timer")
        self._settle()

    def _timeout(self) -> None:
        self._timer = None
        self._poll(_now())

    def _send(self, transmits: Iterable[Transmit]) -> None:
        for transmit in transmits:
            if not self._send_to(transmit.address, transmit.data):
                self._core.count_drop(DropReason.SEND_BLOCKED)

    def _send_to(self, address: Address, data: bytes) -> bool:
        if len(address) == 2:
            return self._socket.send(address, data)
        if isinstance(address[2], OwnPort):
            return self._own_ports.send((address[0], address[1], address[2]), data)
        return self._tcp.send((address[0], address[1], address[2]), data)

    def _settle(self) -> None:
        """Wake whoever waits for output, and be woken when the core has something to do."""
        if self._core.has_output and not self._is_signalled:
            self._is_signalled = True
            os.eventfd_write(self._eventfd, 1)
        due_at = self._core.next_timeout()
        if due_at is None or (self._timer is not None and self._timer_at <= due_at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due_at
        self._timer = self._loop.call_later(max(0, due_at - _now()) / NS_PER_S, self._timeout)

    def _failed(self, where: str) -> None:
        self._failures += 1
        now = _now()
        if self._logged_at is None or now >= after_s(self._logged_at, LOG_INTERVAL_S):
            self._logged_at = now
            log.exception("plane_failed", where=where, failures=self._failures)


def _now() -> Instant:
    return Instant(time.monotonic_ns())
