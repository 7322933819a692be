"""Video and audio encoders that make frames of realistic size, at realistic times, with real descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.rtp.vp8 import KEY_FRAME_START_CODE
from tests.support.simulation.label import (
    AUDIO_LABEL_BYTES,
    VIDEO_LABEL_BYTES,
    AudioLabel,
    Source,
    VideoLabel,
)

if TYPE_CHECKING:
    import random

    from sfu.units import Instant

MAX_PAYLOAD_BYTES: Final = 1_150
"""Of one packet, as libwebrtc cuts frames (1,200 less header extensions)."""

KEY_FRAME_FACTOR: Final = 4.0
"""How much larger a key frame is than the average frame."""

_TEMPORAL_PATTERNS: Final = {1: (0,), 2: (0, 1), 3: (0, 2, 1, 2)}
_TEMPORAL_WEIGHTS: Final = (1.5, 0.9, 0.6)
_FILLER: Final = bytes(range(256)) * 8

_X, _N, _S = 0x80, 0x20, 0x10
_I, _L, _T = 0x80, 0x40, 0x20


@dataclass(frozen=True, slots=True)
class EncodingPlan:
    """How one simulcast encoding is encoded."""

    rid: str
    width: int
    height: int
    frames_per_s: float
    rate_bps: int
    temporal_layers: int = 3


CAMERA: Final = (
    EncodingPlan("q", 320, 180, 15, 120_000),
    EncodingPlan("h", 640, 360, 20, 300_000),
    EncodingPlan("f", 1_280, 720, 30, 1_700_000),
)
"""Lowest first (protocol: section 7.2)."""

SMALL_CAMERA: Final = (
    EncodingPlan("q", 320, 180, 8, 70_000),
    EncodingPlan("h", 640, 360, 15, 150_000),
    EncodingPlan("f", 1_280, 720, 15, 300_000),
)
"""Of a machine that is short of bandwidth or processor, with a third of the packets: for large calls."""

SCREEN: Final = (
    EncodingPlan("q", 640, 360, 3, 200_000, 1),
    EncodingPlan("h", 1_280, 720, 15, 1_000_000, 1),
    EncodingPlan("f", 1_920, 1_080, 30, 3_000_000, 1),
)


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame in payloads; the last takes the marker bit."""

    payloads: tuple[bytes, ...]
    captured_at: Instant
    is_key: bool


@dataclass(frozen=True, slots=True)
class Numbering:
    """Where an encoder's numbers start; tests put them just below a wrap."""

    picture_id: int = 0
    tl0_pic_idx: int = 0
    picture_id_bits: int = 15


class VideoEncoder:
    """One encoding of one video source."""

    def __init__(
        self,
        plan: EncodingPlan,
        sender: int,
        source: Source,
        encoding: int,
        rng: random.Random,
        numbering: Numbering | None = None,
    ) -> None:
        self.plan: Final = plan
        self.frames = 0
        """Made so far."""
        self.key_frames = 0
        self._sender = sender
        self._source = source
        self._encoding = encoding
        self._rng = rng
        numbering = numbering or Numbering()
        self._picture_id = numbering.picture_id
        self._picture_id_bits = numbering.picture_id_bits
        self._tl0_pic_idx = numbering.tl0_pic_idx - 1
        self._pattern = _TEMPORAL_PATTERNS[plan.temporal_layers]
        self._step = 0
        self._last_of_layer: list[int] = []
        """Newest frame of each temporal layer since the last one of layer 0."""
        self._key_frame_wanted = True

    def want_key_frame(self) -> None:
        """The next frame shall be decodable by itself."""
        self._key_frame_wanted = True

    def encode(self, captured_at: Instant) -> EncodedFrame:
        """The next frame."""
        is_key, self._key_frame_wanted = self._key_frame_wanted, False
        if is_key:
            self._step = 0
            self.key_frames += 1
        temporal = self._pattern[self._step % len(self._pattern)]
        self._step += 1
        number = self.frames
        self.frames += 1
        needs = number if is_key else self._last_of_layer[-1] if temporal else self._last_of_layer[0]
        is_sync = temporal > 0 and needs == self._last_of_layer[0]
        self._remember(temporal, number)
        if temporal == 0:
            self._tl0_pic_idx += 1
        head = self._descriptor(temporal, is_sync=is_sync)
        self._picture_id += 1
        size = self._size(temporal, is_key=is_key)
        count = -(-size // MAX_PAYLOAD_BYTES)
        tag = self._key_tag() if is_key else b"\x01\x00\x00"
        payloads = []
        for index in range(count):
            label = VideoLabel(
                self._sender, self._source, self._encoding, number, needs, index, count, captured_at
            )
            first = _X | (0 if index else _S) | (_N if temporal == 2 else 0)
            body = (b"" if index else tag) + label.serialise()
            payloads.append(bytes((first,)) + head + body + _FILLER[: size // count])
        return EncodedFrame(tuple(payloads), captured_at, is_key)

    def _remember(self, temporal: int, number: int) -> None:
        if temporal == 0:
            self._last_of_layer = [number]
        elif temporal == 1:
            self._last_of_layer = [self._last_of_layer[0], number]

    def _descriptor(self, temporal: int, *, is_sync: bool) -> bytes:
        if self._picture_id_bits == 7:
            picture_id = bytes((self._picture_id % 128,))
        else:
            picture_id = (0x8000 | self._picture_id % 2**15).to_bytes(2, "big")
        layers = temporal << 6 | (0x20 if is_sync else 0)
        return bytes((_I | _L | _T,)) + picture_id + bytes((self._tl0_pic_idx % 256, layers))

    def _size(self, temporal: int, *, is_key: bool) -> int:
        mean = self.plan.rate_bps / 8 / self.plan.frames_per_s
        weight = KEY_FRAME_FACTOR if is_key else _TEMPORAL_WEIGHTS[temporal]
        if self.plan.temporal_layers == 1 and not is_key:
            weight = 1.0
        return max(VIDEO_LABEL_BYTES, round(mean * weight * self._rng.uniform(0.9, 1.1)))

    def _key_tag(self) -> bytes:
        size = self.plan.width.to_bytes(2, "little") + self.plan.height.to_bytes(2, "little")
        return b"\x10\x00\x00" + KEY_FRAME_START_CODE + size


FRAME_MS: Final = 20.0
SILENCE_MS: Final = 400.0
"""Between packets of comfort noise (Opus DTX)."""
_SPEECH_BYTES: Final = 80


class AudioEncoder:
    """Opus with discontinuous transmission, 32 kbit/s."""

    def __init__(self, sender: int) -> None:
        self.frames = 0
        self._sender = sender

    def encode(self, captured_at: Instant, *, is_silence: bool) -> bytes:
        """The next packet's payload."""
        label = AudioLabel(self._sender, is_silence, self.frames, captured_at)
        self.frames += 1
        return label.serialise() + (b"" if is_silence else _FILLER[: _SPEECH_BYTES - AUDIO_LABEL_BYTES])
