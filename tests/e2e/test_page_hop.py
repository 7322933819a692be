"""The page in a call over two foci: who is behind the hop, what goes over it, and whether it is the limit.

About 60 s on a quiet machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e.cascade import join_at
from tests.e2e.page_driver import NARROW, page_browser
from tests.e2e.venue import open_venue
from tests.e2e.watching import all_receive, is_clean

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from tests.e2e.page_driver import CallPage
    from tests.e2e.venue import Venue

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NARROW_BPS: Final = 60_000
"""For sound, and for no picture."""


@pytest.fixture
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """Where the room is made, and where the page is."""
    async with open_venue(homeserver, tmp_path_factory.mktemp("near")) as venue:
        yield venue


@pytest.fixture
async def far(
    own_homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory, budget_bps: int
) -> AsyncIterator[Venue]:
    async with open_venue(
        own_homeserver, tmp_path_factory.mktemp("far"), cascade={"budget_bps": budget_bps}
    ) as far:
        yield far


async def whys(page: CallPage) -> set[str]:
    """The causes that the page was told last of pictures."""
    return set(
        await page.do(
            "[...matrixFocus.client.streams.values()].flatMap(({ tracks }) => [...tracks.values()])"
            ".filter(({ kind }) => kind === 'video').map(({ why }) => why?.cause ?? '')"
        )
    )


@pytest.mark.parametrize("budget_bps", [0])
async def test_the_page_shows_who_is_behind_a_hop_and_what_goes_over_it(venue: Venue, far: Venue) -> None:
    async with venue.call() as call, page_browser(venue.focus.page_url) as browser:
        people = await join_at(venue, call, "alice")
        people += await join_at(far, call, "carol")
        await all_receive(people)
        alice, carol = people
        async with browser.page() as page:
            await page.open_demo(call.room_id)
            await page.join()
            for one in people:
                await page.meets(one.party)
            assert not [text for text in await page.notices() if "can't be seen" in text]
            await page.do("matrixFocus.call.panel.open('Call')")
            hop = page.page.locator(f'[data-hop="{far.device.user_id}"]')
            receives = (
                "/receives[1-9].*kbit.s in 2 tracks/.test(document.querySelector('[data-hop]')?.textContent)"
            )
            await page.until(receives, "what comes over the hop is told")
            shown = await hop.inner_text()
            for text in ("connected", far.device.device_id, "people there", "round trip", "ms", "carries"):
                assert text in shown
            reach = {
                one.party.user_id: await page.page.locator(
                    "li[data-reach]", has_text=one.party.user_id
                ).first.get_attribute("data-reach")
                for one in people
            }
            assert reach == {alice.party.user_id: "here", carol.party.user_id: "hop"}
            assert await page.overflow() == []
            await page.page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
            assert await page.overflow() == []
            assert await whys(page) == {"size"}
        is_clean(*people)


@pytest.mark.parametrize("budget_bps", [NARROW_BPS])
async def test_a_tile_says_that_the_connection_between_the_servers_is_the_limit(
    venue: Venue, far: Venue
) -> None:
    async with venue.call() as call, page_browser(venue.focus.page_url) as browser:
        # A page goes to the focus that somebody in the call names first.
        people = await join_at(venue, call, "alice")
        people += await join_at(far, call, "carol")
        async with browser.page() as page:
            await page.open_demo(call.room_id)
            await page.join()
            told = (
                f"document.body.textContent.includes('between the servers only {NARROW_BPS // 1_000} kbit/s')"
            )
            await page.until(told, "the tile names the hop")
            assert await whys(page) == {"size", "hop"}
        is_clean(*people)
