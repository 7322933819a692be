"""Homeservers that federate, each with a focus of its own, and a call of people on all of them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from tests.e2e.venue import closed_venue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Call, Venue

ENABLED: Final = {"enabled": True}


@contextlib.asynccontextmanager
async def open_hop(homeserver: Homeserver, folder: Path) -> AsyncIterator[Venue]:
    """A focus that serves beside others, and at the end has made no mistake of its own.

    What it says is not held to the schemas, as at other venues: they are of what is said to clients, and a
    recording does not tell clients from foci.

    Args:
        homeserver: runs.
        folder: is empty.
    """
    async with closed_venue(homeserver, folder, cascade=ENABLED) as venue:
        await venue.focus.start()
        await venue.focus.wait_ready()
        yield venue
        assert venue.focus.status is None, venue.focus.log_tail()
        assert await venue.admin.counted("focus_internal_failures_total") == 0


async def join_at(venue: Venue, call: Call, *names: str) -> list[Participant]:
    """People of a venue's homeserver who have joined a call, on the focus of the venue."""
    return await call.join(*[await venue.user(name) for name in names], focus=venue.device)


async def trunks_of(venue: Venue) -> list[dict[str, Any]]:
    """What a focus says of its trunks, and of those that were: pauses between dials are remembered."""
    return [trunk for call in await venue.focus.ask_calls() for trunk in call["trunks"]]


async def has_no_trunk(venue: Venue) -> bool:
    """Whether a focus is connected to no other, and dials none."""
    return await has_trunks(venue, 0)


async def has_trunks(venue: Venue, count: int) -> bool:
    """Whether a focus has so many, over all calls, that are up or to be."""
    return sum(trunk["leg"] is not None for trunk in await trunks_of(venue)) == count
