"""Appservice mode: the homeserver tells of its users' rooms, which the focus need not be in.

Transactions tell what happens in rooms. To-device messages are synced as in member mode: a transaction has
them only while the focus is there, and those of everybody.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from signalling.matrix.answers import MESSAGES_FILTER
from signalling.matrix.followed import FollowedRooms
from signalling.matrix.interest import Interest
from signalling.matrix.introductions import Introductions
from signalling.matrix.invitations import Invitations
from signalling.matrix.local_state import LocalState
from signalling.matrix.rooms import Rooms
from signalling.matrix.sync import Sync
from signalling.matrix.to_device import ToDeviceInbox
from signalling.matrix.transactions import TransactionListener
from signalling.matrix.way_back import WayBack

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.units import Instant, WallTime
    from signalling.config import AppserviceConfig, MatrixConfig
    from signalling.matrix.registration import Registration
    from signalling.matrix.source import SourceParts


class AppserviceSource:
    """A `Source` that is told by the homeserver, and asks it in its users' names.

    Args:
        config: of the account.
        listening: where the homeserver reaches us.
        registration: what homeserver and focus know of each other.
        given: what every source is given.
        knows_call: whether an invite of a user to a call would find its room.
        clock: monotonic.
        wall_clock: tells the time of day.
    """

    needs_invitations: Final = False

    def __init__(
        self,
        config: MatrixConfig,
        listening: AppserviceConfig,
        registration: Registration,
        given: SourceParts,
        *,
        knows_call: Callable[[str, str], bool],
        clock: Callable[[], Instant],
        wall_clock: Callable[[], WallTime],
    ) -> None:
        session, refusals = given.session, given.refusals
        followed = FollowedRooms(session.user_id)
        state = LocalState(session, followed, given.store, wall_clock)
        self.invitations = Invitations(session, config.allowed_servers, refusals, given.tasks)
        self.rooms = Rooms(
            state, state.watching(given.hand_on), lambda count: refusals.refuse("state", "malformed", count)
        )
        interest = Interest(
            session.user_id,
            followed=followed,
            rooms=self.rooms,
            invitations=self.invitations,
            refusals=refusals,
            clock=wall_clock,
        )
        introductions = Introductions(
            session,
            followed=followed,
            interest=interest,
            knows_call=knows_call,
            hand_on=given.hand_on,
            refusals=refusals,
            metrics=given.metrics,
            tasks=given.tasks,
            clock=clock,
        )
        self.sync = Sync(
            given,
            config.sync_timeout_ms,
            MESSAGES_FILTER,
            invitations=self.invitations,
            rooms=self.rooms,
            to_device=ToDeviceInbox(given.encryption, introductions.take, refusals),
        )
        self._listener = TransactionListener(
            listening,
            registration.hs_token,
            session.user_id,
            take=interest.take,
            recover=self._read_anew,
            refusals=refusals,
            metrics=given.metrics,
        )
        self._way_back = WayBack(session, registration)

    @property
    def is_caught_up(self) -> bool:
        """Whether the rooms that were followed before have been read again."""
        return self.sync.is_caught_up

    @property
    def trouble(self) -> str | None:
        """Why the homeserver does not reach us."""
        return self._way_back.trouble

    async def run(self) -> None:
        """Listen and sync until cancelled."""
        async with self._listener, asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sync.run())
            tasks.create_task(self._way_back.run())

    async def _read_anew(self) -> None:
        self.rooms.distrust()
        await self.rooms.read_all()
