"""Homeservers that federate, each with a focus of its own, and a call of people on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loadtest.client.participant import Participant
    from tests.e2e.venue import Call, Venue


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


async def trunk_to(venue: Venue, other: Venue) -> dict[str, Any]:
    """What a focus says of its trunk to another; empty where it says nothing of any."""
    found = (one for one in await trunks_of(venue) if one["user_id"] == other.device.user_id)
    return next(found, {})


async def is_up(*venues: Venue) -> bool:
    """Whether each of these foci says that it has a trunk to each other one."""
    return all(
        [
            (await trunk_to(one, other)).get("state") == "up"
            for one in venues
            for other in venues
            if one is not other
        ]
    )
