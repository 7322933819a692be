"""Tabs of a real Chromium that take part in calls and tell what they see, in milliseconds of one clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from loadtest.homeserver.users import User
    from signalling.events.room_state import FocusDevice

SCRIPT: Final = "tab.js"
PATIENCE_S: Final = 30.0
"""A figure that takes longer than this is none."""
POLL_S: Final = 0.02
FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--force-fieldtrials=WebRTC-LegacySimulcastLayerLimit/Disabled/",
)


class BrowserMissingError(Exception):
    """There is no browser to measure with, or nothing to drive it."""


class NothingSeenError(Exception):
    """What was waited for did not happen: the measurement is not valid."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a picture."""

    width: int
    height: int
    fps: int


@contextlib.asynccontextmanager
async def chromium(path: str) -> AsyncIterator[Browser]:
    """A headless Chromium.

    Raises:
        BrowserMissingError: it or playwright is not installed.
    """
    try:
        # Only this bench needs it, and only developers have it.
        from playwright.async_api import Error, async_playwright  # noqa: PLC0415
    except ImportError as error:
        raise BrowserMissingError("playwright is not installed: pip install 'matrix-focus[dev]'") from error
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(executable_path=path, args=[*FLAGS], headless=True)
        except Error as error:
            raise BrowserMissingError(f"{path}: {error}") from error
        try:
            yield browser
        finally:
            await browser.close()


class Tab:
    """One tab on the focus's own origin, as one user.

    Args:
        page: a blank one of the origin, with the script in it.
        user: as whom.
    """

    def __init__(self, page: Page, user: User) -> None:
        self.user = user
        self.page = page

    async def enter(
        self, room_id: str, focus: FocusDevice, size: Size, wanted: Size, relay_port: int | None = None
    ) -> None:
        """Join a call.

        Args:
            room_id: the call's.
            focus: to dial.
            size: of what is sent.
            wanted: size of the tile in which each other is shown.
            relay_port: where media goes instead of to the focus.
        """
        options = {
            "session": session_of(self.user),
            "roomId": room_id,
            "focus": {"user_id": focus.user_id, "device_id": focus.device_id},
            "size": {"width": size.width, "height": size.height, "fps": size.fps},
            "wanted": {"width": wanted.width, "height": wanted.height},
            "relayPort": relay_port,
        }
        # What is sent is made once: a camera runs before somebody joins.
        await self.do(
            "const before = window.participant?.local;"
            f"window.participant = new bench.Participant({json.dumps(options)});"
            "window.participant.local = before; await participant.join()"
        )

    async def leave(self) -> None:
        """Leave the call; the source stays."""
        await self.do("await participant.leave()")

    async def do(self, script: str) -> Any:  # noqa: ANN401  # JSON
        """What a script returns, promises awaited."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.page.evaluate(f"(async () => {{ {script} }})()")

    async def frames(self, user_id: str, since: float) -> list[tuple[float, int]]:
        """The frames of somebody that were shown since: time and height of each."""
        found = await self.do(
            f"return (participant.of({json.dumps(user_id)}).watch?.frames ?? [])"
            f".filter((frame) => frame.at > {since}).map((frame) => [frame.at, frame.height])"
        )
        return [(float(at), int(height)) for at, height in found]

    async def first_frame(self, user_id: str, since: float, height: int = 0) -> float:
        """When somebody's first frame since was shown, of at least this height.

        Raises:
            NothingSeenError: there was none.
        """
        return await self._until(
            f"(participant.of({json.dumps(user_id)}).watch?.frames ?? [])"
            f".find((frame) => frame.at > {since} && frame.height >= {height})?.at",
            f"a picture of {user_id}, {height} lines or more",
        )

    async def first_sound(self, user_id: str) -> float:
        """When somebody was first heard.

        Raises:
            NothingSeenError: nobody was.
        """
        return await self._until(
            f"participant.of({json.dumps(user_id)}).ear?.heardAt", f"the sound of {user_id}"
        )

    async def _until(self, expression: str, what: str) -> float:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            value = await self.do(f"return {expression} ?? null")
            if value is not None:
                return float(value)
            if time.monotonic() > deadline:
                raise NothingSeenError(f"{self.user.user_id} waited {PATIENCE_S:g} s for {what}")
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def tab(browser: Browser, page_url: str, user: User) -> AsyncIterator[Tab]:
    """A tab in a window of its own, on the origin of the focus's page."""
    # Our script is none of the page's.
    context = await browser.new_context(bypass_csp=True)
    try:
        await context.add_init_script((files("loadtest.bench") / SCRIPT).read_text(encoding="utf-8"))
        page = await context.new_page()
        # Of this origin, so that the client's modules may be imported, and without the page around it.
        await page.goto(f"{page_url}config.json")
        yield Tab(page, user)
    finally:
        await context.close()


def session_of(user: User) -> dict[str, str]:
    """A user as the focus's client knows a session."""
    return {
        "baseUrl": user.base_url,
        "userId": user.user_id,
        "deviceId": user.device_id,
        "accessToken": user.access_token,
    }
