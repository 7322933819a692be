"""Real Chromium with the reference client on a bare page (`page/`), as a participant in calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from playwright.async_api import async_playwright

import signalling.web
from loadtest.client.scene import AUDIO, VIDEO, Party
from tests.e2e.watching import FRAMES, until_told
from tests.support.homeserver import join
from tests.support.live_browser import CHROMIUM, CHROMIUM_FLAGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from loadtest.homeserver.users import User
    from tests.e2e.venue import Call
    from tests.support.live_browser import Page as AnyPage

PAGE: Final = Path(__file__).with_name("page")
STATIC: Final = Path(signalling.web.__file__).with_name("static")
"""What the focus serves: the reference client is in it."""
FLAGS: Final = (
    *CHROMIUM_FLAGS,
    # Three encodings of a picture as small as ours.
    "--force-fieldtrials=WebRTC-LegacySimulcastLayerLimit/Disabled/",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    # Sound that is not played is not decoded.
    "--autoplay-policy=no-user-gesture-required",
)
WIDTH, HEIGHT, FRAME_RATE = 640, 360, 15
JOIN_PATIENCE_S: Final = 60.0
PATIENCE_S: Final = 60.0
"""Browsers encode, too: on a busy machine they take seconds to apply a description."""


class Tab:
    """One page that takes part in a call.

    In its scripts `person` is the tests' own part (`page/person.js`), `client` the reference client, and
    `matrix` its port.

    Args:
        page: loaded.
        party: as whom.
    """

    def __init__(self, page: AnyPage, party: Party) -> None:
        self.party = party
        self.page = page

    async def join(self, options: str = "{}") -> None:
        """Enter the call: the data channel is open. `options` is a script, for `FocusClient.join`."""
        await self.do(f"person.join({options})")

    async def do(self, script: str) -> Any:  # noqa: ANN401  # JSON
        """The value of a script, promises awaited."""
        return await self.page.evaluate(f"(async () => {script})()")

    async def until(self, script: str, what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until a script's value is true."""
        await until_told(lambda: self.do(script), f"{self.party.user_id}: {what}", patience_s)

    async def is_connected(self, *, in_another_leg_than: str = "") -> None:
        """Wait until the client says that it is connected."""
        script = f"client.phase === 'connected' && client.callId !== {json.dumps(in_another_leg_than)}"
        await self.until(script, "is connected", JOIN_PATIENCE_S)

    async def received(self, owner: Party, kind: str, purpose: str = "m.usermedia") -> dict[str, Any]:
        """The statistics of somebody's track; empty while there are none."""
        rows = await self.do("person.received()")
        wanted = (owner.user_id, kind, purpose)
        return next((row for row in rows if (row["owner"], row["kind"], row["purpose"]) == wanted), {})

    async def sent(self) -> dict[str, dict[str, Any]]:
        """The statistics of the camera's encodings by rid."""
        return {row["rid"]: row for row in await self.do("person.sent()") if row["kind"] == "video"}

    async def hears(self, owner: Party) -> None:
        """Wait until somebody's sound comes, and is sound."""
        before = await self.received(owner, AUDIO)

        async def more() -> bool:
            now = await self.received(owner, AUDIO)
            return _grew(before, now, "packets", 3 * FRAMES) and _grew(before, now, "energy", 0)

        await until_told(more, f"{self.party.user_id} hears {owner.user_id}: {before}", PATIENCE_S)

    async def sees(self, owner: Party, purpose: str = "m.usermedia") -> None:
        """Wait until somebody's new pictures have been decoded."""
        before = await self.received(owner, VIDEO, purpose)

        async def more() -> bool:
            return _grew(before, await self.received(owner, VIDEO, purpose), "frames", FRAMES)

        await until_told(more, f"{self.party.user_id} sees {owner.user_id}: {before}", PATIENCE_S)

    async def shows(self, owner: Party, height: int) -> None:
        """Wait until somebody's picture has this many lines."""

        async def has_changed() -> bool:
            return bool((await self.received(owner, VIDEO)).get("height") == height)

        shown = f"{self.party.user_id} shows {height} lines of {owner.user_id}"
        await until_told(has_changed, shown, PATIENCE_S)

    async def streams(self) -> list[dict[str, Any]]:
        """What the focus has told of the others' streams."""
        return list(await self.do("person.streams()"))

    async def owners(self) -> set[str]:
        """Who has something to show or to say."""
        return {stream["user_id"] for stream in await self.streams()}

    async def errors(self) -> list[str]:
        """What went wrong in the page."""
        return list(await self.do("person.errors"))


class Chromium:
    """A running browser and the server of its page."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url

    @contextlib.asynccontextmanager
    async def tabs(self, call: Call, *names: str) -> AsyncIterator[list[Tab]]:
        """New users, each in a tab of its own, who are ready to join; at the end nothing has gone wrong."""
        async with contextlib.AsyncExitStack() as stack:
            tabs = [await stack.enter_async_context(self.tab(call, name)) for name in names]
            yield tabs
            for tab in tabs:
                assert await tab.errors() == []

    @contextlib.asynccontextmanager
    async def tab(self, call: Call, who: str | User, **room: Any) -> AsyncIterator[Tab]:  # noqa: ANN401  # options of FocusClient
        """Somebody who is ready to join; a name stands for a new user."""
        async with self.blank() as page:
            yield await tab_of(page, call, who, **room)

    @contextlib.asynccontextmanager
    async def blank(self) -> AsyncIterator[Page]:
        """The page with nobody in it: for parts of the reference client by themselves."""
        context = await self._browser.new_context(permissions=["camera", "microphone"])
        try:
            page = await context.new_page()
            await page.goto(self._url)
            yield page
        finally:
            await context.close()


async def tab_of(page: AnyPage, call: Call, who: str | User, **room: Any) -> Tab:  # noqa: ANN401  # options of FocusClient
    """Somebody who is ready to join, on a page with nobody in it; a name stands for a new user."""
    user = await call.venue.user(who) if isinstance(who, str) else who
    await asyncio.to_thread(join, user, call.room_id)
    device = call.venue.device
    options = {
        "session": {
            "baseUrl": user.base_url,
            "accessToken": user.access_token,
            "userId": user.user_id,
            "deviceId": user.device_id,
        },
        "room": {
            "roomId": call.room_id,
            "confId": call.conf_id,
            "focus": {"user_id": device.user_id, "device_id": device.device_id},
            **room,
        },
        "width": WIDTH,
        "height": HEIGHT,
        "frameRate": FRAME_RATE,
    }
    await page.evaluate(f"void (window.person = new Person({json.dumps(options)}))")
    await page.evaluate("void Object.assign(window, { client: person.client, matrix: person.matrix })")
    return Tab(page, Party(user.user_id, user.device_id))


@contextlib.asynccontextmanager
async def served_page() -> AsyncIterator[str]:
    """The page on loopback, where it may use the camera; its URL."""
    application = web.Application()
    application.router.add_static("/test/", PAGE)
    application.router.add_static("/", STATIC)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/test/index.html"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """Debian's Chromium, and the page."""
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(served_page())
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS], headless=True)
        stack.push_async_callback(browser.close)
        yield Chromium(browser, url)


def _grew(before: dict[str, Any], now: dict[str, Any], name: str, amount: float) -> bool:
    return bool(now.get(name, 0) > before.get(name, 0) + amount)
