"""The public listener: the page, what it needs to know of this focus, and health for a reverse proxy."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web
from aiohttp.web_fileresponse import CONTENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signalling.config import WebConfig

SHUTDOWN_S: Final = 0.5
"""How long a request may keep the process from ending. Lower: a page that loads at that moment is cut off."""

STATIC: Final = Path(__file__).with_name("static")
PAGE_CONFIG: Final = "/config.json"

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        # The Olm machine is WebAssembly.
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        # A person may name any homeserver.
        "connect-src *",
        "img-src 'self' data: blob:",
        "media-src 'self' blob: mediastream:",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        # A widget is a page in somebody else's frame.
        "frame-ancestors *",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # The address of a page may hold the name of a room.
    "Referrer-Policy": "no-referrer",
    # A new version of the page counts from its next load on; unchanged files cost a question each.
    "Cache-Control": "no-cache",
}


class PublicReadings(Protocol):
    """What the listener reads; nothing of it waits."""

    @property
    def is_ready(self) -> bool:
        """Whether an invite would be answered now."""
        ...

    def foci(self) -> list[dict[str, Any]]:
        """This focus as clients are told of it (protocol: section 3.3); empty before it has logged in."""
        ...


class PublicListener:
    """An aiohttp server over the files of the page. Who may see them is left to a reverse proxy.

    Args:
        config: where it listens.
        homeserver_url: what the page offers to log in to.
        readings: of the focus.
    """

    def __init__(self, config: WebConfig, homeserver_url: str, readings: PublicReadings) -> None:
        self._config = config
        self._homeserver_url = homeserver_url
        self._readings = readings
        self._runner: web.AppRunner | None = None
        self.port = config.port

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            OSError: the address is taken or not ours.
        """
        # What a machine's own tables say of these differs (aiohttp has a copy), and browsers are strict.
        CONTENT_TYPES.add_type("text/javascript", ".js")
        CONTENT_TYPES.add_type("application/wasm", ".wasm")
        app = web.Application(middlewares=[_with_headers])
        app.router.add_get("/", _index)
        app.router.add_get(PAGE_CONFIG, self._page_config)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_static("/", STATIC)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._config.host, self._config.port).start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _page_config(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "version": version("matrix-focus"),
                "homeserver_url": self._homeserver_url,
                "foci": self._readings.foci(),
            }
        )

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        ready = self._readings.is_ready
        return web.json_response({"ready": ready}, status=200 if ready else 503)


async def _index(_: web.Request) -> web.StreamResponse:
    return web.FileResponse(STATIC / "index.html")


@web.middleware
async def _with_headers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        refusal.headers.update(_HEADERS)
        raise
    response.headers.update(_HEADERS)
    return response
