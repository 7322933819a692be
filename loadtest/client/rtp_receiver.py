"""One track of somebody else's: its RTP stream, its resends, and frames out of packets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadtest.client import sdp
from loadtest.client.reception import ReceptionLog, SequenceUnwrapper
from loadtest.client.rtp_sender import CLOCK_RATES
from loadtest.media.assembly import FrameAssembler, WholeFrame
from loadtest.media.vp8_packetiser import depacketise
from sfu.units import Instant, after_ms

if TYPE_CHECKING:
    from loadtest.client.negotiation import ReceiveSection
    from sfu.rtp.packet import RtpPacket

KEY_FRAME_PATIENCE_MS: Final = 200
"""How long a track may deliver what cannot be decoded before a key frame is asked for."""
KEY_FRAME_INTERVAL_MS: Final = 500


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One packet of sound; `after_gap` where packets before it are missing."""

    data: bytes
    timestamp: int
    after_gap: bool
    capture_ntp: int | None


class ReceiveTrack:
    """Everything about receiving one section's track."""

    def __init__(self, section: ReceiveSection) -> None:
        self.section = section
        self.ssrc: int | None = None
        """Of the media, once seen."""
        self._log = ReceptionLog(CLOCK_RATES[section.kind])
        self._unwrapper = SequenceUnwrapper()
        self._assembler = FrameAssembler()
        self._highest: int | None = None
        self._undecodable_since: Instant | None = None
        self._asked_at: Instant | None = None
        self._is_broken = False
        self.last_report: tuple[int, Instant] | None = None
        """Middle bits of the last sender report's NTP time, and when it came."""
        self.key_frames_asked = 0

    @property
    def log(self) -> ReceptionLog:
        """What arrived and what is missing."""
        return self._log

    @property
    def id_jumps(self) -> int:
        """Picture ids that jumped without loss."""
        return self._assembler.id_jumps

    def take(self, now: Instant, packet: RtpPacket) -> list[WholeFrame] | list[AudioPacket]:
        """Take one packet of the media's SSRC."""
        if packet.ssrc != self.ssrc:
            self._start_stream(packet.ssrc)
        seq = self._unwrapper.unwrap(packet.sequence_number)
        is_video = self.section.kind == sdp.VIDEO
        if not self._log.note(now, seq, packet.timestamp, wants_resend=is_video):
            return []
        return self._deliver(now, seq, packet, packet.payload)

    def take_repair(self, now: Instant, packet: RtpPacket) -> list[WholeFrame] | list[AudioPacket]:
        """Take one packet of the RTX SSRC (RFC 4588 section 4)."""
        if len(packet.payload) < 2 or self.ssrc is None:
            return []  # padding that probes the path, or nothing to repair yet
        original = int.from_bytes(packet.payload[:2], "big")
        seq = self._unwrapper.unwrap(original)
        if not self._log.note_repair(seq):
            return []
        return self._deliver(now, seq, packet, packet.payload[2:])

    def poll(self, now: Instant) -> list[WholeFrame]:
        """Give up on old gaps."""
        return self._assembler.poll(now)

    def need_key_frame(self) -> None:
        """The decoder cannot go on."""
        self._is_broken = True
        self._assembler.give_up()

    def asks_key_frame(self, now: Instant) -> bool:
        """Whether a picture loss indication is due now."""
        if self.section.kind != sdp.VIDEO or self.ssrc is None or not self._assembler.wants_key_frame:
            self._undecodable_since, self._is_broken = None, False
            return False
        if self._undecodable_since is None:
            self._undecodable_since = now
        patience_ms = 0 if self._is_broken else KEY_FRAME_PATIENCE_MS
        if now < after_ms(self._undecodable_since, patience_ms):
            return False
        if self._asked_at is not None and now < after_ms(self._asked_at, KEY_FRAME_INTERVAL_MS):
            return False
        self._asked_at = now
        self.key_frames_asked += 1
        return True

    def _start_stream(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self._log = ReceptionLog(CLOCK_RATES[self.section.kind])
        self._unwrapper = SequenceUnwrapper()
        self._assembler.give_up()
        self._highest = None
        self.last_report = None

    def _deliver(
        self, now: Instant, seq: int, packet: RtpPacket, payload: bytes
    ) -> list[WholeFrame] | list[AudioPacket]:
        capture_ntp = self._capture_ntp(packet)
        if self.section.kind == sdp.AUDIO:
            late = self._highest is not None and seq < self._highest
            after_gap = self._highest is not None and seq != self._highest + 1
            self._highest = seq if self._highest is None else max(seq, self._highest)
            if late or not payload:
                return []
            return [AudioPacket(payload, packet.timestamp, after_gap, capture_ntp)]
        return self._assembler.insert(
            now,
            seq,
            depacketise(payload),
            timestamp=packet.timestamp,
            marker=packet.marker,
            capture_ntp=capture_ntp,
        )

    def _capture_ntp(self, packet: RtpPacket) -> int | None:
        for number, value in packet.extensions:
            if self.section.extensions.get(number) == sdp.ABS_CAPTURE_TIME and len(value) >= 8:
                return int.from_bytes(value[:8], "big")
        return None
