"""Member mode: the focus is in the rooms that it serves, and syncs like any client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signalling.matrix.answers import SYNC_FILTER
from signalling.matrix.invitations import Invitations
from signalling.matrix.rooms import Rooms
from signalling.matrix.state_reader import OwnState
from signalling.matrix.sync import Sync
from signalling.matrix.to_device import ToDeviceInbox

if TYPE_CHECKING:
    from signalling.config import MatrixConfig
    from signalling.matrix.source import SourceParts


class MemberSource:
    """A `Source` that is one long poll."""

    trouble: Final = None
    """A sync that fails is the session's trouble."""

    needs_invitations: Final = True

    def __init__(self, config: MatrixConfig, given: SourceParts) -> None:
        refusals = given.refusals
        self.invitations = Invitations(given.session, config.allowed_servers, refusals, given.tasks)
        self.rooms = Rooms(
            OwnState(given.session), given.hand_on, lambda count: refusals.refuse("state", "malformed", count)
        )
        self.sync = Sync(
            given,
            config.sync_timeout_ms,
            SYNC_FILTER,
            invitations=self.invitations,
            rooms=self.rooms,
            to_device=ToDeviceInbox(given.encryption, given.hand_on, refusals),
        )

    @property
    def is_caught_up(self) -> bool:
        """Whether a first sync has been dealt with."""
        return self.sync.is_caught_up

    async def run(self) -> None:
        """Sync until cancelled."""
        await self.sync.run()
