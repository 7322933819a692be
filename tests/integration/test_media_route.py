"""A recording of media's control over HTTP: streamed as it comes, refused where it must be."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sfu.allocation.policies.utility import utility
from sfu.metrics import Metrics
from sfu.recording.file import ALIVE, MAGIC, End, frames_of
from sfu.recording.replay import Replay, read_recording
from sfu.recording.watched import NoTap
from sfu.runtime.media_recording import MediaRecordings
from signalling.web.media import MediaRoute
from signalling.web.paths import MEDIA
from tests.support.eventually import eventually
from tests.unit.recording.calls import VERSION, Call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse

pytestmark = pytest.mark.integration


class Place:
    """A listener with this one route, and a call that can be recorded."""

    def __init__(self, client: TestClient[web.Request, web.Application]) -> None:
        self.client = client
        self.call = Call()
        self.recordings = MediaRecordings(VERSION, "utility", Metrics().failures, clock=lambda: self.call.now)

    def attach(self) -> None:
        self.recordings.attach(self.call.control)

    async def ask(self, **query: str) -> ClientResponse:
        return await self.client.get(MEDIA, params=query)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Place]:
    """The place, while it listens."""
    app = web.Application()
    place = Place(TestClient(TestServer(app)))
    app.router.add_get(MEDIA, MediaRoute(place.recordings).handle)
    async with place.client:
        yield place


async def test_what_is_streamed_is_a_recording_that_can_be_replayed() -> None:
    async with listening() as place:
        place.attach()
        async with await place.ask() as answer:
            assert answer.status == 200
            assert await answer.content.readexactly(len(MAGIC)) == MAGIC
            assert await answer.content.readexactly(len(ALIVE)) == ALIVE
            place.call.play(30)
            place.recordings.close()
            data = MAGIC + await answer.content.read()
    assert list(frames_of([data]))[-1] == End("focus_stopped")
    recording = read_recording([data])
    replay = Replay(recording.memory, utility)
    for step in recording.steps:
        replay.step(step)
    assert replay.agreement.decisions > 100
    assert replay.agreement.different == 0
    assert replay.decisions.tobytes() == place.call.control.control.decisions.tobytes()


async def test_a_reader_that_goes_away_ends_its_recording() -> None:
    async with listening() as place:
        place.attach()
        answer = await place.ask()
        assert not isinstance(place.call.control.tap, NoTap)
        answer.close()
        await eventually(lambda: isinstance(place.call.control.tap, NoTap))


async def test_it_is_no_larger_than_it_was_asked_for() -> None:
    async with listening() as place:
        place.attach()
        async with await place.ask(max_mb="0.005") as answer:
            place.call.play(200)
            data = await answer.read()
    assert list(frames_of([data]))[-1] == End("max_mb")
    assert 5_000 < len(data) < 15_000


async def test_what_can_not_be_recorded_is_refused() -> None:
    async with listening() as place:
        assert (await place.ask()).status == 503
        place.attach()
        for query in ({"seconds": "long"}, {"seconds": "-1"}, {"max_mb": "nan"}, {"packets": "yes"}):
            assert (await place.ask(**query)).status == 400
        with place.recordings.open():
            assert (await place.ask()).status == 429
