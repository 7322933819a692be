"""Two calls on two workers of the native plane, each on a port of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.e2e.venue import open_venue
from tests.e2e.watching import all_receive

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
