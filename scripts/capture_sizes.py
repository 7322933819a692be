"""Write the packet sizes of a real 720p stream, for publishers that need them and not the pictures.

    .venv/bin/python scripts/capture_sizes.py

The clip is ours: the load test's picture with the grain of a camera in bad light, encoded as a browser's
encoder is set (constant rate, real time), and cut into payloads as browsers cut them: of like size.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from loadtest.fleet.schedule import CAPTURED
from loadtest.media.video import FrameLabel, Source, draw

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH: Final = 1_280
HEIGHT: Final = 720
FRAMES_PER_SECOND: Final = 30
BITRATE_BPS: Final = 1_500_000
KEY_FRAME_INTERVAL: Final = 90
"""As often as publishers of the swarm send key frames of their own accord."""
FRAMES: Final = 3 * KEY_FRAME_INTERVAL
"""The list repeats, so a whole number of intervals keeps its key frames on the beat."""
GRAIN: Final = 6.0
"""Standard deviation of the noise. Less: the encoder does not spend its rate; more: it can't keep to it."""
MAX_PAYLOAD_BYTES: Final = 1_200
DESCRIPTOR_BYTES: Final = 6
MIN_PAYLOAD_BYTES: Final = 32
"""What a swarm's stamp needs."""


def main() -> int:
    """Write the file and say what is in it."""
    frames = [payload_sizes(size) for size in frame_sizes()]
    total = sum(map(sum, frames))
    rate_bps = total * 8 * FRAMES_PER_SECOND / len(frames)
    lines = ",\n".join(f"  {json.dumps(frame)}" for frame in frames)
    period_ms = round(1_000 / FRAMES_PER_SECOND, 6)
    Path(CAPTURED).write_text(f'{{"period_ms": {period_ms}, "frames": [\n{lines}\n]}}\n', encoding="utf-8")
    packets = sum(map(len, frames))
    sys.stdout.write(
        f"{CAPTURED}: {len(frames)} frames, {packets} packets of {total / packets:.0f} bytes, "
        f"{rate_bps / 1e6:.2f} Mbit/s\n"
    )
    return 0


def frame_sizes() -> Iterator[int]:
    """Encode the clip; the size of each frame in bytes."""
    codec: Any = av.VideoCodecContext.create("libvpx", "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.time_base = Fraction(1, FRAMES_PER_SECOND)
    codec.framerate = Fraction(FRAMES_PER_SECOND)
    codec.bit_rate = BITRATE_BPS
    codec.gop_size = KEY_FRAME_INTERVAL
    codec.options = {
        "deadline": "realtime",
        "cpu-used": "5",
        "lag-in-frames": "0",
        "minrate": str(BITRATE_BPS),
        "maxrate": str(BITRATE_BPS),
        "bufsize": str(BITRATE_BPS),
        "undershoot-pct": "95",
        "keyint_min": str(KEY_FRAME_INTERVAL),
    }
    random = np.random.default_rng(720)
    for counter in range(FRAMES):
        picture = draw(FrameLabel(1, Source.CAMERA, 2, counter), WIDTH, HEIGHT).astype(np.int16)
        picture[:HEIGHT] += random.normal(0, GRAIN, (HEIGHT, WIDTH)).astype(np.int16)
        frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="yuv420p")
        frame.pts = counter
        yield from (packet.size for packet in codec.encode(frame))
    yield from (packet.size for packet in codec.encode(None))


def payload_sizes(frame_bytes: int) -> list[int]:
    """Cut a frame into payloads of like size, the larger ones last, as libwebrtc does."""
    count = -(-frame_bytes // (MAX_PAYLOAD_BYTES - DESCRIPTOR_BYTES))
    share, rest = divmod(frame_bytes, count)
    sizes = [share + (index >= count - rest) + DESCRIPTOR_BYTES for index in range(count)]
    return [max(size, MIN_PAYLOAD_BYTES) for size in sizes]


if __name__ == "__main__":
    sys.exit(main())
