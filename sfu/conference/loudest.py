"""Whose sound is forwarded in a large call: of the people in it the few who are, or were last, the loudest.

Sound of everybody for everybody grows with the square of a call, and nobody understands more than a few at
once. So there are places. Who is louder than the quietest of those who have one takes it in the same tick:
what is lost is the beginning of a word, and only of people who have not spoken since as many others did.

Levels are claims. However loud a client says it is, and however many tracks it has, it is one person in one
place; and who always says so is not worth much (`voices.py`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_S, Instant

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sfu.conference.view import AnnouncedTrack
    from sfu.conference.voices import Voice
    from sfu.rows import StructArray
    from sfu.units import TrackHandle, TransportId

NO_LEVEL_DBOV: Final = 127
"""Digital silence, and what the plane reports of packets that state no level."""

STEADY_WORTH: Final = 0.25
"""What a sound that never pauses is worth, of its loudness. Lower: shared music gives way to who clears their
throat. Higher: as many clients that claim to be loud as there are places keep everybody else out."""

FADE_S: Final = 2.0
"""From as loud as it gets to nothing. Lower: who takes a breath loses the place to a cough. Higher: where
more people talk than there are places, the next one waits for longer."""

TAKES_BY: Final = 0.2
"""So much louder is who takes another's place. Lower: places change hands with every noise, and what is
forwarded to everybody with them. Higher: quiet people are not heard."""

MAX_TRACKS: Final = 2
"""Of one person: a microphone and the sound of what is shared."""


def stating_in(encodings: StructArray) -> frozenset[TrackHandle]:
    """The tracks whose packets have stated a level in a tick, however low.

    Args:
        encodings: (n,) of `ENCODING_DTYPE`, of all calls.
    """
    tracks: list[TrackHandle] = encodings["track"][encodings["audio_level"] < NO_LEVEL_DBOV].tolist()
    return frozenset(tracks)


@dataclass(frozen=True, slots=True)
class _Heard:
    """How loud somebody was, and when."""

    at: Instant
    worth: float

    def now(self, now: Instant) -> float:
        """What is left of it."""
        return max(0.0, self.worth - (now - self.at) / (FADE_S * NS_PER_S))


_NEVER: Final = _Heard(Instant(0), 0.0)


class Loudest:
    """The places of one call.

    Sound that states no level is forwarded always: there is nothing to compare. What is said to be muted and
    states none counts as silence.

    Args:
        places: how many people are heard; 0: everybody.
        call_size: from so many people with sound on.
    """

    def __init__(self, places: int, call_size: int) -> None:
        self._limit = places
        self._call_size = call_size
        self._is_large = False
        self._owners: dict[TrackHandle, TransportId] = {}
        self._muted: frozenset[TrackHandle] = frozenset()
        self._stated: set[TrackHandle] = set()
        self._heard: dict[TransportId, _Heard] = {}
        self._places: tuple[TransportId, ...] = ()
        self._unheard: tuple[TrackHandle, ...] = ()

    @property
    def unheard(self) -> tuple[TrackHandle, ...]:
        """The sound that nobody needs now, ascending."""
        return self._unheard

    def announce(self, now: Instant, sounds: Sequence[AnnouncedTrack]) -> None:
        """These are the sounds of the call now, all of them."""
        self._owners = {one.track: one.owner for one in sounds}
        self._muted = frozenset(one.track for one in sounds if one.audio_muted)
        self._stated &= self._owners.keys()
        people = set(self._owners.values())
        self._heard = {leg: heard for leg, heard in self._heard.items() if leg in people}
        self._is_large = 0 < self._limit < len(people) >= self._call_size
        self._choose(now)

    def report(
        self, now: Instant, voices: Mapping[TrackHandle, Voice], stating: Collection[TrackHandle]
    ) -> None:
        """Take up a tick's levels.

        Args:
            now: of the tick.
            voices: of the call.
            stating: as `stating_in` found it, also of other calls.
        """
        stated = self._owners.keys() & stating
        is_news = not stated <= self._stated
        self._stated |= stated
        for track, voice in voices.items():
            leg = self._owners[track]
            worth = max(voice.speech, voice.loudness * STEADY_WORTH)
            if worth >= self._worth(leg, now):
                self._heard[leg] = _Heard(now, worth)
        if self._is_large and (is_news or self._is_taken(now, {self._owners[track] for track in voices})):
            self._choose(now)

    def _is_taken(self, now: Instant, sounding: Collection[TransportId]) -> bool:
        """Whether somebody without a place is loud enough for one."""
        outside = max((self._worth(leg, now) for leg in sounding if leg not in self._places), default=0.0)
        inside = min((self._worth(leg, now) for leg in self._places), default=0.0)
        return outside > inside + TAKES_BY

    def _choose(self, now: Instant) -> None:
        """Give free places to whoever was loudest last, and others to those who are louder."""
        if not self._is_large:
            self._places = self._unheard = ()
            return
        stating = dict.fromkeys(leg for track, leg in self._owners.items() if self._states(track))

        def order(leg: TransportId) -> tuple[float, Instant]:
            return self._worth(leg, now), self._heard.get(leg, _NEVER).at

        inside = [leg for leg in self._places if leg in stating]
        outside = sorted(stating.keys() - inside, key=lambda leg: (*order(leg), -leg))
        while outside and len(inside) < self._limit:
            inside.append(outside.pop())
        inside.sort(key=order)
        while outside and self._worth(outside[-1], now) > self._worth(inside[0], now) + TAKES_BY:
            inside = sorted([*inside[1:], outside.pop()], key=order)
        self._places = tuple(inside)
        self._unheard = tuple(sorted(self._beyond(set(inside))))

    def _beyond(self, inside: set[TransportId]) -> list[TrackHandle]:
        """Whatever states levels and has no place."""
        taken: Counter[TransportId] = Counter()
        beyond = []
        for track, leg in self._owners.items():
            if self._states(track):
                taken[leg] += 1
                if leg not in inside or taken[leg] > MAX_TRACKS:
                    beyond.append(track)
        return beyond

    def _states(self, track: TrackHandle) -> bool:
        return track in self._stated or track in self._muted

    def _worth(self, leg: TransportId, now: Instant) -> float:
        return self._heard.get(leg, _NEVER).now(now)
