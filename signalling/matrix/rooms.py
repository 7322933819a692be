"""The rooms that the focus serves: their state, as the homeserver tells it, handed on as values."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from mautrix.errors import MatrixRequestError

from signalling.focus.turn import RoomGone, RoomState, StateEvent
from signalling.matrix.answers import read_state
from signalling.matrix.state_reader import NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from signalling.focus.turn import FocusInput
    from signalling.matrix.answers import JoinedRoom
    from signalling.matrix.state_reader import StateReader

_log = structlog.get_logger()

READS_AT_ONCE: Final = 8
"""Rooms read at the same time. Lower: a start with many rooms takes long. Higher: it is a burst of the most
expensive requests that a homeserver knows."""

MAX_ASKED: Final = 16
"""Events of a known room's state that are asked for one by one. Lower: a room of thousands is read whole when
some people join at once. Higher: so many requests are one read."""


class Rooms:
    """Follows rooms through what a sync, or a transaction, tells of them.

    A room that is new, or of which that does not tell all, is read whole. That state is at least as new
    as the sync; what the next sync repeats of it comes in one piece and in order, so nothing goes back.

    Where people write state at the same time, a sync tells in its `state` what was true before *one* of their
    events: of the others' it is older than what we know (MSC4222 says how). So it is taken for a hint, and
    the homeserver is asked how things stand. A transaction tells nothing but hints: it repeats, in any number
    of pieces, what a room that was read in the meantime has left behind.

    Args:
        reader: asks the homeserver.
        hand_on: takes what there is to know, in order.
        count_malformed: takes numbers of events that were none.
    """

    def __init__(
        self,
        reader: StateReader,
        hand_on: Callable[[FocusInput], Awaitable[None]],
        count_malformed: Callable[[int], None],
    ) -> None:
        self._reader = reader
        self._hand_on = hand_on
        self._count_malformed = count_malformed
        self._rooms: set[str] = set()
        """Those that have been handed on and are not gone."""
        self._stale: set[str] = set()
        """Those of them to be read whole, as something may have been missed."""
        self._turn = asyncio.Lock()
        """Two may tell of rooms at once, and of two reads the one that began first may end last."""

    def __contains__(self, room_id: str) -> bool:
        return room_id in self._rooms

    def __len__(self) -> int:
        return len(self._rooms)

    def distrust(self) -> None:
        """Syncs do not follow on one another: read every room whole when it is next heard of."""
        self._stale = set(self._rooms)

    async def read_all(self) -> None:
        """Read the quiet rooms, that nobody told of, and lose those that are none of ours any more."""
        async with self._turn:
            listed = await self._reader.rooms()
            if listed is None:
                self._count_malformed(1)
                return
            ours = {room_id for room_id in listed if isinstance(room_id, str)}
            for room_id in sorted(self._stale - ours):
                await self._lose(room_id)
            await self._read({room_id: () for room_id in sorted(ours) if self._is_unread(room_id)})

    async def follow(self, joined: Iterable[JoinedRoom], left: Iterable[str] = ()) -> None:
        """Hand on what is told of rooms."""
        async with self._turn:
            for room_id in left:
                await self._lose(room_id)
            unread: list[JoinedRoom] = []
            for room in joined:
                if room.is_partial or self._is_unread(room.room_id):
                    unread.append(room)
                    continue
                standing = await self._standing(room)
                if standing is None:
                    unread.append(room)
                elif room.timeline or standing:
                    await self._hand_on(RoomState(room.room_id, (*room.timeline, *standing)))
            await self._read({room.room_id: (*room.state, *room.timeline) for room in unread})

    def _is_unread(self, room_id: str) -> bool:
        return room_id not in self._rooms or room_id in self._stale

    async def _standing(self, room: JoinedRoom) -> list[StateEvent] | None:
        """How that stands which was told beside the timeline; None: the room must be read whole."""
        keys = {(event.type, event.state_key): None for event in room.state}
        if len(keys) > MAX_ASKED:
            return None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(room.room_id, *key)) for key in keys]
        found = [task.result() for task in tasks]
        known = [event for event in found if event is not None]
        return known if len(known) == len(found) else None

    async def _ask(self, room_id: str, event_type: str, state_key: str) -> StateEvent | None:
        """One event of a room's state; None where the homeserver does not say."""
        try:
            answer = await self._reader.one(room_id, event_type, state_key)
        except MatrixRequestError as error:
            is_none = error.http_status == NOT_FOUND
            return StateEvent(event_type, state_key, sender=state_key, content={}) if is_none else None
        events, _ = read_state([] if answer is None else [answer])
        return next(
            (event for event in events if (event.type, event.state_key) == (event_type, state_key)), None
        )

    async def _read(self, told: Mapping[str, Iterable[StateEvent]]) -> None:
        """Read rooms whole; `told` is what to make do with where that is refused."""
        slots = asyncio.Semaphore(READS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for room_id, events in told.items():
                group.create_task(self._read_room(room_id, tuple(events), slots))

    async def _read_room(self, room_id: str, told: tuple[StateEvent, ...], slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                answer = await self._reader.whole(room_id)
            except MatrixRequestError as error:
                _log.warning("room_state_refused", room=room_id, status=error.http_status)
                # What was told is all there is, until the room is heard of again.
                self._rooms.add(room_id)
                self._stale.add(room_id)
                await self._hand_on(RoomState(room_id, told))
                return
        if answer is None:
            _log.info("room_state_forbidden", room=room_id)
            await self._lose(room_id)
            return
        events, malformed = read_state(answer)
        self._count_malformed(malformed)
        self._rooms.add(room_id)
        self._stale.discard(room_id)
        await self._hand_on(RoomState(room_id, events, is_complete=True))

    async def _lose(self, room_id: str) -> None:
        self._stale.discard(room_id)
        if room_id in self._rooms:
            self._rooms.remove(room_id)
            await self._hand_on(RoomGone(room_id))
