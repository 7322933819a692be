"""How loud each sound is beyond what it always is.

Speech pauses: for a breath, between two words. A fan does not, nor does music, nor a client that always
claims to be loud. So each sound is measured from its own floor, which falls to every level that is lower, and
rises so slowly that only what never pauses drowns in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sfu.units import Instant, TrackHandle

FLOOR_RISE: Final = 0.02
"""How much a floor rises in a second; 1 is as loud as it gets. Lower: a fan that is switched on is a speaker
for longer. Higher: who speaks for long without a pause of a tick is not any more."""

MAX_RISE_S: Final = 0.2
"""Of a longer time between two reports it is not known whether a sound paused."""


@dataclass(frozen=True, slots=True)
class Voice:
    """One sound in one tick, from 0 to 1."""

    loudness: float
    """As its client says."""
    speech: float
    """The same from its floor on: 0 for what never pauses."""


class Voices:
    """Of one call. Of what is silent nothing is remembered."""

    def __init__(self) -> None:
        self._floors: dict[TrackHandle, float] = {}
        self._heard_at: Instant | None = None

    def report(
        self, now: Instant, sounds: Collection[TrackHandle], heard: Mapping[TrackHandle, float]
    ) -> Mapping[TrackHandle, Voice]:
        """Each of the call's sounds that is not silent.

        Args:
            now: of the tick.
            sounds: the tracks of the call that may be heard.
            heard: as `heard_in` found it, also of other calls.
        """
        passed_s = 0.0 if self._heard_at is None else (now - self._heard_at) / NS_PER_S
        self._heard_at = now
        rise = FLOOR_RISE * min(passed_s, MAX_RISE_S)
        before, self._floors = self._floors, {}
        voices = {}
        for track in heard.keys() & sounds:
            loudness = heard[track]
            floor = min(loudness, before[track] + rise) if track in before else 0.0
            self._floors[track] = floor
            voices[track] = Voice(loudness, loudness - floor)
        return voices
