"""One encoding of a camera: frames of the right size on average, and of the wrong size each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from sfu.rtp.packet import RtpPacket
from sfu.units import PayloadType, Ssrc

if TYPE_CHECKING:
    import random

FRAMES_PER_S: Final = 30
PACKET_BYTES: Final = 1_100
"""Of payload."""
HEADER_BYTES: Final = 24
"""What a subscriber's packet has in front of its payload: the RTP header, and extensions of 12 bytes."""

FRAME_NOISE: Final = 0.15
"""Standard deviation of a frame's size, of its mean."""
KEY_FRAME_SIZE: Final = 4.0
"""Of a usual frame."""
CATCH_UP: Final = 0.2
"""What of a surplus or a deficit is made good by the next frame: the encoder holds its rate."""

VIDEO_PAYLOAD_TYPE: Final = PayloadType(96)

_KEY_FRAME, _INTER_FRAME = 0, 1


class _Step(NamedTuple):
    """One frame of a pattern of temporal layers."""

    temporal: int
    is_sync: bool
    """It needs no frame of its own layer."""
    size: float
    """Of the mean."""


_PATTERN: Final = (_Step(0, False, 1.6), _Step(2, True, 0.8), _Step(1, True, 0.8), _Step(2, False, 0.8))
"""libwebrtc's of three layers: of all bits, they have 40, 20 and 40 %."""
_EVEN: Final = (_Step(0, False, 1.0),)


class Encoder:
    """One RTP stream of VP8, labelled as such and empty.

    Args:
        ssrc: its own.
        rng: for the sizes of frames.
        is_layered: it has three temporal layers.
    """

    def __init__(self, ssrc: Ssrc, rng: random.Random, *, is_layered: bool = False) -> None:
        self.ssrc: Final = ssrc
        self._rng = rng
        self._pattern = _PATTERN if is_layered else _EVEN
        self._position = self._base_frames = 0
        self._seq = 0
        self._surplus_bytes = 0.0
        self._is_key_wanted = True

    def want_key_frame(self) -> None:
        """Make the next frame one that can be decoded by itself."""
        self._is_key_wanted = True

    def frame(self, number: int, bps: float) -> list[bytes]:
        """The packets of a frame, for a rate that counts `HEADER_BYTES` of each."""
        is_key, self._is_key_wanted = self._is_key_wanted, False
        step = self._step(is_key=is_key)
        size = self._size(step.size * bps / 8 / FRAMES_PER_S, is_key=is_key)
        packets = max(1, math.ceil(size / (PACKET_BYTES + HEADER_BYTES)))
        share = max(16, round(size / packets) - HEADER_BYTES)
        head = self._descriptor(number, step), _KEY_FRAME if is_key else _INTER_FRAME
        return [self._packet(number, share, *head, index, packets) for index in range(packets)]

    def _step(self, *, is_key: bool) -> _Step:
        """Where in the pattern this frame stands; a key frame begins it anew."""
        self._position = 0 if is_key else (self._position + 1) % len(self._pattern)
        self._base_frames += self._position == 0
        return self._pattern[self._position]

    def _size(self, mean: float, *, is_key: bool) -> float:
        noise = min(max(self._rng.gauss(1.0, FRAME_NOISE), 0.5), 1.5)
        wanted = mean * (KEY_FRAME_SIZE if is_key else noise)
        size = max(wanted - CATCH_UP * self._surplus_bytes, mean / 4)
        self._surplus_bytes += size - mean
        return size

    def _descriptor(self, number: int, step: _Step) -> bytes:
        """What stands behind the first byte: flags, a picture id of 15 bits, and the temporal layer."""
        picture_id = (0x8000 | number & 0x7FFF).to_bytes(2, "big")
        if self._pattern is _EVEN:
            return b"\x80" + picture_id
        layer = step.temporal << 6 | step.is_sync << 5
        return b"\xe0" + picture_id + bytes((self._base_frames & 0xFF, layer))

    def _packet(
        self, number: int, share: int, descriptor: bytes, first_byte: int, index: int, packets: int
    ) -> bytes:
        flags = bytes((0x80 | (index == 0) << 4,))
        payload = (flags + descriptor + bytes((first_byte,))).ljust(share, b"\0")
        self._seq += 1
        timestamp = number * (90_000 // FRAMES_PER_S) & 0xFFFF_FFFF
        return RtpPacket(
            VIDEO_PAYLOAD_TYPE,
            self._seq & 0xFFFF,
            timestamp,
            self.ssrc,
            payload,
            marker=index == packets - 1,
        ).serialise()
