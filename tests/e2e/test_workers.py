"""Two calls on two workers of the native plane, each on a port of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.e2e.venue import open_venue
from tests.e2e.watching import all_receive, is_clean

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.homeserver.server import Homeserver

pytestmark = pytest.mark.e2e


async def test_two_calls_are_on_two_workers_and_both_go_on(homeserver: Homeserver, tmp_path: Path) -> None:
    media = {"plane": "native", "workers": 2}
    async with (
        open_venue(homeserver, tmp_path, media=media) as venue,
        venue.call() as first,
        venue.call() as second,
    ):
        for number, call in enumerate((first, second)):
            people = await call.join("alice", "bob")
            assert await venue.admin.counted("focus_worker_legs", worker=str(number)) == 2
            await all_receive(people)
        await asyncio.gather(all_receive(first.people), all_receive(second.people))


async def test_a_call_that_outgrows_its_worker_goes_on_on_another_and_all_see_each_other(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    media = {"plane": "native", "workers": 2, "legs_per_worker": 2}
    async with open_venue(homeserver, tmp_path, media=media) as venue, venue.call() as call:
        people = await call.join("alice", "bob", "carol")
        placed = [await venue.admin.counted("focus_worker_legs", worker=str(number)) for number in (0, 1)]
        assert placed == [2, 1]
        await all_receive(people)
        members = await call.members()
        assert sorted(member["worker"] for member in members.values()) == [0, 0, 1]
        is_clean(*people)
