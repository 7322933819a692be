"""A swarm whose events reach asyncio, each in the inbox of its participant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from loadtest.fleet.native import swarm
from loadtest.fleet.reading import Reading

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from loadtest._swarm import Swarm

Told = tuple[str, str]
"""(kind, text) of an event of one participant."""


class Fleet:
    """Use as `with Fleet() as fleet:` within a running loop; the arguments are those of `Swarm`."""

    def __init__(self, *, address: str = "127.0.0.1", full_share: float = 0.1, tick_ms: float = 5.0) -> None:
        self._opening: AbstractContextManager[Swarm] = swarm(
            address=address, full_share=full_share, tick_ms=tick_ms
        )
        self._swarm: Swarm | None = None
        self._inboxes: dict[int, asyncio.Queue[Told]] = {}

    def __enter__(self) -> Self:
        self._swarm = self._opening.__enter__()
        asyncio.get_running_loop().add_reader(self._swarm.fileno(), self._sort)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self.swarm.fileno())
        self._opening.__exit__(kind, error, trace)

    @property
    def swarm(self) -> Swarm:
        """The native swarm."""
        if self._swarm is None:
            raise RuntimeError("not entered")
        return self._swarm

    def inbox(self, participant: int) -> asyncio.Queue[Told]:
        """What a participant tells, from its first event on."""
        return self._inboxes.setdefault(participant, asyncio.Queue())

    def reading(self) -> Reading:
        """The counters now."""
        return Reading.of(self.swarm.stats())

    def remove(self, participant: int) -> None:
        """Forget a participant and what it told."""
        self.swarm.remove(participant)
        self._inboxes.pop(participant, None)

    def _sort(self) -> None:  # the loop's callback
        for participant, kind, text in self.swarm.events():
            self.inbox(participant).put_nowait((kind, text))
