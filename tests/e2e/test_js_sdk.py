"""Clients that nobody here wrote: npm's matrix-js-sdk as it is, in Chromium.

Its `MatrixCall` is placed at the focus; its `GroupCall`, which knows no foci, meets people who use one.
Takes about 60 s on a quiet machine.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from loadtest.client.scene import AUDIO, SCREEN, VIDEO
from sfu.units import Kind
from tests.e2e.js_sdk import sdk_browser
from tests.e2e.venue import open_venue
from tests.e2e.watching import (
    FRAMES,
    is_clean,
    told_kinds,
    until,
    until_decoded,
    until_told,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.client.participant import Participant
    from loadtest.client.scene import Party
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.js_sdk import SdkBrowser, SdkPage
    from tests.e2e.page_driver import CallPage
    from tests.e2e.venue import Venue

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CALL = "js-sdk-call"
MESH = "js-sdk-mesh"
LONGER_THAN_AN_OFFER_WAITS_S = 30.0
"""The focus offers on the data channel first; the SDK hears the repetition by to-device message."""
WATCHED_S = 15.0
"""As long as the SDK goes on dialling who declined: three times more, 5 s apart."""
MAX_DIALS = 6
"""Of one member: the first, one more as each member joins or leaves, and the three."""
RESTART_PATIENCE_S = 40.0
"""Until the SDK has noticed that nothing comes (5 to 8 s), has waited for 2 s more, and has restarted ICE."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus")) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[SdkBrowser]:
    async with sdk_browser(CALL, MESH) as browser:
        yield browser


def live_kinds(members: dict[str, dict[str, Any]], party: Party) -> set[str]:
    """The kinds of somebody's tracks that flow, as the focus says."""
    tracks = members.get(party.user_id, {"tracks": []})["tracks"]
    return {track["kind"] for track in tracks if any(one["live"] for one in track["encodings"])}


async def test_a_call_of_the_sdk_is_held_with_the_focus(venue: Venue, browser: SdkBrowser) -> None:
    async with venue.call() as call, browser.page(CALL, call, "erin") as erin:
        (alice,) = await call.join("alice")
        await erin.dial_focus()
        await until_decoded(alice, erin.party, AUDIO, VIDEO)
        assert live_kinds(await call.members(), erin.party) == {AUDIO, VIDEO}
        await wants_and_gets_everything(erin, alice)
        await shares_are_seen_both_ways(erin, alice)
        await mutes_are_seen_both_ways(erin, alice)
        await erin.do("sdk.hangUp()")
        await until(lambda: not told_kinds(alice, erin.party), "alice sees erin leave")
        assert (await call.members()).keys() == {alice.party.user_id}
        is_clean(alice)
        seen = await erin.do("sdk.seen()")
        sent, received = seen["sent"], seen["received"]
        types = [one["type"] for one in sent if one["type"] != "m.call.candidates"]
        assert types[:2] == ["m.call.invite", "m.call.select_answer"]
        assert sent[-1]["type"] == "m.call.hangup"
        assert received[0]["type"] == "m.call.answer"
        for way in (sent, received):
            assert [one["seq"] for one in way] == list(range(len(way)))
        assert {(one["type"], one["description"]) for one in received[2:] if one["description"]} == {
            ("m.call.negotiate", "offer"),
            ("m.call.negotiate", "answer"),
        }


async def wants_and_gets_everything(erin: SdkPage, alice: Participant) -> None:
    """The SDK answers the focus's offers itself, once they come as it knows them."""
    await erin.do("sdk.subscribe(180)")
    await erin.gets(alice.party, AUDIO, patience_s=LONGER_THAN_AN_OFFER_WAITS_S)
    await erin.gets(alice.party, VIDEO)


async def shares_are_seen_both_ways(erin: SdkPage, alice: Participant) -> None:
    """The SDK shares on the section on which it gets alice's picture, and takes RTX out of it."""
    await erin.do("sdk.share(true)")
    await until_decoded(alice, erin.party, SCREEN)
    await erin.gets(alice.party, VIDEO)
    await erin.do("sdk.share(false)")
    await until(lambda: told_kinds(alice, erin.party) == {AUDIO, VIDEO}, "alice is told that the share ends")
    await alice.start_share()
    await erin.is_so("sdk.told('m.screenshare')")
    await erin.do("sdk.subscribe(180)")
    await erin.gets(alice.party, VIDEO, "m.screenshare")
    await alice.stop_share()
    await erin.is_so("sdk.feeds().length === 1 && sdk.feeds()[0].kinds.length === 2")
    await erin.gets(alice.party, VIDEO)


async def mutes_are_seen_both_ways(erin: SdkPage, alice: Participant) -> None:
    for kind in (AUDIO, VIDEO):
        track = alice.observations.track(erin.party, kind)
        for muted in ("true", "false"):
            await erin.do(f"sdk.setMuted('{kind}', {muted})")
            told = f"alice is told of a mute: {kind} {muted}"
            await until(lambda track=track, muted=muted: track.is_muted is (muted == "true"), told)  # type: ignore[misc]
    await until_decoded(alice, erin.party, AUDIO, VIDEO)
    await alice.set_muted(Kind.AUDIO, muted=True)
    await erin.is_so("sdk.feeds()[0].audioMuted")
    await alice.set_muted(Kind.AUDIO, muted=False)
    await erin.is_so("!sdk.feeds()[0].audioMuted")


async def test_the_sdk_restarts_ice_by_itself_when_the_focus_was_away(
    venue: Venue, browser: SdkBrowser
) -> None:
    async with venue.call() as call, browser.page(CALL, call, "erin") as erin:
        await erin.dial_focus()
        (alice,) = await call.join("alice")
        await until_decoded(alice, erin.party, AUDIO, VIDEO)
        before = await erin.do("sdk.credentials()")
        pid = venue.focus.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            restarts = "sdk.seen().sent.some(({type}) => type === 'm.call.negotiate')"
            await until_told(lambda: erin.do(restarts), "the SDK restarts ICE", RESTART_PATIENCE_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        # ICE itself may be well again before the answer is there.
        await erin.is_so(f"sdk.credentials() !== '{before}' && sdk.state().call === 'connected'")
        await until_decoded(alice, erin.party, AUDIO, VIDEO)
        await erin.do("sdk.hangUp()")
        await until(lambda: not told_kinds(alice, erin.party), "alice sees erin leave")


async def test_a_mesh_and_people_with_a_focus_share_a_call_side_by_side(
    venue: Venue, browser: SdkBrowser
) -> None:
    async with (
        venue.call() as call,
        browser.page(MESH, call, "adam") as adam,
        browser.page(MESH, call, "zoe") as zoe,
        browser.guest(call) as page,
    ):
        # By their names: adam calls all, zoe is called by all.
        (mike,) = await call.join("mike")
        guest = await page.party()
        await meet_by_focus(mike, page, guest)
        for tab in (adam, zoe):
            await tab.do("sdk.enter()")
        entered_at = time.monotonic()
        await sees_in_mesh(adam, zoe.party)
        await sees_in_mesh(zoe, adam.party)
        for party in (mike.party, guest):
            await adam.is_so(f"{declined_by(party)} > 0")
        await asyncio.sleep(entered_at + WATCHED_S - time.monotonic())
        await meet_by_focus(mike, page, guest)
        await sees_in_mesh(adam, zoe.party)
        await sees_in_mesh(zoe, adam.party)
        dials = await adam.do("sdk.seen().sent.filter(({ type }) => type === 'm.call.invite').length")
        assert dials <= 2 * MAX_DIALS + 1
        for party in (mike.party, guest):
            assert await adam.do(declined_by(party)) <= MAX_DIALS
        everybody = {party.user_id for party in (adam.party, zoe.party, mike.party, guest)}
        for tab, other in ((adam, zoe), (zoe, adam)):
            assert set(await tab.do("sdk.participants()")) == everybody
            assert [row["user"] for row in await tab.do("sdk.calls()")] == [other.party.user_id]
        reach = await page.do("matrixFocus.client.members.map(({ userId, reach }) => [userId, reach])")
        assert dict(reach) == {
            adam.party.user_id: "mesh",
            zoe.party.user_id: "mesh",
            mike.party.user_id: "here",
        }
        told = [text for text in await page.notices() if "calls everybody directly" in text]
        assert len(told) == 2
        assert (await call.members()).keys() == {mike.party.user_id, guest.user_id}
        assert mike.observations.announced.keys() == {guest}
        await adam.do("sdk.leave()")
        await zoe.is_so("sdk.calls().length === 0")
        await meet_by_focus(mike, page, guest)
        is_clean(mike)


async def meet_by_focus(one: Participant, page: CallPage, guest: Party) -> None:
    """Wait until a participant and the page see and hear each other."""
    await page.meets(one.party)
    await until_decoded(one, guest, AUDIO, VIDEO)


def declined_by(party: Party) -> str:
    """The script that counts how often somebody has declined the SDK's calls."""
    return (
        "sdk.seen().received.filter(({ type, device }) => "
        f"type === 'm.call.reject' && device === '{party.device_id}').length"
    )


async def sees_in_mesh(tab: SdkPage, other: Party) -> None:
    """Wait until the SDK has decoded new pictures and got new sound of somebody."""

    async def decoded() -> dict[str, int]:
        return dict(await tab.do(f"sdk.decoded('{other.user_id}')"))

    before = await decoded()

    async def more() -> bool:
        now = await decoded()
        return all(now[name] > before[name] + FRAMES for name in ("frames", "packets"))

    await until_told(more, f"{tab.party.user_id} sees {other.user_id} in the mesh", RESTART_PATIENCE_S)
