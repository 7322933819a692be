"""Peers of a pair of planes: how they check, encrypt, and what they have heard."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.dataplane.stun import BINDING, Attribute, MessageClass, StunMessage
from sfu.dataplane.wire import OwnPort, WireProtocol, protocol_of
from sfu.errors import ParseError
from sfu.plane import AddTransport, Credentials, InstallSrtp, SrtpProfile
from sfu.rtp.ntp import middle_bits
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import SenderReport, parse_compound
from sfu.units import Ssrc, TransportId

if TYPE_CHECKING:
    from sfu.dataplane.srtp import SrtpSession
    from sfu.dataplane.wire import Address, Transmit
    from tests.differential.pair import Pair

KEY_BYTES: Final = {
    SrtpProfile.AEAD_AES_128_GCM: 28,
    SrtpProfile.AES128_CM_SHA1_80: 30,
    SrtpProfile.AEAD_AES_256_GCM: 44,
}
PROFILES: Final = tuple(KEY_BYTES)
_REMEMBERED: Final = 40
_ASKED: Final = 100
_IPV6: Final = "2001:db8::7"
_HOSTS: Final = "192.0.2."


@dataclass
class Peer:
    """A client of both planes."""

    pair: Pair
    number: int
    address: Address = ("", 0)
    generation: int = 0
    """Of its ICE credentials."""
    keys: int = 0
    """How often keys were agreed on."""
    session: SrtpSession | None = None
    """Encrypts what it sends, decrypts what it gets."""
    agreed: InstallSrtp | None = None
    """What the planes have not been told of yet."""
    heard: deque[tuple[Ssrc, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """SSRCs and sequence numbers of the last packets that it got."""
    newest_number: int | None = None
    """The transport-wide number that it got last."""
    reports: deque[tuple[Ssrc, int]] = field(default_factory=lambda: deque(maxlen=4))
    """Sender reports that it got: the stream and the middle of their NTP."""
    sent_number: int = 0
    """The transport-wide number of its own next packet."""
    asked: deque[tuple[Address, bytes]] = field(default_factory=lambda: deque(maxlen=_ASKED))
    """Where checks of ours went for it last, and their transaction ids."""

    @property
    def transport(self) -> TransportId:
        return TransportId(self.number)

    @property
    def has_own_port(self) -> bool:
        """Whether the planes have a port for it alone: one in five."""
        return self.number % 5 == 3

    def via(self, address: Address) -> Address:
        """A host and port, as who is there comes to the port that is for this peer."""
        host, port = address[:2]
        return (host, port, OwnPort(self.transport)) if self.has_own_port else (host, port)

    @property
    def credentials(self) -> Credentials:
        name = f"{self.number:04}{self.generation:04}"
        return Credentials(f"ufrag{name}", f"password-of-transport-{name}")

    @classmethod
    def known(cls, pair: Pair, number: int) -> Peer:
        """A peer that both planes listen for."""
        host = _IPV6 if number % 4 == 0 else f"{_HOSTS}{number % 250}"
        peer = cls(pair, number)
        peer.address = peer.via((host, 40_000 + number))
        pair.apply(AddTransport(peer.transport, peer.credentials, own_port=peer.has_own_port))
        return peer

    def agree(self, profile: SrtpProfile) -> InstallSrtp:
        """Both sides agree on keys, or on new ones: the peer uses them, the planes are to be told."""
        self.keys += 1
        length = KEY_BYTES[profile]
        up = (bytes((1, self.number % 256, self.keys % 256)) * length)[:length]
        down = (bytes((2, self.number % 256, self.keys % 256)) * length)[:length]
        self.session = self.pair.srtp(profile, down, up)
        self.pair.readers[self.address] = (
            self.pair.srtp(profile, down, up),
            self.pair.srtp(profile, down, up),
        )
        self.agreed = InstallSrtp(self.transport, profile, up, down)
        return self.agreed

    def install(self, agreed: InstallSrtp) -> list[Transmit]:
        """The planes are told of keys."""
        self.agreed = None
        return self.pair.apply(agreed)

    def check(
        self,
        *,
        nominate: bool,
        credentials: Credentials | None = None,
        more: tuple[tuple[int, bytes], ...] = (),
    ) -> list[Transmit]:
        """Send a connectivity check."""
        known = credentials or self.credentials
        attributes: tuple[tuple[int, bytes], ...] = (
            (Attribute.USERNAME, f"{known.ufrag}:theirs".encode()),
            *more,
        )
        if nominate:
            attributes += ((Attribute.USE_CANDIDATE, b""),)
        message = StunMessage(MessageClass.REQUEST, BINDING, b"transaction!", attributes)
        return self.pair.feed(self.address, message.serialise(known.password))

    def send(self, data: bytes, *, early_ms: float = 0) -> list[Transmit]:
        """Encrypt a packet or a compound, and send it; the bytes themselves where there are no keys yet."""
        if self.session is not None:
            is_rtcp = protocol_of(data) is WireProtocol.RTCP
            protected = self.session.protect_rtcp(data) if is_rtcp else self._protect(data)
            if isinstance(protected, bytes):
                data = protected
        return self.pair.feed(self.address, data, early_ms=early_ms)

    def hear(self, data: bytes) -> None:
        """Take what the planes have sent, and remember what one would refer to."""
        protocol = protocol_of(data)
        if self.session is None or protocol not in {WireProtocol.RTP, WireProtocol.RTCP}:
            return
        is_rtcp = protocol is WireProtocol.RTCP
        plain = self.session.unprotect_rtcp(data) if is_rtcp else self.session.unprotect(data)
        if not isinstance(plain, bytes):
            return
        if is_rtcp:
            for said in parse_compound(plain):
                if isinstance(said, SenderReport):
                    self.reports.append((said.ssrc, middle_bits(said.ntp_timestamp)))
        else:
            self._hear_rtp(plain)

    def next_number(self) -> bytes:
        """The transport-wide number of what it sends next."""
        self.sent_number += 1
        return (self.sent_number & 0xFFFF).to_bytes(2, "big")

    def _protect(self, data: bytes) -> bytes | object:
        assert self.session is not None
        if len(data) < 12:  # libsrtp reads a whole header
            return data
        return self.session.protect(data)

    def _hear_rtp(self, plain: bytes) -> None:
        try:
            packet = RtpPacket.parse(plain)
        except ParseError:  # pragma: no cover  # the planes said so both, and tests of the twin refuse it
            return
        self.heard.append((packet.ssrc, packet.sequence_number))
        for number, value in packet.extensions:
            if number in TRANSPORT_CC_IDS and len(value) == 2:
                self.newest_number = int.from_bytes(value, "big")


TRANSPORT_CC_IDS: Final = (3, 13, 23)
"""Under which subscribers have the transport-wide number, and nothing else."""


def worker_of(transport: int) -> int:
    """The worker of the native plane that a peer is on, where there are two."""
    return transport % 2


def worker_of_host(host: str) -> int | None:
    """That of a peer with this address: hosts are numbered as peers are. None: it is nobody's."""
    if host == _IPV6:
        return worker_of(0)
    return worker_of(int(host.rpartition(".")[2])) if host.startswith(_HOSTS) else None
