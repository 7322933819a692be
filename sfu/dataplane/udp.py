"""A UDP socket: IPv4 or both families, and when the kernel received each datagram."""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sfu.dataplane.wire import MAX_DATAGRAM_BYTES
from sfu.units import NS_PER_S, Instant

if TYPE_CHECKING:
    from sfu.config import MediaConfig
    from sfu.dataplane.wire import Address, OwnAddress, OwnPort, UdpAddress

MAX_READ: Final = 64
"""Datagrams of one wake-up. Lower: more turns of the loop. Higher: under load the rest of it waits longer."""

MAX_KERNEL_DELAY_S: Final = 5.0
"""A datagram that seems to have waited longer was stamped by a clock that has been set since."""

_SO_TIMESTAMPNS: Final = 35
"""Linux, all architectures but sparc and parisc; Python does not name it."""
_TIMESPEC: Final = struct.Struct("@ll")
_MAPPED: Final = "::ffff:"


class Arrived(NamedTuple):
    """A datagram and when it came."""

    at: Instant
    address: Address
    data: bytes
    """One byte more than `MAX_DATAGRAM_BYTES` where it was longer than that."""


class UdpSocket:
    """A non-blocking socket. `::` takes IPv4 as well, under plain IPv4 addresses.

    Args:
        config: where it is.
        own_port: it is for one transport alone, on any port that is free.

    Raises:
        OSError: the address can't be bound, or the system has no descriptor left.
    """

    def __init__(self, config: MediaConfig, own_port: OwnPort | None = None) -> None:
        self._own_port = own_port
        self._is_ipv6 = ":" in config.host
        family = socket.AF_INET6 if self._is_ipv6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if self._is_ipv6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, config.receive_buffer_bytes)
            if sys.platform == "linux":
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.bind((config.host, config.port if own_port is None else 0))
        except OSError:
            self._socket.close()
            raise

    @property
    def port(self) -> int:
        """The port that was bound."""
        port: int = self._socket.getsockname()[1]
        return port

    def fileno(self) -> int:
        """Readable while there are datagrams."""
        return self._socket.fileno()

    def receive(self) -> list[Arrived]:
        """What has come, in order; `MAX_READ` datagrams at most."""
        arrived: list[Arrived] = []
        now = time.monotonic_ns()
        # Taken for each batch anew: the wall clock may be set at any time.
        monotonic_offset = now - time.time_ns()
        while len(arrived) < MAX_READ:
            try:
                data, ancillary, _, sender = self._socket.recvmsg(
                    MAX_DATAGRAM_BYTES + 1, socket.CMSG_SPACE(_TIMESPEC.size)
                )
            except OSError:
                # Nothing more; or an ICMP error about something sent, which is the peer's to notice.
                break
            at = _kernel_time(ancillary, monotonic_offset)
            if at is None or abs(now - at) > MAX_KERNEL_DELAY_S * NS_PER_S:
                at = time.monotonic_ns()
            arrived.append(Arrived(Instant(at), self._address(sender), data))
        return arrived

    def send(self, address: UdpAddress | OwnAddress, datagram: bytes) -> bool:
        """Send a datagram; False where the system would not take it."""
        host, port = address[:2]
        if self._is_ipv6 and ":" not in host:
            host = _MAPPED + host
        try:
            self._socket.sendto(datagram, (host, port))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Release the port."""
        self._socket.close()

    def _address(self, sender: tuple[str, int]) -> Address:
        host, port = unmapped(sender[0]), sender[1]
        return (host, port) if self._own_port is None else (host, port, self._own_port)


def unmapped(host: str) -> str:
    """An IPv4-mapped address (RFC 4291 section 2.5.5.2) as IPv4."""
    rest = host.removeprefix(_MAPPED)
    return host if ":" in rest else rest


def _kernel_time(ancillary: list[tuple[int, int, bytes]], monotonic_offset: int) -> int | None:
    """When the kernel received it, on the monotonic clock."""
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(value) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            at: int = seconds * NS_PER_S + nanoseconds + monotonic_offset
            return at
    return None
