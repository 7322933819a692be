"""Chromium's tabs in a call with media encrypted end to end, or not: the modules that the focus serves, no page of it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.async_api import async_playwright

from loadtest.client.scene import Party
from tests.e2e.browsers import FLAGS, JOIN_PATIENCE_S, Tab
from tests.e2e.watching import until_told
from tests.support.homeserver import join
from tests.support.live_browser import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from loadtest.homeserver.users import User
    from tests.e2e.venue import Call

CLIENT: Final = Path(__file__).with_name("encrypted_client.js").read_text(encoding="utf-8")
WIDTH, HEIGHT, FRAME_RATE = 640, 360, 15


class EncryptedTab(Tab):
    """One tab that takes part in a call.

    Args:
        page: any page of the focus's listener is loaded in it.
        user: as whom.
        call: which.
        encrypts: whether it has media keys.
    """

    def __init__(self, page: Page, user: User, call: Call, *, encrypts: bool) -> None:
        super().__init__(page, Party(user.user_id, user.device_id))
        self.page = page
        self.user = user
        self._options = {
            "session": {
                "baseUrl": user.base_url,
                "userId": user.user_id,
                "deviceId": user.device_id,
                "accessToken": user.access_token,
            },
            "roomId": call.room_id,
            "confId": call.conf_id,
            "focus": {"user_id": call.venue.device.user_id, "device_id": call.venue.device.device_id},
            "width": WIDTH,
            "height": HEIGHT,
            "frameRate": FRAME_RATE,
            "encrypts": encrypts,
        }
        self._url = call.venue.focus.page_url

    async def load(self) -> None:
        """Load the page, or load it anew."""
        # Any document will do; with it come the rules (CSP) that the focus sends with its page.
        await self.page.goto(f"{self._url}config.json")
        await self.page.evaluate(CLIENT)
        await self.page.evaluate(
            f"() => {{ window.client = new EncryptedClient({json.dumps(self._options)}); }}"
        )

    async def join(self) -> None:
        """Enter the call, and wait for the data channel."""
        await self.do("client.join()")
        await until_told(
            lambda: self.do('client.client.phase === "connected"'),
            f"{self.party.user_id} is connected",
            JOIN_PATIENCE_S,
        )

    async def has_key_of(self, other: Party) -> None:
        """Wait until this tab says that it can read somebody."""
        what = f"{self.party.user_id} can read {other.user_id}"
        await until_told(lambda: self.do(f"client.party({json.dumps(other.user_id)})?.ok === true"), what)


class EncryptedChromium:
    """A running browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @contextlib.asynccontextmanager
    async def tabs(self, call: Call, *names: str, encrypts: bool = True) -> AsyncIterator[list[EncryptedTab]]:
        """New users, each in a tab of its own, who are ready to join; at the end nothing has gone wrong."""
        async with contextlib.AsyncExitStack() as stack:
            tabs = []
            for name in names:
                user = await call.venue.user(name)
                join(user, call.room_id)
                context = await self._browser.new_context(permissions=["camera", "microphone"])
                stack.push_async_callback(context.close)
                page = await context.new_page()
                tab = EncryptedTab(page, user, call, encrypts=encrypts)
                await tab.load()
                tabs.append(tab)
            yield tabs
            for tab in tabs:
                assert await tab.errors() == []


@contextlib.asynccontextmanager
async def encrypted_chromium() -> AsyncIterator[EncryptedChromium]:
    """Debian's Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS], headless=True)
        try:
            yield EncryptedChromium(browser)
        finally:
            await browser.close()
