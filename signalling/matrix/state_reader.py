"""Reading the state of rooms at the homeserver: in whose name, and what it means to be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from mautrix.errors import MatrixRequestError

if TYPE_CHECKING:
    from signalling.matrix.session import MatrixSession

NOT_FOUND: Final = 404
NOT_OURS: Final = frozenset({403, NOT_FOUND})
"""Statuses that mean: whoever asks is not in this room."""

JOINED_ROOMS: Final = "/_matrix/client/v3/joined_rooms"


class StateReader(Protocol):
    """Asks for state in the name of somebody who may see it.

    All of it raises `MatrixRequestError` where the homeserver refuses for any other reason than that.
    """

    async def rooms(self) -> list[Any] | None:
        """Ids of the rooms that we are to know; None where the homeserver does not say."""
        ...

    async def whole(self, room_id: str) -> list[Any] | None:
        """A room's whole state; None: nobody is there for us any more."""
        ...

    async def one(self, room_id: str, event_type: str, state_key: str) -> dict[str, Any] | None:
        """One event of a room's state; None: there is nobody whom the answer would be true for."""
        ...


class OwnState:
    """Asks as the focus itself, of the rooms that it is in."""

    def __init__(self, session: MatrixSession) -> None:
        self._session = session

    async def rooms(self) -> list[Any] | None:
        """The rooms that the focus is in."""
        return listed_rooms(await self._session.request("GET", JOINED_ROOMS))

    async def whole(self, room_id: str) -> list[Any] | None:
        """As the focus sees it."""
        try:
            return await self._session.request_array(state_path(room_id))
        except MatrixRequestError as error:
            if error.http_status in NOT_OURS:
                return None
            raise

    async def one(self, room_id: str, event_type: str, state_key: str) -> dict[str, Any] | None:
        """As the focus sees it."""
        path = state_path(room_id, event_type, state_key)
        return await self._session.request("GET", path, query=WHOLE_EVENT)


WHOLE_EVENT: Final = {"format": "event"}
"""Asks for the event instead of its content alone. A homeserver that does not know it answers with the
content."""


def state_path(room_id: str, *event: str) -> str:
    """The path of a room's state, or of one event of it by type and state key."""
    parts = "/".join(quote(part, safe="") for part in (room_id, "state", *event))
    return f"/_matrix/client/v3/rooms/{parts}"


def listed_rooms(answer: dict[str, Any]) -> list[Any] | None:
    """The ids in an answer of `joined_rooms`."""
    listed = answer.get("joined_rooms")
    return listed if isinstance(listed, list) else None
