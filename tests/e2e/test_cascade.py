"""One call over two homeservers, each with a focus of its own: people are on that of their homeserver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cascade import has_no_trunk, join_at, open_hop, trunks_of
from tests.e2e.watching import all_receive, forgets, is_clean, until_told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Venue

pytestmark = pytest.mark.e2e


@pytest.fixture
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """Where the room is made."""
    async with open_hop(homeserver, tmp_path_factory.mktemp("near")) as venue:
        yield venue


@pytest.fixture
async def far(own_homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_hop(own_homeserver, tmp_path_factory.mktemp("far")) as far:
        yield far


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
