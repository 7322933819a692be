"""Values of RTP header extension elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.units import Instant

MAX_NAME_BYTES: Final = 16
"""Longest mid or rid that is read (RFC 8852 section 3: they should be short)."""


@dataclass(frozen=True, slots=True)
class AudioLevel:
    """RFC 6464: `level` is 0 (loudest) to 127 (silent) in -dBov, `voice` the sender's opinion."""

    level: int
    voice: bool


def parse_name(value: bytes) -> str:
    """A mid, rid or repaired rid.

    Raises:
        ParseError: `name`: empty, too long, or no printable ASCII.
    """
    if not 0 < len(value) <= MAX_NAME_BYTES or not value.isascii():
        raise ParseError("name", f"{len(value)} bytes")
    name = value.decode("ascii")
    if not name.isprintable():
        raise ParseError("name", "unprintable")
    return name


def parse_audio_level(value: bytes) -> AudioLevel:
    """Read an audio level (RFC 6464 section 3); the two-byte form pads with a zero.

    Raises:
        ParseError: `audio_level`.
    """
    if not 1 <= len(value) <= 2:
        raise ParseError("audio_level", f"{len(value)} bytes")
    return AudioLevel(value[0] & 127, voice=value[0] > 127)


def serialise_audio_level(level: AudioLevel) -> bytes:
    """The element of an audio level."""
    return bytes((level.level | (128 if level.voice else 0),))


def parse_transport_sequence_number(value: bytes) -> int:
    """The 16-bit transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).

    Raises:
        ParseError: `transport_cc`.
    """
    if len(value) != 2:
        raise ParseError("transport_cc", f"{len(value)} bytes")
    return int.from_bytes(value, "big")


def abs_send_time(now: Instant) -> bytes:
    """The 24-bit send time, 6.18 fixed-point seconds of the sender's own clock."""
    return ((now << 18) // NS_PER_S & 0xFFFFFF).to_bytes(3, "big")
