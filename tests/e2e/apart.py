"""Two homeservers, each with a focus behind a door, and a line of ours for the trunk between the foci."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.e2e.venue import closed_venue, serving
from tests.support.door import Door
from tests.support.line import Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Venue

IMPATIENT: Final = {"request_timeout_s": 5.0, "sync_timeout_ms": 1_000}
"""A focus that soon notices that its homeserver does not answer."""


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """One of the two."""

    venue: Venue
    door: Door
    """Between the focus and its homeserver; people don't go by it."""
    line: Line
    """By which the other focus reaches this one, where it has dialled it."""


@dataclass(frozen=True, slots=True, eq=False)
class Apart:
    """Both, and what is between them."""

    near: End
    far: End

    @property
    def lines(self) -> tuple[Line, Line]:
        """The trunk is on one of them: it depends on who has dialled."""
        return self.near.line, self.far.line

    def cut(self) -> None:
        """No packet gets from one focus to the other."""
        for line in self.lines:
            line.is_cut = True

    def heal(self) -> None:
        """Undo `cut`."""
        for line in self.lines:
            line.is_cut = False

    @contextlib.contextmanager
    def severed(self) -> Iterator[None]:
        """While inside, `cut`."""
        self.cut()
        try:
            yield
        finally:
            self.heal()


@contextlib.asynccontextmanager
async def open_apart(near: tuple[Homeserver, Path], far: tuple[Homeserver, Path]) -> AsyncIterator[Apart]:
    """Two foci that serve, and know each other's address as that of a line.

    A dialler learns the address of the other focus from its answer: there the door puts the line's.

    Args:
        near: a homeserver that runs, and an empty folder for the focus.
        far: another that federates with it, likewise.
    """
    async with _end(*near) as one, _end(*far) as other:
        for here, there in ((one, other), (other, one)):
            here.door.changes[_candidate(there.venue.focus.media_port)] = _candidate(there.line.port)
        async with serving(one.venue), serving(other.venue):
            yield Apart(one, other)


@contextlib.asynccontextmanager
async def _end(homeserver: Homeserver, folder: Path) -> AsyncIterator[End]:
    async with Door(homeserver.base_url) as door:
        matrix: dict[str, Any] = {**IMPATIENT, "homeserver_url": door.url}
        async with (
            closed_venue(homeserver, folder, matrix=matrix) as venue,
            Line(("127.0.0.1", venue.focus.media_port)) as line,
        ):
            yield End(venue, door, line)


def _candidate(port: int) -> bytes:
    return f" 127.0.0.1 {port} typ host".encode()
