"""All RTP and RTCP of one leg, from the client's side, in the clear."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadtest.client import sdp
from sfu.errors import ParseError
from sfu.rtp import rtcp
from sfu.rtp.ntp import ns_to_ntp, ntp_to_ns
from sfu.rtp.packet import ExtensionElements, RtpPacket
from sfu.rtp.twcc import TransportFeedback, split_arrivals
from sfu.units import NS_PER_S, Instant, Ssrc, after_ms
from tests.support.simulation.audio_receiver import AudioReceiver
from tests.support.simulation.reception import Unwrapper
from tests.support.simulation.rtp_sender import SendStream, StreamStart
from tests.support.simulation.video_receiver import VideoReceiver
from tests.support.simulation.watch import PROBE_SSRC

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from loadtest.client.negotiation import ReceiveSection, SendSection
    from tests.support.simulation.observations import TrackObservations

REPORT_INTERVAL_MS: Final = 1_000
FEEDBACK_INTERVAL_MS: Final = 100

Receiver = VideoReceiver | AudioReceiver


@dataclass(slots=True)
class SessionCounts:
    """What came in, but for media that was asked for."""

    unknown_ssrcs: set[int] = field(default_factory=set)
    """Of RTP that belongs to no section that was agreed on."""
    probes: int = 0
    """Packets on `PROBE_SSRC`."""
    feedback_count: int = 0
    """Transport-wide feedback packets."""
    arrivals_told: int = 0
    """Packets of ours that they say have arrived."""
    losses_told: int = 0
    sender_reports: int = 0
    receiver_reports: int = 0
    byes: int = 0
    cnames: set[str] = field(default_factory=set)
    rtp_packets: int = 0


@dataclass(frozen=True, slots=True)
class KeyFrameWanted:
    """The focus wants a key frame of one encoding of ours."""

    track_id: str
    rid: str


class RtpSession:
    """The streams of one leg, both ways.

    Args:
        send: takes RTP and RTCP.
        observe: whose track a section carries, and what is to be seen of it; None where nobody knows.
        starts: where streams begin, by track id and rid.
        rng: for everything that is drawn.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        observe: Callable[[ReceiveSection], tuple[int, TrackObservations] | None],
        starts: Mapping[tuple[str, str], StreamStart],
        rng: random.Random,
    ) -> None:
        self.counts = SessionCounts()
        self.faults: list[str] = []
        self.agreements = 0
        """Negotiations that came to an end."""
        self._send = send
        self._observe = observe
        self._starts = starts
        self._rng = rng
        self._own_ssrc = Ssrc(rng.randrange(1, 2**32))
        self._ntp_offset_ns = rng.randrange(2**61)
        """This client's NTP clock is not anybody else's."""
        self._senders: dict[tuple[str, str], SendStream] = {}
        self._senders_by_ssrc: dict[int, SendStream] = {}
        self._sending: dict[str, SendSection] = {}
        self._receiving: dict[str, ReceiveSection] = {}
        self._receivers: dict[int, Receiver] = {}
        """By media SSRC."""
        self._sections: dict[int, tuple[ReceiveSection, int]] = {}
        """SSRC, of media or RTX, to its section and the SSRC of the media."""
        self._known_ssrcs: set[int] = set()
        """Of all sections that there have been."""
        self._transport_cc_id: int | None = None
        self._transport_sequence_number = rng.randrange(2**16)
        self._arrivals: list[tuple[int, Instant]] = []
        self._arrival_numbers = Unwrapper(16)
        self._feedback_count = 0
        self._report_at: Instant | None = None
        self._feedback_at: Instant | None = None

    # --- what was agreed ----------------------------------------------------------------------------------

    def agree(self, sending: Sequence[SendSection], receiving: Sequence[ReceiveSection]) -> None:
        """Take over what a negotiation settled; streams that go on keep their numbers."""
        self.agreements += 1
        self._sending = {section.mid: section for section in sending}
        self._receiving = {section.mid: section for section in receiving}
        for ours in sending:
            for rid in ours.rids or ("",):
                known = self._senders.get((ours.mid, rid))
                if known is not None and known.section.track == ours.track:
                    known.section = ours
                    continue
                track = ours.track
                start = self._starts.get((track.track_id, rid), StreamStart())
                if track.ssrc is not None and track.rtx_ssrc is not None:
                    start = StreamStart(
                        start.sequence_number, start.timestamp, Ssrc(track.ssrc), Ssrc(track.rtx_ssrc)
                    )
                stream = SendStream(ours, rid, start, self._rng)
                self._senders[ours.mid, rid] = stream
                self._senders_by_ssrc[stream.ssrc] = stream
        ids = [section.extensions.get(sdp.TRANSPORT_CC) for section in sending]
        ids += [
            number
            for section in receiving
            for number, uri in section.extensions.items()
            if uri == sdp.TRANSPORT_CC
        ]
        self._transport_cc_id = next((number for number in ids if number is not None), None)
        self._sections = {}
        self._known_ssrcs.update(
            ssrc for section in receiving for ssrc in (*section.ssrcs, *section.rtx_ssrcs)
        )
        for section in receiving:
            if len(section.ssrcs) != 1:
                self.faults.append(f"section {section.mid} names {len(section.ssrcs)} SSRCs")
                continue
            media = section.ssrcs[0]
            self._sections[media] = section, media
            self._sections.update((rtx, (section, media)) for rtx in section.rtx_ssrcs)

    def streams(self, track_id: str) -> list[SendStream]:
        """The RTP streams that a track of ours is sent as now."""
        return [
            stream
            for (mid, rid), stream in self._senders.items()
            if (section := self._sending.get(mid)) is not None
            and section.track.track_id == track_id
            and rid in (section.rids or ("",))
        ]

    def receivers(self) -> list[tuple[ReceiveSection, Receiver]]:
        """Everything that has been received, with its section."""
        return [
            (self._sections[ssrc][0], receiver)
            for ssrc, receiver in self._receivers.items()
            if ssrc in self._sections
        ]

    # --- what goes out ------------------------------------------------------------------------------------

    def send_media(
        self,
        stream: SendStream,
        payloads: Sequence[bytes],
        captured_at: Instant,
        now: Instant,
        *,
        level: int | None = None,
        marker: bool = True,
    ) -> None:
        """Send one frame; `level` is that of audio, 0 (loud) to 127."""
        ids = stream.section.extensions
        extra: ExtensionElements = ()
        if level is not None and sdp.AUDIO_LEVEL in ids:
            extra = ((ids[sdp.AUDIO_LEVEL], bytes((level | (0x80 if level < 127 else 0),))),)
        for packet in stream.packets(payloads, captured_at, extra, marker=marker):
            self._send_stamped(stream, packet, now)

    def change_ssrcs(self, track_id: str) -> None:
        """Send a track under other SSRCs from now on."""
        for stream in self.streams(track_id):
            before, _ = stream.begin_anew(self._rng)
            del self._senders_by_ssrc[before]
            self._senders_by_ssrc[stream.ssrc] = stream

    def bye(self, track_id: str) -> None:
        """Say that the streams of a track have ended."""
        ssrcs = tuple(stream.ssrc for stream in self.streams(track_id))
        self._send(rtcp.serialise_compound([rtcp.ReceiverReport(self._own_ssrc), rtcp.Bye(ssrcs)]))

    def ask_key_frames(self) -> None:
        """Send a PLI for every video track that is received, wanted or not."""
        for receiver in self._receivers.values():
            if isinstance(receiver, VideoReceiver):
                self._send(rtcp.serialise_compound([rtcp.Pli(self._own_ssrc, receiver.reception.ssrc)]))

    def poll(self, now: Instant) -> None:
        """Send what is due: requests, reports, feedback."""
        for ssrc, receiver in self._receivers.items():
            if not receiver.is_waiting:
                continue
            if isinstance(receiver, AudioReceiver):
                receiver.skip_gaps(now)
                continue
            numbers = receiver.reception.due_nacks(now)
            if numbers:
                self._send(
                    rtcp.serialise_compound([rtcp.Nack(self._own_ssrc, Ssrc(ssrc), tuple(sorted(numbers)))])
                )
            if receiver.wants_key_frame(now):
                self._send(rtcp.serialise_compound([rtcp.Pli(self._own_ssrc, Ssrc(ssrc))]))
        if self._report_at is None or now >= self._report_at:
            self._report_at = after_ms(now, REPORT_INTERVAL_MS)
            self._report(now)
        if self._arrivals and (self._feedback_at is None or now >= self._feedback_at):
            self._feedback_at = after_ms(now, FEEDBACK_INTERVAL_MS)
            self._tell_arrivals()

    # --- what comes in ------------------------------------------------------------------------------------

    def receive(self, now: Instant, data: bytes) -> list[KeyFrameWanted]:
        """Take a datagram that is RTP or RTCP."""
        try:
            if 192 <= data[1] < 224:
                return self._receive_rtcp(now, data)
            self._receive_rtp(now, RtpPacket.parse(data))
        except ParseError as error:
            self.faults.append(str(error))
        return []

    def _receive_rtp(self, now: Instant, packet: RtpPacket) -> None:
        self.counts.rtp_packets += 1
        number = packet.extension(self._transport_cc_id)
        if number is not None:
            self._arrivals.append((self._arrival_numbers.unwrap(int.from_bytes(number, "big")), now))
        if packet.ssrc == PROBE_SSRC and not packet.payload:
            self.counts.probes += 1
            return
        place = self._sections.get(packet.ssrc)
        if place is None:
            # What was under way when its section ended is no fault.
            if packet.ssrc not in self._known_ssrcs:
                self.counts.unknown_ssrcs.add(packet.ssrc)
            return
        section, media = place
        self._check_numbers(section, packet, is_repair=packet.ssrc != media)
        receiver = self._receivers.get(media)
        if receiver is None:
            receiver = self._begin(section, Ssrc(media))
            if receiver is None:
                return
        if packet.ssrc == media:
            receiver.received(now, packet)
        elif isinstance(receiver, VideoReceiver):
            receiver.repaired(now, packet)

    def _begin(self, section: ReceiveSection, ssrc: Ssrc) -> Receiver | None:
        known = self._observe(section)
        if known is None:
            self.faults.append(f"media of {section.stream_id} {section.track_id}, which was never announced")
            return None
        sender, seen = known
        made = AudioReceiver if section.kind == sdp.AUDIO else VideoReceiver
        receiver = self._receivers[ssrc] = made(ssrc, sender, seen)
        return receiver

    def _check_numbers(self, section: ReceiveSection, packet: RtpPacket, *, is_repair: bool) -> None:
        """Payload types and extension ids are those of this leg, and none else (packet rule 1)."""
        numbers: Mapping[int, object] = section.repairs if is_repair else section.codecs
        if packet.payload_type not in numbers:
            self.faults.append(f"payload type {packet.payload_type} in section {section.mid}")
        for number, value in packet.extensions:
            uri = section.extensions.get(number)
            if uri is None:
                self.faults.append(f"extension {number} in section {section.mid}")
            elif uri == sdp.MID and value != section.mid.encode():
                self.faults.append(f"mid {value!r} in section {section.mid}")
        if len(self.faults) > 100:
            del self.faults[100:]

    def _receive_rtcp(self, now: Instant, data: bytes) -> list[KeyFrameWanted]:
        wanted: list[KeyFrameWanted] = []
        for packet in rtcp.parse_compound(data):
            match packet:
                case rtcp.SenderReport() | rtcp.ReceiverReport():
                    self._take_report(now, packet)
                case rtcp.Nack():
                    self._resend(now, packet)
                case rtcp.Pli():
                    wanted += self._key_frame(packet.media_ssrc)
                case rtcp.Fir():
                    for entry in packet.entries:
                        wanted += self._key_frame(entry.ssrc)
                case TransportFeedback():
                    self.counts.feedback_count += 1
                    arrived = sum(at is not None for _, at in packet.arrivals)
                    self.counts.arrivals_told += arrived
                    self.counts.losses_told += len(packet.arrivals) - arrived
                case rtcp.Bye():
                    self.counts.byes += len(packet.ssrcs)
                case rtcp.Sdes():
                    self.counts.cnames.update(cname for _, cname in packet.cnames)
                case _:
                    pass
        return wanted

    def _take_report(self, now: Instant, report: rtcp.SenderReport | rtcp.ReceiverReport) -> None:
        for block in report.reports:
            for stream in self._senders.values():
                stream.acknowledge(block.ssrc)
        if isinstance(report, rtcp.ReceiverReport):
            self.counts.receiver_reports += 1
            return
        self.counts.sender_reports += 1
        receiver = self._receivers.get(report.ssrc)
        if receiver is not None:
            receiver.reception.sender_report(now, report)
            receiver.ntp = ntp_to_ns(report.ntp_timestamp), report.rtp_timestamp

    def _resend(self, now: Instant, nack: rtcp.Nack) -> None:
        stream = self._senders_by_ssrc.get(nack.media_ssrc)
        if stream is not None:
            for resent in stream.resend(nack.sequence_numbers):
                self._send_stamped(stream, resent, now)

    def _key_frame(self, ssrc: Ssrc) -> list[KeyFrameWanted]:
        stream = self._senders_by_ssrc.get(ssrc)
        if stream is None:
            return []
        stream.pli_count += 1
        return [KeyFrameWanted(stream.section.track.track_id, stream.rid)]

    def _send_stamped(self, stream: SendStream, packet: RtpPacket, now: Instant) -> None:
        ids = stream.section.extensions
        extensions = packet.extensions
        if sdp.TRANSPORT_CC in ids:
            number = self._transport_sequence_number
            self._transport_sequence_number = (number + 1) % 2**16
            extensions += ((ids[sdp.TRANSPORT_CC], number.to_bytes(2, "big")),)
        if sdp.ABS_SEND_TIME in ids:
            fraction = (now << 18) // NS_PER_S % 2**24
            extensions += ((ids[sdp.ABS_SEND_TIME], fraction.to_bytes(3, "big")),)
        stamped = RtpPacket(
            packet.payload_type,
            packet.sequence_number,
            packet.timestamp,
            packet.ssrc,
            packet.payload,
            packet.marker,
            extensions,
        )
        self._send(stamped.serialise())

    def _report(self, now: Instant) -> None:
        ntp = ns_to_ntp(now + self._ntp_offset_ns)
        blocks = tuple(receiver.reception.report_block(now) for receiver in self._receivers.values())
        for at in range(0, max(len(blocks), 1), rtcp.MAX_BLOCKS):
            report = rtcp.ReceiverReport(self._own_ssrc, blocks[at : at + rtcp.MAX_BLOCKS])
            self._send(rtcp.serialise_compound([report, self._sdes(self._own_ssrc)]))
        for (mid, _), stream in self._senders.items():
            sender = stream.sender_report(now, ntp)
            if sender is not None and mid in self._sending:
                self._send(rtcp.serialise_compound([sender, self._sdes(stream.ssrc)]))

    @staticmethod
    def _sdes(ssrc: Ssrc) -> rtcp.Sdes:
        return rtcp.Sdes(((ssrc, "simulated"),))

    def _tell_arrivals(self) -> None:
        arrivals, self._arrivals = sorted(self._arrivals), []
        for run in split_arrivals(arrivals):
            feedback = TransportFeedback(
                self._own_ssrc,
                Ssrc(0),
                self._feedback_count % 256,
                tuple((number % 2**16, at) for number, at in run),
            )
            self._feedback_count += 1
            self._send(rtcp.serialise_compound([feedback]))
