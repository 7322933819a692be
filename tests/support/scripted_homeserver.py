"""A homeserver that answers as the test says: for what a real one does too seldom, or never should."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from tests.support.eventually import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX: Final = "/_matrix/client/v3"
USER_ID: Final = "@focus:localhost"
DEVICE_ID: Final = "FOCUS"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; a body of bytes goes as it is, anything else as JSON."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0

    def response(self) -> web.Response:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return web.Response(
            body=body, status=self.status, headers={"Content-Type": "application/json", **self.headers}
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    """Below `/_matrix/client/v3`."""
    query: Mapping[str, str]
    token: str | None
    body: Any


def error(errcode: str, status: int = 400, **more: Any) -> Answer:  # noqa: ANN401  # JSON
    """A Matrix error."""
    return Answer({"errcode": errcode, "error": "as scripted", **more}, status)


UNKNOWN_TOKEN: Final = error("M_UNKNOWN_TOKEN", 401)


class ScriptedHomeserver:
    """Use as `async with ScriptedHomeserver() as homeserver:`.

    Paths are matched by their beginning, the longest first; scripted answers are given
    once each, in order, then the usual one.
    A sync without a scripted answer waits until there is one.
    """

    def __init__(self, port: int = 0) -> None:
        self.asked: list[Asked] = []
        self.usual: dict[str, Answer] = {
            "/account/whoami": Answer({"user_id": USER_ID, "device_id": DEVICE_ID}),
            "/login": Answer({"user_id": USER_ID, "device_id": DEVICE_ID, "access_token": "new-token"}),
            "/keys/upload": Answer({"one_time_key_counts": {"signed_curve25519": 50}}),
            "/keys/query": Answer({"device_keys": {}}),
            "/keys/claim": Answer({"one_time_keys": {}}),
            "/joined_rooms": Answer({"joined_rooms": []}),
            "/sendToDevice/": Answer(),
            "/rooms/": Answer([]),
        }
        self._scripts: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._syncs: asyncio.Queue[Answer] = asyncio.Queue()
        self._news = asyncio.Condition()
        self._port = port
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = int(self._runner.addresses[0][1])
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def script(self, path: str, *answers: Answer) -> None:
        """Answer the next requests below a path so."""
        self._scripts[path].extend(answers)

    def sync(self, body: Any = None, **more: Any) -> None:  # noqa: ANN401  # JSON
        """Answer the next sync so: `body`, or an object with a `next_batch` and `more`."""
        self._syncs.put_nowait(
            body
            if isinstance(body, Answer)
            else Answer({"next_batch": "s", **more} if body is None else body)
        )

    def requests(self, path: str) -> list[Asked]:
        """What was asked below a path, in order."""
        return [asked for asked in self.asked if asked.path.startswith(path)]

    async def until(self, path: str, count: int = 1) -> list[Asked]:
        """Wait until so many requests below a path have come."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: len(self.requests(path)) >= count)
        return self.requests(path)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.text()
        authorization = request.headers.get("Authorization")
        asked = Asked(
            request.method,
            request.path.removeprefix(PREFIX),
            dict(request.query),
            None if authorization is None else authorization.removeprefix("Bearer "),
            json.loads(body) if body else None,
        )
        async with self._news:
            self.asked.append(asked)
            self._news.notify_all()
        answer = await self._choose(asked.path)
        await asyncio.sleep(answer.delay_s)
        return answer.response()

    async def _choose(self, path: str) -> Answer:
        scripts = {beginning: script for beginning, script in self._scripts.items() if script}
        beginning = _longest(scripts, path)
        if beginning is not None:
            return scripts[beginning].popleft()
        if path == "/sync":
            return await self._syncs.get()
        beginning = _longest(self.usual, path)
        return error("M_UNRECOGNIZED", 404) if beginning is None else self.usual[beginning]


def _longest(beginnings: Iterable[str], path: str) -> str | None:
    return max((one for one in beginnings if path.startswith(one)), key=len, default=None)
