"""Debian's Firefox in calls, with Chromium and with synthetic participants, who are its control.

In a network of its own, since Firefox offers no 127.x address. Takes about 70 s on a quiet machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest
import pytest_asyncio

from loadtest.client.scene import AUDIO, SCREEN, VIDEO, Party
from sfu.units import Kind
from tests.e2e.browsers import HEIGHT, chromium, served_page, tab_of
from tests.e2e.meeting import everybody_meets, is_told_of_mute, shows_no_share, tab_is_told
from tests.e2e.page_driver import JOIN_PATIENCE_S, PATTERN
from tests.e2e.venue import open_venue
from tests.e2e.watching import (
    MAX_STANDSTILL_S,
    is_clean,
    told_kinds,
    until,
    until_decoded,
    until_told,
)
from tests.support.firefox import firefox
from tests.support.namespace import ADDRESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.browsers import Chromium, Tab
    from tests.e2e.venue import Call, Venue
    from tests.support.firefox import Firefox, FirefoxPage

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.own_network,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

LINES: Final = {45: 44, 90: 90, 180: 180}
"""A participant's layers, and what Firefox tells of them: never an odd number."""
RESTART_PATIENCE_S = 30.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus"), media={"host": ADDRESS}) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Firefox]:
    async with firefox() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other_browser() -> AsyncIterator[Chromium]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    async with served_page() as url:
        yield url


@contextlib.asynccontextmanager
async def opened(browser: Firefox, url: str) -> AsyncIterator[FirefoxPage]:
    """The page in a new tab, with nobody in it."""
    page = await browser.open(url)
    try:
        yield page
    finally:
        await page.close()


@contextlib.asynccontextmanager
async def joined(call: Call, page: FirefoxPage) -> AsyncIterator[Tab]:
    """Erin, by Firefox; at the end nothing has gone wrong."""
    tab = await tab_of(page, call, "erin")
    await tab.join()
    yield tab
    assert await tab.errors() == []


async def join(call: Call, *names: str) -> list[Participant]:
    """Participants, who reach the focus where Firefox does."""
    return await call.join(*names, addresses=(ADDRESS,))


async def test_firefox_chromium_and_a_participant_see_and_hear_each_other(
    venue: Venue, browser: Firefox, other_browser: Chromium, url: str
) -> None:
    async with venue.call() as call, opened(browser, url) as page, other_browser.tabs(call, "frank") as tabs:
        (alice,) = await join(call, "alice")
        async with joined(call, page) as erin:
            (frank,) = tabs
            await frank.join()
            await everybody_meets([erin, frank], [alice])
            assert await erin.owners() == {frank.party.user_id, alice.party.user_id}
            assert await frank.owners() == {erin.party.user_id, alice.party.user_id}
            await erin.do("client.setMuted('video', true)")
            await erin.do("client.setMuted('audio', true)")
            for kind in (AUDIO, VIDEO):
                await is_told_of_mute(alice, erin.party, kind, muted=True)
            await tab_is_told(frank, erin.party, {"audio_muted": True, "video_muted": True})
            await erin.do("client.setMuted('video', false)")
            await erin.do("client.setMuted('audio', false)")
            await alice.set_muted(Kind.AUDIO, muted=True)
            await tab_is_told(erin, alice.party, {"audio_muted": True, "video_muted": False})
            await alice.set_muted(Kind.AUDIO, muted=False)
            await everybody_meets([erin, frank], [alice])
            await erin.do("person.leave()")
        await until(lambda: not told_kinds(alice, erin.party), "alice sees erin leave")
        await everybody_meets([frank], [alice])
        assert (await call.members()).keys() == {frank.party.user_id, alice.party.user_id}
        is_clean(alice)


async def test_each_encoding_of_firefox_can_be_had_and_it_takes_each(
    venue: Venue, browser: Firefox, url: str
) -> None:
    async with venue.call() as call, opened(browser, url) as page:
        (alice,) = await join(call, "alice")
        async with joined(call, page) as erin:
            await everybody_meets([erin], [alice])
            assert await encodings_seen(call, erin.party) == {"q", "h", "f"}
            await gets_each(call, alice, erin)
            before = await erin.received(alice.party, VIDEO)
            for wanted, shown in (*LINES.items(), *LINES.items()):
                await erin.do(f"person.show({wanted})")
                await erin.shows(alice.party, shown)
                await erin.sees(alice.party)
            after = await erin.received(alice.party, VIDEO)
            assert after["mid"] == before["mid"]
            assert after["lost"] == before["lost"]
            assert after["freezesSeconds"] - before["freezesSeconds"] <= MAX_STANDSTILL_S
        assert alice.observations.track(erin.party, VIDEO).freezes_ms <= 1_000 * MAX_STANDSTILL_S
        is_clean(alice)


async def encodings_seen(call: Call, party: Party) -> set[str]:
    """The encodings of somebody's camera that have come, be it a little: unwanted ones are switched off."""
    tracks = (await call.members())[party.user_id]["tracks"]
    encodings = [one for track in tracks if track["kind"] == "video" for one in track["encodings"]]
    return {one["rid"] for one in encodings if one["packets_received"] > 0}


async def gets_each(call: Call, viewer: Participant, owner: Tab) -> None:
    """Have each encoding of somebody's camera go to a participant, one after the other."""
    for rid, height in (("q", HEIGHT // 4), ("f", HEIGHT), ("h", HEIGHT // 2), ("q", HEIGHT // 4)):
        await viewer.subscribe_size(height)
        wanted = ("video", owner.party.user_id, rid)

        async def has_it(wanted: tuple[str, ...] = wanted) -> bool:
            subscriptions = (await call.members())[viewer.party.user_id]["subscriptions"]
            return any((one["kind"], one["from"], one["current"]) == wanted for one in subscriptions)

        await until_told(has_it, f"{viewer.party.user_id} gets {wanted}")
        await until_decoded(viewer, owner.party, VIDEO)


async def test_firefox_shares_a_screen_while_others_do_and_its_camera_keeps_its_encodings(
    venue: Venue, browser: Firefox, url: str
) -> None:
    async with venue.call() as call, opened(browser, url) as page:
        (alice,) = await join(call, "alice")
        async with joined(call, page) as erin:
            await everybody_meets([erin], [alice])
            # Of a camera that is off Firefox leaves out the rids, and must be told them all the same.
            await erin.do("client.setMuted('video', true)")
            for _ in range(2):
                # The second time on the sections of the first.
                await asyncio.gather(erin.do("person.share()"), alice.start_share())
                await erin.sees(alice.party, "m.screenshare")
                await until_decoded(alice, erin.party, SCREEN)
                await asyncio.gather(erin.do("person.unshare()"), alice.stop_share())
                await until(lambda: told_kinds(alice, erin.party) == {AUDIO, VIDEO}, "erin's share ends")
                await shows_no_share(erin)
            await erin.do("client.setMuted('video', false)")
            await everybody_meets([erin], [alice])
            await gets_each(call, alice, erin)
        is_clean(alice)


async def test_firefox_restarts_ice_and_a_closed_tab_has_left(
    venue: Venue, browser: Firefox, url: str
) -> None:
    async with venue.call() as call:
        (alice,) = await join(call, "alice")
        async with opened(browser, url) as page, joined(call, page) as erin:
            await everybody_meets([erin], [alice])
            credentials = "client.pc.currentRemoteDescription.sdp.match(/ice-ufrag:(\\S+)/)[1]"
            before = await erin.do(credentials)
            call_id = await erin.do("client.callId")
            await erin.do("client.restartIce()")
            await erin.until(f"{credentials} !== '{before}'", "the restart is answered", RESTART_PATIENCE_S)
            await everybody_meets([erin], [alice])
            assert await erin.do("client.callId") == call_id
        await until(lambda: not told_kinds(alice, erin.party), "alice sees that erin's tab is closed")
        assert (await call.members()).keys() == {alice.party.user_id}
        is_clean(alice)


async def test_the_page_holds_a_call_in_firefox(venue: Venue, browser: Firefox) -> None:
    async with venue.call() as call:
        (alice,) = await join(call, "alice")
        link = json.dumps({"room": call.room_id, "autojoin": True, "name": "Gwen", **PATTERN})
        async with opened(browser, f"{venue.focus.page_url}#demo={quote(link, safe='')}") as page:
            await until_told(
                lambda: page.evaluate("window.matrixFocus?.client?.phase === 'connected'"),
                "the page is in the call",
                JOIN_PATIENCE_S,
            )
            guest = Party(*await page.evaluate("[matrixFocus.matrix.userId, matrixFocus.matrix.deviceId]"))
            await until_decoded(alice, guest, AUDIO, VIDEO)
            pictures = "[...matrixFocus.call.tiles.all.values()].every(({ video }) => video.videoWidth > 0)"
            await until_told(lambda: page.evaluate(pictures), "every tile has a picture")
            await page.evaluate("document.querySelector('[data-control=camera]').click()")
            await is_told_of_mute(alice, guest, VIDEO, muted=True)
            await page.evaluate("document.querySelector('[data-control=leave]').click()")
            await until(lambda: not told_kinds(alice, guest), "alice sees the guest leave")
        is_clean(alice)
