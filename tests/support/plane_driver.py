"""Peers without sockets around a data plane's core, on a virtual clock.

The core is met only through `Core`, so that the same tests hold every plane to the contract: a second plane
is a second entry of `CORES`.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np

from sfu.config import MediaConfig
from sfu.dataplane.core import PlaneCore
from sfu.dataplane.srtp import NullSrtp
from sfu.dataplane.stun import BINDING, Attribute, MessageClass, StunMessage
from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.plane import AddTransport, Credentials, InstallSrtp, SrtpProfile
from sfu.rows import ALL_TEMPORAL, PACING_DTYPE, PROBE_DTYPE, TARGET_DTYPE
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import parse_compound, serialise_compound
from sfu.units import (
    Instant,
    TransportId,
    after_ms,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sfu.dataplane.srtp import SrtpFactory, SrtpSession
    from sfu.dataplane.wire import Address, Transmit
    from sfu.plane import Batch, DropReason, PlaneEvent, PlaneOperation, PlaneStats
    from sfu.rows import StructArray
    from sfu.rtp.rtcp import RtcpPacket
    from sfu.units import RouteId, TrackHandle

START: Final = Instant(10**13)
PROFILE: Final = SrtpProfile.AEAD_AES_128_GCM
KEY_BYTES: Final = 16 + 12
PacketT = TypeVar("PacketT")


class Core(Protocol):
    """What a plane is without its socket."""

    def apply(self, now: Instant, operations: Sequence[PlaneOperation]) -> list[Transmit]: ...
    def set_targets(self, now: Instant, targets: StructArray) -> None: ...
    def set_pacing(self, now: Instant, pacing: StructArray) -> None: ...
    def probe(self, now: Instant, probes: StructArray) -> None: ...
    def feedback(self) -> StructArray: ...
    def handle_datagram(self, now: Instant, address: Address, data: bytes) -> list[Transmit]: ...
    def poll(self, now: Instant) -> list[Transmit]: ...
    def next_timeout(self) -> Instant | None: ...
    def drain(self) -> Batch: ...
    def stats(self, now: Instant) -> PlaneStats: ...

    @property
    def has_output(self) -> bool: ...


def reference_core(config: MediaConfig, srtp: SrtpFactory) -> Core:
    """The Python twin."""
    return PlaneCore(config, random.Random(7), srtp)


def native_core(config: MediaConfig, srtp: SrtpFactory) -> Core:
    """The native plane's, in the clear where the twin's packets would be."""
    from sfu.dataplane.native_core import NativeCore  # noqa: PLC0415  # it may not have been built

    return NativeCore(config, bytes(32), is_encrypted=srtp is not NullSrtp)


class ApartCore:
    """Two native cores and a trunk: who publishes (`Call`) lives on one, all others on the other."""

    FAR: Final = 1
    """The worker of the others."""

    def __init__(self, config: MediaConfig, srtp: SrtpFactory) -> None:
        # Each keeps as many packets as one core would.
        whole = 2 * config.packet_cache_bytes
        self._core: Final = native_core(replace(config, workers=2, packet_cache_bytes=whole), srtp)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # all else is the core's
        return getattr(self._core, name)

    def apply(self, now: Instant, operations: Sequence[PlaneOperation]) -> list[Transmit]:
        return self._core.apply(now, [self._placed(operation) for operation in operations])

    @staticmethod
    def worker_of(transport: TransportId) -> int:
        """Where somebody lives."""
        return 0 if transport == 1 else ApartCore.FAR

    def _placed(self, operation: PlaneOperation) -> PlaneOperation:
        if isinstance(operation, AddTransport):
            return replace(operation, worker=self.worker_of(operation.transport))
        return operation


CORES: Final[dict[str, Callable[[MediaConfig, SrtpFactory], Core]]] = {
    "reference": reference_core,
    "native": native_core,
    "native, apart": ApartCore,
}
"""Every plane that the contract's tests run on."""


class PlaneDriver:
    """A core, its clock, and its peers."""

    def __init__(
        self,
        make: Callable[[MediaConfig, SrtpFactory], Core] = reference_core,
        srtp: SrtpFactory = NullSrtp,
        config: MediaConfig | None = None,
    ) -> None:
        self.srtp: Final = srtp
        self.core: Final = make(config or MediaConfig(), srtp)
        self.now = START
        self.peers: Final[dict[Address, VirtualPeer]] = {}
        self.lost: Final[list[Transmit]] = []
        """What was sent to nobody."""

    def apply(self, *operations: PlaneOperation) -> None:
        self._deliver(self.core.apply(self.now, operations))

    def aim(self, route: RouteId, encoding: int, temporal: int = ALL_TEMPORAL) -> None:
        """One layer choice, and the key-frame request that comes of it."""
        self.core.set_targets(self.now, np.array([(route, encoding, temporal)], TARGET_DTYPE))
        self.advance(0)

    def pace(
        self,
        transport: TransportId,
        rate_bps: float = math.inf,
        padding_bps: float = 0,
        queue_limit_ms: float = 250,
    ) -> None:
        """How one transport is sent to from now on, and what leaves at once for that."""
        row = (transport, rate_bps, padding_bps, queue_limit_ms)
        self.core.set_pacing(self.now, np.array([row], PACING_DTYPE))
        self.advance(0)

    def probe(self, transport: TransportId, cluster: int, rate_bps: float, size_bytes: int) -> None:
        """One cluster, and what leaves of it at once."""
        row = (transport, cluster, rate_bps, size_bytes)
        self.core.probe(self.now, np.array([row], PROBE_DTYPE))
        self.advance(0)

    def alive(self) -> None:
        """Python chooses nothing new."""
        self.core.set_targets(self.now, np.zeros(0, TARGET_DTYPE))

    def feed(self, address: Address, data: bytes) -> None:
        """A datagram arrives now."""
        self._deliver(self.core.handle_datagram(self.now, address, data))

    def stall(self, worker: int, *, is_stalled: bool) -> None:
        """A worker of several hears nothing of the others for a while, or hears them again."""
        assert isinstance(self.core, ApartCore)
        self._deliver(self.core.stall(self.now, worker, is_stalled=is_stalled))

    def advance(self, duration_ms: float) -> None:
        """Let time pass, timer by timer."""
        end = after_ms(self.now, duration_ms)
        while (at := self.core.next_timeout()) is not None and at <= end:
            self.now = max(self.now, at)
            self._deliver(self.core.poll(self.now))
            after = self.core.next_timeout()
            assert after is None or after > self.now, "poll left something undone"
        self.now = end

    def events(self) -> tuple[PlaneEvent, ...]:
        return self.core.drain().events

    def drops(self, reason: DropReason) -> int:
        return self.core.stats(self.now).drops.get(reason, 0)

    def transport_row(self, transport: TransportId) -> Any:  # noqa: ANN401  # one row of an array
        return _row(self.core.stats(self.now).transports, transport=transport)

    def encoding_row(self, track: TrackHandle, encoding: int = 0) -> Any:  # noqa: ANN401
        return _row(self.core.stats(self.now).encodings, track=track, encoding=encoding)

    def route_row(self, route: RouteId) -> Any:  # noqa: ANN401
        return _row(self.core.stats(self.now).routes, route=route)

    def _deliver(self, transmits: Iterable[Transmit]) -> None:
        for transmit in transmits:
            peer = self.peers.get(transmit.address)
            if peer is None:
                self.lost.append(transmit)
            else:
                peer.receive(transmit.data)


def _row(rows: Any, **keys: int) -> Any:  # noqa: ANN401
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    assert len(rows) == 1, f"{len(rows)} rows of {keys}"
    return rows[0]


class Heard(NamedTuple):
    """A packet that reached a peer."""

    at: Instant
    packet: RtpPacket
    size_bytes: int
    """Of its datagram."""


@dataclass
class VirtualPeer:
    """A client: checks like a full ICE agent, encrypts, keeps what it gets."""

    driver: PlaneDriver
    transport: TransportId
    address: Address
    rtp: list[RtpPacket] = field(default_factory=list)
    rtcp: list[RtcpPacket] = field(default_factory=list)
    stun: list[StunMessage] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)
    encrypted: list[bytes] = field(default_factory=list)
    """RTP as it came."""
    heard: list[Heard] = field(default_factory=list)
    """RTP with the time at which it came; nothing takes it away."""
    session: SrtpSession | None = None
    _sent: int = 0

    @classmethod
    def joined(cls, driver: PlaneDriver, number: int) -> VirtualPeer:
        """A peer that has checked, nominated, and agreed on keys."""
        peer = cls.known(driver, number)
        peer.check()
        peer.install()
        return peer

    @classmethod
    def known(cls, driver: PlaneDriver, number: int) -> VirtualPeer:
        """A peer that the plane listens for."""
        peer = cls(driver, TransportId(number), (f"192.0.2.{number}", 40_000 + number))
        driver.peers[peer.address] = peer
        driver.apply(AddTransport(peer.transport, peer.credentials))
        return peer

    @property
    def now(self) -> Instant:
        return self.driver.now

    @property
    def credentials(self) -> Credentials:
        return Credentials(f"ufrag{self.transport:04}", f"password-of-transport-{self.transport:04}")

    def check(
        self,
        *,
        nominate: bool = True,
        credentials: Credentials | None = None,
        more: tuple[tuple[int, bytes], ...] = (),
    ) -> StunMessage:
        """Send a connectivity check; its answer."""
        data = binding_request(credentials or self.credentials, nominate=nominate, more=more)
        before = len(self.stun)
        self.driver.feed(self.address, data)
        assert len(self.stun) == before + 1, "no answer"
        return self.stun[-1]

    def install(self) -> None:
        """The handshake is done on both sides."""
        up = bytes((self.transport, 1)) * (KEY_BYTES // 2)
        down = bytes((self.transport, 2)) * (KEY_BYTES // 2)
        self.session = self.driver.srtp(PROFILE, down, up)
        self.driver.apply(InstallSrtp(self.transport, PROFILE, up, down))

    def move(self, address: Address) -> None:
        """Send from, and be reached at, another address."""
        del self.driver.peers[self.address]
        self.address = address
        self.driver.peers[address] = self

    def send(self, *packets: RtpPacket) -> None:
        """Send RTP."""
        assert self.session is not None
        for packet in packets:
            data = self.session.protect(packet.serialise())
            assert isinstance(data, bytes)
            self.driver.feed(self.address, data)

    def say(self, *packets: RtcpPacket) -> None:
        """Send a compound."""
        assert self.session is not None
        data = self.session.protect_rtcp(serialise_compound(packets))
        assert isinstance(data, bytes)
        self.driver.feed(self.address, data)

    def receive(self, data: bytes) -> None:
        match protocol_of(data):
            case WireProtocol.STUN:
                self.stun.append(StunMessage.parse(data))
            case WireProtocol.RTP:
                assert self.session is not None
                self.encrypted.append(data)
                plain = self.session.unprotect(data)
                if isinstance(plain, bytes):
                    self.rtp.append(RtpPacket.parse(plain))
                    self.heard.append(Heard(self.now, self.rtp[-1], len(data)))
            case WireProtocol.RTCP:
                assert self.session is not None
                plain = self.session.unprotect_rtcp(data)
                assert isinstance(plain, bytes)
                self.rtcp += parse_compound(plain)
            case _:
                self.datagrams.append(data)

    def next_transport_number(self) -> bytes:
        """The next transport-wide number, as the value of an element."""
        self._sent += 1
        return (self._sent - 1 & 0xFFFF).to_bytes(2, "big")

    def take_rtp(self) -> list[RtpPacket]:
        """What has come since the last call."""
        taken, self.rtp = self.rtp, []
        return taken

    def take_rtcp(self, kind: type[PacketT]) -> list[PacketT]:
        """What of this kind has come since the last call; the rest is forgotten."""
        taken, self.rtcp = self.rtcp, []
        return [packet for packet in taken if isinstance(packet, kind)]


def binding_request(
    credentials: Credentials, *, nominate: bool = True, more: tuple[tuple[int, bytes], ...] = ()
) -> bytes:
    """A signed check of a controlling agent."""
    attributes: tuple[tuple[int, bytes], ...] = (
        (Attribute.USERNAME, f"{credentials.ufrag}:theirs".encode()),
        *more,
    )
    if nominate:
        attributes += ((Attribute.USE_CANDIDATE, b""),)
    return StunMessage(MessageClass.REQUEST, BINDING, b"transaction!", attributes).serialise(
        credentials.password
    )
