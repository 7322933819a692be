from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from loadtest.peers.janus_session import JanusSession, description
from loadtest.peers.sfu import PeerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Message = dict[str, Any]
OPENED: Message = {"janus": "success", "data": {"id": 77}}


@contextlib.asynccontextmanager
async def session(*says: list[Message]) -> AsyncIterator[tuple[JanusSession, list[Message]]]:
    """A session with a server that says these things to each request, and what it was asked."""
    asked: list[Message] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for answers in says:
            asked.append(await socket.receive_json())
            for answer in answers:
                await socket.send_json({"transaction": asked[-1]["transaction"], **answer})
        await socket.close()
        return socket

    application = web.Application()
    application.router.add_get("/", serve)
    async with TestClient(TestServer(application)) as client, client.ws_connect("/") as socket:
        yield JanusSession(socket), asked


async def test_requests_carry_the_sessions_id_once_there_is_one() -> None:
    async with session([OPENED], [{"janus": "success", "data": {"id": 5}}]) as (janus, asked):
        await janus.open()
        assert await janus.attach() == 5
    assert "session_id" not in asked[0]
    assert (asked[1]["session_id"], asked[1]["plugin"]) == (77, "janus.plugin.videoroom")


async def test_the_plugins_answer_comes_after_an_ack_and_events_of_others() -> None:
    event: Message = {
        "janus": "event",
        "plugindata": {"data": {"id": 9}},
        "jsep": {"type": "answer", "sdp": "v=0"},
    }
    other: Message = {"janus": "media", "sender": 4, "transaction": "another"}
    async with session([{"janus": "ack"}, other, event]) as (janus, asked):
        answer = await janus.tell(5, {"request": "join"}, {"type": "offer", "sdp": "v=0"})
    assert (answer["plugindata"]["data"]["id"], description(answer)) == (9, "v=0")
    assert (asked[0]["handle_id"], asked[0]["jsep"]["type"]) == (5, "offer")


async def test_a_handle_is_connected_when_its_own_media_can_flow() -> None:
    says: list[Message] = [{"janus": "ack"}, {"janus": "event"}, {"janus": "webrtcup", "sender": 4}]
    says += [{"janus": "webrtcup", "sender": 5}, {"janus": "media", "sender": 5}]
    async with session(says) as (janus, _):
        await janus.tell(5, {"request": "publish"})
        await janus.connected(5)


async def test_a_refusal_says_what_was_refused_and_why() -> None:
    refused: Message = {
        "janus": "event",
        "plugindata": {"data": {"error": "No such feed", "error_code": 428}},
    }
    async with session([refused], [{"janus": "error", "error": {"code": 458}}]) as (janus, _):
        with pytest.raises(PeerError, match="janus: join: No such feed"):
            await janus.tell(5, {"request": "join"})
        with pytest.raises(PeerError, match="458"):
            await janus.attach()


async def test_a_connection_that_ends_is_no_answer() -> None:
    async with session([]) as (janus, _):
        with pytest.raises(PeerError, match="no answer to create"):
            await janus.open()
        with pytest.raises(PeerError, match="did not connect"):
            await janus.connected(5)


def test_a_message_without_a_description_has_none() -> None:
    with pytest.raises(PeerError, match="no description"):
        description({"janus": "event"})
