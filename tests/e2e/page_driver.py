"""The page of the focus in real Chromium, driven as a person and as a client developer would."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from playwright.async_api import async_playwright

from loadtest.client.scene import AUDIO, VIDEO, Party
from tests.e2e.watching import FRAMES, PATIENCE_S, until_told
from tests.support.live_browser import CHROMIUM, CHROMIUM_FLAGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from playwright.async_api import Browser, BrowserContext, Page

FLAGS: Final = (
    *CHROMIUM_FLAGS,
    # Three encodings of a picture as small as ours.
    "--force-fieldtrials=WebRTC-LegacySimulcastLayerLimit/Disabled/",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    # A headless page gets no click before its sound.
    "--autoplay-policy=no-user-gesture-required",
)
WIDE: Final = (1400, 900)
NARROW: Final = (390, 844)
PATTERN: Final[Mapping[str, Any]] = {"width": 320, "height": 180, "fps": 15}
"""A test pattern that costs little."""
JOIN_PATIENCE_S: Final = 60.0


class CallPage:
    """One tab with the page.

    Args:
        page: of playwright.
        url: of the page, without a fragment.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.mistakes: list[str] = []
        """What the page's scripts threw."""
        page.on("pageerror", lambda error: self.mistakes.append(str(error)))

    async def open(self, fragment: str = "") -> None:
        """Load the page afresh."""
        await self.page.goto("about:blank")
        await self.page.goto(f"{self.url}{fragment}")

    async def open_demo(self, room: str, **more: Any) -> None:  # noqa: ANN401  # JSON
        """Load the page as a demo's link does. `more` is of its JSON."""
        await self.open(f"#demo={quote(json.dumps({'room': room, **PATTERN, **more}), safe='')}")

    async def do(self, script: str) -> Any:  # noqa: ANN401  # JSON
        """The value of a script, promises awaited; `matrixFocus` holds what is alive in the page."""
        return await self.page.evaluate(f"(async () => {script})()")

    async def fill(self, **fields: str) -> None:
        """Fill in fields of the lobby by their ids."""
        for name, text in fields.items():
            await self.page.fill(f"#{name}", text)

    async def choose(self, group: str, value: str) -> None:
        """Choose one of several in the lobby."""
        await self.page.locator(f'input[name="{group}"][value="{value}"]').check(force=True)

    async def join(self) -> None:
        """Press the lobby's button, and wait until the call is there."""
        await self.page.click("#join")
        await self.is_in()

    async def is_in(self) -> None:
        """Wait until the call is there."""
        await self.until(
            "document.querySelector('#call:not([hidden])') && matrixFocus.client?.phase === 'connected'",
            "the page is in the call",
            JOIN_PATIENCE_S,
        )

    async def party(self) -> Party:
        """Who the page is."""
        user_id, device_id = await self.do("[matrixFocus.matrix.userId, matrixFocus.matrix.deviceId]")
        return Party(user_id, device_id)

    async def until(self, condition: str, what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until a script gives something true."""

        async def ask() -> object:
            return await self.do(condition)

        try:
            await until_told(ask, what, patience_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self.story()}") from None

    async def press(self, control: str) -> None:
        """Click one of the call's buttons."""
        await self.page.click(f'[data-control="{control}"]')

    async def notices(self) -> list[str]:
        """The texts of what is shown over the page."""
        return list(
            await self.do("[...document.querySelectorAll('.notice p')].map((one) => one.textContent)")
        )

    async def tiles(self) -> dict[str, dict[str, Any]]:
        """What can be seen of every tile, by its label."""
        return dict(
            await self.do("""Object.fromEntries([...matrixFocus.call.tiles.all.values()].map((tile) => [
                tile.element.getAttribute("aria-label"), {
                    width: tile.element.offsetWidth,
                    height: tile.element.offsetHeight,
                    badge: tile.element.querySelector(".tile-badge").textContent,
                    audioOff: !tile.element.querySelector(".tile-muted-audio").hidden,
                    videoOff: !tile.element.querySelector(".tile-muted-video").hidden,
                    pictureWidth: tile.video.videoWidth,
                    isDark: tile.element.classList.contains("tile-dark"),
                },
            ]))""")
        )

    async def received(self, owner: Party, kind: str, purpose: str = "m.usermedia") -> dict[str, Any]:
        """The statistics of somebody's track; empty while there are none."""
        return dict(
            await self.do(f"""{{
                await matrixFocus.stats?.sample();
                for (const stream of matrixFocus.client?.streams.values() ?? []) {{
                    if (stream.userId !== {json.dumps(owner.user_id)}) continue;
                    if (stream.purpose !== {json.dumps(purpose)}) continue;
                    for (const track of stream.tracks.values()) {{
                        const row = matrixFocus.stats.received.get(track.mid);
                        if (track.kind === {json.dumps(kind)} && row?.kind === track.kind) return row;
                    }}
                }}
                return {{}};
            }}""")
        )

    async def sees(self, owner: Party, purpose: str = "m.usermedia") -> None:
        """Wait until somebody's new pictures have been decoded."""
        await self._grows(owner, VIDEO, purpose, "frames", FRAMES)

    async def hears(self, owner: Party) -> None:
        """Wait until somebody's sound comes, and is sound."""
        await self._grows(owner, AUDIO, "m.usermedia", "energy", 0)

    async def meets(self, *others: Party) -> None:
        """Wait until everybody of these is seen and heard."""
        for other in others:
            await self.sees(other)
            await self.hears(other)

    async def messages(self) -> list[dict[str, Any]]:
        """Every signalling message so far."""
        return list(await self.do("matrixFocus.log.entries"))

    async def fire(self, fault: str) -> None:
        """Press a fault's button in the panel."""
        await self.do("matrixFocus.call.panel.open('Faults')")
        await self.page.click(f'button[data-fault="{fault}"]')

    async def faults_said(self, fault: str) -> list[str]:
        """What the panel says of a fault, oldest first."""
        lines = f"[...document.querySelectorAll('.fault-log li[data-fault=\"{fault}\"]')]"
        return list(await self.do(f"{lines}.map((one) => one.textContent).reverse()"))

    async def fault_says(self, fault: str, text: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until the panel says something of a fault."""

        async def said() -> bool:
            return any(text in line for line in await self.faults_said(fault))

        try:
            await until_told(said, f"{fault}: {text}", patience_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self.story()}") from None

    async def overflow(self) -> list[str]:
        """Elements that make the page wider than its window; empty where all fits."""
        return list(
            await self.do("""document.documentElement.scrollWidth <= innerWidth ? [] :
                [...document.querySelectorAll("body *")]
                    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
                    .map((one) => `${one.tagName} ${one.id} ${one.className}`)""")
        )

    async def resize(self, size: tuple[int, int]) -> None:
        """Give the window another size."""
        await self.page.set_viewport_size({"width": size[0], "height": size[1]})

    async def story(self) -> str:
        """What the page knows, for a failure's text."""
        told = await self.do("""({
            phase: matrixFocus.client?.phase,
            ice: matrixFocus.client?.pc?.iceConnectionState,
            notices: [...document.querySelectorAll(".notice p, .field-error")].map((one) => one.textContent),
            streams: [...matrixFocus.client?.streams.values() ?? []].map((one) => [one.userId, one.purpose]),
            faults: [...document.querySelectorAll(".fault-log li")].map((one) => one.textContent).reverse(),
            messages: (matrixFocus.log?.entries ?? []).slice(-30).map((one) => [
                one.at % 1000000, one.direction, one.via, one.type, one.content.description?.type,
                one.content.reason, one.note,
            ].filter(Boolean).join(" ")),
        })""")
        return json.dumps({**told, "mistakes": self.mistakes}, indent=1)

    async def _grows(self, owner: Party, kind: str, purpose: str, name: str, amount: float) -> None:
        before = (await self.received(owner, kind, purpose)).get(name, 0)
        seen: dict[str, Any] = {}

        async def has_grown() -> bool:
            seen.clear()
            seen.update(await self.received(owner, kind, purpose))
            # A new leg counts anew.
            return bool(seen.get(name, 0) > before + amount or 0 < seen.get(name, 0) < before)

        try:
            await until_told(has_grown, f"the page gets {kind} of {owner.user_id}", JOIN_PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen}\n{await self.story()}") from None


class PageBrowser:
    """A running Chromium for pages of one focus.

    Args:
        browser: of playwright.
        url: where the focus serves its page.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url

    @contextlib.asynccontextmanager
    async def page(self, size: tuple[int, int] = WIDE, **context: Any) -> AsyncIterator[CallPage]:  # noqa: ANN401  # of playwright
        """A page in a profile of its own; at the end its scripts have thrown nothing."""
        profile = await self._profile(size, **context)
        try:
            page = CallPage(await profile.new_page(), self._url)
            yield page
            assert page.mistakes == [], page.mistakes
        finally:
            await profile.close()

    async def _profile(self, size: tuple[int, int], **context: Any) -> BrowserContext:  # noqa: ANN401  # of playwright
        return await self._browser.new_context(
            permissions=["camera", "microphone"], viewport={"width": size[0], "height": size[1]}, **context
        )


@contextlib.asynccontextmanager
async def page_browser(url: str, program: str = CHROMIUM) -> AsyncIterator[PageBrowser]:
    """Debian's Chromium, or a twin of it, for the page that a focus serves at `url`."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=[*FLAGS], headless=True)
        try:
            yield PageBrowser(browser, url)
        finally:
            await browser.close()
