"""What one participant saw and heard of each other one."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_MS, Instant

if TYPE_CHECKING:
    from loadtest.client.scene import Party

FREEZE_MS: Final = 200
"""A picture that stands for longer than this is a freeze; sound that is gone for longer, a dropout."""
MAX_DELAYS: Final = 4_096
MAX_ARRIVALS: Final = 4_096
"""Of sound: more than a minute of it."""

LAYER_NAMES: Final = ("q", "h", "f")


@dataclass(slots=True)
class TrackObservations:
    """One kind of media from one other device."""

    frames_decoded: int = 0
    wrong_frames: int = 0
    """Somebody else's pictures or tone, or pictures whose checksum is wrong."""
    first_frame_at: Instant | None = None
    last_frame_at: Instant | None = None
    freezes: int = 0
    freezes_ms: float = 0.0
    counter_gaps: int = 0
    """Pictures that did not follow on the one before, where no key frame came between."""
    id_jumps: int = 0
    """VP8 picture ids or TL0 indexes that did not follow on without loss."""
    layers_seen: set[str] = field(default_factory=set)
    current_layer: str | None = None
    layer_switches: int = 0
    is_muted: bool = False
    mutes_seen: int = 0
    packets_received: int = 0
    packets_lost: int = 0
    packets_repaired: int = 0
    nacks_sent: int = 0
    key_frames_asked: int = 0
    delays_ms: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_DELAYS))
    arrivals: deque[Instant] = field(default_factory=lambda: deque(maxlen=MAX_ARRIVALS))
    """When the newest packets of sound came."""

    @property
    def delay_ms_p50(self) -> float | None:
        """Half of the frames took no longer than this from the sender's encoder to the picture."""
        return statistics.median(self.delays_ms) if self.delays_ms else None

    def note_frame(self, now: Instant, *, count: int = 1) -> None:
        """Right frames were decoded."""
        self.frames_decoded += count
        if self.first_frame_at is None:
            self.first_frame_at = now
        pause_ms = self.freezing_ms(now)
        self.freezes += bool(pause_ms)
        self.freezes_ms += pause_ms
        self.last_frame_at = now

    def freezing_ms(self, now: Instant) -> float:
        """How long the newest frame has been standing, where that is a freeze; else 0."""
        if self.last_frame_at is None or self.is_muted:
            return 0.0
        pause_ms = (now - self.last_frame_at) / NS_PER_MS
        return pause_ms if pause_ms > FREEZE_MS else 0.0

    def note_layer(self, layer: str) -> None:
        """Which layer the newest picture is of."""
        self.layers_seen.add(layer)
        self.layer_switches += self.current_layer not in {None, layer}
        self.current_layer = layer

    def note_pause(self) -> None:
        """Nothing is expected from here on: what comes next ends no freeze."""
        self.last_frame_at = None

    def note_mute(self, *, muted: bool) -> None:
        """What the newest metadata says."""
        if muted and not self.is_muted:
            self.mutes_seen += 1
        if muted != self.is_muted:
            self.note_pause()
        self.is_muted = muted


@dataclass(slots=True)
class Observations:
    """Everything that one participant observed, over all of its legs."""

    tracks: dict[tuple[Party, str], TrackObservations] = field(default_factory=dict)
    """By sender and kind."""
    speakers: tuple[Party, ...] = ()
    speakers_seen: set[Party] = field(default_factory=set)
    announced: dict[Party, set[str]] = field(default_factory=dict)
    """Who is there with which kinds, by the newest metadata."""
    hangups: list[str] = field(default_factory=list)
    """Reasons of the focus."""
    rejects: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """Codes of `org.matrix_focus.error`."""
    violations: list[str] = field(default_factory=list)
    """Rules of the protocol that the focus broke."""
    calls_declined: int = 0
    """By other members, who know no focus and called this device."""
    pings: int = 0
    offers_answered: int = 0
    legs: int = 0
    layers_wanted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By track id of ours: the rids that the focus wants."""

    longest_wait_ms: float = 0.0
    """How long a packet lay in our own socket before we came to it, at most: what we were late ourselves."""

    def note_wait(self, now: Instant, arrived_at: Instant) -> None:
        """We came to a packet that had arrived then."""
        self.longest_wait_ms = max(self.longest_wait_ms, (now - arrived_at) / NS_PER_MS)

    def track(self, sender: Party, kind: str) -> TrackObservations:
        """The record of one kind of media from one device."""
        return self.tracks.setdefault((sender, kind), TrackObservations())

    def frames_decoded(self, sender: Party, kind: str) -> int:
        """How many frames arrived of one kind of media from one device."""
        found = self.tracks.get((sender, kind))
        return 0 if found is None else found.frames_decoded

    def wrong_frames(self) -> int:
        """Wrong frames of all kinds from everybody."""
        return sum(track.wrong_frames for track in self.tracks.values())
