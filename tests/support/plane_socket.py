"""Peers with real sockets on loopback, for a plane that has one."""

from __future__ import annotations

import asyncio
import os
import select
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from sfu.config import MediaConfig
from sfu.dataplane.reference import ReferencePlane
from sfu.dataplane.srtp import LibSrtp
from sfu.dataplane.stun import StunMessage
from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.plane import AddTransport, Credentials, InstallSrtp
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import parse_compound, serialise_compound
from sfu.units import Instant, TransportId
from tests.support.plane_driver import KEY_BYTES, PROFILE, binding_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.dataplane.srtp import SrtpSession
    from sfu.plane import Plane, PlaneEvent
    from sfu.rtp.rtcp import RtcpPacket

PATIENCE_S: Final = 10.0
"""How long anything may take before a test gives up."""


def native_plane(config: MediaConfig) -> Plane:
    """The native plane, which may not have been built."""
    from sfu.dataplane.native_plane import NativePlane  # noqa: PLC0415  # as said

    return NativePlane(config)


PLANES: Final[dict[str, Callable[[MediaConfig], Plane]]] = {
    "reference": ReferencePlane,
    "native": native_plane,
}
"""Every plane that the contract's tests run on."""


def loopback(host: str = "127.0.0.1") -> MediaConfig:
    return MediaConfig(host=host, port=0)


@dataclass
class SocketPeer(asyncio.DatagramProtocol):
    """A client with a socket; what it gets stands in its lists, and `until` waits for it."""

    plane: Plane
    transport: TransportId
    host: str
    rtp: list[RtpPacket] = field(default_factory=list)
    rtcp: list[RtcpPacket] = field(default_factory=list)
    stun: list[StunMessage] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)
    encrypted: list[bytes] = field(default_factory=list)
    session: SrtpSession | None = None
    worker: int = 0
    _wire: asyncio.DatagramTransport | None = None
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _sent: int = 0

    @classmethod
    async def open(cls, plane: Plane, number: int, host: str = "127.0.0.1", worker: int = 0) -> Self:
        """A peer that a worker of the plane listens for."""
        peer = cls(plane, TransportId(number), host, worker=worker)
        await peer.move()
        plane.apply([AddTransport(peer.transport, peer.credentials, worker)])
        return peer

    @classmethod
    async def joined(cls, plane: Plane, number: int, host: str = "127.0.0.1", worker: int = 0) -> Self:
        """A peer that has checked, nominated, and agreed on keys."""
        peer = await cls.open(plane, number, host, worker)
        await peer.check()
        peer.install()
        return peer

    @property
    def credentials(self) -> Credentials:
        return Credentials(f"ufrag{self.transport:04}", f"password-of-transport-{self.transport:04}")

    @property
    def now(self) -> Instant:
        return Instant(time.monotonic_ns())

    @property
    def address(self) -> tuple[str, int]:
        assert self._wire is not None
        host, port = self._wire.get_extra_info("sockname")[:2]
        return host, port

    async def move(self) -> None:
        """Go on from another port, as behind a NAT that forgot."""
        if self._wire is not None:
            self._wire.close()
        loop = asyncio.get_running_loop()
        self._wire, _ = await loop.create_datagram_endpoint(
            lambda: self, remote_addr=(self.host, self.plane.ports[self.worker])
        )

    async def check(self) -> StunMessage:
        """Send a connectivity check; its answer."""
        before = len(self.stun)
        self.send_bytes(binding_request(self.credentials))
        await self.until(lambda: len(self.stun) > before)
        return self.stun[-1]

    def install(self) -> None:
        """The handshake is done on both sides."""
        up = bytes((self.transport, 1)) * (KEY_BYTES // 2)
        down = bytes((self.transport, 2)) * (KEY_BYTES // 2)
        self.session = LibSrtp(PROFILE, down, up)
        self.plane.apply([InstallSrtp(self.transport, PROFILE, up, down)])

    def send_bytes(self, data: bytes) -> None:
        assert self._wire is not None
        self._wire.sendto(data)

    def send(self, *packets: RtpPacket) -> None:
        """Send RTP."""
        assert self.session is not None
        for packet in packets:
            data = self.session.protect(packet.serialise())
            assert isinstance(data, bytes)
            self.send_bytes(data)

    def say(self, *packets: RtcpPacket) -> None:
        """Send a compound."""
        assert self.session is not None
        data = self.session.protect_rtcp(serialise_compound(packets))
        assert isinstance(data, bytes)
        self.send_bytes(data)

    def next_transport_number(self) -> bytes:
        self._sent += 1
        return (self._sent - 1 & 0xFFFF).to_bytes(2, "big")

    def datagram_received(self, data: bytes, addr: object) -> None:
        match protocol_of(data):
            case WireProtocol.STUN:
                self.stun.append(StunMessage.parse(data))
            case WireProtocol.RTP:
                assert self.session is not None
                self.encrypted.append(data)
                plain = self.session.unprotect(data)
                if isinstance(plain, bytes):
                    self.rtp.append(RtpPacket.parse(plain))
            case WireProtocol.RTCP:
                assert self.session is not None
                plain = self.session.unprotect_rtcp(data)
                assert isinstance(plain, bytes)
                self.rtcp += parse_compound(plain)
            case _:
                self.datagrams.append(data)
        self._came.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that comes makes this true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._came.clear()
                await self._came.wait()

    async def has_received(self, packets: int) -> None:
        """Wait until so many RTP packets have come in all."""
        await self.until(lambda: len(self.rtp) >= packets)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()


async def readable(plane: Plane) -> None:
    """Wait for the plane's eventfd."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(plane.fileno(), came.set)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await came.wait()
    finally:
        loop.remove_reader(plane.fileno())


def is_readable(plane: Plane) -> bool:
    """Whether the eventfd is, now."""
    return bool(select.select([plane.fileno()], [], [], 0)[0])


async def event(plane: Plane, kind: type[PlaneEvent]) -> PlaneEvent:
    """Wait for an event of this kind; others are forgotten."""
    while True:
        await readable(plane)
        for one in plane.drain().events:
            if isinstance(one, kind):
                return one


def is_open(descriptor: int) -> bool:
    """Whether a file descriptor is one."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
