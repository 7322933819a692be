"""What media keys do without a call: cipher, key ring, rotation and messages, in a real browser.

Some 4 s on a quiet machine.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from signalling.config import WebConfig
from signalling.web.public import PublicListener
from tests.e2e.browsers import FLAGS
from tests.support.live_browser import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

CHECKS: Final = Path(__file__).with_name("media_keys_checks.js").read_text(encoding="utf-8")
NAMES: Final = re.findall(r'^  "(.+)": async', CHECKS, flags=re.MULTILINE)


class NoFocus:
    is_ready = False

    def foci(self) -> list[dict[str, Any]]:
        return []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[Page]:
    listener = PublicListener(WebConfig(port=0), "", NoFocus())
    await listener.start()
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS], headless=True)
            page = await browser.new_page()
            await page.goto(f"http://127.0.0.1:{listener.port}/config.json")
            await page.evaluate(CHECKS)
            yield page
            await browser.close()
    finally:
        await listener.close()


@pytest.mark.parametrize("name", NAMES)
async def test_check(page: Page, name: str) -> None:
    await page.evaluate(f"() => checks[{json.dumps(name)}]()")


async def test_no_check_is_left_out(page: Page) -> None:
    assert await page.evaluate("() => Object.keys(checks)") == NAMES
