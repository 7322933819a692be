"""A microphone and cameras: one encoding that follows a target, or several of fixed rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Pli, parse_compound
from sfu.simulation.encoder import FRAMES_PER_S, HEADER_BYTES, Encoder
from sfu.simulation.scenario import at_s
from sfu.units import NS_PER_S, Instant, PayloadType, Ssrc, after_s, earliest

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

LEAST_SHARE: Final = 0.25
"""An encoding for which less than this of its rate is left is not sent, but for the lowest. About
libwebrtc's minima."""

AUDIO_PAYLOAD_TYPE: Final = PayloadType(111)


class Publisher:
    """The RTP of one person.

    Args:
        flow: what it is about.
        pictures: SSRCs of the encodings of each camera, lowest first.
        audio_ssrc: of its sound.
        rng: for the sizes of frames.
    """

    def __init__(
        self, flow: MediaFlow, pictures: Sequence[Sequence[Ssrc]], audio_ssrc: Ssrc, rng: random.Random
    ) -> None:
        self._flow = flow
        self._audio_ssrc = audio_ssrc
        self._starts_at = at_s(flow.starts_at_s)
        self._ends_at = None if flow.ends_at_s is None else at_s(flow.ends_at_s)
        self._pauses = [(at_s(begin), at_s(end)) for begin, end in flow.pauses]
        is_layered = bool(flow.cameras)
        delays_s = [camera.starts_at_s for camera in flow.cameras] or [0.0]
        self._pictures = [
            _Picture(
                [Encoder(ssrc, rng, is_layered=is_layered) for ssrc in ssrcs],
                # Cameras know nothing of each other: their frames are spread out.
                after_s(self._starts_at, delay_s + number / len(pictures) / FRAMES_PER_S),
            )
            for number, (ssrcs, delay_s) in enumerate(zip(pictures, delays_s, strict=True))
        ]
        self._target_bps = math.inf
        self._sounds = 0
        self._sound_at = self._starts_at
        self._audio_seq = 0

    @property
    def video_bps(self) -> float:
        """What the one encoding is told to make, by the size of a subscriber's packets."""
        if not math.isfinite(self._target_bps):
            return min(START_BPS, self._flow.max_bps)
        return min(max(self._target_bps - SOUND_BPS, self._flow.min_bps), self._flow.max_bps)

    def is_paused(self, now: Instant) -> bool:
        """Whether nothing is to be seen."""
        if now < self._starts_at or self._has_ended(now):
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
        wanted = {packet.media_ssrc for packet in packets if isinstance(packet, Pli)}
        for picture in self._pictures:
            picture.want_key_frames(wanted)

    def poll(self, now: Instant) -> list[bytes]:
        """The packets to send now, sound first."""
        packets: list[bytes] = []
        if self._has_ended(now):
            return packets
        if now >= self._sound_at:
            packets.append(self._sound())
            self._sounds += 1
            self._sound_at = Instant(self._starts_at + self._sounds * NS_PER_S // SOUNDS_PER_S)
        is_paused = self.is_paused(now)
        for number, picture in enumerate(self._pictures):
            if picture.is_due(now):
                packets += picture.frames([] if is_paused else self._rates(now, number))
        return packets

    def next_timeout(self) -> Instant | None:
        """When to poll next."""
        at = earliest(self._sound_at, *(picture.frame_at for picture in self._pictures))
        return None if at is None or self._has_ended(at) else at

    def _has_ended(self, now: Instant) -> bool:
        return self._ends_at is not None and now >= self._ends_at

    def _rates(self, now: Instant, number: int) -> Sequence[float]:
        """Of the encodings of one picture."""
        cameras = self._flow.cameras
        if not cameras:
            return (self.video_bps,)
        running = sum(picture.starts_at <= now for picture in self._pictures)
        return encoding_rates(cameras[number].layers_bps, (self._target_bps - SOUND_BPS) / running)

    def _sound(self) -> bytes:
        payload = self._sounds.to_bytes(4, "big") + bytes(SOUND_BYTES - 4)
        self._audio_seq += 1
        timestamp = self._sounds * (48_000 // SOUNDS_PER_S) & 0xFFFF_FFFF
        sequence_number = self._audio_seq & 0xFFFF
        return RtpPacket(
            AUDIO_PAYLOAD_TYPE, sequence_number, timestamp, self._audio_ssrc, payload
        ).serialise()


class _Picture:
    """One camera's encodings, which share its frames."""

    def __init__(self, encoders: list[Encoder], starts_at: Instant) -> None:
        self._encoders = encoders
        self._is_sent = [False] * len(encoders)
        self._frames = 0
        self.starts_at: Final = starts_at
        self.frame_at = starts_at

    def is_due(self, now: Instant) -> bool:
        return now >= self.frame_at

    def want_key_frames(self, ssrcs: set[Ssrc]) -> None:
        for encoder in self._encoders:
            if encoder.ssrc in ssrcs:
                encoder.want_key_frame()

    def frames(self, rates_bps: Sequence[float]) -> list[bytes]:
        """The packets of the next frame in each encoding that has a rate; one that comes back begins anew."""
        packets: list[bytes] = []
        for at, (encoder, bps) in enumerate(zip(self._encoders, rates_bps, strict=False)):
            if bps and not self._is_sent[at]:
                encoder.want_key_frame()
            self._is_sent[at] = bps > 0
            if bps:
                packets += encoder.frame(self._frames, bps)
        self._frames += 1
        self.frame_at = Instant(self.starts_at + self._frames * NS_PER_S // FRAMES_PER_S)
        return packets


def encoding_rates(layers_bps: Sequence[int], target_bps: float) -> list[float]:
    """What each encoding is told to make, 0: nothing. The lowest first, as libwebrtc divides its target."""
    rates: list[float] = []
    left_bps = target_bps
    for bps in layers_bps:
        least_bps = LEAST_SHARE * bps
        rate_bps = min(left_bps, float(bps))
        if not rates:
            rate_bps = max(rate_bps, least_bps)
        rates.append(rate_bps if rate_bps >= least_bps else 0.0)
        left_bps -= rates[-1]
    return rates


def sound_number(payload: bytes) -> int:
    """Which packet of sound this is, counted from 0."""
    return int.from_bytes(payload[:4], "big")
