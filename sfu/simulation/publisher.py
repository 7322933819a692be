"""A publisher with a camera and a microphone: one encoding that follows a target, or several fixed ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Pli, parse_compound
from sfu.simulation.encoder import FRAMES_PER_S, HEADER_BYTES, Encoder
from sfu.units import NS_PER_S, Instant, PayloadType, Ssrc

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from sfu.simulation.scenario import MediaFlow

START_BPS: Final = 300_000
"""Sent while nothing is known of the path: the lowest layer of a camera, and a little more."""

SOUNDS_PER_S: Final = 50
SOUND_BYTES: Final = 80
"""Opus at 32 kbit/s."""
SOUND_BPS: Final = 8 * (SOUND_BYTES + HEADER_BYTES) * SOUNDS_PER_S

AUDIO_PAYLOAD_TYPE: Final = PayloadType(111)


class Publisher:
    """The RTP of one person.

    Args:
        flow: what it is about.
        video_ssrcs: of its encodings, lowest first.
        audio_ssrc: of its sound.
        starts_at: when it begins.
        ends_at: when it falls silent; None: not.
        pauses: when its video is silent, as instants.
        rng: for the sizes of frames.
    """

    def __init__(
        self,
        flow: MediaFlow,
        video_ssrcs: Sequence[Ssrc],
        audio_ssrc: Ssrc,
        starts_at: Instant,
        ends_at: Instant | None,
        pauses: list[tuple[Instant, Instant]],
        rng: random.Random,
    ) -> None:
        self._flow = flow
        self._audio_ssrc = audio_ssrc
        self._encoders = [Encoder(ssrc, rng) for ssrc in video_ssrcs]
        self._starts_at, self._ends_at = starts_at, ends_at
        self._pauses = pauses
        self._target_bps = math.inf
        self._frames = self._sounds = 0
        self._frame_at = self._sound_at = starts_at
        self._audio_seq = 0

    @property
    def video_bps(self) -> float:
        """What the one encoding is told to make, by the size of a subscriber's packets."""
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
        for packet in packets:
            for encoder in self._encoders:
                if isinstance(packet, Pli) and packet.media_ssrc == encoder.ssrc:
                    encoder.want_key_frame()

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
                for encoder, bps in zip(
                    self._encoders, self._flow.layers_bps or (self.video_bps,), strict=True
                ):
                    packets += encoder.frame(self._frames, bps)
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


def sound_number(payload: bytes) -> int:
    """Which packet of sound this is, counted from 0."""
    return int.from_bytes(payload[:4], "big")
