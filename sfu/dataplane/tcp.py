"""ICE over TCP for networks without UDP (RFC 6544): passive, frames of RFC 4571, all on one port."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.dataplane.frames import FrameQueue, FrameReader
from sfu.dataplane.udp import Arrived, unmapped
from sfu.errors import ParseError
from sfu.units import Instant, after_s

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from sfu.config import MediaConfig
    from sfu.dataplane.wire import Address, TcpAddress

MAX_CONNECTIONS: Final = 1_000
"""Connections at once. Lower: a large call of people behind such networks does not fit. Higher: more memory
where all of them stall (128 KiB each, and as much of the kernel's)."""

MAX_UNPROVEN_S: Final = 10.0
"""A connection that nobody has proved to be theirs for so long is closed. Lower: who gathers candidates
slowly connects again. Higher: who only connects keeps others out for longer."""

SEND_BUFFER_BYTES: Final = 64 << 10
"""Bytes that the kernel keeps for a connection (`SO_SNDBUF` asked for; it doubles them). Lower: a long path
carries less than 128 kB a round trip. Higher: a picture that passes slowly is older, and the kernel's memory
is not ours to give."""

MAX_READ_BYTES: Final = 64 << 10
"""Bytes read in one turn. Lower: more turns. Higher: one peer keeps all others waiting."""

INTERVAL_S: Final = 1.0
"""How often connections are looked at. None is accepted for so long when no descriptor is left."""

_MAX_ACCEPTS: Final = 64
_BACKLOG: Final = 128


@dataclass(frozen=True, slots=True)
class TcpUser:
    """Whose connections these are."""

    take: Callable[[Iterable[Arrived]], None]
    """Datagrams have come."""
    is_proven: Callable[[Address], bool]
    """Whether a peer has proved that an address is its own."""
    forget: Callable[[Address], None]
    """Nothing comes from an address any more."""


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    address: TcpAddress
    unproven_at: Instant
    """Since when nobody has proved that it is theirs."""
    reader: FrameReader = field(default_factory=FrameReader)
    queue: FrameQueue = field(default_factory=FrameQueue)
    waits_to_write: bool = False


class TcpServer:
    """The port and its connections, on a loop. Each is an address; datagrams come from there and go to it.

    Args:
        config: of the port; it may say that there is none.
        loop: the one that calls.
        user: is told what comes.
        max_connections: at once.

    Raises:
        OSError: the address can't be bound.
    """

    def __init__(
        self,
        config: MediaConfig,
        loop: asyncio.AbstractEventLoop,
        user: TcpUser,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._loop = loop
        self._user = user
        self._max_connections = max_connections
        self._connections: dict[int, _Connection] = {}
        """By number, in the order in which they were accepted."""
        self._next_number = 0
        self._timer: asyncio.TimerHandle | None = None
        port = config.wanted_tcp_port
        self._listener = None if port is None else _listener(config.host, port)
        self._is_paused = self._listener is not None
        self._listen()

    @property
    def port(self) -> int | None:
        """The port that was bound; None: nobody can connect."""
        if self._listener is None:
            return None
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def is_paused(self) -> bool:
        """Nobody is accepted for a while: no descriptor is left."""
        return self._is_paused

    def __len__(self) -> int:
        """Connections now."""
        return len(self._connections)

    def send(self, address: TcpAddress, datagram: bytes) -> bool:
        """Send a datagram; False where it finds no room, or no connection."""
        connection = self._connections.get(address[2])
        if connection is None or not connection.queue.push(datagram):
            return False
        self._flush(connection)
        return True

    def poll(self, now: Instant) -> None:
        """Close connections that have been nobody's for too long, and accept again after a pause."""
        for connection in list(self._connections.values()):
            if self._user.is_proven(connection.address):
                connection.unproven_at = now
            elif now >= after_s(connection.unproven_at, MAX_UNPROVEN_S):
                self._close(connection)
        self._listen()

    def close(self) -> None:
        """Release the port, and end all connections."""
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        for connection in list(self._connections.values()):
            self._close(connection)

    def _listen(self) -> None:
        if self._listener is not None and self._is_paused:
            self._is_paused = False
            self._loop.add_reader(self._listener.fileno(), self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_MAX_ACCEPTS):
            try:
                accepted, peer = listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError:
                # No descriptor is left. The port stays readable, and we would turn on the spot.
                self._is_paused = True
                self._loop.remove_reader(listener.fileno())
                self._look_later()
                return
            if len(self) < self._max_connections or self._close_unproven():
                self._open(accepted, peer)
            else:
                accepted.close()

    def _open(self, accepted: socket.socket, peer: tuple[str, int]) -> None:
        accepted.setblocking(False)
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        except OSError:  # it has failed already
            accepted.close()
            return
        address = (unmapped(peer[0]), peer[1], self._next_number)
        self._next_number += 1
        connection = _Connection(accepted, address, _now())
        self._connections[address[2]] = connection
        self._loop.add_reader(accepted.fileno(), self._readable, connection)
        self._look_later()

    def _close_unproven(self) -> bool:
        """Make room: the oldest connection that is nobody's goes; False where all are somebody's."""
        for connection in self._connections.values():
            if not self._user.is_proven(connection.address):
                self._close(connection)
                return True
        return False

    def _readable(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(MAX_READ_BYTES)
            datagrams = connection.reader.feed(data)
        except BlockingIOError:
            return
        except (OSError, ParseError):
            self._close(connection)
            return
        if not data:
            self._close(connection)
            return
        now = _now()
        self._user.take([Arrived(now, connection.address, datagram) for datagram in datagrams])

    def _flush(self, connection: _Connection) -> None:
        """Write what waits, as far as the kernel takes it."""
        queue = connection.queue
        try:
            with contextlib.suppress(BlockingIOError):
                while queue:
                    queue.consume(connection.socket.send(queue.waiting))
        except OSError:
            self._close(connection)
            return
        waits_to_write = len(queue) > 0
        if waits_to_write != connection.waits_to_write:
            connection.waits_to_write = waits_to_write
            if waits_to_write:
                self._loop.add_writer(connection.socket.fileno(), self._flush, connection)
            else:
                self._loop.remove_writer(connection.socket.fileno())

    def _close(self, connection: _Connection) -> None:
        del self._connections[connection.address[2]]
        self._loop.remove_reader(connection.socket.fileno())
        self._loop.remove_writer(connection.socket.fileno())
        connection.socket.close()
        self._user.forget(connection.address)

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(INTERVAL_S, self._look)

    def _look(self) -> None:
        self._timer = None
        self.poll(_now())
        if self._connections:
            self._look_later()


def _listener(host: str, port: int) -> socket.socket:
    """A port that takes connections. `::` takes IPv4 as well."""
    is_ipv6 = ":" in host
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if is_ipv6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # A focus that starts again takes its port back at once.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _now() -> Instant:
    return Instant(time.monotonic_ns())
