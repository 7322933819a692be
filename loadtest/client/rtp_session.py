"""All RTP and RTCP of one leg, in the clear and without a socket: bytes in, bytes and events out.

Time and wall clock are arguments, so that two sessions can be run against each other in a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from loadtest.client import sdp
from loadtest.client.reception import SequenceUnwrapper, nack_runs
from loadtest.client.rtp_receiver import AudioPacket, ReceiveTrack
from loadtest.client.rtp_sender import SendStream
from loadtest.media.assembly import WholeFrame
from sfu.errors import ParseError
from sfu.rtp import rtcp
from sfu.rtp.packet import RtpPacket
from sfu.rtp.twcc import TransportFeedback, split_arrivals
from sfu.units import NS_PER_S, Instant, Ssrc, after_ms

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from loadtest.client.negotiation import ReceiveSection, SendSection

REPORT_INTERVAL_MS: Final = 1_000
FEEDBACK_INTERVAL_MS: Final = 100
"""Transport-wide feedback goes out this often. Longer: congestion is seen late. Shorter: more packets."""
MAX_UNACKNOWLEDGED: Final = 4_096
MAX_UNKNOWN_SSRCS: Final = 256


@dataclass(frozen=True, slots=True)
class FrameArrived:
    """One whole video frame."""

    mid: str
    frame: WholeFrame


@dataclass(frozen=True, slots=True)
class SoundArrived:
    """One packet of audio."""

    mid: str
    packet: AudioPacket


@dataclass(frozen=True, slots=True)
class KeyFrameWanted:
    """The focus asks one encoding of ours for a key frame."""

    track_id: str
    rid: str


SessionEvent = FrameArrived | SoundArrived | KeyFrameWanted


@dataclass(slots=True)
class SessionStats:
    """What this leg counted."""

    packets_unknown: int = 0
    """RTP of no section that was agreed on."""
    malformed: int = 0
    feedback_received: int = 0
    remb_received: int = 0
    plis_received: int = 0
    nacks_received: int = 0
    reports_received: int = 0
    byes_received: int = 0
    unknown_ssrcs: set[int] = field(default_factory=set)


class RtpSession:
    """The senders and receivers of one leg."""

    def __init__(self, cname: str, rng: random.Random) -> None:
        self.stats = SessionStats()
        self._cname = cname
        self._rng = rng
        self._senders: dict[tuple[str, str], SendStream] = {}
        self._sending: dict[str, SendSection] = {}
        self._tracks: dict[str, ReceiveTrack] = {}
        self._ssrcs: dict[int, tuple[str, bool]] = {}
        """SSRC to mid, and whether it is RTX."""
        self._transport_sequence = rng.randrange(2**15)
        self._transport_cc_id: int | None = None
        """One number on the whole transport: sections may not disagree (RFC 8843 section 9.1)."""
        self._arrivals: list[tuple[int, Instant]] = []
        self._transport_unwrapper = SequenceUnwrapper()
        self._feedback_count = 0
        self._feedback_at: Instant | None = None
        self._report_at: Instant | None = None
        self._own_ssrc = Ssrc(rng.randrange(1, 2**32))

    # --- what was agreed ---------------------------------------------------------------------------------

    def agree(self, sending: Sequence[SendSection], receiving: Sequence[ReceiveSection]) -> None:
        """Take over what a negotiation settled; streams that go on keep their numbers."""
        self._sending = {section.mid: section for section in sending}
        ids = [section.extensions.get(sdp.TRANSPORT_CC) for section in sending]
        ids += [
            n for section in receiving for n, uri in section.extensions.items() if uri == sdp.TRANSPORT_CC
        ]
        self._transport_cc_id = next((number for number in ids if number is not None), None)
        for ours in sending:
            for rid in ours.rids or ("",):
                stream = self._senders.get((ours.mid, rid))
                if stream is None or stream.section.track.track_id != ours.track.track_id:
                    # Another track on a section that was used before has SSRCs of its own.
                    self._senders[ours.mid, rid] = SendStream(ours, rid, self._rng)
                else:
                    stream.section = ours
        wanted = {section.mid: section for section in receiving}
        for mid in [mid for mid in self._tracks if mid not in wanted]:
            del self._tracks[mid]
        for mid, section in wanted.items():
            track = self._tracks.get(mid)
            if track is None or (track.section.track_id, track.section.ssrcs) != (
                section.track_id,
                section.ssrcs,
            ):
                self._tracks[mid] = ReceiveTrack(section)
            else:
                track.section = section
        self._ssrcs = {ssrc: known for ssrc, known in self._ssrcs.items() if known[0] in self._tracks}
        for section in receiving:
            self._ssrcs.update((ssrc, (section.mid, False)) for ssrc in section.ssrcs)
            self._ssrcs.update((rtx, (section.mid, True)) for rtx in section.rtx_ssrcs)

    def streams(self, track_id: str) -> list[SendStream]:
        """The RTP streams that a track of ours is sent as now."""
        return [
            stream
            for (mid, rid), stream in self._senders.items()
            if (section := self._sending.get(mid)) is not None
            and section.track.track_id == track_id
            and rid in (section.rids or ("",))
        ]

    def track(self, mid: str) -> ReceiveTrack | None:
        """The track that a section receives."""
        return self._tracks.get(mid)

    # --- what goes out -----------------------------------------------------------------------------------

    def send(
        self,
        now: Instant,
        stream: SendStream,
        payloads: Sequence[bytes],
        captured_at: Instant,
        capture_ntp: int,
        *,
        level: int | None = None,
        marker: bool = True,
    ) -> list[bytes]:
        """The packets of one frame of one of our streams.

        Args:
            now: the instant of sending.
            stream: one of `streams`.
            payloads: at most one frame's.
            captured_at: when it was captured; the same for all encodings of one picture.
            capture_ntp: the same moment on the wall clock.
            level: of audio, in dBov, 0 to -127.
            marker: on the last packet.
        """
        extra: tuple[tuple[str, bytes], ...] = ()
        if level is not None:
            voice = 0x80 if level > -127 else 0
            extra = ((sdp.AUDIO_LEVEL, bytes((voice | -level,))),)
        extra += ((sdp.ABS_CAPTURE_TIME, capture_ntp.to_bytes(8, "big")),)
        packets = stream.packets(payloads, captured_at, extra=extra, marker=marker)
        stamped = [self._stamped(now, stream, packet) for packet in packets]
        for packet in stamped:
            stream.remember(now, packet)
        return [packet.serialise() for packet in stamped]

    def poll(self, now: Instant, ntp: int) -> tuple[list[bytes], list[SessionEvent]]:
        """What is due: RTCP to send, and frames that gave up waiting for others."""
        events: list[SessionEvent] = []
        compounds: list[list[rtcp.RtcpPacket]] = []
        if self._report_at is None or now >= self._report_at:
            self._report_at = after_ms(now, REPORT_INTERVAL_MS)
            compounds += self._reports(now, ntp)
        for mid, track in self._tracks.items():
            events += [FrameArrived(mid, frame) for frame in track.poll(now)]
            if track.ssrc is None:
                continue
            missing = track.log.missing(now)
            if missing:
                compounds.append([rtcp.Nack(self._own_ssrc, Ssrc(track.ssrc), tuple(nack_runs(missing)))])
            if track.asks_key_frame(now):
                compounds.append([rtcp.Pli(self._own_ssrc, Ssrc(track.ssrc))])
        if self._arrivals and (self._feedback_at is None or now >= self._feedback_at):
            self._feedback_at = after_ms(now, FEEDBACK_INTERVAL_MS)
            compounds += [[feedback] for feedback in self._feedback()]
        return [rtcp.serialise_compound(compound) for compound in compounds], events

    def bye(self) -> bytes:
        """The end of all our streams."""
        ssrcs = tuple(stream.ssrc for stream in self._senders.values())
        report = rtcp.ReceiverReport(self._own_ssrc, ())
        return rtcp.serialise_compound([report, rtcp.Bye(ssrcs[:31])])

    def need_key_frame(self, mid: str) -> None:
        """A section's decoder cannot go on."""
        track = self._tracks.get(mid)
        if track is not None:
            track.need_key_frame()

    # --- what comes in -----------------------------------------------------------------------------------

    def receive_rtp(self, now: Instant, data: bytes) -> list[SessionEvent]:
        """Take one RTP packet."""
        try:
            packet = RtpPacket.parse(data)
        except ParseError:
            self.stats.malformed += 1
            return []
        self._note_arrival(now, packet)
        place = self._place(packet)
        if place is None:
            self.stats.packets_unknown += 1
            if len(self.stats.unknown_ssrcs) < MAX_UNKNOWN_SSRCS:
                self.stats.unknown_ssrcs.add(packet.ssrc)
            return []
        mid, is_repair = place
        track = self._tracks[mid]
        return [
            FrameArrived(mid, item) if isinstance(item, WholeFrame) else SoundArrived(mid, item)
            for item in (track.take_repair(now, packet) if is_repair else track.take(now, packet))
        ]

    def receive_rtcp(self, now: Instant, data: bytes) -> tuple[list[bytes], list[SessionEvent]]:
        """Take one compound of RTCP; what is to be resent, and what the focus wants."""
        resent: list[bytes] = []
        events: list[SessionEvent] = []
        try:
            packets = rtcp.parse_compound(data)
        except ParseError:
            self.stats.malformed += 1
            return [], []
        for packet in packets:
            match packet:
                case rtcp.SenderReport():
                    self._note_sender_report(now, packet)
                    self._acknowledge(block.ssrc for block in packet.reports)
                case rtcp.ReceiverReport():
                    self._acknowledge(block.ssrc for block in packet.reports)
                case rtcp.Nack():
                    self.stats.nacks_received += 1
                    resent += self._resend(now, packet)
                case rtcp.Pli():
                    self.stats.plis_received += 1
                    events += self._key_frame(packet.media_ssrc)
                case rtcp.Fir():
                    self.stats.plis_received += 1
                    for entry in packet.entries:
                        events += self._key_frame(entry.ssrc)
                case TransportFeedback():
                    self.stats.feedback_received += 1
                case rtcp.Remb():
                    self.stats.remb_received += 1
                case rtcp.Bye():
                    self.stats.byes_received += 1
                case _:
                    pass
        return resent, events

    # --- helpers -----------------------------------------------------------------------------------------

    def _place(self, packet: RtpPacket) -> tuple[str, bool] | None:
        """The section of a packet and whether it is RTX: by SSRC, else by mid (RFC 8843 section 9.2)."""
        known = self._ssrcs.get(packet.ssrc)
        if known is not None and known[0] in self._tracks:
            return known
        for mid, track in self._tracks.items():
            for number, value in packet.extensions:
                if track.section.extensions.get(number) == sdp.MID and value == mid.encode():
                    place = (mid, packet.payload_type in track.section.repairs)
                    self._ssrcs[packet.ssrc] = place
                    return place
        return None

    def _note_arrival(self, now: Instant, packet: RtpPacket) -> None:
        """For feedback: packets of no section too, such as probes."""
        for number, value in packet.extensions:
            if number == self._transport_cc_id and len(value) == 2:
                number_seen = self._transport_unwrapper.unwrap(int.from_bytes(value, "big"))
                self._arrivals.append((number_seen, now))
        if len(self._arrivals) > MAX_UNACKNOWLEDGED:
            del self._arrivals[: MAX_UNACKNOWLEDGED // 2]

    def _stamped(self, now: Instant, stream: SendStream, packet: RtpPacket) -> RtpPacket:
        """Add what is true of one sending only."""
        ids = stream.section.extensions
        extensions = packet.extensions
        if sdp.TRANSPORT_CC in ids:
            extensions += ((ids[sdp.TRANSPORT_CC], self._transport_sequence.to_bytes(2, "big")),)
            self._transport_sequence = (self._transport_sequence + 1) % 2**16
        if sdp.ABS_SEND_TIME in ids:
            fraction = (now << 18) // NS_PER_S % 2**24
            extensions += ((ids[sdp.ABS_SEND_TIME], fraction.to_bytes(3, "big")),)
        return replace(packet, extensions=extensions)

    def _resend(self, now: Instant, nack: rtcp.Nack) -> list[bytes]:
        for stream in self._senders.values():
            if stream.ssrc == nack.media_ssrc:
                packets = stream.resend(now, nack.sequence_numbers)
                # Without RTX the very same packet goes out again, stamps and all (packet rule 3).
                return [
                    (packet if packet.ssrc == stream.ssrc else self._stamped(now, stream, packet)).serialise()
                    for packet in packets
                ]
        return []

    def _acknowledge(self, ssrcs: Iterable[int]) -> None:
        self.stats.reports_received += 1
        for ssrc in ssrcs:
            for stream in self._senders.values():
                stream.acknowledge(ssrc)

    def _key_frame(self, ssrc: int) -> list[SessionEvent]:
        return [
            KeyFrameWanted(stream.section.track.track_id, stream.rid)
            for stream in self._senders.values()
            if stream.ssrc == ssrc
        ]

    def _note_sender_report(self, now: Instant, report: rtcp.SenderReport) -> None:
        for track in self._tracks.values():
            if track.ssrc == report.ssrc:
                track.last_report = (report.ntp_timestamp >> 16 & 0xFFFFFFFF, now)

    def _reports(self, now: Instant, ntp: int) -> list[list[rtcp.RtcpPacket]]:
        blocks = tuple(
            self._report_block(now, track) for track in self._tracks.values() if track.ssrc is not None
        )
        reports: list[list[rtcp.RtcpPacket]] = []
        for start in range(0, max(len(blocks), 1), 31):
            receiver = rtcp.ReceiverReport(self._own_ssrc, blocks[start : start + 31])
            reports.append([receiver, self._sdes(self._own_ssrc)])
        for (mid, _), stream in self._senders.items():
            sender = stream.sender_report(now, ntp)
            if sender is not None and mid in self._sending:
                reports.append([sender, self._sdes(stream.ssrc)])
        return reports

    def _report_block(self, now: Instant, track: ReceiveTrack) -> rtcp.ReportBlock:
        reception = track.log.report()
        middle, delay = 0, 0
        if track.last_report is not None:
            middle = track.last_report[0]
            delay = min((now - track.last_report[1]) * 65_536 // NS_PER_S, 2**32 - 1)
        return rtcp.ReportBlock(
            ssrc=Ssrc(track.ssrc or 0),
            fraction_lost=reception.fraction_lost,
            packets_lost=reception.packets_lost,
            highest_sequence_number=(reception.highest_seq - 2**16) % 2**32,
            jitter=reception.jitter,
            last_sender_report=middle,
            delay_since_last_sender_report=delay,
        )

    def _sdes(self, ssrc: Ssrc) -> rtcp.Sdes:
        return rtcp.Sdes(((ssrc, self._cname),))

    def _feedback(self) -> list[TransportFeedback]:
        arrivals, self._arrivals = sorted(self._arrivals), []
        media = next((track.ssrc for track in self._tracks.values() if track.ssrc is not None), 0)
        made = []
        for run in split_arrivals(arrivals):
            told = tuple((number % 2**16, arrived_at) for number, arrived_at in run)
            made.append(TransportFeedback(self._own_ssrc, Ssrc(media), self._feedback_count, told))
            self._feedback_count = (self._feedback_count + 1) % 2**8
        return made
