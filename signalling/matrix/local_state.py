"""Reading the state of rooms that the focus is not in, through the eyes of its homeserver's users who are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from mautrix.errors import MatrixRequestError

from signalling.events.room_state import ROOM_MEMBER
from signalling.focus.turn import RoomGone, RoomState
from signalling.matrix.state_reader import JOINED_ROOMS, NOT_OURS, WHOLE_EVENT, listed_rooms, state_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sfu.units import WallTime
    from signalling.focus.turn import FocusInput
    from signalling.matrix.followed import FollowedRooms
    from signalling.matrix.session import MatrixSession
    from signalling.store import Store

MAX_TRIED: Final = 8
"""Users through whose eyes a room is tried to be read. Lower: where many left while the focus was away, a
room is lost in which others are still in a call. Higher: a room that nobody is in any more costs so many
requests."""
MAX_KEPT: Final = MAX_TRIED
"""Users of one room who are remembered over a restart, of whom one must still be there."""

_NOT_THEIRS: Final = NOT_OURS | {401}
"""Also of users who are locked or gone."""


class LocalState:
    """Asks in the name of users who are joined (masquerading, application service API).

    Args:
        session: asks the homeserver.
        followed: who is where.
        store: keeps that over a restart.
        clock: tells the time of day.
    """

    def __init__(
        self,
        session: MatrixSession,
        followed: FollowedRooms,
        store: Store,
        clock: Callable[[], WallTime],
    ) -> None:
        self._session = session
        self._followed = followed
        self._store = store
        self._clock = clock
        self._kept: dict[str, str] = {}
        """What stands in the store."""

    def watching(
        self, hand_on: Callable[[FocusInput], Awaitable[None]]
    ) -> Callable[[FocusInput], Awaitable[None]]:
        """Hand on, and learn from it first who is where."""

        async def watch(given: FocusInput) -> None:
            if isinstance(given, (RoomState, RoomGone)):
                self._followed.observe(self._clock(), given)
                self._keep(given.room_id)
            await hand_on(given)

        return watch

    async def rooms(self) -> list[Any] | None:
        """Those that were followed before a restart, and those that the focus itself is in."""
        listed = listed_rooms(await self._session.request("GET", JOINED_ROOMS))
        if listed is None:
            return None
        wall = self._clock()
        own = [room_id for room_id in listed if isinstance(room_id, str)]
        for room_id in own:
            self._followed.begin(wall, room_id, [self._session.user_id])
        for room_id, readers in self._store.followed_rooms():
            self._kept[room_id] = readers
            self._followed.begin(wall, room_id, json.loads(readers))
        return list(dict.fromkeys([*self._kept, *own]))

    async def whole(self, room_id: str) -> list[Any] | None:
        """As the first one sees it of whom that shows that they are there."""
        for user_id in self._followed.candidates(room_id)[:MAX_TRIED]:
            try:
                events = await self._session.request_array(state_path(room_id), as_user=user_id)
            except MatrixRequestError as error:
                if error.http_status not in _NOT_THEIRS:
                    raise
            else:
                if _is_joined(events, user_id):
                    return events
            self._followed.dismiss(room_id, user_id)
        self._followed.forget(room_id)
        self._keep(room_id)
        return None

    async def one(self, room_id: str, event_type: str, state_key: str) -> dict[str, Any] | None:
        """As one sees it who is there by what was told last."""
        trusted = self._followed.trusted(room_id)
        if not trusted:
            return None
        path = state_path(room_id, event_type, state_key)
        return await self._session.request("GET", path, query=WHOLE_EVENT, as_user=trusted[0])

    def _keep(self, room_id: str) -> None:
        readers = self._followed.candidates(room_id)[:MAX_KEPT]
        if not readers:
            self._kept.pop(room_id, None)
            self._store.forget_followed_room(room_id)
            return
        text = json.dumps(readers)
        if self._kept.get(room_id) != text:
            self._kept[room_id] = text
            self._store.set_followed_room(room_id, text)


def _is_joined(events: list[Any], user_id: str) -> bool:
    for event in events:
        if not isinstance(event, dict) or (event.get("type"), event.get("state_key")) != (
            ROOM_MEMBER,
            user_id,
        ):
            continue
        content = event.get("content")
        return isinstance(content, dict) and content.get("membership") == "join"
    return False
