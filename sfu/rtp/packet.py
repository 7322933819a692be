"""RTP packets (RFC 3550 section 5.1) with their header extensions (RFC 8285)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from sfu.errors import ParseError
from sfu.units import PayloadType, Ssrc

HEADER_BYTES: Final = 12
ONE_BYTE_PROFILE: Final = 0xBEDE
TWO_BYTE_PROFILE: Final = 0x1000
ONE_BYTE_MAX_ID: Final = 14
ONE_BYTE_MAX_LENGTH: Final = 16
MAX_EXTENSIONS: Final = 64
"""Elements read from one packet; more are a malformed packet."""

_FIXED: Final = struct.Struct("!BBHLL")
_PROFILE: Final = struct.Struct("!HH")

ExtensionElements = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet. `sequence_number` and `timestamp` are wire values (16 and 32 bits)."""

    payload_type: PayloadType
    sequence_number: int
    timestamp: int
    ssrc: Ssrc
    payload: bytes = field(default=b"", repr=False)
    marker: bool = False
    extensions: ExtensionElements = ()
    """(id, value), in the order of the packet."""
    csrcs: tuple[Ssrc, ...] = ()
    padding_bytes: int = 0
    """Bytes of padding behind the payload, its length byte included."""

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """Read a decrypted packet.

        Raises:
            ParseError: `short`, `version`, `extension`, `padding`.
        """
        if len(data) < HEADER_BYTES:
            raise ParseError("short", f"{len(data)} bytes")
        first, second, sequence_number, timestamp, ssrc = _FIXED.unpack_from(data)
        if first >> 6 != 2:
            raise ParseError("version", f"RTP version {first >> 6}")
        position = HEADER_BYTES + 4 * (first & 15)
        if len(data) < position:
            raise ParseError("short", f"{first & 15} CSRCs in {len(data)} bytes")
        csrcs: tuple[Ssrc, ...] = ()
        if first & 15:
            csrcs = tuple(
                Ssrc(int.from_bytes(data[at : at + 4], "big")) for at in range(HEADER_BYTES, position, 4)
            )
        extensions: ExtensionElements = ()
        if first & 16:
            extensions, position = _parse_extensions(data, position)
        end, padding_bytes = len(data), 0
        if first & 32:
            padding_bytes = data[-1]
            end -= padding_bytes
            if not padding_bytes or end < position:
                raise ParseError("padding", f"{padding_bytes} bytes of padding in {len(data)}")
        return cls(
            payload_type=PayloadType(second & 127),
            sequence_number=sequence_number,
            timestamp=timestamp,
            ssrc=Ssrc(ssrc),
            payload=data[position:end],
            marker=second > 127,
            extensions=extensions,
            csrcs=csrcs,
            padding_bytes=padding_bytes,
        )

    def serialise(self, stamps: ExtensionElements = (), *, two_bytes: bool = False) -> bytes:
        """The packet on the wire.

        Args:
            stamps: elements behind the packet's own, for what is only known when it is sent.
            two_bytes: the two-byte extension form, also where no element needs it.
        """
        first = 0x80 | len(self.csrcs)
        if self.padding_bytes:
            first |= 32
        block = b""
        extensions = self.extensions + stamps
        if extensions:
            first |= 16
            block = serialise_extensions(extensions, two_bytes=two_bytes)
        head = _FIXED.pack(
            first,
            self.payload_type | (128 if self.marker else 0),
            self.sequence_number,
            self.timestamp,
            self.ssrc,
        )
        if self.csrcs:
            head += b"".join(csrc.to_bytes(4, "big") for csrc in self.csrcs)
        if not self.padding_bytes:
            return head + block + self.payload
        padding = bytes(self.padding_bytes - 1) + bytes((self.padding_bytes,))
        return head + block + self.payload + padding

    def extension(self, number: int | None) -> bytes | None:
        """The first element with this id; None where there is none, or no id was negotiated."""
        for element, value in self.extensions:
            if element == number:
                return value
        return None


def needs_two_bytes(extensions: ExtensionElements) -> bool:
    """Whether an element fits only the two-byte form (RFC 8285 section 4.3)."""
    return any(
        number > ONE_BYTE_MAX_ID or not 0 < len(value) <= ONE_BYTE_MAX_LENGTH for number, value in extensions
    )


def serialise_extensions(extensions: ExtensionElements, *, two_bytes: bool = False) -> bytes:
    """The extension block: profile, length in words, elements, padding to a word.

    Its form is the two-byte one where an element needs it, or where that is asked for.
    """
    if two_bytes or needs_two_bytes(extensions):
        profile = TWO_BYTE_PROFILE
        body = b"".join(bytes((number, len(value))) + value for number, value in extensions)
    else:
        profile = ONE_BYTE_PROFILE
        body = b"".join(bytes((number << 4 | len(value) - 1,)) + value for number, value in extensions)
    body += bytes(-len(body) % 4)
    return _PROFILE.pack(profile, len(body) // 4) + body


def _parse_extensions(data: bytes, position: int) -> tuple[ExtensionElements, int]:
    if len(data) < position + 4:
        raise ParseError("extension", "no room for the extension header")
    profile, words = _PROFILE.unpack_from(data, position)
    start, end = position + 4, position + 4 + 4 * words
    if len(data) < end:
        raise ParseError("extension", f"{words} words of extensions in {len(data)} bytes")
    if profile == ONE_BYTE_PROFILE:
        return _parse_one_byte(data, start, end), end
    if profile & 0xFFF0 == TWO_BYTE_PROFILE:
        return _parse_two_byte(data, start, end), end
    return (), end


def _parse_one_byte(data: bytes, position: int, end: int) -> ExtensionElements:
    elements = []
    while position < end:
        head = data[position]
        position += 1
        if head == 0:  # padding
            continue
        if head >> 4 in (0, 15):  # RFC 8285 section 4.2: only what stands before counts
            break
        length = (head & 15) + 1
        if position + length > end:
            raise ParseError("extension", f"element of {length} bytes beyond the block")
        elements.append((head >> 4, data[position : position + length]))
        position += length
    return _bounded(elements)


def _parse_two_byte(data: bytes, position: int, end: int) -> ExtensionElements:
    elements = []
    while position < end:
        number = data[position]
        position += 1
        if number == 0:  # padding
            continue
        if position == end:
            raise ParseError("extension", "element without a length")
        length = data[position]
        position += 1
        if position + length > end:
            raise ParseError("extension", f"element of {length} bytes beyond the block")
        elements.append((number, data[position : position + length]))
        position += length
    return _bounded(elements)


def _bounded(elements: list[tuple[int, bytes]]) -> ExtensionElements:
    if len(elements) > MAX_EXTENSIONS:
        raise ParseError("extension", f"{len(elements)} elements, over {MAX_EXTENSIONS}")
    return tuple(elements)
