"""What simulated media carries instead of pictures and sound: whose it is, and its place in the stream.

A receiver reads it and knows whether a forwarder mixed up people, encodings or frames.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

from sfu.units import Instant

_VIDEO: Final = struct.Struct("!HHBBIIHHQ")
_AUDIO: Final = struct.Struct("!HHBIQ")
_VIDEO_MAGIC: Final = 0xFACE
_AUDIO_MAGIC: Final = 0xA0D1

VIDEO_LABEL_BYTES: Final = _VIDEO.size
AUDIO_LABEL_BYTES: Final = _AUDIO.size


class Source(enum.IntEnum):
    """What a track shows or lets hear."""

    MICROPHONE = 0
    CAMERA = 1
    SCREEN = 2


@dataclass(frozen=True, slots=True)
class VideoLabel:
    """One packet of a frame."""

    sender: int
    source: Source
    encoding: int
    """0 is the lowest."""
    frame: int
    """Counts the frames of one encoding, over restarts."""
    needs: int
    """The frame that must have been decoded before; a key frame needs itself only."""
    index: int
    """Of this packet in its frame."""
    count: int
    """Packets of the frame."""
    captured_at: Instant

    @property
    def is_key(self) -> bool:
        """Whether the frame can be decoded by itself."""
        return self.needs == self.frame

    def serialise(self) -> bytes:
        """The label on the wire."""
        return _VIDEO.pack(
            _VIDEO_MAGIC,
            self.sender,
            self.source,
            self.encoding,
            self.frame,
            self.needs,
            self.index,
            self.count,
            self.captured_at,
        )


@dataclass(frozen=True, slots=True)
class AudioLabel:
    """One packet of sound."""

    sender: int
    is_silence: bool
    frame: int
    """Counts packets."""
    captured_at: Instant

    def serialise(self) -> bytes:
        """The label on the wire."""
        return _AUDIO.pack(_AUDIO_MAGIC, self.sender, self.is_silence, self.frame, self.captured_at)


def read_video_label(data: bytes) -> VideoLabel | None:
    """The label that data begins with; None where it begins with none."""
    if len(data) < VIDEO_LABEL_BYTES:
        return None
    magic, sender, source, encoding, frame, needs, index, count, captured_at = _VIDEO.unpack_from(data)
    if magic != _VIDEO_MAGIC:
        return None
    return VideoLabel(sender, Source(source), encoding, frame, needs, index, count, Instant(captured_at))


def read_audio_label(data: bytes) -> AudioLabel | None:
    """The label that data begins with; None where it begins with none."""
    if len(data) < AUDIO_LABEL_BYTES:
        return None
    magic, sender, is_silence, frame, captured_at = _AUDIO.unpack_from(data)
    return (
        AudioLabel(sender, bool(is_silence), frame, Instant(captured_at)) if magic == _AUDIO_MAGIC else None
    )
