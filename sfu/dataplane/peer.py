"""One peer: what it publishes, what it receives, and when it is told of either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Union

from sfu.dataplane import feedback
from sfu.dataplane.demux import Demux
from sfu.dataplane.departures import Departures
from sfu.dataplane.keyframes import KeyframeRequests
from sfu.dataplane.reports import FEEDBACK_SSRC, compounds, nacks, receiver_reports
from sfu.dataplane.wire import Transmit, WireProtocol, protocol_of
from sfu.errors import LocalError, ParseError
from sfu.plane import DropReason, Extension
from sfu.rtp.extensions import parse_transport_sequence_number
from sfu.rtp.rtcp import Bye, Pli, ReceiverReport
from sfu.streams.twcc_receiver import TwccReceiver
from sfu.units import earliest

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from sfu.dataplane.agenda import Agenda
    from sfu.dataplane.encoding import Encoding
    from sfu.dataplane.feedback_rows import FeedbackRows
    from sfu.dataplane.route import Route
    from sfu.dataplane.srtp import SrtpSession
    from sfu.dataplane.track import Track
    from sfu.dataplane.transport import Transport
    from sfu.plane import SetRoute
    from sfu.rtp.packet import RtpPacket
    from sfu.rtp.rtcp import RtcpPacket
    from sfu.rtp.twcc import TransportFeedback
    from sfu.units import Instant, Ssrc

Unit = tuple["RtcpPacket", ...]
Opened = Union["RtpPacket", list["RtcpPacket"]]
"""What was decrypted: a packet, or a compound."""


class Peer:
    """Everything of one transport above its bytes.

    Args:
        transport: its bytes.
        agenda: where its timers go.
        drops: where they are counted.
        rows: where goes what it says of packets that were sent to it.
        cname: ours, as a receiver.
    """

    def __init__(
        self,
        transport: Transport,
        agenda: Agenda,
        drops: Counter[DropReason],
        rows: FeedbackRows,
        cname: str,
    ) -> None:
        self.transport: Final = transport
        self.demux: Final = Demux(transport.id, agenda, drops)
        self.routes: Final[dict[Ssrc, Route]] = {}
        """By the SSRC under which each goes out."""
        self.departures: Final = Departures(transport, self.routes, agenda, drops)
        self.keyframes: Final = KeyframeRequests(transport.id, agenda)
        self._agenda = agenda
        self._drops = drops
        self._rows = rows
        self._cname = cname
        self._arrivals = TwccReceiver(FEEDBACK_SSRC)

    def secure(self, now: Instant, session: SrtpSession) -> list[Transmit]:
        """Use these keys from now on; what to send of the packets that waited for them."""
        transmits = []
        for at, data in self.transport.secure(session):
            transmits += self.receive(now, at, data)
        return transmits

    def receive(self, now: Instant, arrived_at: Instant, data: bytes) -> list[Transmit]:
        """Take an SRTP or SRTCP packet; what to send of it."""
        if not self.transport.is_secured:
            if not self.transport.hold(arrived_at, data):
                self._drops[DropReason.EARLY_QUEUE_FULL] += 1
            return []
        opened = self._open(data)
        if isinstance(opened, DropReason):
            self._drops[opened] += 1
            return []
        return self.take(now, arrived_at, opened, len(data))

    def open_stray(self, now: Instant, data: bytes) -> Opened | None:
        """Decrypt a packet from an address that is nobody's; None where it is not this peer's."""
        if not self.transport.may_have_sent(now, data):
            return None
        opened = self._open(data)
        return None if isinstance(opened, DropReason) else opened

    def take(self, now: Instant, arrived_at: Instant, opened: Opened, size_bytes: int) -> list[Transmit]:
        """Take a packet that is decrypted; what to send of it."""
        if isinstance(opened, list):
            return feedback.take(arrived_at, self, opened)
        self.transport.reports.active(arrived_at)
        self._note_arrival(arrived_at, opened)
        return self.demux.receive(now, arrived_at, opened, size_bytes)

    def _open(self, data: bytes) -> Opened | DropReason:
        if protocol_of(data) is WireProtocol.RTCP:
            return self.transport.open_rtcp(data)
        return self.transport.open_rtp(data)

    def set_track(self, now: Instant, track: Track, gone: Sequence[Encoding]) -> list[Transmit]:
        """A track that it publishes is new, or its SDP is; what to send of packets that waited for it."""
        released = self.demux.set_track(track, gone)
        transmits = []
        for held in released:
            transmits += self.demux.receive(now, held.at, held.packet, held.size_bytes)
        return transmits

    def admit(self, spec: SetRoute) -> None:
        """Something is to go to it.

        Raises:
            LocalError: its SSRC is that of another, or ours as a receiver.
        """
        if spec.ssrc in self.routes or spec.ssrc == FEEDBACK_SSRC:
            raise LocalError(f"SSRC {spec.ssrc} of route {spec.route} is taken")

    def add_route(self, route: Route) -> None:
        """Something goes to it; after `admit`."""
        self.routes[route.spec.ssrc] = route

    def take_feedback(self, now: Instant, packet: TransportFeedback) -> None:
        """It says when packets reached it."""
        self._rows.add(now, self.transport, self.transport.report(now, packet))

    def remove_route(self, route: Route) -> list[Transmit]:
        """Something goes to it no more; what to say of that."""
        del self.routes[route.spec.ssrc]
        self.departures.forget(route, DropReason.OTHER_LAYER)
        route.close()
        if not route.packets_sent or not self.transport.can_send:
            return []
        ssrcs = tuple(ssrc for ssrc in (route.spec.ssrc, route.spec.rtx_ssrc) if ssrc is not None)
        return self._send([(ReceiverReport(FEEDBACK_SSRC), Bye(ssrcs))])

    def poll(self, now: Instant) -> list[Transmit]:
        """Do what is due; what to send."""
        self.demux.expire(now)
        transmits = self.departures.poll(now)
        units = self._plis(now) + self._nacks(now)
        units += [(packet,) for packet in self._arrivals.poll(now)]
        if self.transport.reports.take(now):
            reports = self._reports(now)
            if reports:
                self.transport.reports.reported(now)
            units += reports
        return transmits + self._send(units)

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to do."""
        return earliest(
            self.demux.next_timeout(),
            self.departures.next_timeout(),
            self.keyframes.next_timeout(),
            self._arrivals.next_timeout(),
            self.transport.reports.next_timeout(),
        )

    def _note_arrival(self, now: Instant, packet: RtpPacket) -> None:
        """Whatever stream a packet is of, its arrival is fed back: libwebrtc's first probes have SSRC 0."""
        value = self.demux.element(packet, Extension.TRANSPORT_CC)
        if value is None:
            return
        try:
            number = parse_transport_sequence_number(value)
        except ParseError:
            return
        self._arrivals.received(now, packet.ssrc, number)
        self._agenda.plan(self.transport.id, self._arrivals.next_timeout())

    def _plis(self, now: Instant) -> list[Unit]:
        units: list[Unit] = []
        for ssrc in self.keyframes.poll(now):
            stream = self.demux.stream_of(ssrc)
            if stream is not None:
                stream.encoding.pli_count += 1
                units.append((Pli(FEEDBACK_SSRC, ssrc),))
        return units

    def _nacks(self, now: Instant) -> list[Unit]:
        units: list[Unit] = []
        round_trip_ms = self.transport.round_trip_ms
        for ssrc, stream in self.demux.streams():
            reception = stream.encoding.reception
            if reception is None or stream.is_repair:
                continue
            if round_trip_ms is not None:
                reception.nacks.set_round_trip_time(round_trip_ms)
            units += nacks(ssrc, reception.nacks.poll(now))
        return units

    def _reports(self, now: Instant) -> list[Unit]:
        blocks = []
        for ssrc, stream in self.demux.streams():
            reception = stream.encoding.repair if stream.is_repair else stream.encoding.reception
            block = None if reception is None else reception.statistics.report_block(now, ssrc)
            if block is not None:
                blocks.append(block)
        told = [route.sender_report(now) for route in self.routes.values()]
        return receiver_reports(blocks, self._cname) + [unit for unit in told if unit]

    def _send(self, units: Sequence[Unit]) -> list[Transmit]:
        transmits = []
        for compound in compounds(units):
            outcome = self.transport.send_rtcp(compound)
            if isinstance(outcome, Transmit):
                transmits.append(outcome)
            else:
                self._drops[outcome] += 1
        return transmits
