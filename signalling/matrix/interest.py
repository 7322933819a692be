"""What an application service makes of transactions: which rooms it follows, of all of its homeserver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from signalling.events.room_state import ROOM_MEMBER
from signalling.matrix.answers import JoinedRoom
from signalling.matrix.followed import is_of_a_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sfu.units import WallTime
    from signalling.focus.turn import StateEvent
    from signalling.matrix.answers import Transaction
    from signalling.matrix.followed import FollowedRooms
    from signalling.matrix.invitations import Invitations
    from signalling.matrix.refusals import Refusals
    from signalling.matrix.rooms import Rooms

SWEEP_MS: Final = 60_000
"""Between two looks for quiet rooms. Lower: all are looked at all the time. Higher: more are kept."""

_log = structlog.get_logger()


class Interest:
    """Follows the rooms in which there are calls, from the first event that says so until they are quiet.

    Args:
        user_id: the focus's.
        followed: who is where.
        rooms: reads them and hands on.
        invitations: of the focus itself: so it sees rooms too without any other user of its homeserver.
        refusals: where what can't be dealt with is counted.
        clock: tells the time of day.
    """

    def __init__(
        self,
        user_id: str,
        *,
        followed: FollowedRooms,
        rooms: Rooms,
        invitations: Invitations,
        refusals: Refusals,
        clock: Callable[[], WallTime],
    ) -> None:
        self._user_id = user_id
        self._followed = followed
        self._rooms = rooms
        self._invitations = invitations
        self._refusals = refusals
        self._clock = clock
        self._sweep_at = 0

    async def take(self, transaction: Transaction) -> None:
        """Deal with a transaction; the same one again does no harm: it makes us ask how things stand."""
        self._refusals.refuse(
            "transaction", "malformed", transaction.malformed, reason="parts", parts=transaction.malformed
        )
        self._invitations.take(transaction.invitations)
        await self._follow(room for room in transaction.rooms if self._is_ours(room))
        await self._sweep()

    async def enter(self, room_ids: Iterable[str], user_id: str) -> None:
        """Follow rooms with a call, that a user is in."""
        wall = self._clock()
        rooms = [JoinedRoom(room_id, is_partial=True) for room_id in room_ids]
        await self._follow(room for room in rooms if self._begin(wall, room, [user_id]))

    async def _follow(self, rooms: Iterable[JoinedRoom]) -> None:
        taken = list(rooms)
        for room in taken:
            users = [event.state_key for event in room.state if event.type == ROOM_MEMBER]
            self._followed.doubt(room.room_id, users)
        await self._rooms.follow(taken)
        for room in taken:
            if room.room_id not in self._rooms:
                self._followed.forget(room.room_id)

    def _is_ours(self, room: JoinedRoom) -> bool:
        if room.room_id in self._rooms:
            return True
        entered = any(self._is_our_entrance(event) for event in room.state)
        calls = [event for event in room.state if is_of_a_call(event)]
        if not (entered or calls):
            return False
        local = (event.sender for event in calls if self._followed.is_local(event.sender))
        return self._begin(self._clock(), room, [*local, self._user_id])

    def _begin(self, wall: WallTime, room: JoinedRoom, user_ids: Iterable[str]) -> bool:
        if self._followed.begin(wall, room.room_id, user_ids):
            return True
        self._refusals.refuse("transaction", "too_many", room=room.room_id)
        return False

    def _is_our_entrance(self, event: StateEvent) -> bool:
        content = event.content
        return (
            (event.type, event.state_key) == (ROOM_MEMBER, self._user_id)
            and isinstance(content, dict)
            and content.get("membership") == "join"
        )

    async def _sweep(self) -> None:
        wall = self._clock()
        if wall < self._sweep_at:
            return
        self._sweep_at = wall + SWEEP_MS
        quiet = self._followed.quiet(wall)
        if quiet:
            _log.info("rooms_quiet", rooms=len(quiet))
            await self._rooms.follow((), quiet)
            for room_id in quiet:
                self._followed.forget(room_id)
