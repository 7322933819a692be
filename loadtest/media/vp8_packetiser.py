"""VP8 frames to RTP payloads and back (RFC 7741), with picture id, TL0PICIDX, TID and KEYIDX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_PAYLOAD_BYTES: Final = 1_100
"""VP8 bytes in a packet. Larger: a tunnel on the way may cut packets, and a forwarder adds extensions.
Smaller: more packets."""

PICTURE_IDS: Final = 2**15
TL0_INDEXES: Final = 2**8
KEY_INDEXES: Final = 2**5

_X, _S = 0x80, 0x10
_I, _L, _T, _K = 0x80, 0x40, 0x20, 0x10


@dataclass(frozen=True, slots=True)
class Vp8Payload:
    """One RTP payload, taken apart; what its descriptor leaves out is None."""

    starts_frame: bool
    data: bytes
    picture_id: int | None = None
    tl0_picture_index: int | None = None
    temporal_id: int | None = None
    key_index: int | None = None

    @property
    def is_key_start(self) -> bool:
        """Whether a key frame begins here: the inverse-key bit of the frame tag (RFC 6386 section 9.1)."""
        return self.starts_frame and bool(self.data) and not self.data[0] & 1


class Vp8Packetiser:
    """Numbers the frames of one encoding and cuts them into payloads of like size."""

    def __init__(self, *, picture_id: int = 0, tl0_picture_index: int = 0) -> None:
        self._picture_id = picture_id % PICTURE_IDS
        self._tl0_picture_index = tl0_picture_index % TL0_INDEXES
        self._key_index = 0

    def payloads(self, frame: bytes, *, is_key: bool) -> list[bytes]:
        """The payloads of one frame, in order; the last one takes the marker bit."""
        if is_key:
            self._key_index = (self._key_index + 1) % KEY_INDEXES
        tail = bytes(
            (
                _I | _L | _T | _K,
                0x80 | self._picture_id >> 8,
                self._picture_id & 0xFF,
                self._tl0_picture_index,
                self._key_index,  # TID 0, Y 0
            )
        )
        self._picture_id = (self._picture_id + 1) % PICTURE_IDS
        self._tl0_picture_index = (self._tl0_picture_index + 1) % TL0_INDEXES
        count = -(-len(frame) // MAX_PAYLOAD_BYTES)
        size = -(-len(frame) // count)
        return [
            bytes((_X | (_S if start == 0 else 0),)) + tail + frame[start : start + size]
            for start in range(0, len(frame), size)
        ]


def depacketise(payload: bytes) -> Vp8Payload | None:
    """Take one RTP payload apart; None where it is shorter than its own descriptor says."""
    if not payload:
        return None
    first, at = payload[0], 1
    picture_id = tl0_picture_index = temporal_id = key_index = None
    try:
        if first & _X:
            fields, at = payload[1], 2
            if fields & _I:
                picture_id = payload[at] & 0x7F
                if payload[at] & 0x80:
                    picture_id = picture_id << 8 | payload[at + 1]
                    at += 1
                at += 1
            if fields & _L:
                tl0_picture_index = payload[at]
                at += 1
            if fields & (_T | _K):
                if fields & _T:
                    temporal_id = payload[at] >> 6
                if fields & _K:
                    key_index = payload[at] & 0x1F
                at += 1
    except IndexError:
        return None
    if at >= len(payload):
        return None
    starts_frame = bool(first & _S) and first & 0x07 == 0
    return Vp8Payload(starts_frame, payload[at:], picture_id, tl0_picture_index, temporal_id, key_index)
