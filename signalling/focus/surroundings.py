"""What is around a leg: asked for by whoever records one, and changed by nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfu.conference.publications import PublishedTrack
    from sfu.units import TransportId
    from signalling.events.room_state import Call, MemberDevice
    from signalling.focus.calls import Calls
    from signalling.focus.leg import CallKey, LegKey
    from signalling.focus.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Other:
    """Somebody else in a leg's call, and what of theirs flows."""

    user_id: str
    device_id: str
    tracks: tuple[PublishedTrack, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """What a room says of one user."""

    room_id: str
    is_joined: bool
    calls: tuple[Call, ...]
    """That live in it."""
    devices: tuple[tuple[str, MemberDevice], ...]
    """With which the user takes part, each with the call."""


class Surroundings:
    """Looks at the calls and rooms of a focus."""

    def __init__(self, calls: Calls, rooms: Rooms) -> None:
        self._calls = calls
        self._rooms = rooms

    def legs(self) -> Iterator[tuple[TransportId, LegKey]]:
        """Every client's leg, oldest first."""
        return ((leg.transport, leg.key) for leg in self._calls.legs if leg.trunk is None)

    def trunks(self) -> Iterator[TransportId]:
        """Every leg that leads to another focus, oldest first."""
        return (leg.transport for leg in self._calls.legs if leg.trunk is not None)

    def call_of(self, transport: TransportId) -> CallKey | None:
        """The call that a leg is in; None where it is gone."""
        leg = self._calls.leg(transport)
        return None if leg is None else leg.key.call

    def others(self, transport: TransportId) -> tuple[Other, ...]:
        """The other members of a leg's call of whom something flows; nobody where the leg is gone."""
        leg = self._calls.leg(transport)
        if leg is None:
            return ()
        call = self._calls.call_of(leg)
        published = ((one.key, call.conference.published(one.transport)) for one in call.people)
        return tuple(
            Other(key.user_id, key.device_id, tracks)
            for key, tracks in published
            if tracks and key != leg.key
        )

    def place(self, room_id: str, user_id: str) -> Place:
        """What a room says of a user; nothing, where the focus is not in it."""
        calls = self._rooms.live_calls(room_id)
        devices = (
            (call.conf_id, device)
            for call in calls
            for device in self._rooms.devices(room_id, call.conf_id, user_id)
        )
        return Place(room_id, self._rooms.is_joined(room_id, user_id), calls, tuple(dict.fromkeys(devices)))

    def rooms_of(self, user_id: str) -> tuple[str, ...]:
        """The rooms to which a user is joined, of those that the focus is in."""
        return tuple(room_id for room_id in self._rooms if self._rooms.is_joined(room_id, user_id))
