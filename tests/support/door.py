"""A door in front of a homeserver, for one focus: it can be shut, hold requests back, and change answers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

PATIENCE_S: Final = 60.0
"""For one request: longer than any sync waits."""
_OF_ONE_CONNECTION: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "content-encoding"}
)
"""Headers that are not passed on; bodies go as they are."""


@dataclass(slots=True, eq=False)
class Held:
    """Requests that wait at the door."""

    path: str
    waiting: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Door:
    """Use as `async with Door(homeserver.base_url) as door:`, and give the focus `door.url`.

    Args:
        homeserver_url: whom it leads to.
    """

    def __init__(self, homeserver_url: str) -> None:
        self.url = ""
        self.changes: dict[bytes, bytes] = {}
        """What is put in the place of what, in every answer."""
        self._homeserver_url = homeserver_url
        self._is_open = True
        self._held: list[Held] = []
        self._passing: set[asyncio.Transport] = set()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with contextlib.AsyncExitStack() as stack:
            self._http = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            # Whoever hangs up is not waited for: what is held for them would come as a surprise later.
            runner = web.ServerRunner(web.Server(self._pass, handler_cancellation=True), shutdown_timeout=0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()
        await self._stack.aclose()

    def shut(self) -> None:
        """Break off whatever is being asked, and take no more."""
        self._is_open = False
        for transport in self._passing:
            transport.abort()

    def open(self) -> None:
        """Take requests again."""
        self._is_open = True

    @contextlib.contextmanager
    def holding(self, path: str) -> Iterator[Held]:
        """While inside, requests whose path has this in it wait."""
        held = Held(path)
        self._held.append(held)
        try:
            yield held
        finally:
            self._held.remove(held)
            held.released.set()

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is None or not self._is_open:
            if transport is not None:
                transport.abort()
            return web.Response(status=502)
        self._passing.add(transport)
        try:
            body = await request.read()
            for held in [one for one in self._held if one.path in request.path]:
                held.waiting += 1
                await held.released.wait()
            return await self._ask(request, body)
        except aiohttp.ClientError:
            transport.abort()
            return web.Response(status=502)
        finally:
            self._passing.discard(transport)

    async def _ask(self, request: web.BaseRequest, body: bytes) -> web.Response:
        kept = {name: value for name, value in request.headers.items() if _is_passed_on(name)}
        url = URL(f"{self._homeserver_url}{request.raw_path}", encoded=True)
        async with self._http.request(request.method, url, data=body, headers=kept) as answer:
            said = await answer.read()
            for before, after in self.changes.items():
                said = said.replace(before, after)
            told = {name: value for name, value in answer.headers.items() if _is_passed_on(name)}
            return web.Response(status=answer.status, body=said, headers=told)


def _is_passed_on(header: str) -> bool:
    return header.lower() not in _OF_ONE_CONNECTION
