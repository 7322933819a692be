"""The private listener: metrics, health, and the admin API that `focus status` and `focus calls` read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from signalling.web.paths import CALLS, STATUS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from prometheus_client import CollectorRegistry

    from signalling.config import AdminConfig

    Stream = Callable[[web.Request], Awaitable[web.StreamResponse]]

SHUTDOWN_S: Final = 0.5
"""How long a request may keep the process from ending. Lower: a scrape at that moment is cut off."""


class Readings(Protocol):
    """What the listener reads; nothing of it waits."""

    def status(self) -> dict[str, Any]:
        """A JSON object, with `ready` (a boolean) and `homeserver` (in words) in it."""
        ...

    def calls(self) -> list[dict[str, Any]]:
        """One JSON object a call."""
        ...

    def refresh_gauges(self) -> None:
        """Bring up to date what is read at each scrape."""
        ...


class PrivateListener:
    """An aiohttp server over what the focus says of itself.

    Args:
        config: where it listens.
        registry: of the metrics.
        readings: of everything else.
        streams: answers that take time, by path.
        commands: what is done on POST, by path.
    """

    def __init__(
        self,
        config: AdminConfig,
        registry: CollectorRegistry,
        readings: Readings,
        streams: Mapping[str, Stream] | None = None,
        commands: Mapping[str, Stream] | None = None,
    ) -> None:
        self._config = config
        self._registry = registry
        self._readings = readings
        self._streams = streams or {}
        self._commands = commands or {}
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
        app.router.add_get(STATUS, _json(self._readings.status))
        app.router.add_get(CALLS, _json(lambda: {"calls": self._readings.calls()}))
        for path, stream in self._streams.items():
            app.router.add_get(path, stream)
        for path, command in self._commands.items():
            app.router.add_post(path, command)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.host, self._config.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        self._readings.refresh_gauges()
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        status = self._readings.status()
        ready = bool(status["ready"])
        return web.json_response(
            {"ready": ready, "homeserver": status["homeserver"]}, status=200 if ready else 503
        )


def _json(read: Callable[[], dict[str, Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(read())

    return answer
