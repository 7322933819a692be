"""Which encodings of each simulcast track its publisher need send at all.

Nobody looks at most people in full size, and some who would are behind lines that do not carry it, so most of
what browsers encode and send is for nobody. A publisher is told which encodings are of use to anybody; one
that obeys switches the others off, and on again when it is told so. Nothing relies on it: what flows is what
is measured.

What is withheld from all who want it is given up after a while, too, and asked for again when it is needed:
the allocator remembers what it took (`sfu/allocation/rates.py`), and gives it before it flows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from sfu.units import after_s, earliest

if TYPE_CHECKING:
    from sfu.units import Instant, TrackHandle

OFF_AFTER_S: Final = 3.0
"""An encoding is given up when nobody has wanted it for this long; it is asked for at once. Lower: somebody
who changes the layout and back waits for encoders to start. Higher: publishers send longer for nobody."""

WITHHELD_AFTER_S: Final = 15.0
"""One that is wanted, but that nobody is given, because no path of those who want it carries it, is given up
after this long. Lower: a line that wavers starts and stops encoders, and each start is a key frame. Higher:
publishers send longer for nobody."""

AGAIN_S: Final = 60.0
"""Where it is asked for again sooner than so long after that, it is given up after twice the time when it
comes to that again. Lower: encoders follow each turn of a line that comes and goes. Higher: what has once
come and gone is sent for nobody for longer."""
MOST_WITHHELD_S: Final = 120.0
"""The longest that this comes to."""

EXPECTED_FOR_S: Final = 3.0
"""How long an encoding that was asked for is said to be on its way. Lower: a slow client is blamed for
sending too little. Higher: it takes longer until people are told that the sender can't."""

LOWEST: Final = 1
"""The lowest encoding, as a bit: always wanted, so that whoever joins gets a picture at once."""


@dataclass(frozen=True, slots=True)
class WantedEncodings:
    """Encodings of tracks, as bits."""

    needed: dict[TrackHandle, int]
    """Somebody is given them, or is given less for want of them alone."""
    withheld: dict[TrackHandle, int]
    """Somebody is given less, because a budget does not reach, and these are the steps that may fit."""


class SenderLayers(Protocol):
    """What publishers are told."""

    def set(self, now: Instant, track: TrackHandle, encodings: int) -> bool:
        """A track is published in so many encodings; return whether that is new."""
        ...

    def drop(self, track: TrackHandle) -> None:
        """A track is published no more."""
        ...

    def want(self, now: Instant, wanted: WantedEncodings) -> list[TrackHandle]:
        """Take up which encodings anybody wants; return the tracks of which others are active."""
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
    unneeded_at: Instant | None = None
    """Since when nobody is given it, or could be; None: somebody is."""
    unwanted_at: Instant | None = None
    """Since when nobody even wants it; None: somebody does."""
    asked_at: Instant | None = None
    """When it was asked for again, if it ever was."""
    withheld_at: Instant | None = None
    """When it was given up although somebody wanted it; None: it was not, or nobody does any more."""
    patience_s: float = WITHHELD_AFTER_S
    """After how long that comes next."""

    @property
    def given_up_at(self) -> Instant | None:
        """When it is given up, if it stays as it is; None: never, or it has been."""
        if not self.is_active or self.unneeded_at is None:
            return None
        unwanted_at = None if self.unwanted_at is None else after_s(self.unwanted_at, OFF_AFTER_S)
        return earliest(unwanted_at, after_s(self.unneeded_at, self.patience_s))

    def need(self, now: Instant) -> bool:
        """Somebody is given it, or would be; return whether it was off."""
        self.unneeded_at = self.unwanted_at = None
        if self.is_active:
            return False
        is_again = self.withheld_at is not None and now < after_s(self.withheld_at, AGAIN_S)
        self.patience_s = min(2 * self.patience_s, MOST_WITHHELD_S) if is_again else WITHHELD_AFTER_S
        self.is_active, self.asked_at, self.withheld_at = True, now, None
        return True

    def spare(self, now: Instant, *, is_wanted: bool) -> bool:
        """Nobody is given it now; return whether it is given up."""
        if self.unneeded_at is None:
            self.unneeded_at = now
        if is_wanted:
            self.unwanted_at = None
        elif self.unwanted_at is None:
            self.unwanted_at, self.withheld_at = now, None
        due_at = self.given_up_at
        if due_at is None or now < due_at:
            return False
        self.is_active, self.withheld_at = False, now if is_wanted else None
        return True


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
            _Encoding(self._always != 0, *((None, None) if self._always >> index & 1 else (now, now)))
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
        encodings = self._tracks.get(track, ())
        asked = [one.need(now) for index, one in enumerate(encodings) if wanted >> index & 1]
        return any(asked)

    def hopeful(self, track: TrackHandle, wanted: int) -> int:
        """Of encodings, as bits, those that were not given up as withheld.

        The others are asked for when somebody is given them: what they take is known.
        """
        encodings = self._tracks.get(track, ())
        return wanted & ~sum(1 << index for index, one in enumerate(encodings) if one.withheld_at is not None)

    def want(self, now: Instant, wanted: WantedEncodings) -> list[TrackHandle]:
        """Take up which encodings anybody wants; return the tracks of which others are active."""
        changed = []
        for track, encodings in self._tracks.items():
            needed = wanted.needed.get(track, 0) | self._always
            withheld = wanted.withheld.get(track, 0)
            is_changed = [
                one.need(now)
                if needed >> index & 1
                else one.spare(now, is_wanted=bool(withheld >> index & 1))
                for index, one in enumerate(encodings)
            ]
            if any(is_changed):
                changed.append(track)
        self._due_at = earliest(
            *(one.given_up_at for encodings in self._tracks.values() for one in encodings)
        )
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

    def want(self, now: Instant, wanted: WantedEncodings) -> list[TrackHandle]:
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
