"""Debian's browsers, with a page that negotiates on demand (`dialogue.html`)."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web
from playwright.async_api import async_playwright

from tests.support.firefox import firefox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright import async_api as playwright_api

PAGE: Final = Path(__file__).with_name("dialogue.html")
CHROMIUM: Final = "/usr/bin/chromium"
CHROMIUM_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--disable-background-networking",
)
BROWSERS: Final = ("chromium", "firefox")


class Page(Protocol):
    """A page of any browser."""

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401  # JSON
        """The value of a JavaScript expression, promises awaited."""
        ...


class Browser(Protocol):
    """Any browser."""

    version: str

    async def open(self, url: str) -> Page:
        """A new page, loaded."""
        ...


class LivePeer:
    """A page of a browser."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def act(self, action: str) -> str:
        """Do something, and offer what has come of it."""
        await self._page.evaluate(action)
        return str(await self._page.evaluate("makeOffer()"))

    async def take_answer(self, sdp: str) -> None:
        """Apply an answer."""
        await self._page.evaluate(f"takeAnswer({json.dumps(sdp)})")

    async def take_offer(self, sdp: str) -> str:
        """Apply an offer, and answer it."""
        return str(await self._page.evaluate(f"takeOffer({json.dumps(sdp)})"))

    async def directions(self) -> dict[str, str]:
        """What the browser holds to be agreed on, by mid."""
        return {one["mid"]: one["direction"] for one in await self._page.evaluate("transceivers()")}

    async def rids(self) -> dict[str, list[str]]:
        """The encodings that it would send, by mid."""
        return {one["mid"]: one["rids"] for one in await self._page.evaluate("transceivers()")}


@asynccontextmanager
async def page_url() -> AsyncIterator[str]:
    """The page, served on loopback: there it may use the camera."""

    async def show(request: web.Request) -> web.StreamResponse:  # there is one page
        return web.FileResponse(PAGE)

    application = web.Application()
    application.router.add_get("/", show)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def live_browser(name: str) -> AsyncIterator[Browser]:
    """Debian's Chromium or Firefox."""
    if name == "firefox":
        async with firefox() as browser:
            yield browser
        return
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*CHROMIUM_FLAGS], headless=True
        )
        yield _Chromium(chromium)
        await chromium.close()


class _Chromium:
    def __init__(self, browser: playwright_api.Browser) -> None:
        self._browser = browser
        self.version = browser.version

    async def open(self, url: str) -> Page:
        context = await self._browser.new_context(permissions=["camera", "microphone"])
        page = await context.new_page()
        await page.goto(url)
        return page
