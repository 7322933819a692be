"""Who may take part: an invite names no room, so it is resolved to exactly one (protocol: section 11)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signalling.focus.refusals import Refusal

if TYPE_CHECKING:
    from sfu.units import WallTime
    from signalling.events.room_state import MemberDevice
    from signalling.focus.leg import Dialled, LegKey
    from signalling.focus.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Named:
    """One room, whose member event names this device and session until then."""

    room_id: str
    expires_at: WallTime


@dataclass(frozen=True, slots=True)
class NotYetNamed:
    """The sender is joined to these rooms with such a call, and named in none: its event may be under way."""

    room_ids: tuple[str, ...]


Verdict = Named | NotYetNamed | Refusal


class Gone(enum.Enum):
    """Why a leg has no place in its room, or none any more."""

    ROOM_GONE = "room_gone"
    ROOM_UPGRADED = "room_upgraded"
    CALL_ENDED = "call_ended"
    NOT_JOINED = "not_joined"
    NOT_NAMED = "not_named"
    OTHER_SESSION = "other_session"
    EXPIRED = "expired"


class Admission:
    """Reads rooms for one question: is this device in this call?"""

    def __init__(self, rooms: Rooms, clock_skew_s: float) -> None:
        """Begin.

        Args:
            rooms: what state says.
            clock_skew_s: a member event counts for this long after it has expired.
        """
        self._rooms = rooms
        self._skew_ms = round(clock_skew_s * 1_000)

    def resolve(self, wall: WallTime, dialled: Dialled, session_id: str) -> Verdict:
        """Which room an invite means, of those where the call lives and its sender is joined."""
        rooms = [
            room_id
            for room_id in self._rooms.with_call(dialled.conf_id)
            if self._rooms.is_joined(room_id, dialled.user_id)
        ]
        if not rooms:
            return Refusal.NOT_IN_CALL
        named = []
        for room_id in rooms:
            device = self._device(room_id, dialled.conf_id, dialled.user_id, dialled.device_id, session_id)
            if device is not None and not self.has_expired(wall, device.expires_at):
                named.append(Named(room_id, device.expires_at))
        match named:
            case []:
                return NotYetNamed(tuple(rooms))
            case [one]:
                return one
            case _:
                return Refusal.AMBIGUOUS

    def place(self, wall: WallTime, key: LegKey, session_id: str) -> Named | Gone:
        """Whether a leg still has its place in its own room."""
        room_id, conf_id = key.call.room_id, key.call.conf_id
        if room_id not in self._rooms:
            return Gone.ROOM_GONE
        if self._rooms.is_upgraded(room_id):
            return Gone.ROOM_UPGRADED
        if not self._rooms.has_call(room_id, conf_id):
            return Gone.CALL_ENDED
        if not self._rooms.is_joined(room_id, key.user_id):
            return Gone.NOT_JOINED
        device = self._device(room_id, conf_id, key.user_id, key.device_id, session_id)
        if device is None:
            devices = self._rooms.devices(room_id, conf_id, key.user_id)
            is_there = any(one.device_id == key.device_id for one in devices)
            return Gone.OTHER_SESSION if is_there else Gone.NOT_NAMED
        if self.has_expired(wall, device.expires_at):
            return Gone.EXPIRED
        return Named(room_id, device.expires_at)

    def has_expired(self, wall: WallTime, expires_at: WallTime) -> bool:
        """Whether a member event counts no more, the clocks' difference granted."""
        return self.left_ms(wall, expires_at) <= 0

    def left_ms(self, wall: WallTime, expires_at: WallTime) -> int:
        """For how long a member event counts."""
        return expires_at + self._skew_ms - wall

    def _device(
        self, room_id: str, conf_id: str, user_id: str, device_id: str, session_id: str
    ) -> MemberDevice | None:
        entries = (
            device
            for device in self._rooms.devices(room_id, conf_id, user_id)
            if (device.device_id, device.session_id) == (device_id, session_id)
        )
        return max(entries, key=lambda device: device.expires_at, default=None)
