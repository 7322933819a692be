"""Reading what a homeserver answered: typed values, and what is malformed counted and left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from signalling.events.room_state import CALL_MEMBER_TYPES, CALL_TYPES, ROOM_MEMBER, TOMBSTONE
from signalling.focus.turn import StateEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

POWER_LEVELS: Final = "m.room.power_levels"
REDACTION: Final = "m.room.redaction"
"""Takes the content of an event away, also of a member event: no state event says so."""

STATE_TYPES: Final = (*CALL_TYPES, *CALL_MEMBER_TYPES, ROOM_MEMBER, POWER_LEVELS, TOMBSTONE)
"""The state that counts for calls; nothing else is asked for or handed on."""

TIMELINE_LIMIT: Final = 100
"""Events of one room in one sync. Lower: a busy room is `limited` and read anew more often. Higher: one
answer may become large."""

SYNC_FILTER: Final[dict[str, Any]] = {
    "presence": {"types": []},
    "account_data": {"types": []},
    "room": {
        "account_data": {"types": []},
        "ephemeral": {"types": []},
        "state": {"types": list(STATE_TYPES), "lazy_load_members": False},
        "timeline": {"types": [*STATE_TYPES, REDACTION], "limit": TIMELINE_LIMIT},
    },
}

MESSAGES_FILTER: Final[dict[str, Any]] = {
    "presence": {"types": []},
    "account_data": {"types": []},
    "room": {"rooms": []},
}
"""Nothing of rooms: they are told of in transactions."""


@dataclass(frozen=True, slots=True)
class JoinedRoom:
    """What a sync says of a room that we are in."""

    room_id: str
    state: tuple[StateEvent, ...] = ()
    """Before the timeline. Of a room that is known it may be out of date (`Rooms`)."""
    timeline: tuple[StateEvent, ...] = ()
    """What happened since the last sync, in order."""
    is_partial: bool = False
    """State may be other than these events say: some are missing before them, or some were redacted."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """Somebody wants us in a room; `inviter` is None where the homeserver does not say who."""

    room_id: str
    inviter: str | None


@dataclass(frozen=True, slots=True)
class ToDeviceEvent:
    """One to-device message as it came, its content not yet read."""

    type: str
    sender: str
    content: object = field(repr=False)
    age_ms: int = 0


@dataclass(frozen=True, slots=True)
class SyncAnswer:
    """All of one sync that we read."""

    next_batch: str
    joined: tuple[JoinedRoom, ...] = ()
    invitations: tuple[Invitation, ...] = ()
    left: tuple[str, ...] = ()
    to_device: tuple[ToDeviceEvent, ...] = ()
    one_time_keys: int | None = None
    """How many the homeserver has left of ours, where it says so."""
    malformed: int = 0
    """Parts that were none of what they should be, and are left out."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has happened."""
        return not (self.joined or self.invitations or self.left or self.to_device)


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a homeserver tells an application service at a time."""

    rooms: tuple[JoinedRoom, ...] = ()
    """Those in which something happened that counts. All of it stands in `state`: it may be out of date."""
    invitations: tuple[Invitation, ...] = ()
    malformed: int = 0
    """Parts that were none of what they should be, and are left out."""


def read_sync(answer: Mapping[str, Any], user_id: str) -> SyncAnswer | None:
    """Read the answer of `/sync`; None where it has no `next_batch` and so can't be gone on from.

    Args:
        answer: any JSON object.
        user_id: ours, whom invitations are for.
    """
    next_batch = answer.get("next_batch")
    if not isinstance(next_batch, str) or not next_batch:
        return None
    reader = _Reader()
    rooms = reader.record(answer, "rooms")
    return SyncAnswer(
        next_batch=next_batch,
        joined=tuple(reader.joined(room_id, room) for room_id, room in reader.records(rooms, "join")),
        invitations=tuple(
            reader.invitation(room_id, room, user_id) for room_id, room in reader.records(rooms, "invite")
        ),
        left=tuple(room_id for room_id, _ in reader.records(rooms, "leave")),
        to_device=tuple(reader.to_device(reader.record(answer, "to_device"))),
        one_time_keys=None
        if "device_one_time_keys_count" not in answer
        else _count(reader.record(answer, "device_one_time_keys_count").get("signed_curve25519")),
        malformed=reader.malformed,
    )


def read_transaction(body: Mapping[str, Any], user_id: str) -> Transaction:
    """Read the events of a transaction, of any room that the homeserver's users are in.

    Args:
        body: any JSON object.
        user_id: ours, whom invitations are for.
    """
    reader = _Reader()
    states: dict[str, list[StateEvent]] = {}
    redacted: set[str] = set()
    invitations = []
    for event in reader.array(body.get("events")):
        room_id = event.get("room_id")
        if not isinstance(room_id, str):
            reader.malformed += 1
            continue
        if event.get("type") == REDACTION:
            redacted.add(room_id)
            states.setdefault(room_id, [])
        for state in reader.state_events([event]):
            if _is_invitation(state, user_id):
                invitations.append(Invitation(room_id, state.sender))
            else:
                states.setdefault(room_id, []).append(state)
    rooms = (
        JoinedRoom(room_id, state=tuple(events), is_partial=room_id in redacted)
        for room_id, events in states.items()
    )
    return Transaction(tuple(rooms), tuple(invitations), reader.malformed)


def read_state(events: object) -> tuple[tuple[StateEvent, ...], int]:
    """Read an array of state events: those that count, and how many were malformed."""
    reader = _Reader()
    found = tuple(reader.state_events(events))
    return found, reader.malformed


class _Reader:
    """Goes through one answer and counts what it leaves out."""

    def __init__(self) -> None:
        self.malformed = 0

    def record(self, source: Mapping[str, Any], name: str) -> dict[str, Any]:
        """An object; empty where it is absent or something else."""
        value = source.get(name)
        if isinstance(value, dict):
            return value
        self.malformed += value is not None
        return {}

    def records(self, source: Mapping[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The objects in an object, by name."""
        for key, value in self.record(source, name).items():
            if isinstance(value, dict):
                yield key, value
            else:
                self.malformed += 1

    def array(self, value: object) -> Iterator[dict[str, Any]]:
        """The objects in an array."""
        if not isinstance(value, list):
            self.malformed += value is not None
            return
        for item in value:
            if isinstance(item, dict):
                yield item
            else:
                self.malformed += 1

    def joined(self, room_id: str, room: Mapping[str, Any]) -> JoinedRoom:
        timeline = self.record(room, "timeline")
        return JoinedRoom(
            room_id,
            state=tuple(self.state_events(self.record(room, "state").get("events"))),
            timeline=tuple(self.state_events(timeline.get("events"))),
            is_partial=bool(timeline.get("limited", False)) or _has_redaction(timeline.get("events")),
        )

    def state_events(self, events: object) -> Iterator[StateEvent]:
        for event in self.array(events):
            kind = event.get("type")
            if not isinstance(kind, str):
                self.malformed += 1
            elif kind in STATE_TYPES and "state_key" in event:
                state_key, sender = event["state_key"], event.get("sender")
                if isinstance(state_key, str) and isinstance(sender, str):
                    yield StateEvent(kind, state_key, sender, event.get("content"))
                else:
                    self.malformed += 1

    def invitation(self, room_id: str, room: Mapping[str, Any], user_id: str) -> Invitation:
        inviter = None
        for event in self.state_events(self.record(room, "invite_state").get("events")):
            if event.type == ROOM_MEMBER and event.state_key == user_id:
                inviter = event.sender
        return Invitation(room_id, inviter)

    def to_device(self, source: Mapping[str, Any]) -> Iterator[ToDeviceEvent]:
        for event in self.array(source.get("events")):
            kind, sender = event.get("type"), event.get("sender")
            if not isinstance(kind, str) or not isinstance(sender, str):
                self.malformed += 1
                continue
            unsigned = event.get("unsigned")
            age_ms = _count(unsigned.get("age")) if isinstance(unsigned, dict) else 0
            yield ToDeviceEvent(kind, sender, event.get("content"), age_ms)


def _is_invitation(event: StateEvent, user_id: str) -> bool:
    content = event.content
    return (
        event.type == ROOM_MEMBER
        and event.state_key == user_id
        and isinstance(content, dict)
        and content.get("membership") == "invite"
    )


def _has_redaction(events: object) -> bool:
    if not isinstance(events, list):
        return False
    return any(isinstance(event, dict) and event.get("type") == REDACTION for event in events)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
