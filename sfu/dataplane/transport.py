"""The bytes of one peer: its keys, what is sent to it and what comes from it, counted."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from sfu.dataplane.srtp import TAG_BYTES
from sfu.dataplane.wire import MAX_PACKET_BYTES, Transmit, WireProtocol, protocol_of
from sfu.errors import ParseError
from sfu.plane import DropReason
from sfu.rtp.packet import HEADER_BYTES, RtpPacket
from sfu.rtp.rtcp import parse_compound, serialise_compound
from sfu.streams.pacer import Pacer
from sfu.streams.resend import ResendBudget
from sfu.streams.twcc_sender import TwccSender
from sfu.units import after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.dataplane.departures import Resend, Waiting
    from sfu.dataplane.ice import LiteAgent
    from sfu.dataplane.reports import ReportSchedule
    from sfu.dataplane.srtp import SrtpSession
    from sfu.dataplane.translation import Stamping
    from sfu.rtp.rtcp import RtcpPacket
    from sfu.rtp.twcc import TransportFeedback
    from sfu.streams.twcc_sender import Reported
    from sfu.units import Instant, TransportId

MAX_EARLY: Final = 128
"""Packets kept that came before the keys. Lower: where Python takes long to install them, the first key frame
is lost. Higher: more memory (192 kB a peer) for who never finishes its handshake."""

MAX_SSRCS: Final = 1_024
"""SSRCs that one peer may use under one set of keys, each with a context in the SRTP library. Lower: a call
of many screen shares runs out of them. Higher: a hostile peer costs more."""

QUIET_MS: Final = 100
"""A peer may move when its address has been silent for this long. Lower: a packet that was copied on its way
takes the peer along in any pause. Higher: after a NAT has changed a port, the picture stands for longer."""

_RTCP_HEADER_BYTES: Final = 8


class Transport:
    """What is sent and received of one peer, encrypted.

    Args:
        transport: whose.
        ice: knows where to send to.
        reports: told of every packet, as there is something to report then.
    """

    def __init__(self, transport: TransportId, ice: LiteAgent, reports: ReportSchedule) -> None:
        self.id: Final = transport
        self.reports: Final = reports
        self.resends: Final = ResendBudget()
        self.pacer: Final[Pacer[Waiting, Resend]] = Pacer()
        self.packets_received = 0
        self.bytes_received = 0
        self.packets_sent = 0
        self.bytes_sent = 0
        self.last_received_at: Instant | None = None
        self.round_trip_ms: float | None = None
        """As last measured by a receiver report."""
        self.remb_bps = 0
        self.padding_bytes_sent = 0
        self.feedback_lost = 0
        self.numbered_packets_sent = 0
        """Rows of its feedback that nobody took in time."""
        self.newest_seq: int | None = None
        """The transport-wide number of the packet that was sent last, unwrapped; None where it had none."""
        self._ice = ice
        self._session: SrtpSession | None = None
        self._early: deque[tuple[Instant, bytes]] = deque()
        self._ssrcs: set[int] = set()
        self._numbers = TwccSender()
        self._next_blank = 0

    @property
    def is_secured(self) -> bool:
        """There are keys."""
        return self._session is not None

    @property
    def can_send(self) -> bool:
        """There are keys, and an address to send to."""
        return self._session is not None and self._ice.selected(self.id) is not None

    def received(self, now: Instant, size_bytes: int) -> None:
        """Count a datagram of this peer."""
        self.packets_received += 1
        self.bytes_received += size_bytes
        self.last_received_at = now

    def may_have_sent(self, now: Instant, data: bytes) -> bool:
        """Whether an SRTP or SRTCP packet from an unknown address may be this peer's, gone to another port.

        It names an SSRC of the peer, and from where the peer was, nothing comes any more: who can copy its
        packets, but not stop them, moves nobody.
        """
        if self.last_received_at is None or now < after_ms(self.last_received_at, QUIET_MS):
            return False
        where = slice(4, 8) if protocol_of(data) is WireProtocol.RTCP else slice(8, 12)
        return int.from_bytes(data[where], "big") in self._ssrcs

    def hold(self, now: Instant, data: bytes) -> bool:
        """Keep a packet until there are keys; False where too many are kept."""
        if len(self._early) >= MAX_EARLY:
            return False
        self._early.append((now, data))
        return True

    def secure(self, session: SrtpSession) -> list[tuple[Instant, bytes]]:
        """Use these keys from now on. Returns what was held, in order of arrival."""
        self._session = session
        self._ssrcs.clear()
        early = list(self._early)
        self._early.clear()
        return early

    def open_rtp(self, data: bytes) -> RtpPacket | DropReason:
        """Decrypt and read an RTP packet."""
        plain = self._open(data, data[8:HEADER_BYTES], DropReason.RTP_MALFORMED, is_rtcp=False)
        if isinstance(plain, DropReason):
            return plain
        try:
            return RtpPacket.parse(plain)
        except ParseError:
            return DropReason.RTP_MALFORMED

    def open_rtcp(self, data: bytes) -> list[RtcpPacket] | DropReason:
        """Decrypt and read a compound."""
        plain = self._open(data, data[4:_RTCP_HEADER_BYTES], DropReason.RTCP_MALFORMED, is_rtcp=True)
        if isinstance(plain, DropReason):
            return plain
        try:
            return parse_compound(plain)
        except ParseError:
            return DropReason.RTCP_MALFORMED

    def send_rtp(self, now: Instant, packet: RtpPacket, stamping: Stamping) -> Transmit | DropReason:
        """Stamp, encrypt and address a packet. A transport-wide number is used up only where it is sent."""
        address = self._ice.selected(self.id)
        if address is None or self._session is None:
            return DropReason.NO_SELECTED_PAIR
        stamps = stamping.elements(now, self._numbers.next_number)
        data = packet.serialise(stamps, two_bytes=stamping.two_bytes)
        if len(data) + TAG_BYTES > MAX_PACKET_BYTES:
            return DropReason.TOO_LARGE
        protected = self._session.protect(data)
        if isinstance(protected, DropReason):
            return protected
        pacer, size_bytes = self.pacer, len(protected)
        cluster = 0 if pacer.is_off else pacer.cluster
        self.newest_seq = None
        if stamping.transport_cc is not None:
            self.newest_seq = self._numbers.stamp(now, size_bytes, cluster)
            self.numbered_packets_sent += 1
        if not pacer.is_off:
            pacer.sent(now, size_bytes)
        self.reports.active(now)
        return self._sent(Transmit(address, protected))

    def repeat(self, now: Instant, data: bytes, seq: int | None) -> Transmit | DropReason:
        """Address an RTP packet that was sent before, with its transport-wide number where it has one."""
        address = self._ice.selected(self.id)
        if address is None:
            return DropReason.NO_SELECTED_PAIR
        if seq is not None:
            self._numbers.forget(seq)
        self.pacer.sent(now, len(data))
        return self._sent(Transmit(address, data))

    def next_blank_number(self) -> int:
        """A sequence number for a packet that belongs to no route, 16 bits. Each is given once."""
        number = self._next_blank
        self._next_blank = (number + 1) % (1 << 16)
        return number

    def report(self, now: Instant, feedback: TransportFeedback) -> list[Reported]:
        """What is new in what the peer says of packets that were sent to it."""
        return self._numbers.report(now, feedback)

    def send_rtcp(self, packets: Iterable[RtcpPacket]) -> Transmit | DropReason:
        """Encrypt and address a compound."""
        address = self._ice.selected(self.id)
        if address is None or self._session is None:
            return DropReason.NO_SELECTED_PAIR
        protected = self._session.protect_rtcp(serialise_compound(packets))
        return protected if isinstance(protected, DropReason) else self._sent(Transmit(address, protected))

    def send_datagram(self, data: bytes) -> Transmit | DropReason:
        """Address bytes that are encrypted already."""
        address = self._ice.reachable(self.id)
        return DropReason.NO_SELECTED_PAIR if address is None else self._sent(Transmit(address, data))

    def _open(self, data: bytes, ssrc: bytes, malformed: DropReason, *, is_rtcp: bool) -> bytes | DropReason:
        """Decrypt, unless that would begin one SSRC too many."""
        if len(ssrc) < 4 or self._session is None:
            return malformed
        number = int.from_bytes(ssrc, "big")
        if number not in self._ssrcs and len(self._ssrcs) >= MAX_SSRCS:
            return DropReason.TOO_MANY_SSRCS
        plain = self._session.unprotect_rtcp(data) if is_rtcp else self._session.unprotect(data)
        if not isinstance(plain, DropReason):
            self._ssrcs.add(number)
        return plain

    def _sent(self, transmit: Transmit) -> Transmit:
        self.packets_sent += 1
        self.bytes_sent += len(transmit.data)
        return transmit
