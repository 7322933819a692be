"""A participant's video, encoded once: one looped VP8 clip for each sender, source and layer.

Encoding live costs about 3 ms for each set of three layers, which two cores cannot pay for many
participants. So a clip of `CLIP_FRAMES` pictures is encoded at the start and played in a loop for as long as
the call lasts. Only its first frame is a key frame; a request for one makes the player jump back to it. The
counter in a picture is therefore its *position in the clip*, and the next counter after `n` is either
`n + 1` or 0 (`follows`): everything else is a gap that the receiver counts. Each layer's player jumps on its
own, as three encoders would.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av

from loadtest.media.video import MIN_SIDE, FrameLabel, Source, draw

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIP_FRAMES: Final = 60
"""Pictures in a loop. Shorter: starts faster, but key frames that nobody asked for hide lost requests.
Longer: more processor time and memory before the call (60 frames of three layers: 0.2 s, 0.2 MB)."""

MAX_CACHED_CLIPS: Final = 256
"""Sets of clips kept for whoever plays them again under the same number, such as the next test. More: more
memory."""

DEFAULT_FRAMES_PER_SECOND: Final = 15


@dataclass(frozen=True, slots=True)
class Layer:
    """One encoding of a source: its rid, its number in pictures, its scale-down and its rate."""

    rid: str
    index: int
    scale: int
    bitrate_bps: int


SIMULCAST: Final = (
    Layer("f", 2, 1, 300_000),
    Layer("h", 1, 2, 110_000),
    Layer("q", 0, 4, 40_000),
)
"""In the order of the offer: the first survives where a browser drops some (protocol: section 7.2)."""

SINGLE: Final = (Layer("", 2, 1, 300_000),)
"""A track without simulcast: no rid."""


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What a source looks like at full size."""

    width: int = 640
    height: int = 360
    frames_per_second: int = DEFAULT_FRAMES_PER_SECOND
    layers: tuple[Layer, ...] = SIMULCAST

    @classmethod
    def of_size(cls, width: int, height: int, frames_per_second: int) -> VideoFormat:
        """Simulcast of any size, with as many bits a pixel as the default has.

        Raises:
            ValueError: the smallest layer could not be read.
        """
        shortest = MIN_SIDE * max(layer.scale for layer in SIMULCAST)
        if min(width, height) < shortest:
            raise ValueError(f"{width} x {height}: the shortest side must be {shortest} or more")
        usual = cls()
        share = (width * height * frames_per_second) / (usual.width * usual.height * usual.frames_per_second)
        layers = tuple(replace(layer, bitrate_bps=round(layer.bitrate_bps * share)) for layer in SIMULCAST)
        return cls(width, height, frames_per_second, layers)


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One VP8 frame."""

    payload: bytes
    is_key: bool


@dataclass(frozen=True, slots=True)
class Clip:
    """One layer of one source, ready to be played."""

    layer: Layer
    width: int
    height: int
    frames: tuple[EncodedFrame, ...]


@functools.lru_cache(MAX_CACHED_CLIPS)
def encode_clips(sender: int, source: Source, video: VideoFormat) -> tuple[Clip, ...]:
    """Encode all layers of one source; takes a good part of a second, so call it off the event loop."""
    return tuple(_encode_clip(sender, source, video, layer) for layer in video.layers)


def follows(earlier: int, later: int) -> bool:
    """Whether a picture's counter may come right after another's."""
    return later in {0, earlier + 1}


class ClipPlayer:
    """Plays one clip in a loop; a wanted key frame restarts it."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._position = 0

    @property
    def layer(self) -> Layer:
        """Whose frames these are."""
        return self._clip.layer

    def restart(self) -> None:
        """Make the next frame a key frame."""
        self._position = 0

    def next_frame(self) -> tuple[int, EncodedFrame]:
        """The next frame and the counter that its picture shows."""
        position = self._position
        self._position = (position + 1) % len(self._clip.frames)
        return position, self._clip.frames[position]


def _encode_clip(sender: int, source: Source, video: VideoFormat, layer: Layer) -> Clip:
    width, height = (side // layer.scale // 2 * 2 for side in (video.width, video.height))
    codec = av.VideoCodecContext.create("libvpx", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base = Fraction(1, video.frames_per_second)
    codec.framerate = Fraction(video.frames_per_second)
    codec.bit_rate = layer.bitrate_bps
    codec.gop_size = CLIP_FRAMES
    codec.thread_count = 1
    codec.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"}
    frames: list[EncodedFrame] = []
    for counter in range(CLIP_FRAMES):
        label = FrameLabel(sender, source, layer.index, counter)
        picture = av.VideoFrame.from_ndarray(draw(label, width, height), format="yuv420p")
        picture.pts = counter
        frames += _encoded(codec.encode(picture))
    frames += _encoded(codec.encode(None))
    if len(frames) != CLIP_FRAMES or [frame.is_key for frame in frames].count(True) != 1:
        raise RuntimeError(f"libvpx made {len(frames)} frames of {CLIP_FRAMES}, or a second key frame")
    return Clip(layer, width, height, tuple(frames))


def _encoded(packets: Sequence[av.Packet[Any]]) -> list[EncodedFrame]:
    return [EncodedFrame(bytes(packet), packet.is_keyframe) for packet in packets]
