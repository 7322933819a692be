"""Media encrypted end to end, in real browsers: who sees, who does not, and what the focus can still do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from loadtest.client.scene import VIDEO
from tests.e2e.encrypted_tabs import HEIGHT, encrypted_chromium
from tests.e2e.venue import open_venue
from tests.e2e.watching import until_told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from tests.e2e.encrypted_tabs import EncryptedChromium, EncryptedTab
    from tests.e2e.venue import Venue

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus")) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[EncryptedChromium]:
    async with encrypted_chromium() as browser:
        yield browser


async def meet(*tabs: EncryptedTab) -> None:
    for tab in tabs:
        for other in tabs:
            if other is not tab:
                await tab.sees(other.party)
                await tab.hears(other.party)


async def test_encrypted_tabs_see_and_hear_each_other(venue: Venue, browser: EncryptedChromium) -> None:
    async with venue.call() as call, browser.tabs(call, "erin", "frank") as (erin, frank):
        await erin.join()
        await frank.join()
        await meet(erin, frank)
        print(json.dumps(await erin.do("client.keys.counters()")), await erin.do("client.received()"))
