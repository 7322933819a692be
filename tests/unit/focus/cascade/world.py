"""Rooms in which members say what focus they are on, and foci with short names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.units import WallTime
from signalling.events.room_state import FocusDevice, MemberDevice, member_content
from signalling.focus.cascade.foci import Foci, Person
from signalling.focus.leg import CallKey
from signalling.focus.rooms import Rooms
from signalling.focus.turn import RoomState, StateEvent
from tests.unit.focus.stage import CONF, MEMBER, ROOM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CALL: Final = CallKey(ROOM, CONF)
NOW: Final = WallTime(1_000_000)
EXPIRES: Final = 2_000_000
SKEW_S: Final = 300.0
SKEW_MS: Final = 300_000


def focus(name: str) -> FocusDevice:
    return FocusDevice(f"@focus:{name}", "FOCUS")


ME: Final = focus("b")
OTHER: Final = focus("c")
THIRD: Final = focus("d")

ALICE: Final = Person("@alice:x", "A")
BOB: Final = Person("@bob:x", "B")
CAROL: Final = Person("@carol:x", "C")


def says(
    person: Person,
    *active: FocusDevice,
    preferred: Iterable[FocusDevice] = (),
    expires_at: int = EXPIRES,
    conf_id: str = CONF,
    kind: str = MEMBER,
) -> StateEvent:
    """The member event of a user with one device."""
    return say_all(
        person.user_id,
        {person.device_id: active},
        preferred=preferred,
        expires_at=expires_at,
        conf_id=conf_id,
        kind=kind,
    )


def say_all(
    user_id: str,
    devices: Mapping[str, tuple[FocusDevice, ...]],
    *,
    preferred: Iterable[FocusDevice] = (),
    expires_at: int = EXPIRES,
    conf_id: str = CONF,
    kind: str = MEMBER,
) -> StateEvent:
    """The member event of a user with several."""
    entries = tuple(
        MemberDevice(device_id, "session", WallTime(expires_at), ("m.usermedia",), active, tuple(preferred))
        for device_id, active in devices.items()
    )
    return StateEvent(kind, user_id, user_id, member_content(conf_id, entries))


def rooms_of(*events: StateEvent, room_id: str = ROOM) -> Rooms:
    rooms = Rooms()
    rooms.apply(RoomState(room_id, events, is_complete=True))
    return rooms


def foci_of(rooms: Rooms, wall: WallTime = NOW, call: CallKey = CALL) -> Foci:
    return Foci(rooms, call, wall, SKEW_S)
