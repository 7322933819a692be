"""The other foci of a call, by what its members say of themselves (MSC3898; cascade: section 2).

A device is *on* one focus: the first that its member event names in `foci.active`. That, and nothing that a
focus says, decides whom a focus may speak for. In `foci.preferred` a member names a focus that stands by.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.units import WallTime

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signalling.events.room_state import FocusDevice
    from signalling.focus.leg import CallKey
    from signalling.focus.rooms import Rooms

MAX_OTHERS: Final = 32
"""Foci of one call that we dial; those with the most users go first. Lower: people of the smallest foci of a
large call are not seen. Higher: whoever writes lies into member events makes us dial more."""
MAX_NAMED_BY_USER: Final = 4
"""Foci that the devices of one user may be on. Lower: a user with many homes is seen in some of them only.
Higher: one user can crowd the foci of others out."""


@dataclass(frozen=True, slots=True, order=True)
class Person:
    """Who takes part in a call: one device of a user."""

    user_id: str
    device_id: str


@dataclass(frozen=True, slots=True)
class OtherFocus:
    """Another focus of a call, and who is on it."""

    focus: FocusDevice
    people: frozenset[Person]
    """Empty where members only prefer it, and one of our own clients asks us to connect."""


@dataclass(frozen=True, slots=True)
class Home:
    """The focus that a person is on, and how long that holds unless it is renewed."""

    focus: FocusDevice | None
    """None: it names none."""
    until: WallTime


def dials_first(mine: FocusDevice, theirs: FocusDevice) -> bool:
    """Whether we are the one of two foci that dials at once: the lower user id does, then device id.

    By Unicode code points, as in MSC3401's rule for clients of a full mesh. The other waits for a while.
    """
    return (mine.user_id, mine.device_id) < (theirs.user_id, theirs.device_id)


class Foci:
    """The foci that serve one call, by what room state says at one moment.

    Read once for each change of the room: all questions about the call are then answered at once.
    """

    def __init__(
        self,
        rooms: Rooms,
        call: CallKey,
        wall: WallTime,
        clock_skew_s: float,
        relays: Iterable[FocusDevice] = (),
    ) -> None:
        """Read.

        Args:
            rooms: what state says.
            call: of one of them.
            wall: now.
            clock_skew_s: a member event counts for this long after it has expired.
            relays: count as named while anybody is in the call: no member has to be on them.
        """
        self.call = call
        self._skew_ms = round(clock_skew_s * 1_000)
        self._homes: dict[Person, Home] = {}
        self._named: dict[FocusDevice, WallTime] = {}
        self.is_live = rooms.has_call(call.room_id, call.conf_id)
        """Whether there is such a call at all; where there is none, nobody is in it."""
        if self.is_live:
            self._read(rooms, wall)
            self._vouch(relays)
        self._present = frozenset(
            focus for focus in self._named if rooms.is_joined(call.room_id, focus.user_id)
        )

    def others(self, me: FocusDevice, asked: Iterable[FocusDevice] = ()) -> tuple[OtherFocus, ...]:
        """The foci that we connect to while people of ours are in the call, those with the most users first.

        A focus whose account is not joined to the room is none of them, or whoever writes a member event
        could make us dial anybody.

        Args:
            me: this focus.
            asked: foci that our own clients ask us to connect to; those that no member names are none.
        """
        by_user: dict[str, set[FocusDevice]] = {}
        people: dict[FocusDevice, set[Person]] = {focus: set() for focus in asked}
        for person, home in self._homes.items():
            of_user = by_user.setdefault(person.user_id, set())
            if home.focus is None or (home.focus not in of_user and len(of_user) >= MAX_NAMED_BY_USER):
                continue
            of_user.add(home.focus)
            people.setdefault(home.focus, set()).add(person)
        users = Counter(focus for of_user in by_user.values() for focus in of_user)
        others = [focus for focus in people if focus != me and focus in self._present]
        others.sort(key=lambda focus: (-users[focus], focus.user_id, focus.device_id))
        return tuple(OtherFocus(focus, frozenset(people[focus])) for focus in others[:MAX_OTHERS])

    def named_until(self, focus: FocusDevice) -> WallTime | None:
        """Until when any member names a focus, as active or preferred; None: nobody does."""
        return self._named.get(focus)

    @property
    def until(self) -> WallTime | None:
        """When the first of the member events that it goes by runs out; None: there is none."""
        return min((home.until for home in self._homes.values()), default=None)

    def is_present(self, focus: FocusDevice) -> bool:
        """Whether the account of a focus that is named is joined to the room."""
        return focus in self._present

    def home(self, person: Person) -> Home | None:
        """The focus that a person is on; None: they don't take part in the call."""
        return self._homes.get(person)

    def _vouch(self, relays: Iterable[FocusDevice]) -> None:
        until = max((home.until for home in self._homes.values()), default=None)
        if until is not None:
            self._named |= dict.fromkeys(relays, until)

    def _read(self, rooms: Rooms, wall: WallTime) -> None:
        # Where both types of events name a device: clients write all to last equally long, so the one that
        # ends later was written last.
        said = sorted(rooms.members(self.call.room_id, self.call.conf_id), key=lambda one: one[1].expires_at)
        newest = {Person(user_id, device.device_id): device for user_id, device in said}
        for person, device in newest.items():
            until = WallTime(device.expires_at + self._skew_ms)
            if until > wall:
                self._homes[person] = Home(device.foci_active[0] if device.foci_active else None, until)
                for named in (*device.foci_active, *device.foci_preferred):
                    self._named[named] = max(until, self._named.get(named, until))
