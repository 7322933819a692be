"""A UDP socket of a participant: what comes is stamped by the kernel, as it came and not as it is read.

Browsers read their sockets on threads that do nothing else, and tell the focus of times that are near those
of arrival. A participant shares one thread with many others, with their decoders, and with a machine that may
have too much to do: a time that it took itself would tell the focus of queues that are none of the path.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any, Final, cast

from sfu.units import NS_PER_S, Instant

if TYPE_CHECKING:
    from collections.abc import Callable

Address = tuple[str, int]

MAX_READ: Final = 64
"""Datagrams read in one turn of the loop. Lower: a thread that runs now and then falls behind. Higher:
whoever shares it waits longer."""

RECEIVE_BUFFER_BYTES: Final = 1 << 20
"""Asked of the kernel: seconds of a few pictures. Lower: who does not run for a moment loses packets."""

MAX_WAIT_S: Final = 30.0
"""A datagram that seems to have waited longer was stamped by a clock that has been set since."""

_MAX_DATAGRAM: Final = 65_535
_SO_TIMESTAMPNS: Final = getattr(socket, "SO_TIMESTAMPNS", 35)
"""Linux's number, which the standard library names from 3.13 on."""
_TIMESPEC: Final = struct.Struct("@qq")


class DatagramEndpoint(asyncio.DatagramTransport):
    """A socket on any free port of an address, which its protocol is told of at once.

    Args:
        protocol: takes what is no media.
        address: of ours.
        on_media: takes RTP and RTCP, and when they came.

    Raises:
        OSError: the address is not ours.
    """

    def __init__(
        self,
        protocol: asyncio.DatagramProtocol,
        address: str,
        on_media: Callable[[bytes, Instant], None],
    ) -> None:
        super().__init__()
        self._protocol = protocol
        self._on_media = on_media
        self._loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            if sys.platform == "linux":
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.bind((address, 0))
        except OSError:
            self._socket.close()
            raise
        self._is_open = True
        self._loop.add_reader(self._socket, self._read)
        protocol.connection_made(self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  # asyncio's signature
        """`sockname`, while it is open."""
        return self._socket.getsockname() if name == "sockname" and self._is_open else default

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return not self._is_open

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell another one from now on."""
        self._protocol = cast("asyncio.DatagramProtocol", protocol)

    def sendto(self, data: Any, addr: Any = None) -> None:  # noqa: ANN401  # asyncio's signature
        """Send; what the system does not take is lost, as it may be on the way."""
        if not self._is_open:
            return
        try:
            self._socket.sendto(data, addr)
        except OSError as error:
            self._protocol.error_received(error)

    def close(self) -> None:
        """Close at once."""
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._loop.call_soon(self._protocol.connection_lost, None)

    def _read(self) -> None:
        now = time.monotonic_ns()
        # Taken for each turn anew: the wall clock may be set at any time.
        offset = now - time.time_ns()
        for _ in range(MAX_READ):
            try:
                data, ancillary, _, sender = self._socket.recvmsg(
                    _MAX_DATAGRAM, socket.CMSG_SPACE(_TIMESPEC.size)
                )
            except BlockingIOError:
                return
            except OSError as error:
                self._protocol.error_received(error)
                return
            if is_media(data):
                self._on_media(data, _arrival(ancillary, offset, now))
            else:
                self._protocol.datagram_received(data, sender[:2])
            if not self._is_open:
                return


def is_media(data: bytes) -> bool:
    """RTP or RTCP, not DTLS or STUN (RFC 7983)."""
    return len(data) >= 2 and 128 <= data[0] < 192


def _arrival(ancillary: list[tuple[int, int, bytes]], offset: int, now: int) -> Instant:
    """When the kernel received it, on the monotonic clock; now where that cannot be told."""
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(value) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            at = seconds * NS_PER_S + nanoseconds + offset
            if 0 <= now - at <= MAX_WAIT_S * NS_PER_S:
                return Instant(at)
    return Instant(now)
