"""A recording over HTTP: streamed as it comes, refused where it must be, over when its reader is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sfu.metrics import Metrics
from signalling.config import Config
from signalling.trace.recordings import MAX_RECORDINGS, Recordings
from signalling.trace.subject import Subject
from signalling.trace.traced import NoTap, Traced
from signalling.web.paths import TRACE
from signalling.web.trace import TraceRoute
from tests.support.eventually import PATIENCE_S, eventually
from tests.unit.focus.stage import FOCUS_DEVICE, FOCUS_USER, Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse

pytestmark = pytest.mark.integration


class Place:
    """A listener with this one route, and a focus that can be recorded."""

    def __init__(self, client: TestClient[web.Request, web.Application]) -> None:
        self.client = client
        self.stage = Stage()
        self.traced = Traced(self.stage.focus)
        self.recordings = Recordings(
            Config(),
            "1.2.3",
            Metrics().failures,
            clock=lambda: self.stage.now,
            wall_clock=lambda: self.stage.wall,
        )

    def attach(self) -> None:
        self.recordings.attach(self.traced, self.stage.focus.surroundings, (FOCUS_USER, FOCUS_DEVICE))
        self.stage.focus = self.traced  # type: ignore[assignment]  # the same, watched

    async def ask(self, **query: str) -> ClientResponse:
        return await self.client.get(TRACE, params=query)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Place]:
    """The place, while it listens."""
    app = web.Application()
    client = TestClient(TestServer(app))
    place = Place(client)
    app.router.add_get(TRACE, TraceRoute(place.recordings).handle)
    async with client:
        yield place


async def next_line(answer: ClientResponse) -> dict[str, object]:
    """The next line that is not empty."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            line = await answer.content.readline()
            assert line, "no more lines"
            if line.strip():
                read: dict[str, object] = json.loads(line)
                return read


async def test_lines_are_streamed_as_turns_are_taken() -> None:
    async with listening() as place:
        place.attach()
        async with await place.ask(user="@alice:example.org", device="ALICE", call="conf-1") as answer:
            assert answer.status == 200
            assert (await next_line(answer))["subject"] == {
                "user_id": "@user1:server1",
                "device_id": "DEVICE1",
                "conf_id": "conf1",
            }
            place.stage.join("alice")
            assert (await next_line(answer))["type"] == "m.room.member"
            place.recordings.close()
            while "end" not in (line := await next_line(answer)):
                pass
            assert line == {"end": "focus_stopped"}


async def test_a_reader_that_goes_away_ends_its_recording() -> None:
    async with listening() as place:
        place.attach()
        answer = await place.ask(user="@alice:example.org")
        await next_line(answer)
        answer.close()
        await eventually(lambda: isinstance(place.traced.tap, NoTap))


async def test_what_can_not_be_recorded_is_refused() -> None:
    async with listening() as place, contextlib.AsyncExitStack() as stack:
        assert (await place.ask(user="@alice:example.org")).status == 503
        place.attach()
        for query in (
            {"user": "@a:b", "seconds": "long"},
            {"user": "@a:b", "seconds": "-1"},
            {"device": "D"},
        ):
            assert (await place.ask(**query)).status == 400
        for _ in range(MAX_RECORDINGS):
            stack.enter_context(place.recordings.open(Subject()))
        assert (await place.ask(user="@alice:example.org")).status == 429
