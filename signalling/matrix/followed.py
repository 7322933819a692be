"""The rooms that an application service follows: until when, and through whose eyes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, assert_never

from sfu.errors import ParseError
from signalling.events.room_state import (
    CALL_MEMBER_TYPES,
    CALL_TYPES,
    ROOM_MEMBER,
    parse_call,
    parse_call_member,
)
from signalling.focus.turn import RoomGone, RoomState
from signalling.matrix.invitations import server_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.units import WallTime
    from signalling.focus.turn import StateEvent

MAX_FOLLOWED: Final = 10_000
"""Rooms followed at once. Lower: on a large homeserver calls find no focus. Higher: who fills rooms with
calls that nobody is in makes us keep and read more for nothing."""
FOLLOWED_MS: Final = 3_600_000
"""How long a room is followed after something happened to its calls. Lower: it is read more often. Higher:
rooms without a call take the place of others."""
SKEW_MS: Final = 2 * 3_600_000
"""How long it is followed after its last member has expired: longer than `calls.clock_skew_s` may be."""


def is_of_a_call(event: StateEvent) -> bool:
    """Whether an event says that there is a call, or somebody in one."""
    try:
        if event.type in CALL_TYPES:
            call = parse_call(event.state_key, event.content)
            return call is not None and not call.terminated
        if event.type in CALL_MEMBER_TYPES:
            member = parse_call_member(event.state_key, event.content)
            return member is not None and any(devices for _, devices in member.calls)
    except ParseError:
        return False
    return False


@dataclass(slots=True)
class _Room:
    until: int
    trusted: dict[str, None] = field(default_factory=dict)
    """Users of our homeserver who are joined, by what was told last."""
    others: dict[str, None] = field(default_factory=dict)
    """Those who may be."""


class FollowedRooms:
    """Bookkeeping: no requests, no clock.

    State is asked for in the name of a user who is joined to the room: one who has left is answered with what
    was true then. So whoever may have left is asked last, and the answer must show that they are there.
    """

    def __init__(self, user_id: str) -> None:
        """Begin without a room.

        Args:
            user_id: the focus's, who is one of the homeserver's users too.
        """
        self._server = server_of(user_id)
        self._rooms: dict[str, _Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def __contains__(self, room_id: str) -> bool:
        return room_id in self._rooms

    def is_local(self, user_id: str) -> bool:
        """Whether a user is one of our homeserver's."""
        return user_id.startswith("@") and server_of(user_id) == self._server

    def begin(self, wall: WallTime, room_id: str, user_ids: Iterable[str]) -> bool:
        """Follow a room that these users may be in; whether there is place for it."""
        if room_id not in self._rooms and len(self._rooms) >= MAX_FOLLOWED:
            return False
        room = self._rooms.setdefault(room_id, _Room(wall + FOLLOWED_MS))
        for user_id in user_ids:
            if user_id not in room.trusted:
                room.others[user_id] = None
        return True

    def doubt(self, room_id: str, user_ids: Iterable[str]) -> None:
        """Something has happened to these users' places in a room, and what is not known yet."""
        room = self._rooms.get(room_id)
        if room is None:
            return
        for user_id in user_ids:
            if user_id in room.trusted:
                del room.trusted[user_id]
                room.others[user_id] = None

    def dismiss(self, room_id: str, user_id: str) -> None:
        """A user turned out not to be in the room."""
        room = self._rooms.get(room_id)
        if room is not None:
            room.trusted.pop(user_id, None)
            room.others.pop(user_id, None)

    def forget(self, room_id: str) -> None:
        """Follow a room no more."""
        self._rooms.pop(room_id, None)

    def trusted(self, room_id: str) -> tuple[str, ...]:
        """Who is there, by what was told last."""
        room = self._rooms.get(room_id)
        return () if room is None else tuple(room.trusted)

    def candidates(self, room_id: str) -> tuple[str, ...]:
        """Who is there, and then who may be."""
        room = self._rooms.get(room_id)
        return () if room is None else (*room.trusted, *room.others)

    def observe(self, wall: WallTime, given: RoomState | RoomGone) -> None:
        """Learn from what is handed on."""
        match given:
            case RoomGone(room_id):
                self.forget(room_id)
            case RoomState(room_id, events, is_complete):
                room = self._rooms.setdefault(room_id, _Room(wall + FOLLOWED_MS))
                if is_complete:
                    room.trusted.clear()
                    room.others.clear()
                for event in events:
                    self._learn(wall, room, event)
            case _:
                assert_never(given)

    def quiet(self, wall: WallTime) -> list[str]:
        """The rooms of whose calls nobody can be a member any more."""
        return [room_id for room_id, room in self._rooms.items() if room.until <= wall]

    def _learn(self, wall: WallTime, room: _Room, event: StateEvent) -> None:
        if event.type == ROOM_MEMBER and self.is_local(event.state_key):
            room.others.pop(event.state_key, None)
            room.trusted.pop(event.state_key, None)
            if isinstance(event.content, dict) and event.content.get("membership") == "join":
                room.trusted[event.state_key] = None
        elif is_of_a_call(event):
            room.until = max(room.until, wall + FOLLOWED_MS, _expires_at(event) + SKEW_MS)


def _expires_at(event: StateEvent) -> int:
    """When the last device of a member event expires; 0 for a call event."""
    if event.type not in CALL_MEMBER_TYPES:
        return 0
    member = parse_call_member(event.state_key, event.content)
    if member is None:
        return 0
    return max((device.expires_at for _, devices in member.calls for device in devices), default=0)
