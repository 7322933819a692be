"""The Matrix client-server API, as little of it as a participant needs."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote

import aiohttp

from signalling.events.room_state import FocusDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

JsonObject = dict[str, Any]
T = TypeVar("T")

SEND_TRIES: Final = 6
FIRST_RETRY_S: Final = 0.25
"""Doubled after each failed try."""
SYNC_TIMEOUT_MS: Final = 30_000
REQUEST_TIMEOUT_S: Final = 60.0
_SYNC_RETRY_S: Final = 1.0

_SYNC_FILTER: Final[JsonObject] = {
    "room": {"rooms": []},
    "presence": {"types": []},
    "account_data": {"types": []},
}
"""A leg lives on to-device messages alone; state is read when it is needed."""


class MatrixRefusedError(Exception):
    """The homeserver answered with an error."""

    def __init__(self, status: int, body: JsonObject) -> None:
        super().__init__(f"{status} {body.get('errcode')}: {body.get('error')}")
        self.status = status
        self.errcode = body.get("errcode")
        self.stages = tuple(_stages(body))
        """What must be passed first, where that is what the homeserver says (user-interactive auth)."""
        self.retry_after_s = float(body.get("retry_after_ms", 0)) / 1_000

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status >= 500 or self.status == 429


@dataclass(frozen=True, slots=True)
class Account:
    """One logged-in device."""

    base_url: str
    user_id: str
    device_id: str
    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToDeviceEvent:
    """One to-device message as it came."""

    sender: str
    type: str
    content: JsonObject


@dataclass(frozen=True, slots=True)
class StateEvent:
    """One event of a room's current state."""

    type: str
    state_key: str
    sender: str
    content: JsonObject
    origin_server_ts: int


class MatrixClient:
    """Requests in the name of one account; `async with` opens and closes the connection."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._sending = asyncio.Lock()
        self._transactions = itertools.count()
        self._prefix = secrets.token_hex(6)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = open_http()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def join(self, room: str) -> str:
        """Join a room by id or alias; its id.

        An id says which homeserver made the room: ours asks that one, where nobody of its own is in the room.
        """
        _, _, made_at = room.partition(":")
        via = f"?via={quote(made_at, safe='')}" if room.startswith("!") and made_at else ""
        answer = await self._retried("POST", f"/_matrix/client/v3/join/{quote(room)}{via}", {})
        return str(answer["room_id"])

    async def leave(self, room_id: str) -> None:
        """Leave a room."""
        await self._retried("POST", f"{_room(room_id)}/leave", {})

    async def invite(self, room_id: str, user_id: str) -> None:
        """Invite somebody into a room."""
        await self._retried("POST", f"{_room(room_id)}/invite", {"user_id": user_id})

    async def kick(self, room_id: str, user_id: str) -> None:
        """Remove somebody from a room."""
        await self._request("POST", f"{_room(room_id)}/kick", {"user_id": user_id})

    async def put_state(self, room_id: str, event_type: str, state_key: str, content: JsonObject) -> None:
        """Set one state event."""
        await self._retried("PUT", _state_path(room_id, event_type, state_key), content)

    async def state(self, room_id: str) -> list[StateEvent]:
        """The room's whole current state."""
        events = await patiently(lambda: self._exchange("GET", f"{_room(room_id)}/state", None))
        return [
            StateEvent(e["type"], e["state_key"], e["sender"], e["content"], int(e["origin_server_ts"]))
            for e in (events if isinstance(events, list) else ())
        ]

    async def state_event(self, room_id: str, event_type: str, state_key: str) -> JsonObject | None:
        """The content of one state event; None where there is none, or we may not see it."""
        try:
            return await self._retried("GET", _state_path(room_id, event_type, state_key), None)
        except MatrixRefusedError:
            return None

    async def announced_focus(self, key: str) -> FocusDevice | None:
        """The first focus of the homeserver's .well-known, under this key (protocol: section 3.3)."""
        try:
            answer = await self._request("GET", "/.well-known/matrix/client", None)
            focus = answer[key][0]
            return FocusDevice(str(focus["user_id"]), str(focus["device_id"]))
        except (MatrixRefusedError, KeyError, IndexError, TypeError):
            return None

    async def send_to_device(
        self, event_type: str, user_id: str, device_id: str, content: JsonObject
    ) -> None:
        """Send to one device, in the order of calls, again and again until the homeserver confirms.

        Raises:
            MatrixRefusedError: refused for good.
            aiohttp.ClientError: the homeserver stayed out of reach.
        """
        transaction = f"{self._prefix}.{next(self._transactions)}"
        path = f"/_matrix/client/v3/sendToDevice/{quote(event_type)}/{transaction}"
        async with self._sending:
            await self._retried("PUT", path, {"messages": {user_id: {device_id: content}}})

    async def sync(self) -> AsyncIterator[ToDeviceEvent]:
        """The to-device messages for this device, for ever."""
        since: str | None = None
        while True:
            query = {"filter": json.dumps(_SYNC_FILTER), "set_presence": "offline"}
            query["timeout"] = str(SYNC_TIMEOUT_MS if since else 0)
            if since:
                query["since"] = since
            try:
                answer = await self._request("GET", "/_matrix/client/v3/sync", None, query)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_SYNC_RETRY_S)
                continue
            except MatrixRefusedError as error:
                if not error.is_temporary:
                    raise
                await asyncio.sleep(max(error.retry_after_s, _SYNC_RETRY_S))
                continue
            since = str(answer["next_batch"])
            for event in answer.get("to_device", {}).get("events", []):
                yield ToDeviceEvent(str(event["sender"]), str(event["type"]), event["content"])

    async def _retried(self, method: str, path: str, body: JsonObject | None) -> JsonObject:
        return await patiently(lambda: self._request(method, path, body))

    async def _request(
        self, method: str, path: str, body: JsonObject | None, query: dict[str, str] | None = None
    ) -> JsonObject:
        return _object(await self._exchange(method, path, body, query))

    async def _exchange(
        self, method: str, path: str, body: JsonObject | None, query: dict[str, str] | None = None
    ) -> object:
        if self._http is None:
            raise RuntimeError("not entered")
        account = self.account
        return await exchange(
            self._http, method, account.base_url + path, body, token=account.access_token, query=query
        )


def open_http() -> aiohttp.ClientSession:
    """A session for `exchange`. It takes no proxy from the environment."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S))


async def exchange(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    body: JsonObject | None = None,
    *,
    token: str | None = None,
    query: dict[str, str] | None = None,
) -> object:
    """One request with JSON in and out; None where the answer is no JSON.

    Raises:
        MatrixRefusedError: the homeserver answered with an error.
        aiohttp.ClientError: it could not be reached.
        TimeoutError: it did not answer.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with http.request(method, url, json=body, params=query, headers=headers) as answer:
        try:
            parsed = await answer.json(content_type=None)
        except ValueError:
            parsed = None
        if answer.status >= 400:
            raise MatrixRefusedError(answer.status, _object(parsed))
        return parsed


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try a request that does no harm when it is repeated, again and again while that may help.

    Raises:
        MatrixRefusedError: refused for good.
        aiohttp.ClientError: the homeserver stayed out of reach.
        TimeoutError: it never answered.
    """
    for tried in itertools.count(1):
        try:
            return await attempt()
        except (aiohttp.ClientError, TimeoutError):
            if tried == SEND_TRIES:
                raise
            pause_s = 0.0
        except MatrixRefusedError as error:
            if tried == SEND_TRIES or not error.is_temporary:
                raise
            pause_s = error.retry_after_s
        await asyncio.sleep(max(pause_s, FIRST_RETRY_S * 2 ** (tried - 1)))
    raise AssertionError("not reached")


def _stages(body: JsonObject) -> Iterator[str]:
    flows = body.get("flows")
    for flow in flows if isinstance(flows, list) else ():
        stages = flow.get("stages") if isinstance(flow, dict) else None
        yield " and ".join(str(stage) for stage in stages) if isinstance(stages, list) else "?"


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _room(room_id: str) -> str:
    return f"/_matrix/client/v3/rooms/{quote(room_id)}"


def _state_path(room_id: str, event_type: str, state_key: str) -> str:
    return f"{_room(room_id)}/state/{quote(event_type)}/{quote(state_key, safe='')}"
