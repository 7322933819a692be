"""Real browsers in a call with synthetic participants, who are its control."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from loadtest.client.publisher import Capture
from loadtest.client.scene import AUDIO, SCREEN, VIDEO
from loadtest.media.clips import VideoFormat
from sfu.units import Kind
from tests.e2e.browsers import HEIGHT, chromium
from tests.e2e.meeting import everybody_meets, is_told_of_mute, live_encodings, shows_no_share, tab_is_told
from tests.e2e.venue import open_venue
from tests.e2e.watching import (
    MAX_STANDSTILL_S,
    both_ways,
    is_clean,
    told_kinds,
    undisturbed,
    until,
    until_decoded,
    until_told,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from tests.e2e.browsers import Chromium
    from tests.e2e.venue import Venue

DISOBEY = """client.wire.incoming = async (message) => (
    message.type === "org.matrix_focus.layers" ? null : message
)"""
"""Encode what nobody wants, too."""

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus")) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Chromium]:
    async with chromium() as browser:
        yield browser


async def test_browsers_and_participants_see_and_hear_each_other(venue: Venue, browser: Chromium) -> None:
    async with venue.call() as call, browser.tabs(call, "erin", "frank") as tabs:
        people = await call.join("alice", "bob")
        async with undisturbed(*both_ways(*people)):
            for tab in tabs:
                await tab.join()
            await everybody_meets(tabs, people)
        is_clean(*people)
        parties = {tab.party for tab in tabs} | {one.party for one in people}
        for tab in tabs:
            assert await tab.owners() == {party.user_id for party in parties - {tab.party}}
        for one in people:
            assert one.observations.announced.keys() == parties - {one.party}


async def test_all_three_encodings_of_a_browser_arrive_and_each_can_be_had(
    venue: Venue, browser: Chromium
) -> None:
    async with venue.call() as call, browser.tabs(call, "erin", "frank") as tabs:
        erin, frank = tabs
        (alice,) = await call.join("alice", capture=Capture(camera=VideoFormat()))
        for tab in tabs:
            await tab.do(DISOBEY)
            await tab.join()
        await everybody_meets(tabs, [alice])

        async def all_three_arrive() -> bool:
            return (await live_encodings(call, erin.party)).keys() == {"q", "h", "f"}

        await until_told(all_three_arrive, "three encodings of a browser arrive", 60.0)
        for owner in (erin.party, alice.party):
            await frank.sees(owner)
            before = await frank.received(owner, VIDEO)
            for height in (HEIGHT // 4, HEIGHT // 2, HEIGHT, HEIGHT // 4):
                await frank.do(f"person.show({height})")
                await frank.shows(owner, height)
                await frank.sees(owner)
            after = await frank.received(owner, VIDEO)
            assert after["mid"] == before["mid"]
            assert after["lost"] == before["lost"]
            assert after["freezesSeconds"] - before["freezesSeconds"] <= MAX_STANDSTILL_S
        is_clean(alice)


async def test_mutes_and_leaving_are_seen_both_ways(venue: Venue, browser: Chromium) -> None:
    async with venue.call() as call, browser.tabs(call, "erin", "frank") as tabs:
        erin, frank = tabs
        (alice,) = await call.join("alice")
        for tab in tabs:
            await tab.join()
        await everybody_meets(tabs, [alice])
        await erin.do("client.setMuted('video', true)")
        await erin.do("client.setMuted('audio', true)")
        for kind in (AUDIO, VIDEO):
            await is_told_of_mute(alice, erin.party, kind, muted=True)
        await tab_is_told(frank, erin.party, {"audio_muted": True, "video_muted": True})
        await erin.do("client.setMuted('video', false)")
        await erin.do("client.setMuted('audio', false)")
        await alice.set_muted(Kind.AUDIO, muted=True)
        await tab_is_told(frank, alice.party, {"audio_muted": True, "video_muted": False})
        await alice.set_muted(Kind.AUDIO, muted=False)
        await everybody_meets(tabs, [alice])
        await erin.do("person.leave()")
        await until(lambda: not told_kinds(alice, erin.party), "alice sees erin leave")

        async def has_left() -> bool:
            return await frank.owners() == {alice.party.user_id}

        await until_told(has_left, "frank sees erin leave")
        await everybody_meets([frank], [alice])
        assert (await call.members()).keys() == {frank.party.user_id, alice.party.user_id}
        is_clean(alice)


async def test_shares_that_start_and_stop_at_the_same_time_are_seen(venue: Venue, browser: Chromium) -> None:
    async with venue.call() as call, browser.tabs(call, "erin", "frank") as tabs:
        erin, frank = tabs
        (alice,) = await call.join("alice")
        for tab in tabs:
            await tab.join()
        await everybody_meets(tabs, [alice])
        for _ in range(2):
            # Offers of all three and of the focus, for each of them, meet.
            await asyncio.gather(*(tab.do("person.share()") for tab in tabs), alice.start_share())
            for tab, other in ((erin, frank), (frank, erin)):
                for party in (other.party, alice.party):
                    await tab.sees(party, "m.screenshare")
                await until_decoded(alice, tab.party, SCREEN)
            await asyncio.gather(
                erin.do("person.unshare()"), frank.do("person.unshare()"), alice.stop_share()
            )
            for tab in tabs:
                await until(lambda tab=tab: told_kinds(alice, tab.party) == {AUDIO, VIDEO}, "the share ends")  # type: ignore[misc]
            for tab in tabs:
                await shows_no_share(tab)
        await everybody_meets(tabs, [alice])
        is_clean(alice)


async def test_a_share_that_begins_while_an_offer_is_applied_is_seen(venue: Venue, browser: Chromium) -> None:
    async with venue.call() as call, browser.tabs(call, "erin") as (erin,):
        (alice,) = await call.join("alice")
        await erin.join()
        await everybody_meets([erin], [alice])
        await erin.do("person.shareWithin('offer')")
        await alice.start_share()  # the focus offers it
        await until_decoded(alice, erin.party, SCREEN)
        await erin.sees(alice.party, "m.screenshare")
        is_clean(alice)
