"""Media encrypted end to end between Debian's Firefox and Chromium.

In a network of its own, since Firefox offers no 127.x address. Some 25 s on a quiet machine.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.e2e.browsers import served_page
from tests.e2e.encrypted_tabs import EncryptedTab, encrypted_chromium
from tests.e2e.meeting import everybody_meets
from tests.e2e.venue import open_venue
from tests.e2e.watching import until_told
from tests.support.firefox import firefox
from tests.support.homeserver import join
from tests.support.namespace import ADDRESS

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.homeserver.server import Homeserver

pytestmark = [pytest.mark.e2e, pytest.mark.own_network, pytest.mark.timeout(240)]


async def test_firefox_and_chromium_read_each_other_and_change_keys(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    async with (
        open_venue(homeserver, tmp_path, media={"host": ADDRESS}) as venue,
        firefox() as browser,
        encrypted_chromium() as other_browser,
        served_page() as url,
        venue.call() as call,
        other_browser.tabs(call, "frank", "gina") as (frank, gina),
    ):
        user = await venue.user("erin")
        await asyncio.to_thread(join, user, call.room_id)
        erin = EncryptedTab(await browser.open(url), user, call, "encrypts")
        await erin.prepare()
        for tab in (erin, frank, gina):
            await tab.join()
        await everybody_meets([erin, frank, gina], [])
        before, _ = await erin.own_key()
        await gina.do("person.leave()")

        async def keys_are_fresh() -> bool:
            return (await erin.own_key())[0] != before

        await until_told(keys_are_fresh, "erin's key is another one")
        await everybody_meets([erin, frank], [])
        assert (await frank.dropped()).keys() <= {"noKey", "replayed"}
        assert (await erin.dropped()).keys() <= {"noKey", "replayed"}
        assert await erin.errors() == []
