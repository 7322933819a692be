"""The rooms that the focus is in: their calls, who takes part, who is joined (protocol: section 2).

Both the stable and the unstable type of an event count; where a room has both, a call lives while one of them
says so. A room may have several live calls: whoever started a call anew may have left the old one as it was,
and each member event says which one it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from signalling.events.room_state import (
    CALL_MEMBER_TYPES,
    CALL_TYPES,
    ROOM_MEMBER,
    TOMBSTONE,
    Call,
    CallMember,
    MemberDevice,
    parse_call,
    parse_call_member,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signalling.focus.turn import RoomState, StateEvent

MAX_ROOMS: Final = 10_000
MAX_CALLS: Final = 256
"""Live calls of one room."""
MAX_MEMBER_EVENTS: Final = 5_000
"""Members of calls in one room."""
MAX_JOINED: Final = 50_000
"""Users joined to one room; those beyond take part in no call."""

_OF_ONE_USER: Final = frozenset({*CALL_MEMBER_TYPES, ROOM_MEMBER})
"""Types of events that are about the user who is their state key."""

_EventKey = tuple[str, str]
"""Type and state key."""


def users_concerned(given: RoomState) -> frozenset[str] | None:
    """Whose places in calls this state may change; None: everybody's."""
    if given.is_complete or any(event.type not in _OF_ONE_USER for event in given.events):
        return None
    return frozenset(event.state_key for event in given.events)


@dataclass(slots=True)
class _Room:
    calls: dict[_EventKey, Call] = field(default_factory=dict)
    members: dict[_EventKey, CallMember] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    is_upgraded: bool = False

    def live_calls(self) -> set[str]:
        return set() if self.is_upgraded else {call.conf_id for call in self.calls.values()}


class Rooms:
    """What state says of every room of this focus."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}
        self._by_conf: dict[str, set[str]] = {}

    def apply(self, given: RoomState) -> list[str]:
        """Take up what has changed in a room, or all of it; return why events were ignored.

        `malformed`, `forged` (a member event that is not its sender's own), `limit`.
        """
        room = self._rooms.get(given.room_id)
        before = set() if room is None else room.live_calls()
        if room is None or given.is_complete:
            if room is None and len(self._rooms) >= MAX_ROOMS:
                return ["limit"]
            room = self._rooms[given.room_id] = _Room()
        ignored = [why for event in given.events if (why := _apply(room, event)) is not None]
        self._index(given.room_id, before, room.live_calls())
        return ignored

    def drop(self, room_id: str) -> None:
        """The focus is in this room no more."""
        room = self._rooms.pop(room_id, None)
        if room is not None:
            self._index(room_id, room.live_calls(), set())

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._rooms))

    def __contains__(self, room_id: str) -> bool:
        return room_id in self._rooms

    def with_call(self, conf_id: str) -> list[str]:
        """The rooms in which a call of this id lives."""
        return sorted(self._by_conf.get(conf_id, ()))

    def live_calls(self, room_id: str) -> tuple[Call, ...]:
        """The calls that live in a room, one of each id."""
        room = self._rooms.get(room_id)
        if room is None or room.is_upgraded:
            return ()
        return tuple({call.conf_id: call for call in room.calls.values()}.values())

    def is_upgraded(self, room_id: str) -> bool:
        """Whether another room has taken this one's place."""
        return room_id in self._rooms and self._rooms[room_id].is_upgraded

    def has_call(self, room_id: str, conf_id: str) -> bool:
        """Whether the call lives in this room."""
        return room_id in self._by_conf.get(conf_id, ())

    def is_joined(self, room_id: str, user_id: str) -> bool:
        """Whether a user is joined to the room."""
        room = self._rooms.get(room_id)
        return room is not None and user_id in room.joined

    def devices(self, room_id: str, conf_id: str, user_id: str) -> list[MemberDevice]:
        """The devices with which a user takes part in a call, by their member events."""
        room = self._rooms.get(room_id)
        if room is None:
            return []
        events = (room.members.get((kind, user_id)) for kind in CALL_MEMBER_TYPES)
        return [device for event in events if event is not None for device in event.devices(conf_id)]

    def members(self, room_id: str, conf_id: str) -> Iterator[tuple[str, MemberDevice]]:
        """Everybody who is joined to the room and takes part in a call, by member events: user and device."""
        room = self._rooms.get(room_id)
        if room is None:
            return
        for (_, user_id), event in room.members.items():
            if user_id in room.joined:
                yield from ((user_id, device) for device in event.devices(conf_id))

    def _index(self, room_id: str, before: set[str], after: set[str]) -> None:
        for conf_id in before - after:
            rooms = self._by_conf[conf_id]
            rooms.discard(room_id)
            if not rooms:
                del self._by_conf[conf_id]
        for conf_id in after - before:
            self._by_conf.setdefault(conf_id, set()).add(room_id)


def _apply(room: _Room, event: StateEvent) -> str | None:
    """Take up one event; why it was ignored, if it was."""
    if event.type in CALL_TYPES:
        return _apply_call(room, event)
    if event.type in CALL_MEMBER_TYPES:
        return _apply_member(room, event)
    if event.type == ROOM_MEMBER:
        return _apply_membership(room, event)
    if event.type == TOMBSTONE and event.state_key == "":
        room.is_upgraded = isinstance(event.content, Mapping) and bool(event.content.get("replacement_room"))
    return None


def _apply_call(room: _Room, event: StateEvent) -> str | None:
    key = event.type, event.state_key
    try:
        call = parse_call(event.state_key, event.content)
    except ParseError:
        room.calls.pop(key, None)
        return "malformed"
    if call is None or call.terminated:
        room.calls.pop(key, None)
        return None
    if key not in room.calls and len(room.calls) >= MAX_CALLS:
        return "limit"
    room.calls[key] = call
    return None


def _apply_member(room: _Room, event: StateEvent) -> str | None:
    key = event.type, event.state_key
    try:
        member = parse_call_member(event.state_key, event.content)
    except ParseError:
        room.members.pop(key, None)
        return "malformed"
    if member is None:
        # MatrixRTC's look-alike: another shape, mostly under another state key.
        room.members.pop(key, None)
        return None
    if event.state_key != event.sender:
        return "forged"
    if not any(devices for _, devices in member.calls):
        room.members.pop(key, None)
        return None
    if key not in room.members and len(room.members) >= MAX_MEMBER_EVENTS:
        return "limit"
    room.members[key] = member
    return None


def _apply_membership(room: _Room, event: StateEvent) -> str | None:
    content = event.content
    if not (isinstance(content, Mapping) and content.get("membership") == "join"):
        room.joined.discard(event.state_key)
        return None
    if event.state_key not in room.joined and len(room.joined) >= MAX_JOINED:
        return "limit"
    room.joined.add(event.state_key)
    return None
