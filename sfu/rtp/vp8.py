"""The VP8 payload descriptor (RFC 7741 section 4.2): read, and rewritten in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sfu.errors import ParseError

KEY_FRAME_START_CODE: Final = b"\x9d\x01\x2a"
PICTURE_ID_MODULO: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Vp8Descriptor:
    """What stands before the VP8 bitstream. None: the field is not there."""

    size_bytes: int
    start_of_partition: bool
    partition: int
    non_reference: bool
    picture_id: int | None = None
    picture_id_bits: int = 0
    """0, 7 or 15."""
    tl0_pic_idx: int | None = None
    temporal_id: int | None = None
    layer_sync: bool = False
    key_idx: int | None = None
    starts_key_frame: bool = False
    """First packet of a key frame. Readable also where a client encrypts the rest of the payload, since
    the frame tag's first byte is left in the clear."""

    @property
    def starts_frame(self) -> bool:
        """First packet of a frame."""
        return self.start_of_partition and self.partition == 0


def parse_vp8(payload: bytes) -> Vp8Descriptor:
    """Read the descriptor of a payload.

    Raises:
        ParseError: `vp8`: it ends inside the descriptor.
    """
    try:
        return _parse(payload)
    except IndexError as error:
        raise ParseError("vp8", f"{len(payload)} bytes") from error


def _parse(payload: bytes) -> Vp8Descriptor:
    first, position = payload[0], 1
    picture_id = tl0_pic_idx = temporal_id = key_idx = None
    bits, layer_sync = 0, False
    if first & 0x80:
        flags, position = payload[1], 2
        if flags & 0x80:
            picture_id, bits = payload[position], 7
            position += 1
            if picture_id & 0x80:
                picture_id, bits = (picture_id & 0x7F) << 8 | payload[position], 15
                position += 1
        if flags & 0x40:
            tl0_pic_idx = payload[position]
            position += 1
        if flags & 0x30:
            layers = payload[position]
            position += 1
            if flags & 0x20:
                temporal_id, layer_sync = layers >> 6, bool(layers & 0x20)
            if flags & 0x10:
                key_idx = layers & 0x1F
    starts = first & 0x17 == 0x10
    return Vp8Descriptor(
        size_bytes=position,
        start_of_partition=bool(first & 0x10),
        partition=first & 0x07,
        non_reference=bool(first & 0x20),
        picture_id=picture_id,
        picture_id_bits=bits,
        tl0_pic_idx=tl0_pic_idx,
        temporal_id=temporal_id,
        layer_sync=layer_sync,
        key_idx=key_idx,
        starts_key_frame=starts and len(payload) > position and not payload[position] & 1,
    )


def frame_size(payload: bytes, descriptor: Vp8Descriptor) -> tuple[int, int] | None:
    """Width and height that the first packet of a key frame tells (RFC 6386 section 9.1)."""
    at = descriptor.size_bytes
    if not descriptor.starts_key_frame or payload[at + 3 : at + 6] != KEY_FRAME_START_CODE:
        return None
    if len(payload) < at + 10:
        return None
    width = int.from_bytes(payload[at + 6 : at + 8], "little") & 0x3FFF
    height = int.from_bytes(payload[at + 8 : at + 10], "little") & 0x3FFF
    return width, height


def rewrite_vp8(
    payload: bytes, descriptor: Vp8Descriptor, picture_id: int, tl0_pic_idx: int, key_idx: int
) -> bytes:
    """The payload with other numbers in the fields that it has.

    A 7-bit picture id becomes a 15-bit one, so that the sequence of ids goes on over a switch between
    encodings with different sizes; the payload grows by a byte then.

    Args:
        payload: as received.
        descriptor: of that payload.
        picture_id: modulo 2**15.
        tl0_pic_idx: modulo 2**8.
        key_idx: modulo 2**5.
    """
    if descriptor.picture_id_bits == 0 and descriptor.tl0_pic_idx is None and descriptor.key_idx is None:
        return payload
    head = bytearray(payload[:2])
    position = 2
    if descriptor.picture_id_bits:
        head += (0x8000 | picture_id).to_bytes(2, "big")
        position += 1 if descriptor.picture_id_bits == 7 else 2
    if descriptor.tl0_pic_idx is not None:
        head.append(tl0_pic_idx)
        position += 1
    if descriptor.key_idx is not None:
        head.append(payload[position] & 0xE0 | key_idx)
        position += 1
    return bytes(head) + payload[position:]
