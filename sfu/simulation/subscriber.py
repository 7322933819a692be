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


class Numbers(NamedTuple):
    """What a subscriber's side of a call agreed on."""

    video: Ssrc
    rtx: Ssrc
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
        self._numbers = numbers
        self._feedback = TwccReceiver(OUR_SSRC)
        self._nack = NackGenerator()
        self._nack.set_round_trip_time(round_trip_ms)
        self._video_seqs, self._audio_seqs = Unwrapper(16), Unwrapper(16)
        self._timestamps = Unwrapper(32)
        self._statistics = ReceiveStatistics(90_000)
        self._report_at = after_ms(starts_at, REPORT_INTERVAL_MS)
        self._wants_key_frame = False

    def receive(self, now: Instant, data: bytes) -> None:
        """Take a packet, RTP or RTCP.

        Raises:
            ParseError: it is neither, which no plane sends.
        """
        if protocol_of(data) is WireProtocol.RTP:
            self._receive_rtp(now, RtpPacket.parse(data), len(data))
            return
        for packet in parse_compound(data):
            if isinstance(packet, SenderReport) and packet.ssrc == self._numbers.video:
                self._statistics.sender_report(now, packet.ntp_timestamp)

    def poll(self, now: Instant) -> list[bytes]:
        """The compounds to send now."""
        said: list[RtcpPacket] = list(self._feedback.poll(now))
        missing = self._nack.poll(now)
        if missing:
            numbers = tuple(seq & 0xFFFF for seq in missing)
            said.append(Nack(OUR_SSRC, self._numbers.video, numbers))
        if self._wants_key_frame:
            self._wants_key_frame = False
            said.append(Pli(OUR_SSRC, self._numbers.video))
        if now >= self._report_at:
            self._report_at = after_ms(self._report_at, REPORT_INTERVAL_MS)
            block = self._statistics.report_block(now, self._numbers.video)
            said.append(ReceiverReport(OUR_SSRC, () if block is None else (block,)))
        # As libwebrtc does: reduced-size packets, each by itself.
        return [serialise_compound([packet]) for packet in said]

    def next_timeout(self) -> Instant | None:
        """When to poll next."""
        return earliest(self._feedback.next_timeout(), self._nack.next_timeout(), self._report_at)

    def _receive_rtp(self, now: Instant, packet: RtpPacket, size_bytes: int) -> None:
        number = packet.extension(self._numbers.transport_cc)
        if number is not None:
            self._feedback.received(now, packet.ssrc, parse_transport_sequence_number(number))
        if packet.ssrc == self._numbers.video:
            seq = self._video_seqs.unwrap(packet.sequence_number)
            self._wants_key_frame |= self._nack.received(now, seq)
            self._statistics.received(now, seq, self._timestamps.unwrap(packet.timestamp), size_bytes)
        elif packet.ssrc == self._numbers.rtx and len(packet.payload) >= OSN_BYTES:
            original, _ = decapsulate(packet.payload)
            self._nack.received(now, self._video_seqs.nearest(original))
