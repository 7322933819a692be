"""Which encodings of each simulcast track its publisher need send at all.

Nobody looks at most people in full size, so most of what browsers encode and send is for nobody. A publisher
is told which encodings anybody wants; one that obeys switches the others off, and on again when it is told
so. Nothing relies on it: what flows is what is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from sfu.units import after_s, earliest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.units import Instant, TrackHandle

OFF_AFTER_S: Final = 3.0
"""An encoding is given up when nobody has wanted it for this long; it is asked for at once. Lower: somebody
who changes the layout and back waits for encoders to start. Higher: publishers send longer for nobody."""

EXPECTED_FOR_S: Final = 3.0
"""How long an encoding that was asked for is said to be on its way. Lower: a slow client is blamed for
sending too little. Higher: it takes longer until people are told that the sender can't."""

LOWEST: Final = 1
"""The lowest encoding, as a bit: always wanted, so that whoever joins gets a picture at once."""


class SenderLayers(Protocol):
    """What publishers are told."""

    def set(self, now: Instant, track: TrackHandle, encodings: int) -> bool:
        """A track is published in so many encodings; return whether that is new."""
        ...

    def drop(self, track: TrackHandle) -> None:
        """A track is published no more."""
        ...

    def want(self, now: Instant, wanted: Mapping[TrackHandle, int]) -> list[TrackHandle]:
        """Take up which encodings anybody wants, as bits; return the tracks of which others are active."""
        ...

    def active(self, track: TrackHandle) -> tuple[int, ...] | None:
        """The encodings that are wanted of a track; None where there is nothing to choose from."""
        ...

    def is_expected(self, now: Instant, track: TrackHandle, encoding: int) -> bool:
        """Whether an encoding was given up, and has been asked for again a moment ago."""
        ...

    def next_timeout(self) -> Instant | None:
        """When something is given up, if nobody wants it until then."""
        ...


@dataclass(slots=True)
class _Encoding:
    is_active: bool = True
    unwanted_at: Instant | None = None
    """Since when nobody wants it; None: somebody does."""
    asked_at: Instant | None = None
    """When it was asked for again, if it ever was."""


class WantedLayers:
    """All encodings are wanted when a track is published: who wants what is only known a little later.

    Args:
        always: encodings that are wanted of every track whoever wants what, as bits. Where there are none,
            nothing is wanted of a track before somebody says so.
    """

    def __init__(self, always: int = LOWEST) -> None:
        self._always = always
        self._tracks: dict[TrackHandle, tuple[_Encoding, ...]] = {}
        self._due_at: Instant | None = None

    def set(self, now: Instant, track: TrackHandle, encodings: int) -> bool:
        """A track is published in so many encodings; return whether that is new."""
        if len(self._tracks.get(track, ())) == encodings:
            return False
        self._tracks[track] = tuple(
            _Encoding(is_active=self._always != 0, unwanted_at=None if self._always >> index & 1 else now)
            for index in range(encodings)
        )
        if self._always:
            self._due_at = earliest(self._due_at, after_s(now, OFF_AFTER_S))
        return True

    def drop(self, track: TrackHandle) -> None:
        """A track is published no more."""
        self._tracks.pop(track, None)

    def ask(self, now: Instant, track: TrackHandle, wanted: int) -> bool:
        """Somebody begins to want encodings of a track, as bits; return whether one was not active.

        It holds until `want` is told who wants what, and for a while after.
        """
        return _ask(now, self._tracks.get(track, ()), wanted)

    def want(self, now: Instant, wanted: Mapping[TrackHandle, int]) -> list[TrackHandle]:
        """Take up which encodings anybody wants, as bits; return the tracks of which others are active."""
        changed = [
            track
            for track, encodings in self._tracks.items()
            if _want(now, encodings, wanted.get(track, 0) | self._always)
        ]
        given_up = (_given_up_at(one) for encodings in self._tracks.values() for one in encodings)
        self._due_at = earliest(*given_up)
        return changed

    def active(self, track: TrackHandle) -> tuple[int, ...] | None:
        """The encodings that are wanted of a track; None where there is nothing to choose from."""
        encodings = self._tracks.get(track, ())
        if len(encodings) <= 1:
            return None
        return tuple(index for index, one in enumerate(encodings) if one.is_active)

    def is_expected(self, now: Instant, track: TrackHandle, encoding: int) -> bool:
        """Whether an encoding was given up, and has been asked for again a moment ago."""
        encodings = self._tracks.get(track, ())
        asked_at = encodings[encoding].asked_at if encoding < len(encodings) else None
        return asked_at is not None and now < after_s(asked_at, EXPECTED_FOR_S)

    def next_timeout(self) -> Instant | None:
        """When something is given up, if nobody wants it until then."""
        return self._due_at


class EveryLayer:
    """Nobody is ever told to send less (`conference.sender_layers = false`)."""

    def set(self, now: Instant, track: TrackHandle, encodings: int) -> bool:
        """Never news."""
        return False

    def drop(self, track: TrackHandle) -> None:
        """Nothing is known of it."""

    def want(self, now: Instant, wanted: Mapping[TrackHandle, int]) -> list[TrackHandle]:
        """Never another one."""
        return []

    def active(self, track: TrackHandle) -> tuple[int, ...] | None:
        """Nothing to choose from."""
        return None

    def is_expected(self, now: Instant, track: TrackHandle, encoding: int) -> bool:
        """None was given up."""
        return False

    def next_timeout(self) -> Instant | None:
        """Never."""
        return None


def _want(now: Instant, encodings: tuple[_Encoding, ...], wanted: int) -> bool:
    """Bring one track up to date; return whether other encodings are active than before."""
    is_changed = _ask(now, encodings, wanted)
    for index, one in enumerate(encodings):
        if wanted >> index & 1:
            continue
        if one.unwanted_at is None:
            one.unwanted_at = now
        elif one.is_active and now >= after_s(one.unwanted_at, OFF_AFTER_S):
            one.is_active, is_changed = False, True
    return is_changed


def _ask(now: Instant, encodings: tuple[_Encoding, ...], wanted: int) -> bool:
    """Switch on what is wanted; return whether something was off."""
    is_changed = False
    for index, one in enumerate(encodings):
        if wanted >> index & 1:
            one.unwanted_at = None
            if not one.is_active:
                one.is_active, one.asked_at, is_changed = True, now, True
    return is_changed


def _given_up_at(one: _Encoding) -> Instant | None:
    return after_s(one.unwanted_at, OFF_AFTER_S) if one.is_active and one.unwanted_at is not None else None
