"""What goes on around a recorded leg: what rooms say of its user, and what others in its call publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signalling.events.room_state import (
    CALL_MEMBER_TYPES,
    CALL_TYPES,
    ROOM_MEMBER,
    TOMBSTONE,
    member_content,
)
from signalling.focus.dialect import PURPOSES
from signalling.trace.lines import Direction, Via

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sfu.conference.publications import PublishedTrack
    from sfu.units import TransportId
    from signalling.focus.surroundings import Other, Place, Surroundings
    from signalling.focus.turn import RoomState, StateEvent
    from signalling.trace.recorder import Entry
    from signalling.trace.redaction import Redactor
    from signalling.trace.subject import Subject

OTHERS: Final = "others"
ROOM_GONE: Final = "room_gone"
SNAPSHOT: Final = "snapshot"
"""In a line's facts: it was no event then, but is how things stood."""
ADMITTED: Final = "admitted"
"""Likewise: somebody had waited for their member event, and what they publish was told of at once."""

_OF_ONE_USER: Final = frozenset({*CALL_MEMBER_TYPES, ROOM_MEMBER})


class Around:
    """Follows what is around one subject.

    Args:
        subject: whose recording it is.
        surroundings: of the focus.
        redactor: of the recording.
    """

    def __init__(self, subject: Subject, surroundings: Surroundings, redactor: Redactor) -> None:
        self._subject = subject
        self._surroundings = surroundings
        self._redactor = redactor
        self._rooms: dict[str, set[str]] = {}
        """The rooms that concern the subject, each with the calls that were told of."""
        self._others: dict[TransportId, tuple[Other, ...]] = {}

    def at_first(self) -> Iterator[Entry]:
        """How rooms stand when the recording begins."""
        user_id = self._subject.user_id
        if user_id is not None:
            for room_id in self._surroundings.rooms_of(user_id):
                yield from self._stands(room_id, user_id)

    def state(self, given: RoomState, facts: dict[str, Any]) -> Iterator[Entry]:
        """What of a change of state concerns the subject."""
        room_id, user_id = given.room_id, self._subject.user_id
        if user_id is None:
            for event in given.events:
                if event.type in CALL_TYPES or event.type in CALL_MEMBER_TYPES:
                    yield self._event(room_id, event, facts)
            return
        is_known = room_id in self._rooms
        events = [event for event in given.events if self._concerns(event, is_known=is_known)]
        if events and not is_known:
            self._rooms[room_id] = set()
        for event in events:
            if event.type in CALL_TYPES:
                self._rooms[room_id].add(event.state_key)
            yield self._event(room_id, event, facts)
        if room_id in self._rooms and (given.is_complete or not is_known):
            yield from self._stands(room_id, user_id)

    def gone(self, room_id: str) -> Iterator[Entry]:
        """The focus has left a room."""
        if self._rooms.pop(room_id, None) is not None:
            yield Direction.IN, Via.ROOM, ROOM_GONE, self._redactor.redact({}), {"room_id": room_id}

    def others(self, legs: Iterable[TransportId], note: str | None = None) -> Iterator[Entry]:
        """What others publish, where that has changed; `note` says how."""
        if self._subject.is_everybody:
            return
        for leg in sorted(legs):
            others = tuple(one for one in self._surroundings.others(leg) if not self._is_subject(one))
            call = self._surroundings.call_of(leg)
            if call is not None and self._others.get(leg, ()) != others:
                self._others[leg] = others
                content = self._redactor.redact({"members": [_member(one) for one in others]})
                facts = {"leg": leg, "room_id": call.room_id, "conf_id": call.conf_id}
                facts |= {} if note is None else {"note": note}
                yield Direction.BESIDE, Via.CALL, OTHERS, content, facts

    # --- within -------------------------------------------------------------------------------------------

    def _is_subject(self, other: Other) -> bool:
        return self._subject.is_user(other.user_id) and self._subject.device_id in {None, other.device_id}

    def _concerns(self, event: StateEvent, *, is_known: bool) -> bool:
        if event.type in _OF_ONE_USER:
            return event.state_key == self._subject.user_id
        if event.type in CALL_TYPES:
            return is_known and self._subject.is_conference(event.state_key)
        return is_known and event.type == TOMBSTONE

    def _event(self, room_id: str, event: StateEvent, facts: dict[str, Any]) -> Entry:
        content = self._redactor.redact(event.content)
        told = {"room_id": room_id, "sender": event.sender, **self._state_key(event.type, event.state_key)}
        return Direction.IN, Via.ROOM, event.type, content, told | facts

    def _state_key(self, kind: str, state_key: str) -> dict[str, str]:
        """Under the name of what it is, for the redactor to know."""
        if kind in CALL_TYPES:
            return {"conf_id": state_key}
        return {"user_id": state_key} if kind in _OF_ONE_USER else {}

    def _stands(self, room_id: str, user_id: str) -> Iterator[Entry]:
        """A room as it is, in events that would have made it so."""
        place = self._surroundings.place(room_id, user_id)
        known = self._rooms.setdefault(room_id, set())
        live = {call.conf_id for call in place.calls if self._subject.is_conference(call.conf_id)}
        membership = {"membership": "join" if place.is_joined else "leave"}
        yield self._snapshot(room_id, ROOM_MEMBER, {"user_id": user_id}, membership)
        for call in place.calls:
            if call.conf_id in live:
                content = {"m.intent": call.intent, "m.type": call.type}
                yield self._snapshot(room_id, CALL_TYPES[0], {"conf_id": call.conf_id}, content)
        for conf_id in sorted(known - live):
            content = {"m.intent": "m.room", "m.type": "m.video", "m.terminated": "absent"}
            yield self._snapshot(room_id, CALL_TYPES[0], {"conf_id": conf_id}, content)
        self._rooms[room_id] = live
        yield self._snapshot(room_id, CALL_MEMBER_TYPES[0], {"user_id": user_id}, _member_event(place))

    def _snapshot(self, room_id: str, kind: str, key: dict[str, str], content: dict[str, Any]) -> Entry:
        facts = {"room_id": room_id, **key, "note": SNAPSHOT}
        return Direction.IN, Via.ROOM, kind, self._redactor.redact(content), facts


def _member_event(place: Place) -> dict[str, Any]:
    calls = dict.fromkeys(conf_id for conf_id, _ in place.devices)
    return {
        "m.calls": [
            one
            for call in calls
            for one in member_content(call, tuple(d for conf_id, d in place.devices if conf_id == call))[
                "m.calls"
            ]
        ]
    }


def _member(other: Other) -> dict[str, Any]:
    return {
        "user_id": other.user_id,
        "device_id": other.device_id,
        "tracks": [_track(one) for one in other.tracks],
    }


def _track(one: PublishedTrack) -> dict[str, Any]:
    return {
        "mid": one.key[0],
        "stream_id": one.stream.stream_id,
        "track_id": one.track_id,
        "kind": str(one.kind),
        "purpose": PURPOSES[one.stream.source],
        "width": one.width,
        "height": one.height,
        "audio_muted": one.stream.audio_muted,
        "video_muted": one.stream.video_muted,
        "encodings": one.encodings,
        "codecs": list(one.codec_keys),
    }
