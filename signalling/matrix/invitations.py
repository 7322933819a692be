"""Invitations into rooms: accepted from servers that this focus serves."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import structlog
from mautrix.errors import MatrixRequestError

from sfu.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signalling.matrix.answers import Invitation
    from signalling.matrix.refusals import Refusals
    from signalling.matrix.session import MatrixSession

_log = structlog.get_logger()

JOINS_AT_ONCE: Final = 4
"""Rooms entered at the same time. Lower: one that is slow to enter (a large room of a slow server) holds up
others. Higher: more of the dearest work of a homeserver at once."""
MAX_WAITING: Final = 1_000
"""Invitations on their way. Beyond it they are left alone, and whoever sent them has to do it again."""
JOIN_TIMEOUT_S: Final = 120.0
"""For one try: the state of a large room comes from another server."""
JOIN_TRIES: Final = 8
"""About 40 s. Lower: a server that was away for a moment has to invite again, which most clients do not do.
Higher: those behind it wait longer."""
UNREACHABLE_PAUSES_S: Final = (1.0, 2.0, 4.0)
"""Where the homeserver knows of no server in the room, it is asked again after these: an invitation from
another server can be there before what it says. Fewer: the focus stays outside. More: a room that is gone is
asked for longer."""

_COUNTED: Final = "room_invite"


class Invitations:
    """Enters the rooms that the focus is invited to.

    Where the inviter is of no served server the invitation is left alone: declining would let any stranger
    make this focus speak to any server.

    Args:
        session: asks the homeserver.
        allowed_servers: whose users may invite; empty: those of our own only.
        refusals: where invitations are counted.
        tasks: lives as long as the shell does.
    """

    def __init__(
        self,
        session: MatrixSession,
        allowed_servers: Iterable[str],
        refusals: Refusals,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._session = session
        self._allowed = frozenset(allowed_servers) or {server_of(session.user_id)}
        self._refusals = refusals
        self._tasks = tasks
        self._waiting: set[str] = set()
        self._slots = asyncio.Semaphore(JOINS_AT_ONCE)

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, invitations: Iterable[Invitation]) -> None:
        """Begin to enter those rooms that we may; one that is being entered is not entered twice."""
        for invitation in invitations:
            room_id = invitation.room_id
            server = None if invitation.inviter is None else server_of(invitation.inviter)
            if room_id in self._waiting:
                continue
            if server not in self._allowed:
                self._refusals.refuse(_COUNTED, "not_allowed", room=room_id, server=server)
            elif len(self._waiting) >= MAX_WAITING:
                self._refusals.refuse(_COUNTED, "too_many", room=room_id, server=server)
            else:
                self._waiting.add(room_id)
                self._tasks.create_task(self._join(room_id))

    async def _join(self, room_id: str) -> None:
        try:
            async with self._slots:
                await self._enter(room_id)
        except (MatrixRequestError, TransportError) as error:
            self._refusals.refuse(_COUNTED, "failed", room=room_id, error=str(error)[:200])
        else:
            self._refusals.accept(_COUNTED, "joined")
            _log.info("room_joined", room=room_id)
        finally:
            self._waiting.discard(room_id)

    async def _enter(self, room_id: str) -> None:
        for pause_s in (*UNREACHABLE_PAUSES_S, None):
            try:
                await self._session.request(
                    "POST",
                    f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/join",
                    {},
                    timeout_s=JOIN_TIMEOUT_S,
                    tries=JOIN_TRIES,
                )
            except MatrixRequestError as error:
                if error.http_status != HTTPStatus.NOT_FOUND or pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
            else:
                return


def server_of(user_id: str) -> str:
    """The server of a user id, with its port where it has one."""
    return user_id.partition(":")[2]
