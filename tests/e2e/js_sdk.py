"""Pages that drive npm's matrix-js-sdk as it is (`tests/npm/js-sdk-*.js`), in Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from playwright.async_api import async_playwright

from loadtest.client.scene import VIDEO, Party
from sfu.units import WallTime
from signalling.events.room_state import CALL_MEMBER_TYPES, MemberDevice, member_content
from tests.e2e.browsers import FLAGS
from tests.e2e.page_driver import CallPage
from tests.e2e.watching import FRAMES, PATIENCE_S, until_told
from tests.support.homeserver import join, room_path
from tests.support.live_browser import CHROMIUM
from tests.support.npm import ENTRIES, bundle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, ConsoleMessage, Page

    from loadtest.homeserver.users import User
    from tests.e2e.venue import Call

HOUR_MS: Final = 3_600_000


class SdkPage:
    """One tab with the SDK in it, logged in as a new user who has joined a call's room.

    Args:
        page: loaded; the SDK has taken notice of the call.
        user: as whom.
        call: where.
        session_id: the SDK's, which goes into the member event.
    """

    def __init__(self, page: Page, user: User, call: Call, session_id: str) -> None:
        self.party = Party(user.user_id, user.device_id)
        self._page = page
        self._user = user
        self._call = call
        self._session_id = session_id

    async def do(self, script: str) -> Any:  # noqa: ANN401  # JSON
        """The value of a script about `sdk`, promises awaited."""
        return await self._page.evaluate(f"(async () => {script})()")

    async def dial_focus(self) -> None:
        """Place the SDK's call at the focus, as a member of the call, and wait until it is connected."""
        device = MemberDevice(
            device_id=self.party.device_id,
            session_id=self._session_id,
            expires_at=WallTime(int(time.time() * 1_000) + HOUR_MS),
            purposes=("m.usermedia",),
            foci_active=(self._call.venue.device,),
        )
        content = member_content(self._call.conf_id, (device,))
        path = room_path(self._call.room_id, f"state/{CALL_MEMBER_TYPES[0]}/{self.party.user_id}")
        await asyncio.to_thread(self._user.put, path, content)
        focus = self._call.venue.device
        terms = {
            "roomId": self._call.room_id,
            "confId": self._call.conf_id,
            "focus": {"user_id": focus.user_id, "device_id": focus.device_id},
        }
        await self.do(f"sdk.place({json.dumps(terms)})")
        await self.is_so("sdk.state().channel === 'open' && sdk.state().call === 'connected'", 40.0)

    async def is_so(self, script: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until something is so in the page."""
        deadline = time.monotonic() + patience_s
        while not await self.do(script):
            assert time.monotonic() < deadline, f"not so: {script}; {await self.do('sdk.seen()')}"
            await asyncio.sleep(0.05)

    async def received(self, owner: Party, kind: str, purpose: str = "m.usermedia") -> dict[str, Any]:
        """The statistics of somebody's track; empty while there are none."""
        wanted = (owner.user_id, kind, purpose)
        rows = await self.do("sdk.received()")
        return next((row for row in rows if (row["owner"], row["kind"], row["purpose"]) == wanted), {})

    async def gets(
        self, owner: Party, kind: str, purpose: str = "m.usermedia", *, patience_s: float = PATIENCE_S
    ) -> None:
        """Wait until new pictures or sound of somebody have been decoded."""
        name, amount = ("frames", FRAMES) if kind == VIDEO else ("energy", 0)
        before = (await self.received(owner, kind, purpose)).get(name, 0)

        async def more() -> bool:
            return bool((await self.received(owner, kind, purpose)).get(name, 0) > before + amount)

        what = f"{self.party.user_id} gets {kind} of {owner.user_id}, had {before}"
        await until_told(more, what, patience_s)


class SdkBrowser:
    """A running Chromium and the server of the pages with the SDK, by name of entry."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url

    @contextlib.asynccontextmanager
    async def page(self, entry: str, call: Call, name: str) -> AsyncIterator[SdkPage]:
        """A new user in a new tab, who knows of the call; at the end the page has seen no error."""
        user = await call.venue.user(name)
        await asyncio.to_thread(join, user, call.room_id)
        async with self._blank() as page:
            log: list[str] = []
            page.on("console", lambda message: log.append(_line(message)))
            thrown: list[str] = []
            page.on("pageerror", lambda error: thrown.append(str(error)))
            await page.goto(f"{self._url}/{entry}/index.html")
            await page.wait_for_function("window.sdk")
            terms = {
                "baseUrl": user.base_url,
                "accessToken": user.access_token,
                "userId": user.user_id,
                "deviceId": user.device_id,
                "roomId": call.room_id,
            }
            session_id = await page.evaluate("terms => sdk.start(terms)", terms)
            try:
                yield SdkPage(page, user, call, session_id)
            finally:
                (call.venue.focus.folder / f"{name}.log").write_text("\n".join(log), encoding="utf-8")
            assert await page.evaluate("sdk.seen().errors") == []
            assert thrown == []

    @contextlib.asynccontextmanager
    async def guest(self, call: Call) -> AsyncIterator[CallPage]:
        """A guest in the call by the page of its focus; at the end its scripts have thrown nothing."""
        async with self._blank() as page:
            guest = CallPage(page, call.venue.focus.page_url)
            await guest.open_demo(call.room_id, autojoin=True, name="Gwen", pattern=True)
            await guest.is_in()
            yield guest
            assert guest.mistakes == []

    @contextlib.asynccontextmanager
    async def _blank(self) -> AsyncIterator[Page]:
        context = await self._browser.new_context(permissions=["camera", "microphone"])
        try:
            yield await context.new_page()
        finally:
            await context.close()


def _line(message: ConsoleMessage) -> str:
    return f"{message.type}: {message.text}"


@contextlib.asynccontextmanager
async def sdk_browser(*entries: str) -> AsyncIterator[SdkBrowser]:
    """Debian's Chromium, and the pages on loopback: there they may use the camera."""
    async with contextlib.AsyncExitStack() as stack:
        application = web.Application()
        for entry in entries:
            folder = (await asyncio.to_thread(bundle, ENTRIES / f"{entry}.js")).parent
            application.router.add_static(f"/{entry}/", folder)
        runner = web.AppRunner(application)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS], headless=True)
        stack.push_async_callback(browser.close)
        yield SdkBrowser(browser, url)
