"""The private listener: metrics, health, and the admin API that `focus status` and `focus calls` read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prometheus_client import CollectorRegistry

    from signalling.config import AdminConfig

API: Final = "/_focus/admin/v1"


class PrivateListener:
    """An aiohttp server over functions that return JSON values."""

    def __init__(
        self,
        config: AdminConfig,
        registry: CollectorRegistry,
        *,
        status: Callable[[], dict[str, Any]],
        calls: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self._config = config
        self._registry = registry
        self._status = status
        self._calls = calls
        self._runner: web.AppRunner | None = None
        self.port = config.port

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            OSError: the address is taken or not ours.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get(f"{API}/status", self._json(self._status))
        app.router.add_get(f"{API}/calls", self._json(lambda: {"calls": self._calls()}))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.host, self._config.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        status = self._status()
        ready = bool(status["ready"])
        return web.json_response(
            {"ready": ready, "homeserver": status["homeserver"]}, status=200 if ready else 503
        )

    @staticmethod
    def _json(read: Callable[[], dict[str, Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            return web.json_response(read())

        return answer
