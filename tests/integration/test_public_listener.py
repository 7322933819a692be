"""The public listener: the page's files, what it tells the page, and what it does not show."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from signalling.config import WebConfig
from signalling.web.public import PublicListener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.integration

FOCI = [{"user_id": "@focus:example.org", "device_id": "FOCUS"}]


@dataclass
class Readings:
    is_ready: bool = True
    told: list[dict[str, Any]] = field(default_factory=lambda: list(FOCI))

    def foci(self) -> list[dict[str, Any]]:
        return self.told


@asynccontextmanager
async def browsing(readings: Readings | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    listener = PublicListener(WebConfig(port=0), "https://matrix.example.org", readings or Readings())
    await listener.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{listener.port}") as browser:
            yield browser
    finally:
        await listener.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/focus-client.js", "text/javascript"), ("/page.css", "text/css")],
)
async def test_the_page_is_served_with_the_types_that_browsers_insist_on(path: str, kind: str) -> None:
    async with browsing() as browser, browser.get(path) as answer:
        assert answer.status == 200
        assert answer.content_type == kind
        assert await answer.text()


async def test_the_page_may_run_no_code_of_others_and_be_framed_by_any_client() -> None:
    async with browsing() as browser:
        for path in ("/", "/config.json", "/no-such-file"):
            async with browser.get(path) as answer:
                policy = answer.headers["Content-Security-Policy"].split("; ")
            assert "script-src 'self' 'wasm-unsafe-eval'" in policy
            assert "frame-ancestors *" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_that_did_not_change_is_not_sent_again() -> None:
    async with browsing() as browser:
        async with browser.get("/focus-client.js") as first:
            tag = first.headers["ETag"]
        async with browser.get("/focus-client.js", headers={"If-None-Match": tag}) as again:
            assert again.status == 304
            assert await again.read() == b""


@pytest.mark.parametrize(
    "path",
    ["/../config.py", "/%2e%2e/config.py", "/..%2f..%2fconfig.py", "/%2fetc/passwd", "/page", "/page/"],
)
async def test_nothing_but_the_files_of_the_page_is_shown(path: str) -> None:
    async with browsing() as browser, browser.get(URL(path, encoded=True)) as answer:
        assert answer.status in {403, 404}


async def test_the_page_is_told_of_the_homeserver_and_of_this_focus() -> None:
    async with browsing() as browser, browser.get("/config.json") as answer:
        assert await answer.json() == {
            "version": version("matrix-focus"),
            "homeserver_url": "https://matrix.example.org",
            "foci": FOCI,
        }


async def test_health_says_no_more_than_whether_the_focus_works() -> None:
    readings = Readings()
    async with browsing(readings) as browser:
        async with browser.get("/health/ready") as answer:
            assert (answer.status, await answer.json()) == (200, {"ready": True})
        readings.is_ready = False
        async with browser.get("/health/ready") as answer:
            assert (answer.status, await answer.json()) == (503, {"ready": False})
        async with browser.get("/health/live") as answer:
            assert (answer.status, await answer.json()) == (200, {"live": True})


@pytest.mark.parametrize("path", ["/metrics", "/_focus/admin/v1/status", "/_focus/admin/v1/calls"])
async def test_what_is_private_is_not_here(path: str) -> None:
    async with browsing() as browser, browser.get(path) as answer:
        assert answer.status == 404
