"""What publishers of a swarm send: payload sizes, and the beat."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CAPTURED: Final = Path(__file__).parent / "captured_720p.json"
"""The frames of a clip of ours at 1.5 Mbit/s, 720p30; `scripts/capture_sizes.py` makes it."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Frames that follow each other at a steady period, over and over.

    Attributes:
        frames: of each frame, the RTP payload of each packet in bytes, VP8 descriptor included.
        period_ms: between two frames.
    """

    frames: tuple[tuple[int, ...], ...]
    period_ms: float

    @property
    def packets_per_s(self) -> float:
        """On average."""
        return sum(map(len, self.frames)) / len(self.frames) * 1_000 / self.period_ms

    @property
    def bits_per_s(self) -> float:
        """Of RTP payload, on average."""
        return 8 * sum(map(sum, self.frames)) / len(self.frames) * 1_000 / self.period_ms


def bursts(packets: int, size_bytes: int, period_ms: float) -> Schedule:
    """So many packets at once in each period: a video frame."""
    return Schedule(((size_bytes,) * packets,), period_ms)


def singles(size_bytes: int, period_ms: float) -> Schedule:
    """One packet in each period: sound, by its shape."""
    return bursts(1, size_bytes, period_ms)


def captured(path: Path = CAPTURED) -> Schedule:
    """The packet sizes of a real stream, from a file that `scripts/capture_sizes.py` wrote.

    Raises:
        OSError: the file can't be read.
        ValueError: it is not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        frames = tuple(tuple(int(size) for size in frame) for frame in content["frames"])
        return Schedule(frames, float(content["period_ms"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no packet sizes: {error!r}") from error
