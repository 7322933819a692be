"""One call over two homeservers, each with a focus of its own: people are on that of their homeserver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.e2e.venue import open_venue
from tests.e2e.watching import all_receive, forgets, is_clean, until_told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Call, Venue

pytestmark = pytest.mark.e2e

TOGETHER: Final = {"enabled": True}


@pytest.fixture
async def venue(homeserver: Homeserver, tmp_path: Path) -> AsyncIterator[Venue]:
    """Where the room is made."""
    (tmp_path / "near").mkdir()
    async with open_venue(homeserver, tmp_path / "near", cascade=TOGETHER) as venue:
        yield venue


@pytest.fixture
async def far(own_homeserver: Homeserver, tmp_path: Path) -> AsyncIterator[Venue]:
    (tmp_path / "far").mkdir()
    async with open_venue(own_homeserver, tmp_path / "far", cascade=TOGETHER) as far:
        yield far


async def join_at(venue: Venue, call: Call, *names: str) -> list[Participant]:
    """People of a venue's homeserver who have joined a call, on the focus of the venue."""
    return await call.join(*[await venue.user(name) for name in names], focus=venue.device)


async def trunks_of(venue: Venue) -> list[dict[str, Any]]:
    """What a focus says of its trunks."""
    return [trunk for call in await venue.focus.ask_calls() for trunk in call["trunks"]]


async def test_people_of_two_homeservers_are_in_one_call(venue: Venue, far: Venue) -> None:
    async with venue.call() as call:
        near_people = await join_at(venue, call, "alice", "bob")
        await all_receive(near_people)
        assert await trunks_of(venue) == []

        far_people = await join_at(far, call, "carol", "dave")
        await all_receive([*near_people, *far_people])
        for here, there, guests in ((venue, far, far_people), (far, venue, near_people)):
            (trunk,) = await trunks_of(here)
            assert (trunk["user_id"], trunk["state"]) == (there.device.user_id, "up")
            assert {(guest["user_id"], guest["device_id"]) for guest in trunk["guests"]} == {
                (one.party.user_id, one.party.device_id) for one in guests
            }
            assert len(trunk["layers_asked"]) == len(trunk["layers_wanted"]) == 4, "each track once"
            assert min(trunk["bytes_sent"], trunk["bytes_received"]) > 0

        for one in far_people:
            await one.leave()
        await until_told(lambda: has_no_trunk(venue), "the trunk ends where people stay")
        await until_told(lambda: has_no_trunk(far), "the trunk ends where nobody is left")
        assert await far.focus.ask_calls() == []
        for one in near_people:
            for gone in far_people:
                await forgets(one, gone)
        await all_receive(near_people)
        is_clean(*near_people, *far_people)


async def has_no_trunk(venue: Venue) -> bool:
    """Whether a focus is connected to no other and tries to be to none."""
    return not await trunks_of(venue)
