"""What waits for its turn at the engine."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sfu.conference.turn import MediaReport

MAX_WAITING: Final = 4_096
"""Inputs that wait before the door is closed. Lower: a burst of joins is held up at the homeserver although
there is time for it. Higher: what is done at last was asked for long ago; at 0.3 ms a turn this is 1.2 s."""

ROOM_AGAIN: Final = MAX_WAITING // 2
"""The door opens again below this. Lower: the engine runs dry. Higher: it opens and closes with each turn."""


class Inbox:
    """Inputs in order of arrival, and the newest report behind them.

    Full is answered by back-pressure and nothing is thrown away inside: inputs of the dialect are refused to
    the one who brings them (`offer`), and the runtime leaves datagrams in the plane while `is_full`, where
    DTLS and SCTP send them again. Inputs of the runtime itself (`put`) always get in: there are no more of
    them than of datagrams that were let in, and none may be lost.
    """

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque()
        self._report: MediaReport | None = None
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._waiting) + (self._report is not None)

    @property
    def is_full(self) -> bool:
        """Whether the door is closed."""
        return not self._room.is_set()

    def offer(self, given: Any) -> bool:  # noqa: ANN401  # inputs of whatever dialect
        """Take an input of the dialect; False when it was refused."""
        if self.is_full:
            return False
        self.put(given)
        return True

    def put(self, given: Any) -> None:  # noqa: ANN401
        """Take an input of the runtime."""
        self._waiting.append(given)
        self._arrived.set()
        self._empty.clear()
        if len(self._waiting) >= MAX_WAITING:
            self._room.clear()

    def put_report(self, report: MediaReport) -> None:
        """Take a tick's report; one that is still waiting is out of date and goes."""
        self._report = report
        self._arrived.set()
        self._empty.clear()

    def take(self) -> Any:  # noqa: ANN401
        """The next input; None when nothing waits. A report goes last: it is true of any moment."""
        if self._waiting:
            given = self._waiting.popleft()
            if len(self._waiting) < ROOM_AGAIN:
                self._room.set()
        else:
            given, self._report = self._report, None
        if not len(self):
            self._arrived.clear()
            self._empty.set()
        return given

    def rouse(self) -> None:
        """Let whoever waits for an arrival look at the time."""
        self._arrived.set()

    async def arrival(self) -> None:
        """Wait until something waits, or `rouse`."""
        await self._arrived.wait()
        if not len(self):
            self._arrived.clear()

    async def emptied(self) -> None:
        """Wait until nothing waits; what was taken last has had its turn by then."""
        while len(self):
            await self._empty.wait()

    async def room(self) -> None:
        """Wait until the door is open."""
        await self._room.wait()
