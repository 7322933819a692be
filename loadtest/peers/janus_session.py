"""Janus's API by WebSocket (its documentation: "Plain WebSocket API", "VideoRoom plugin")."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from loadtest.peers.sfu import PeerError

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

Message = dict[str, Any]

REQUEST_TIMEOUT_S: Final = 10.0
_PLUGIN: Final = "janus.plugin.videoroom"


class JanusSession:
    """One session; one request at a time, and events in between are nobody's business.

    Args:
        socket: to Janus.
    """

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._addressed: Message = {}

    async def open(self) -> None:
        """Begin; must be the first.

        Raises:
            PeerError: Janus does not answer.
        """
        opened = await self._ask({"janus": "create"})
        self._addressed = {"session_id": opened["data"]["id"]}

    async def attach(self) -> int:
        """A handle of the video room; its id.

        Raises:
            PeerError: Janus does not answer, or has no video room.
        """
        answer = await self._ask({"janus": "attach", "plugin": _PLUGIN})
        return int(answer["data"]["id"])

    async def tell(self, handle: int, body: Message, jsep: Message | None = None) -> Message:
        """What the plugin says to a request, when it is done with it.

        Raises:
            PeerError: it refused, or said nothing.
        """
        message: Message = {"janus": "message", "handle_id": handle, "body": body}
        if jsep is not None:
            message["jsep"] = jsep
        answer = await self._ask(message)
        said = answer.get("plugindata", {}).get("data", {})
        if "error" in said:
            raise PeerError(f"janus: {body['request']}: {said['error']}")
        return answer

    async def connected(self, handle: int) -> None:
        """Wait until a handle's media can flow; to be called before anything else is asked.

        Raises:
            PeerError: it did not connect.
        """
        said: Message = {}
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                while (said.get("janus"), said.get("sender")) != ("webrtcup", handle):
                    said = await self._socket.receive_json()
        except (TimeoutError, TypeError, ValueError) as error:
            raise PeerError(f"janus: the publisher did not connect: {error}") from error

    async def _ask(self, message: Message) -> Message:
        number = str(next(self._numbers))
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._socket.send_json({**message, **self._addressed, "transaction": number})
                said: Message = {}
                # An "ack" says that the answer takes a while.
                while said.get("transaction") != number or said["janus"] == "ack":
                    said = await self._socket.receive_json()
        except (TimeoutError, TypeError, ValueError, aiohttp.ClientError, ConnectionError) as error:
            raise PeerError(f"janus: no answer to {message['janus']}: {error}") from error
        if said["janus"] == "error":
            raise PeerError(f"janus: {message['janus']}: {said['error']}")
        return said


def description(message: Message) -> str:
    """The SDP that comes with a message.

    Raises:
        PeerError: there is none.
    """
    jsep = message.get("jsep")
    if not isinstance(jsep, dict):
        raise PeerError(f"janus: no description in {message}")
    return str(jsep["sdp"])
