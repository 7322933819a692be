"""Where the focus's knowledge of calls comes from: one of two sources of the same values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from sfu.metrics import Metrics
    from signalling.focus.turn import FocusInput
    from signalling.matrix.encryption import Encryption
    from signalling.matrix.invitations import Invitations
    from signalling.matrix.refusals import Refusals
    from signalling.matrix.session import MatrixSession
    from signalling.store import Store


@dataclass(frozen=True, slots=True)
class SourceParts:
    """What every source is given."""

    session: MatrixSession
    store: Store
    encryption: Encryption
    hand_on: Callable[[FocusInput], Awaitable[None]]
    """Takes room state and messages, in order."""
    refusals: Refusals
    metrics: Metrics
    tasks: asyncio.TaskGroup


class Source(Protocol):
    """Hands on `RoomState`, `RoomGone` and `MessageReceived`."""

    @property
    def invitations(self) -> Invitations:
        """Those into rooms."""
        ...

    @property
    def is_caught_up(self) -> bool:
        """Whether the state of all rooms is known, so that an invite can be judged."""
        ...

    @property
    def trouble(self) -> str | None:
        """What keeps the homeserver from telling us, beside what keeps us from asking it, in a few words."""
        ...

    @property
    def needs_invitations(self) -> bool:
        """Whether it sees no room but those that the focus is invited to."""
        ...

    async def run(self) -> None:
        """Hand on until cancelled.

        Raises:
            ConfigError: the operator must change something.
        """
        ...
