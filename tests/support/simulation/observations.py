"""What one client saw and heard of one track of somebody else's."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from sfu.units import NS_PER_MS, Instant, after_s
from tests.support.simulation.clock import START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.simulation.label import Source
    from tests.support.simulation.reception import Reception

MAX_FAULTS: Final = 50
"""Faults kept word by word; a forwarder gone wrong makes thousands of the same."""


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """A frame that was decoded."""

    at: Instant
    encoding: int
    frame: int
    captured_at: Instant
    is_key: bool

    @property
    def delay_ms(self) -> float:
        """From capture to decoding."""
        return (self.at - self.captured_at) / NS_PER_MS


@dataclass(frozen=True, slots=True)
class HeardPacket:
    """A packet of sound."""

    at: Instant
    frame: int
    captured_at: Instant
    is_silence: bool


@dataclass(slots=True)
class TrackObservations:
    """Everything about one track, over all the RTP streams that it came in."""

    publisher: str
    source: Source
    may_pause: bool = False
    """Sound is not always forwarded: what is left out, and that numbers go on all the same, is no fault."""
    frames: list[SeenFrame] = field(default_factory=list, repr=False)
    sounds: list[HeardPacket] = field(default_factory=list, repr=False)
    faults: list[str] = field(default_factory=list)
    """Rules broken that no loss explains: wrong frames, jumps of numbers, clocks that go wrong."""
    receptions: list[Reception[Any]] = field(default_factory=list, repr=False)
    """Of all its RTP streams."""
    pli_count: int = 0
    undecodable_frames: int = 0
    """Whole, but what they need was lost."""
    cut_frames: int = 0
    """Begun in one encoding and overtaken by a key frame of another: a decoder never sees them."""
    steps_back: int = 0
    """Pictures older than the one before: the key frame of another encoding that came late."""
    clock_errors_ms: list[float] = field(default_factory=list, repr=False)
    """How much more the RTP clock went from one picture to the next than the capture clock."""
    lip_sync_ms: list[float] = field(default_factory=list, repr=False)
    """How much later than the sound, by the sender reports, each picture is shown than it should be."""

    def fault(self, text: str) -> None:
        """Note a broken rule."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(text)

    def between(self, begin_s: float, end_s: float) -> TrackObservations:
        """The pictures and sounds of a stretch of time, in seconds since the clock began."""
        begin, end = after_s(START, begin_s), after_s(START, end_s)
        return TrackObservations(
            self.publisher,
            self.source,
            frames=[frame for frame in self.frames if begin <= frame.at < end],
            sounds=[sound for sound in self.sounds if begin <= sound.at < end],
        )

    @property
    def packets_received(self) -> int:
        """As themselves."""
        return sum(one.packets_received for one in self.receptions)

    @property
    def packets_repaired(self) -> int:
        """Over RTX, after a NACK."""
        return sum(one.packets_repaired for one in self.receptions)

    @property
    def packets_given_up(self) -> int:
        """Never, or too late."""
        return sum(one.packets_given_up for one in self.receptions)

    @property
    def packets_missing(self) -> int:
        """Still waited for."""
        return sum(one.packets_missing for one in self.receptions)

    @property
    def duplicates(self) -> int:
        """Packets that came more than once."""
        return sum(one.duplicates for one in self.receptions)

    @property
    def reordered(self) -> int:
        """Packets that came after one behind them."""
        return sum(one.reordered for one in self.receptions)

    @property
    def nack_count(self) -> int:
        """Packets asked for again, each as often as it was."""
        return sum(one.nack_count for one in self.receptions)

    @property
    def encodings(self) -> list[int]:
        """Which encodings were shown, one after the other."""
        return [
            frame.encoding
            for before, frame in zip([None, *self.frames], self.frames, strict=False)
            if before is None or before.encoding != frame.encoding
        ]

    @property
    def longest_freeze_ms(self) -> float:
        """The longest time between two pictures."""
        return max((gap / NS_PER_MS for gap in self._gaps()), default=0.0)

    def freezes(self, threshold_ms: float) -> int:
        """How often the picture stood still for longer than this."""
        return sum(gap > threshold_ms * NS_PER_MS for gap in self._gaps())

    def _gaps(self) -> Iterator[int]:
        return (after.at - before.at for before, after in pairwise(self.frames))
