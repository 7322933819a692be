"""Peers without UDP: datagrams over TCP (RFC 4571), written apart from the server's."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, Self

from tests.support.plane_socket import SocketPeer

if TYPE_CHECKING:
    from collections.abc import Callable

RECEIVE_BUFFER_BYTES: Final = 16 << 10
"""So small that who does not read stalls soon."""


class FrameWire(asyncio.DatagramTransport, asyncio.Protocol):
    """A connection.

    Args:
        take: is given each datagram.
    """

    def __init__(self, take: Callable[[bytes], None]) -> None:
        super().__init__()
        self.closed: Final = asyncio.Event()
        """By the other side, or for a fault."""
        self._take = take
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int, take: Callable[[bytes], None]) -> Self:
        """A connection to a port."""
        loop = asyncio.get_running_loop()
        opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        opened.setblocking(False)
        await loop.sock_connect(opened, (host, port))
        _, wire = await loop.create_connection(lambda: cls(take), sock=opened)
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 2:
            end = 2 + int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < end:
                return
            datagram, self._buffer = self._buffer[2:end], self._buffer[end:]
            self._take(datagram)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def sendto(self, data: bytes | bytearray | memoryview, addr: object = None) -> None:
        """Send a datagram."""
        self.write(len(data).to_bytes(2, "big") + data)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self._transport is not None
        self._transport.write(data)

    def pause(self) -> None:
        """Read nothing."""
        assert self._transport is not None
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        assert self._transport is not None
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  # asyncio's
        assert self._transport is not None
        return self._transport.get_extra_info(name, default)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class StreamPeer(SocketPeer):
    """A client without UDP."""

    @property
    def stream(self) -> FrameWire:
        """Its connection."""
        assert isinstance(self._wire, FrameWire)
        return self._wire

    async def move(self) -> None:
        """Connect, or connect again."""
        if self._wire is not None:
            self._wire.close()
        assert self.plane.tcp_port is not None
        self._wire = await FrameWire.open(self.host, self.plane.tcp_port, self._take)

    def _take(self, datagram: bytes) -> None:
        self.datagram_received(datagram, None)
