"""A subscriber as its network stack: it tells what arrived when, and asks for what did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.rtp.extensions import parse_transport_sequence_number
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Nack, Pli, ReceiverReport, SenderReport, parse_compound, serialise_compound
from sfu.rtp.unwrap import Unwrapper
from sfu.streams.nack import NackGenerator
from sfu.streams.resend import OSN_BYTES, decapsulate
from sfu.streams.statistics import ReceiveStatistics
from sfu.streams.twcc_receiver import TwccReceiver
from sfu.units import Instant, Ssrc, after_ms, earliest

if TYPE_CHECKING:
    from sfu.rtp.rtcp import RtcpPacket

REPORT_INTERVAL_MS: Final = 1_000
"""Between receiver reports."""
OUR_SSRC: Final = Ssrc(1)


class VideoNumbers(NamedTuple):
    """Of one picture."""

    ssrc: Ssrc
    rtx: Ssrc


class Numbers(NamedTuple):
    """What a subscriber's side of a call agreed on."""

    videos: tuple[VideoNumbers, ...]
    audio: Ssrc
    transport_cc: int
    """The id of the header extension."""


class Subscriber:
    """One person's receiving end.

    Args:
        numbers: of the streams it gets.
        round_trip_ms: of its path, as it will have found out: it times how often it asks again.
        starts_at: when it begins to report.
    """

    def __init__(self, numbers: Numbers, round_trip_ms: float, starts_at: Instant) -> None:
        self._transport_cc = numbers.transport_cc
        self._feedback = TwccReceiver(OUR_SSRC)
        self._videos = [_Video(video, round_trip_ms) for video in numbers.videos]
        self._by_ssrc = {video.numbers.ssrc: video for video in self._videos}
        self._by_rtx = {video.numbers.rtx: video for video in self._videos}
        self._report_at = after_ms(starts_at, REPORT_INTERVAL_MS)

    @property
    def whole_at(self) -> list[list[Instant]]:
        """Of each picture, when it was complete up to its newest frame."""
        return [video.whole_at for video in self._videos]

    def receive(self, now: Instant, data: bytes) -> None:
        """Take a packet, RTP or RTCP.

        Raises:
            ParseError: it is neither, which no plane sends.
        """
        if protocol_of(data) is WireProtocol.RTP:
            self._receive_rtp(now, RtpPacket.parse(data), len(data))
            return
        for packet in parse_compound(data):
            if isinstance(packet, SenderReport) and packet.ssrc in self._by_ssrc:
                self._by_ssrc[packet.ssrc].statistics.sender_report(now, packet.ntp_timestamp)

    def poll(self, now: Instant) -> list[bytes]:
        """The compounds to send now."""
        said: list[RtcpPacket] = list(self._feedback.poll(now))
        for video in self._videos:
            said += video.asks(now)
        if now >= self._report_at:
            self._report_at = after_ms(self._report_at, REPORT_INTERVAL_MS)
            blocks = (video.statistics.report_block(now, video.numbers.ssrc) for video in self._videos)
            said.append(ReceiverReport(OUR_SSRC, tuple(block for block in blocks if block is not None)))
        # As libwebrtc does: reduced-size packets, each by itself.
        return [serialise_compound([packet]) for packet in said]

    def next_timeout(self) -> Instant | None:
        """When to poll next."""
        asks = (video.nack.next_timeout() for video in self._videos)
        return earliest(self._feedback.next_timeout(), self._report_at, *asks)

    def _receive_rtp(self, now: Instant, packet: RtpPacket, size_bytes: int) -> None:
        number = packet.extension(self._transport_cc)
        if number is not None:
            self._feedback.received(now, packet.ssrc, parse_transport_sequence_number(number))
        if packet.ssrc in self._by_ssrc:
            self._by_ssrc[packet.ssrc].received(now, packet, size_bytes)
        elif packet.ssrc in self._by_rtx and len(packet.payload) >= OSN_BYTES:
            self._by_rtx[packet.ssrc].repaired(now, packet)


class _Video:
    """One picture as it comes in."""

    def __init__(self, numbers: VideoNumbers, round_trip_ms: float) -> None:
        self.numbers: Final = numbers
        self.nack: Final = NackGenerator()
        self.nack.set_round_trip_time(round_trip_ms)
        self.statistics: Final = ReceiveStatistics(90_000)
        self.whole_at: Final[list[Instant]] = []
        self._seqs, self._timestamps = Unwrapper(16), Unwrapper(32)
        self._highest = -1
        self._is_frame_end = False
        self._wants_key_frame = False

    def received(self, now: Instant, packet: RtpPacket, size_bytes: int) -> None:
        seq = self._seqs.unwrap(packet.sequence_number)
        self._wants_key_frame |= self.nack.received(now, seq)
        self.statistics.received(now, seq, self._timestamps.unwrap(packet.timestamp), size_bytes)
        if seq > self._highest:
            self._highest, self._is_frame_end = seq, packet.marker
        self._look(now)

    def repaired(self, now: Instant, packet: RtpPacket) -> None:
        original, _ = decapsulate(packet.payload)
        self.nack.received(now, self._seqs.nearest(original))
        self._look(now)

    def asks(self, now: Instant) -> list[RtcpPacket]:
        """What is to be sent again."""
        said: list[RtcpPacket] = []
        missing = self.nack.poll(now)
        if missing:
            numbers = tuple(seq & 0xFFFF for seq in missing)
            said.append(Nack(OUR_SSRC, self.numbers.ssrc, numbers))
        if self._wants_key_frame:
            self._wants_key_frame = False
            said.append(Pli(OUR_SSRC, self.numbers.ssrc))
        return said

    def _look(self, now: Instant) -> None:
        if self._is_frame_end and not self.nack.missing_count:
            self.whole_at.append(now)
