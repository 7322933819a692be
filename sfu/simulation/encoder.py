"""One encoding of a camera: frames of the right size on average, and of the wrong size each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

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


class Encoder:
    """One RTP stream of VP8, labelled as such and empty.

    Args:
        ssrc: its own.
        rng: for the sizes of frames.
    """

    def __init__(self, ssrc: Ssrc, rng: random.Random) -> None:
        self.ssrc: Final = ssrc
        self._rng = rng
        self._seq = 0
        self._surplus_bytes = 0.0
        self._is_key_wanted = True

    def want_key_frame(self) -> None:
        """Make the next frame one that can be decoded by itself."""
        self._is_key_wanted = True

    def frame(self, number: int, bps: float) -> list[bytes]:
        """The packets of a frame, for a rate that counts `HEADER_BYTES` of each."""
        is_key, self._is_key_wanted = self._is_key_wanted, False
        size = self._size(bps / 8 / FRAMES_PER_S, is_key=is_key)
        packets = max(1, math.ceil(size / (PACKET_BYTES + HEADER_BYTES)))
        share = max(16, round(size / packets) - HEADER_BYTES)
        return [
            self._packet(number, share, is_key=is_key, is_first=index == 0, is_last=index == packets - 1)
            for index in range(packets)
        ]

    def _size(self, mean: float, *, is_key: bool) -> float:
        noise = min(max(self._rng.gauss(1.0, FRAME_NOISE), 0.5), 1.5)
        wanted = mean * (KEY_FRAME_SIZE if is_key else noise)
        size = max(wanted - CATCH_UP * self._surplus_bytes, mean / 4)
        self._surplus_bytes += size - mean
        return size

    def _packet(self, number: int, share: int, *, is_key: bool, is_first: bool, is_last: bool) -> bytes:
        # A descriptor with a picture id of 15 bits, then the first byte of the frame's header.
        descriptor = bytes((0x80 | is_first << 4, 0x80)) + (0x8000 | number & 0x7FFF).to_bytes(2, "big")
        payload = (descriptor + bytes((_KEY_FRAME if is_key else _INTER_FRAME,))).ljust(share, b"\0")
        self._seq += 1
        timestamp = number * (90_000 // FRAMES_PER_S) & 0xFFFF_FFFF
        return RtpPacket(
            VIDEO_PAYLOAD_TYPE, self._seq & 0xFFFF, timestamp, self.ssrc, payload, marker=is_last
        ).serialise()
