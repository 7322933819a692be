"""The call that the browser bench measures: a publisher, and viewers who come and go."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from loadtest.bench.relay import Relay
from loadtest.bench.tab import NothingSeenError, Size, tab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from loadtest.bench.tab import Tab
    from loadtest.grounds import Grounds

PUBLISHED: Final = Size(1280, 720, 20)
SENT_BY_VIEWERS: Final = Size(160, 90, 5)
"""As little as somebody can send who takes part."""
TILE_AT_PUBLISHER: Final = Size(320, 180, 0)
UP_PATIENCE_S: Final = 25.0
"""An encoder that starts needs a while before it dares to send its largest layer."""


class BenchCall:
    """One call with its publisher in it; viewers come and go."""

    def __init__(self, ground: Grounds, browser: Browser, room_id: str, publisher: Tab) -> None:
        self.ground = ground
        self.browser = browser
        self.room_id = room_id
        self.publisher = publisher
        self._numbers = itertools.count(1)

    @classmethod
    @contextlib.asynccontextmanager
    async def held(cls, ground: Grounds, browser: Browser) -> AsyncIterator[BenchCall]:
        """A call whose publisher is there."""
        user = await ground.register("publisher")
        room_id = await ground.room(user, "bench")
        async with tab(browser, ground.focus.page_url, user) as publisher:
            await publisher.enter(room_id, ground.device, PUBLISHED, TILE_AT_PUBLISHER)
            yield cls(ground, browser, room_id, publisher)

    @property
    def shown(self) -> str:
        """Whose picture is watched."""
        return self.publisher.user.user_id

    @contextlib.asynccontextmanager
    async def viewer(self) -> AsyncIterator[Tab]:
        """Somebody with a tab, who has not joined yet."""
        user = await self.ground.register(f"viewer{next(self._numbers)}")
        await asyncio.to_thread(user.post, f"/_matrix/client/v3/join/{quote(self.room_id)}")
        async with tab(self.browser, self.ground.focus.page_url, user) as viewer:
            yield viewer

    def relay(self) -> Relay:
        """A relay to the focus."""
        return Relay(("127.0.0.1", self.ground.focus.media_port))

    async def enter(self, viewer: Tab, wanted: Size, relay_port: int | None = None) -> None:
        """Let somebody join."""
        await viewer.enter(self.room_id, self.ground.device, SENT_BY_VIEWERS, wanted, relay_port)

    @contextlib.asynccontextmanager
    async def watching(self, wanted: Size, relay_port: int | None = None) -> AsyncIterator[Tab]:
        """A viewer who sees the publisher."""
        async with self.viewer() as viewer:
            await self.enter(viewer, wanted, relay_port)
            await viewer.first_frame(self.shown, 0)
            yield viewer
            await viewer.leave()

    async def until_largest_is(self, *, sent: bool) -> None:
        """Wait until the publisher's largest layer is being sent, or has not been for a second.

        Raises:
            NothingSeenError: it stays otherwise.
        """
        deadline = time.monotonic() + UP_PATIENCE_S
        before = await self._largest()
        while time.monotonic() < deadline:
            await asyncio.sleep(1.0)
            now = await self._largest()
            if (now > before) is sent:
                return
            before = now
        raise NothingSeenError(f"the largest layer was {'not ' if sent else ''}sent for {UP_PATIENCE_S:g} s")

    async def _largest(self) -> int:
        encodings = await self.publisher.do("return await participant.sentVideo()")
        return int(encodings["f"]["frames"])
