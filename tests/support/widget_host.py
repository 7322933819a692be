"""A Matrix client that opens a page as a widget, in Chromium (`tests/npm/widget-host.js`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from playwright.async_api import async_playwright

from tests.support.eventually import PATIENCE_S
from tests.support.live_browser import CHROMIUM, CHROMIUM_FLAGS
from tests.support.npm import ENTRIES, bundle, node_modules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Frame, Page

    from loadtest.homeserver.users import User

STATIC: Final = Path(__file__).parents[2] / "signalling" / "web" / "static"
BARE: Final = Path(__file__).with_name("bare_widget")
FLAGS: Final = (
    *CHROMIUM_FLAGS,
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--force-fieldtrials=WebRTC-LegacySimulcastLayerLimit/Disabled/",
    "--autoplay-policy=no-user-gesture-required",
)
CRYPTO: Final = "@matrix-org/matrix-sdk-crypto-wasm/pkg"
PARAMETERS: Final = "&".join(
    (
        "roomId=$matrix_room_id",
        "userId=$matrix_user_id",
        "deviceId=$org.matrix.msc3819.matrix_device_id",
        "baseUrl=$org.matrix.msc4039.matrix_base_url",
        "theme=$org.matrix.msc2873.client_theme",
        "lang=$org.matrix.msc2873.client_language",
    )
)
"""What docs/widget.md puts behind the # of the widget's URL."""
ENCRYPTED: Final = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}
"""Of the people in such rooms, hosts know the devices."""
_POLL_S: Final = 0.02


class WidgetHost:
    """One tab with a client in it, which shows one widget.

    Args:
        page: of the client.
        user: who is logged in there.
    """

    def __init__(self, page: Page, user: User) -> None:
        self.page = page
        self.user = user

    async def do(self, script: str) -> Any:  # noqa: ANN401  # JSON
        """The value of a script in the client (`host`), promises awaited."""
        return await self.page.evaluate(f"(async () => {script})()")

    @property
    def frame(self) -> Frame:
        """The widget's frame."""
        return next(frame for frame in self.page.frames if frame.parent_frame is not None)

    async def widget(self, script: str) -> Any:  # noqa: ANN401  # JSON
        """The value of a script in the widget, promises awaited."""
        return await self.frame.evaluate(f"(async () => {script})()")

    async def outcome(self, script: str) -> dict[str, Any]:
        """What becomes of a promise in the widget: `value`, or what an error says of itself."""
        outcome: dict[str, Any] = await self.widget(f"outcome({script})")
        return outcome

    async def knows(self, user: User, patience_s: float = PATIENCE_S) -> None:
        """Wait until the client can encrypt for somebody's device; they share an encrypted room.

        Raises:
            AssertionError: it never could.
        """
        deadline = time.monotonic() + patience_s
        while not await self.do(f"host.knows({json.dumps(user.user_id)}, {json.dumps(user.device_id)})"):
            assert time.monotonic() < deadline, f"{user.user_id} has no keys as the client sees it"
            await asyncio.sleep(_POLL_S)

    async def reload(self) -> None:
        """Load the page of the widget anew, in its frame."""
        async with self.page.expect_event("framenavigated"):
            await self.widget("void location.reload()")
        await self.frame.wait_for_load_state()

    async def is_so(self, script: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until something is so in the widget.

        Raises:
            AssertionError: it never was.
        """
        deadline = time.monotonic() + patience_s
        while not await self.widget(script):
            assert time.monotonic() < deadline, f"never so in the widget: {script}"
            await asyncio.sleep(_POLL_S)


class WidgetHosts:
    """A browser, the page of the host client, and a bare widget on another origin."""

    def __init__(self, browser: Browser, host_url: str, bare_url: str) -> None:
        self.browser = browser
        self._host_url = host_url
        self.bare_url = bare_url

    @contextlib.asynccontextmanager
    async def open(self, user: User, room_id: str, template: str, **more: Any) -> AsyncIterator[WidgetHost]:  # noqa: ANN401  # options of the page
        """Log in and show a widget.

        Args:
            user: has joined the room, and is logged in nowhere else.
            room_id: the widget's.
            template: URL of the widget, as it stands in a room.
            more: further options of the host page.
        """
        context = await self.browser.new_context(permissions=["camera", "microphone"])
        try:
            page = await context.new_page()
            await page.goto(self._host_url)
            options = {
                "baseUrl": user.base_url,
                "accessToken": user.access_token,
                "userId": user.user_id,
                "deviceId": user.device_id,
                "roomId": room_id,
                "template": template,
                **more,
            }
            await page.evaluate(f"openHost({json.dumps(options)})")
            host = WidgetHost(page, user)
            await host.frame.wait_for_url(lambda url: "widgetId=" in url)
            yield host
        finally:
            await context.close()


@contextlib.asynccontextmanager
async def widget_hosts() -> AsyncIterator[WidgetHosts]:
    """Chromium, and the pages on loopback: there they may use the camera."""
    async with contextlib.AsyncExitStack() as stack:
        bundled = await asyncio.to_thread(bundle, ENTRIES / "widget-host.js")
        host_url = await _serve(stack, {"/pkg": node_modules() / CRYPTO, "/": bundled.parent})
        bare_url = await _serve(stack, {"/bare": BARE, "/": STATIC})
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS], headless=True)
        stack.push_async_callback(browser.close)
        yield WidgetHosts(browser, f"{host_url}/index.html", f"{bare_url}/bare/index.html")


async def _serve(stack: contextlib.AsyncExitStack, folders: dict[str, Path]) -> str:
    application = web.Application()
    for prefix, folder in folders.items():
        application.router.add_static(prefix, folder)
    runner = web.AppRunner(application)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
