"""Tabs of Chromium in a call whose media is encrypted end to end, or not: the modules without the page."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from playwright.async_api import async_playwright

from loadtest.client.scene import Party
from tests.e2e.browsers import FLAGS, Tab
from tests.support.homeserver import join
from tests.support.live_browser import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from loadtest.homeserver.users import User
    from tests.e2e.venue import Call
    from tests.support.live_browser import Page as AnyPage

PERSON: Final = Path(__file__).with_name("encrypted_person.js").read_text(encoding="utf-8")
WIDTH, HEIGHT, FRAME_RATE = 320, 180, 15

Role = Literal["encrypts", "plain", "records"]
"""With media keys; without; without, and it keeps the encoded frames that it receives."""


class EncryptedTab(Tab):
    """One tab that takes part in a call.

    Args:
        page: any document is loaded in it that comes from where the reference client does.
        user: as whom.
        call: which.
        role: what it can do.
    """

    def __init__(self, page: AnyPage, user: User, call: Call, role: Role) -> None:
        super().__init__(page, Party(user.user_id, user.device_id))
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
            "role": role,
        }

    async def prepare(self) -> None:
        """Make somebody of the page that is loaded."""
        await self.page.evaluate(f"({PERSON})()")
        await self.page.evaluate(f"void (window.person = new EncryptedPerson({json.dumps(self._options)}))")

    async def can_read(self, other: Party) -> None:
        """Wait until this tab says that it can read somebody, and be read."""
        what = f"has the key of {other.user_id}, who has its key"
        await self.until(f"person.party({json.dumps(other.user_id)})?.ok === true", what)

    async def own_key(self) -> tuple[int, int]:
        """Index and step of the key that this tab encrypts with."""
        key = await self.do("person.keys.ownKey")
        return key["index"], key["step"]

    async def given_keys(self) -> list[dict[str, Any]]:
        """All keys that came to this tab, with who sent them."""
        return list(await self.do("person.givenKeys"))

    async def dropped(self) -> dict[str, int]:
        """How many frames were neither opened nor sealed, by reason."""
        return dict((await self.do("person.keys.counters()"))["dropped"])


class ChromiumTab(EncryptedTab):
    """Likewise, of Chromium."""

    def __init__(self, page: Page, user: User, call: Call, role: Role) -> None:
        super().__init__(page, user, call, role)
        self._page = page
        # Any document of the focus will do; with it come the rules (CSP) that it sends with its page.
        self._url = f"{call.venue.focus.page_url}config.json"

    async def load(self) -> None:
        """Load the document, or load it anew."""
        await self._page.goto(self._url)
        await self.prepare()


class EncryptedChromium:
    """A running browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @contextlib.asynccontextmanager
    async def tabs(
        self, call: Call, *names: str, role: Role = "encrypts"
    ) -> AsyncIterator[list[ChromiumTab]]:
        """New users, each in a tab of its own, who are ready to join; at the end nothing has gone wrong."""
        async with contextlib.AsyncExitStack() as stack:
            tabs = []
            for name in names:
                user = await call.venue.user(name)
                join(user, call.room_id)
                context = await self._browser.new_context(permissions=["camera", "microphone"])
                stack.push_async_callback(context.close)
                page = await context.new_page()
                tab = ChromiumTab(page, user, call, role)
                await tab.load()
                tabs.append(tab)
            yield tabs
            for tab in tabs:
                errors = await tab.errors()
                assert errors == [], errors


@contextlib.asynccontextmanager
async def encrypted_chromium() -> AsyncIterator[EncryptedChromium]:
    """Debian's Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS], headless=True)
        try:
            yield EncryptedChromium(browser)
        finally:
            await browser.close()
