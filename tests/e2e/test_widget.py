"""The page as a widget in a Matrix client: a call of whoever is logged in there.

About 20 s on a quiet machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import expect

from loadtest.client.scene import AUDIO, VIDEO, Party
from tests.e2e.venue import open_venue
from tests.e2e.watching import FRAMES, is_clean, until_decoded, until_told
from tests.support.homeserver import join
from tests.support.widget_host import ENCRYPTED, PARAMETERS, widget_hosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Frame

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.e2e.venue import Call, Venue
    from tests.support.widget_host import WidgetHost, WidgetHosts

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

JOIN_PATIENCE_S: Final = 40.0
MEDIA_KEYS: Final = "org.matrix_focus.media_keys"
CONNECTED: Final = "globalThis.matrixFocus?.client?.phase === 'connected'"
RECEIVED: Final = """
async ([userId, kind]) => {
  const { client } = matrixFocus;
  const streams = [...client.streams.values()].filter((stream) => stream.userId === userId);
  const tracks = streams.flatMap((stream) => [...stream.tracks.values()]);
  const mids = tracks.filter((track) => track.kind === kind).map((track) => track.mid);
  // There is no connection for a moment when one takes another's place.
  const rows = [...((await client.pc?.getStats()) ?? new Map()).values()];
  const row = rows.find(({ type, mid }) => type === "inbound-rtp" && mids.includes(mid));
  return [row?.packetsReceived ?? 0, row?.framesDecoded ?? 0, row?.totalAudioEnergy ?? 0];
}
"""
"""What arrives of somebody's microphone or camera in the page."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus")) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts() -> AsyncIterator[WidgetHosts]:
    async with widget_hosts() as hosts:
        yield hosts


@contextlib.asynccontextmanager
async def opened(hosts: WidgetHosts, call: Call, name: str, **more: Any) -> AsyncIterator[WidgetHost]:  # noqa: ANN401  # options of the host
    """Somebody new in the room of a call, whose client shows the page of the focus as a widget."""
    user = await call.venue.user(name)
    await asyncio.to_thread(join, user, call.room_id)
    template = f"{call.venue.focus.page_url}#/?{PARAMETERS}"
    async with hosts.open(user, call.room_id, template, **more) as host:
        yield host


def auto_join(call: Call, user: User) -> dict[str, Any]:
    """The demo of a page that joins without a click, encrypted."""
    names = {
        "baseUrl": "base_url",
        "userId": "user_id",
        "deviceId": "device_id",
        "accessToken": "access_token",
    }
    session = {name: getattr(user, field) for name, field in names.items()}
    return {"room": call.room_id, "autojoin": True, "encrypted": True, "session": session}


async def press_join(host: WidgetHost) -> Party:
    """Join, and wait until the page is connected."""
    await host.frame.get_by_role("button", name="Join the call").click()
    await is_connected(host)
    return Party(host.user.user_id, host.user.device_id)


async def is_connected(host: WidgetHost) -> None:
    """Wait until the page has a connection to the focus."""
    await host.is_so(CONNECTED, JOIN_PATIENCE_S)


async def perceives(page: Frame, other: Party) -> None:
    """Wait until new pictures and sound of somebody have been decoded in a page."""

    async def counts() -> tuple[float, float, float]:
        packets, _, energy = await page.evaluate(RECEIVED, [other.user_id, AUDIO])
        _, frames, _ = await page.evaluate(RECEIVED, [other.user_id, VIDEO])
        return packets, frames, energy

    before = await counts()

    async def has_more() -> bool:
        now = await counts()
        wanted = (3 * FRAMES, FRAMES, 0.0)
        return all(new > old + more for new, old, more in zip(now, before, wanted, strict=True))

    await until_told(has_more, f"the page sees and hears {other.user_id}: {before}")


async def leaves(call: Call, one: Participant, party: Party) -> None:
    """Wait until somebody is out of the call: for the others, for the focus, and in the room."""

    async def is_gone() -> bool:
        return party.user_id not in await call.members()

    await until_told(is_gone, f"{party.user_id} is out of the call")
    await until_told(lambda: told_nothing(one, party), f"{one.party.user_id} is told so")


async def told_nothing(one: Participant, party: Party) -> bool:
    return not one.observations.announced.get(party)


async def test_a_widget_is_in_the_call_without_a_login(venue: Venue, hosts: WidgetHosts) -> None:
    async with venue.call() as call, opened(hosts, call, "erin") as host:
        (alice,) = await call.join("alice")
        await expect(host.frame.get_by_label("Homeserver")).to_be_hidden()
        party = await press_join(host)
        await asyncio.gather(perceives(host.frame, alice.party), until_decoded(alice, party, AUDIO, VIDEO))
        assert await host.do("host.stays") == [True]
        await host.frame.get_by_role("button", name="Leave").click()
        await leaves(call, alice, party)
        # And again, in the same frame.
        party = await press_join(host)
        await asyncio.gather(perceives(host.frame, alice.party), until_decoded(alice, party, AUDIO, VIDEO))
        is_clean(alice)


async def test_a_widget_that_is_loaded_anew_is_back_in_its_call(venue: Venue, hosts: WidgetHosts) -> None:
    async with venue.call() as call, opened(hosts, call, "kim") as host:
        (alice,) = await call.join("alice")
        party = await press_join(host)
        await until_decoded(alice, party, AUDIO, VIDEO)
        session_id = await host.widget("matrixFocus.client.sessionId")
        await host.reload()
        await is_connected(host)
        assert await host.widget("matrixFocus.client.sessionId") != session_id
        await asyncio.gather(perceives(host.frame, alice.party), until_decoded(alice, party, AUDIO, VIDEO))


async def test_a_widget_that_is_closed_leaves_the_call_at_once(venue: Venue, hosts: WidgetHosts) -> None:
    async with venue.call() as call, opened(hosts, call, "frank") as host:
        (alice,) = await call.join("alice")
        party = await press_join(host)
        await until_decoded(alice, party, AUDIO, VIDEO)
        await host.do("host.close()")
        await leaves(call, alice, party)
        hangups = [sent for sent in await host.do("host.driver.sent") if sent["type"] == "m.call.hangup"]
        assert len(hangups) == 1


async def test_the_page_says_what_the_host_refuses(venue: Venue, hosts: WidgetHosts) -> None:
    async with (
        venue.call() as call,
        opened(hosts, call, "grace", refused=["to_device:m.call.invite"]) as host,
    ):
        await host.frame.get_by_role("button", name="Join the call").click()
        told = host.frame.get_by_text("Your Matrix client does not allow what a call needs")
        await expect(told).to_contain_text("m.call.invite", timeout=JOIN_PATIENCE_S * 1_000)
        assert await call.members() == {}


async def test_the_host_of_a_widget_gives_out_the_keys_of_its_media(venue: Venue, hosts: WidgetHosts) -> None:
    async with (
        venue.call(initial_state=[ENCRYPTED]) as call,
        opened(hosts, call, "ivan") as host,
        await hosts.browser.new_context(permissions=["camera", "microphone"]) as context,
    ):
        # Judy's page does its Olm itself.
        user = await venue.user("judy")
        judy = Party(user.user_id, user.device_id)
        page = await context.new_page()
        await page.goto(f"{venue.focus.page_url}#demo={quote(json.dumps(auto_join(call, user)))}")
        await until_told(lambda: page.evaluate(CONNECTED), "Judy is connected", JOIN_PATIENCE_S)
        await host.knows(user)
        await host.frame.get_by_label("End-to-end encryption of media").check(force=True)
        party = await press_join(host)
        await asyncio.gather(perceives(host.frame, judy), perceives(page.main_frame, party))
        stated = (
            f"matrixFocus.call.encryption.stateOf({json.dumps(judy.user_id)}, {json.dumps(judy.device_id)})"
        )
        assert await host.widget(f"{stated}.ok")
        keys = [sent for sent in await host.do("host.driver.sent") if sent["type"] == MEDIA_KEYS]
        assert keys
        assert all(sent["encrypted"] for sent in keys)


async def test_the_page_wears_the_colours_of_its_host(venue: Venue, hosts: WidgetHosts) -> None:
    refused = ["turn_servers"]
    async with venue.call() as call, opened(hosts, call, "laura", refused=refused) as host:
        scheme = "getComputedStyle(document.documentElement).colorScheme"
        # Chromium without a head prefers a light scheme; the host's is dark, then light.
        await host.is_so(f"{scheme} === 'dark'")
        await press_join(host)
        told = host.frame.get_by_text("Your Matrix client does not let this page")
        await expect(told).to_contain_text("use the homeserver's TURN servers")
        await host.do("host.api.updateTheme({name: 'legacy-light'})")
        await host.is_so(f"{scheme} === 'light'")


async def test_a_widget_begins_a_call_and_brings_the_focus(venue: Venue, hosts: WidgetHosts) -> None:
    creator = await venue.user("heidi")
    room_id = await venue.room(creator, with_focus=False)
    template = f"{venue.focus.page_url}#/?{PARAMETERS}"
    async with hosts.open(creator, room_id, template) as host:
        party = await press_join(host)
        conf_id = await host.widget("matrixFocus.client.confId")

        async def is_in() -> bool:
            return party.user_id in await venue.admin.members(room_id, conf_id)

        await until_told(is_in, "the focus has let the widget in")
