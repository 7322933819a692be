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

    from signalling.events.room_state import FocusDevice, MemberDevice
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
    """Reads rooms for one question: which foci serve this call?"""

    def __init__(self, rooms: Rooms, me: FocusDevice, clock_skew_s: float) -> None:
        """Begin.

        Args:
            rooms: what state says.
            me: this focus.
            clock_skew_s: a member event counts for this long after it has expired.
        """
        self._rooms = rooms
        self._me = me
        self._skew_ms = round(clock_skew_s * 1_000)

    def others(
        self, wall: WallTime, call: CallKey, asked: Iterable[FocusDevice] = ()
    ) -> tuple[OtherFocus, ...]:
        """The foci that we connect to while people of ours are in the call, those with the most users first.

        A focus whose account is not joined to the room is none of them, or whoever writes a member event
        could make us dial anybody.

        Args:
            wall: now.
            call: a call that we serve.
            asked: foci that our own clients ask us to connect to; those that no member names don't count.
        """
        if not self._rooms.has_call(call.room_id, call.conf_id):
            return ()
        homes: dict[str, dict[FocusDevice, set[Person]]] = {}
        named: set[FocusDevice] = set()
        for person, device in self._live(wall, call).items():
            named.update(device.foci_active, device.foci_preferred)
            of_user = homes.setdefault(person.user_id, {})
            home = device.foci_active[0] if device.foci_active else None
            if home is not None and (home in of_user or len(of_user) < MAX_NAMED_BY_USER):
                of_user.setdefault(home, set()).add(person)
        people: dict[FocusDevice, set[Person]] = {focus: set() for focus in asked if focus in named}
        for of_user in homes.values():
            for focus, on_it in of_user.items():
                people.setdefault(focus, set()).update(on_it)
        users = Counter(focus for of_user in homes.values() for focus in of_user)
        eligible = [focus for focus in people if self._may_be_other(call, focus)]
        eligible.sort(key=lambda focus: (-users[focus], focus.user_id, focus.device_id))
        return tuple(OtherFocus(focus, frozenset(people[focus])) for focus in eligible[:MAX_OTHERS])

    def named_until(self, wall: WallTime, call: CallKey, focus: FocusDevice) -> WallTime | None:
        """Until when any member names a focus, as active or preferred; None: nobody does."""
        ends = (
            device.expires_at + self._skew_ms
            for device in self._live(wall, call).values()
            if focus in device.foci_active or focus in device.foci_preferred
        )
        end = max(ends, default=None)
        return None if end is None else WallTime(end)

    def home(self, wall: WallTime, call: CallKey, person: Person) -> Home | None:
        """The focus that a person is on; None: they don't take part in the call."""
        if not self._rooms.is_joined(call.room_id, person.user_id):
            return None
        devices = self._rooms.devices(call.room_id, call.conf_id, person.user_id)
        entries = (one for one in devices if one.device_id == person.device_id and self._is_live(wall, one))
        device = max(entries, key=_expiry, default=None)
        if device is None:
            return None
        focus = device.foci_active[0] if device.foci_active else None
        return Home(focus, WallTime(device.expires_at + self._skew_ms))

    def _may_be_other(self, call: CallKey, focus: FocusDevice) -> bool:
        return focus != self._me and self._rooms.is_joined(call.room_id, focus.user_id)

    def _live(self, wall: WallTime, call: CallKey) -> dict[Person, MemberDevice]:
        """What is said of each person; where both types of events say something, what was written last."""
        said = sorted(
            self._rooms.members(call.room_id, call.conf_id),
            key=lambda one: _expiry(one[1]),
        )
        return {
            Person(user_id, device.device_id): device
            for user_id, device in said
            if self._is_live(wall, device)
        }

    def _is_live(self, wall: WallTime, device: MemberDevice) -> bool:
        return device.expires_at + self._skew_ms > wall


def _expiry(device: MemberDevice) -> WallTime:
    """Clients write all their events to last equally long, so this tells which was written last."""
    return device.expires_at
