"""Two Chromiums in a call whose network lets no UDP through.

In a network of its own, where rules of routing can be what they like.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from tests.e2e.browsers import chromium
from tests.e2e.meeting import everybody_meets
from tests.e2e.venue import open_venue
from tests.support.namespace import blocked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from tests.e2e.browsers import Chromium, Tab
    from tests.e2e.venue import Venue

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.own_network,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]

MAX_JOIN_S: Final = 20.0
"""From the wish to join to the open data channel. A quiet machine needs one."""

PAIR: Final = """(async () => {
    const report = await client.pc.getStats();
    const rows = [...report.values()];
    const transport = rows.find((row) => row.type === "transport");
    const pair = report.get(transport?.selectedCandidatePairId);
    const [local, remote] = [report.get(pair?.localCandidateId), report.get(pair?.remoteCandidateId)];
    return [local?.protocol, remote?.protocol, remote?.port];
})()"""
"""The pair that media goes by."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus")) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Chromium]:
    async with chromium() as browser:
        yield browser


async def pair_of(tab: Tab) -> list[object]:
    return list(await tab.page.evaluate(PAIR))


async def test_who_has_no_udp_is_in_the_call_by_tcp(venue: Venue, browser: Chromium) -> None:
    with blocked("udp", venue.focus.media_port):
        async with venue.call() as call, browser.tabs(call, "erin", "frank") as tabs:
            for tab in tabs:
                start = time.monotonic()
                await tab.join()
                joined_s = time.monotonic() - start
                print(f"in the call after {joined_s:.1f} s")  # noqa: T201  # shown by -rP
                assert joined_s < MAX_JOIN_S
            await everybody_meets(tabs, [])
            for tab in tabs:
                assert await pair_of(tab) == ["tcp", "tcp", venue.focus.media_port]


async def test_who_has_udp_as_well_uses_that(venue: Venue, browser: Chromium) -> None:
    """The control."""
    async with venue.call() as call, browser.tabs(call, "erin") as (erin,):
        await erin.join()
        assert await pair_of(erin) == ["udp", "udp", venue.focus.media_port]
