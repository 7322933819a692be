"""A publisher whose encoder makes as much video as it is told to, and who speaks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Fir, Pli, parse_compound
from sfu.units import NS_PER_S, Instant, PayloadType, Ssrc

if TYPE_CHECKING:
    import random

    from sfu.simulation.scenario import MediaFlow

START_BPS: Final = 300_000
"""Sent while nothing is known of the path: the lowest layer of a camera, and a little more."""

FRAMES_PER_S: Final = 30
SOUNDS_PER_S: Final = 50
SOUND_BYTES: Final = 80
"""Opus at 32 kbit/s."""
PACKET_BYTES: Final = 1_100
"""Of payload."""
HEADER_BYTES: Final = 24
"""What a subscriber's packet has in front of its payload: the RTP header, and extensions of 12 bytes."""
SOUND_BPS: Final = 8 * (SOUND_BYTES + HEADER_BYTES) * SOUNDS_PER_S

FRAME_NOISE: Final = 0.15
"""Standard deviation of a frame's size, of its mean."""
KEY_FRAME_SIZE: Final = 4.0
"""Of a usual frame."""
CATCH_UP: Final = 0.2
"""What of a surplus or a deficit is made good by the next frame: the encoder holds its rate."""

VIDEO_PAYLOAD_TYPE: Final = PayloadType(96)
AUDIO_PAYLOAD_TYPE: Final = PayloadType(111)

_KEY_FRAME, _INTER_FRAME = 0, 1


class Publisher:
    """The RTP of one person.

    Args:
        flow: what it is about.
        video_ssrc: of its video.
        audio_ssrc: of its sound.
        starts_at: when it begins.
        ends_at: when it falls silent; None: not.
        pauses: when its video is silent, as instants.
        rng: for the sizes of frames.
    """

    def __init__(
        self,
        flow: MediaFlow,
        video_ssrc: Ssrc,
        audio_ssrc: Ssrc,
        starts_at: Instant,
        ends_at: Instant | None,
        pauses: list[tuple[Instant, Instant]],
        rng: random.Random,
    ) -> None:
        self._flow = flow
        self._video_ssrc, self._audio_ssrc = video_ssrc, audio_ssrc
        self._starts_at, self._ends_at = starts_at, ends_at
        self._pauses = pauses
        self._rng = rng
        self._target_bps = math.inf
        self._frames = self._sounds = 0
        self._frame_at = self._sound_at = starts_at
        self._video_seq = self._audio_seq = 0
        self._surplus_bytes = 0.0
        self._is_key_wanted = True

    @property
    def video_bps(self) -> float:
        """What the encoder is told to make, by the size of a subscriber's packets."""
        if not math.isfinite(self._target_bps):
            return min(START_BPS, self._flow.max_bps)
        return min(max(self._target_bps - SOUND_BPS, self._flow.min_bps), self._flow.max_bps)

    def is_paused(self, now: Instant) -> bool:
        """Whether nothing is to be seen."""
        if now < self._starts_at or (self._ends_at is not None and now >= self._ends_at):
            return True
        return any(begin <= now < end for begin, end in self._pauses)

    def set_target(self, target_bps: float) -> None:
        """What video and sound may come to together; infinite while nothing is known."""
        self._target_bps = target_bps

    def receive(self, data: bytes) -> None:
        """Take RTCP of the plane."""
        try:
            packets = parse_compound(data)
        except ParseError:
            return
        if any(isinstance(packet, (Pli, Fir)) for packet in packets):
            self._is_key_wanted = True

    def poll(self, now: Instant) -> list[bytes]:
        """The packets to send now, sound first."""
        packets: list[bytes] = []
        if self._ends_at is not None and now >= self._ends_at:
            return packets
        if now >= self._sound_at:
            packets.append(self._sound())
            self._sounds += 1
            self._sound_at = Instant(self._starts_at + self._sounds * NS_PER_S // SOUNDS_PER_S)
        if now >= self._frame_at:
            if not self.is_paused(now):
                packets += self._frame()
            self._frames += 1
            self._frame_at = Instant(self._starts_at + self._frames * NS_PER_S // FRAMES_PER_S)
        return packets

    def next_timeout(self) -> Instant | None:
        """When to poll next."""
        at = min(self._sound_at, self._frame_at)
        return None if self._ends_at is not None and at >= self._ends_at else at

    def _sound(self) -> bytes:
        payload = self._sounds.to_bytes(4, "big") + bytes(SOUND_BYTES - 4)
        self._audio_seq += 1
        timestamp = self._sounds * (48_000 // SOUNDS_PER_S) & 0xFFFF_FFFF
        sequence_number = self._audio_seq & 0xFFFF
        return RtpPacket(
            AUDIO_PAYLOAD_TYPE, sequence_number, timestamp, self._audio_ssrc, payload
        ).serialise()

    def _frame(self) -> list[bytes]:
        is_key, self._is_key_wanted = self._is_key_wanted, False
        mean = self.video_bps / 8 / FRAMES_PER_S
        noise = min(max(self._rng.gauss(1.0, FRAME_NOISE), 0.5), 1.5)
        wanted = mean * (KEY_FRAME_SIZE if is_key else noise)
        size = max(wanted - CATCH_UP * self._surplus_bytes, mean / 4)
        self._surplus_bytes += size - mean
        packets = max(1, math.ceil(size / (PACKET_BYTES + HEADER_BYTES)))
        share = max(16, round(size / packets) - HEADER_BYTES)
        timestamp = self._frames * (90_000 // FRAMES_PER_S) & 0xFFFF_FFFF
        frame = []
        for index in range(packets):
            # A VP8 descriptor with a picture id, then the first byte of the frame's header.
            head = bytes((0x80 | (index == 0) << 4, 0x80)) + (0x8000 | self._frames & 0x7FFF).to_bytes(
                2, "big"
            )
            kind = _KEY_FRAME if is_key else _INTER_FRAME
            payload = (head + bytes((kind,))).ljust(share, b"\0")
            self._video_seq += 1
            frame.append(
                RtpPacket(
                    VIDEO_PAYLOAD_TYPE,
                    self._video_seq & 0xFFFF,
                    timestamp,
                    self._video_ssrc,
                    payload,
                    marker=index == packets - 1,
                ).serialise()
            )
        return frame


def sound_number(payload: bytes) -> int:
    """Which packet of sound this is, counted from 0."""
    return int.from_bytes(payload[:4], "big")
