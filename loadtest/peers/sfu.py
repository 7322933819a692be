"""What the comparison asks of a media server, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from loadtest.peers.seats import Seats


class PeerError(Exception):
    """A media server could not be started, refused somebody or ended; the text says which and why."""


class PeerMissingError(PeerError):
    """A media server is not on this machine; the text says how to get it."""


class Serving(Protocol):
    """A media server that runs and holds one empty call."""

    @property
    def pid(self) -> int:
        """The process whose run time counts, with all its threads and children."""

    async def join(self, seats: Seats) -> None:
        """Let the publisher and all receivers in; every description has been exchanged when it returns.

        Raises:
            PeerError: somebody was refused.
            ValueError: the swarm could not read a description.
        """


class Sfu(Protocol):
    """A media server on this machine."""

    @property
    def name(self) -> str:
        """As it stands in figures."""

    def serving(self) -> AbstractAsyncContextManager[Serving]:
        """Start it, and end it.

        Raises:
            PeerMissingError: it is not on this machine.
            PeerError: it does not start.
        """
