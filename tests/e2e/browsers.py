"""Real Chromium with the bare page (`page/`), as a participant in calls."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from playwright.async_api import async_playwright

from loadtest.client.scene import AUDIO, VIDEO, Party
from tests.e2e.watching import FRAMES, PATIENCE_S, until_told
from tests.support.homeserver import join
from tests.support.live_browser import CHROMIUM, CHROMIUM_FLAGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from tests.e2e.venue import Call

PAGE: Final = Path(__file__).with_name("page")
FLAGS: Final = (
    *CHROMIUM_FLAGS,
    # Three encodings of a picture as small as ours.
    "--force-fieldtrials=WebRTC-LegacySimulcastLayerLimit/Disabled/",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    # Sound that is not played is not decoded.
    "--autoplay-policy=no-user-gesture-required",
)
WIDTH, HEIGHT, FRAME_RATE = 640, 360, 15
JOIN_PATIENCE_S: Final = 40.0


class Tab:
    """One page that takes part in a call.

    Args:
        page: loaded.
        party: as whom.
    """

    def __init__(self, page: Page, party: Party) -> None:
        self.party = party
        self._page = page

    async def join(self) -> None:
        """Enter the call, and wait for the data channel."""
        await self.do("client.join()")
        await until_told(
            lambda: self.do('client.channel.readyState === "open"'),
            f"{self.party.user_id} is connected",
            JOIN_PATIENCE_S,
        )

    async def do(self, script: str) -> Any:  # noqa: ANN401  # JSON
        """The value of a script, promises awaited."""
        return await self._page.evaluate(f"(async () => {script})()")

    async def received(self, owner: Party, kind: str, purpose: str = "m.usermedia") -> dict[str, Any]:
        """The statistics of somebody's track; empty while there are none."""
        rows = await self.do("client.received()")
        wanted = (owner.user_id, kind, purpose)
        return next((row for row in rows if (row["owner"], row["kind"], row["purpose"]) == wanted), {})

    async def sent(self) -> dict[str, dict[str, Any]]:
        """The statistics of the camera's encodings by rid."""
        return {row["rid"]: row for row in await self.do("client.sent()") if row["kind"] == "video"}

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

        await until_told(has_changed, f"{self.party.user_id} shows {height} lines of {owner.user_id}")

    async def streams(self) -> list[dict[str, Any]]:
        """The newest metadata of the focus."""
        return list((await self.do("client.metadata")).values())

    async def owners(self) -> set[str]:
        """Who is there, by the newest metadata."""
        return {stream["user_id"] for stream in await self.streams()}

    async def errors(self) -> list[str]:
        """What went wrong in the page."""
        return list(await self.do("client.errors"))


class Chromium:
    """A running browser and the server of its page."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url

    @contextlib.asynccontextmanager
    async def tabs(self, call: Call, *names: str) -> AsyncIterator[list[Tab]]:
        """New users, each in a tab of its own, who are ready to join; at the end nothing has gone wrong."""
        async with contextlib.AsyncExitStack() as stack:
            tabs = [await self._open(stack, call, name) for name in names]
            yield tabs
            for tab in tabs:
                assert await tab.errors() == []

    async def _open(self, stack: contextlib.AsyncExitStack, call: Call, name: str) -> Tab:
        user = await call.venue.user(name)
        join(user, call.room_id)
        context = await self._browser.new_context(permissions=["camera", "microphone"])
        stack.push_async_callback(context.close)
        page = await context.new_page()
        await page.goto(self._url)
        options = {
            "baseUrl": user.base_url,
            "accessToken": user.access_token,
            "userId": user.user_id,
            "deviceId": user.device_id,
            "roomId": call.room_id,
            "confId": call.conf_id,
            "focus": {"user_id": call.venue.device.user_id, "device_id": call.venue.device.device_id},
            "width": WIDTH,
            "height": HEIGHT,
            "frameRate": FRAME_RATE,
        }
        await page.evaluate(f"() => {{ window.client = new TestClient({json.dumps(options)}); }}")
        return Tab(page, Party(user.user_id, user.device_id))


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """Debian's Chromium, and the page on loopback: there it may use the camera."""
    async with contextlib.AsyncExitStack() as stack:
        application = web.Application()
        application.router.add_static("/", PAGE)
        runner = web.AppRunner(application)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/index.html"
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS], headless=True)
        stack.push_async_callback(browser.close)
        yield Chromium(browser, url)


def _grew(before: dict[str, Any], now: dict[str, Any], name: str, amount: float) -> bool:
    return bool(now.get(name, 0) > before.get(name, 0) + amount)
