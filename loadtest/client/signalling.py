"""The Matrix client-server API, as little of it as a participant needs."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import aiohttp

from signalling.events.room_state import FocusDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

JsonObject = dict[str, Any]

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
        self.retry_after_s = float(body.get("retry_after_ms", 0)) / 1_000


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
        # No proxy from the environment: a homeserver under test is on this machine.
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def join(self, room: str) -> str:
        """Join a room by id or alias; its id."""
        answer = await self._request("POST", f"/_matrix/client/v3/join/{quote(room)}", {})
        return str(answer["room_id"])

    async def leave(self, room_id: str) -> None:
        """Leave a room."""
        await self._request("POST", f"{_room(room_id)}/leave", {})

    async def create_room(self, body: JsonObject) -> str:
        """Create a room; its id."""
        answer = await self._request("POST", "/_matrix/client/v3/createRoom", body)
        return str(answer["room_id"])

    async def invite(self, room_id: str, user_id: str) -> None:
        """Invite somebody into a room."""
        await self._request("POST", f"{_room(room_id)}/invite", {"user_id": user_id})

    async def kick(self, room_id: str, user_id: str) -> None:
        """Remove somebody from a room."""
        await self._request("POST", f"{_room(room_id)}/kick", {"user_id": user_id})

    async def put_state(self, room_id: str, event_type: str, state_key: str, content: JsonObject) -> None:
        """Set one state event."""
        path = f"{_room(room_id)}/state/{quote(event_type)}/{quote(state_key, safe='')}"
        await self._retried("PUT", path, content)

    async def state(self, room_id: str) -> list[StateEvent]:
        """The room's whole current state."""
        answer = await self._request("GET", f"{_room(room_id)}/state", None)
        events: Iterable[JsonObject] = answer["events"]
        return [
            StateEvent(e["type"], e["state_key"], e["sender"], e["content"], int(e["origin_server_ts"]))
            for e in events
        ]

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
                if error.status < 500 and error.status != 429:
                    raise
                await asyncio.sleep(max(error.retry_after_s, _SYNC_RETRY_S))
                continue
            since = str(answer["next_batch"])
            for event in answer.get("to_device", {}).get("events", []):
                yield ToDeviceEvent(str(event["sender"]), str(event["type"]), event["content"])

    async def _retried(self, method: str, path: str, body: JsonObject) -> JsonObject:
        for attempt in itertools.count(1):
            try:
                return await self._request(method, path, body)
            except (aiohttp.ClientError, TimeoutError):
                if attempt == SEND_TRIES:
                    raise
                pause_s = 0.0
            except MatrixRefusedError as error:
                if attempt == SEND_TRIES or (error.status < 500 and error.status != 429):
                    raise
                pause_s = error.retry_after_s
            await asyncio.sleep(max(pause_s, FIRST_RETRY_S * 2 ** (attempt - 1)))
        raise AssertionError("not reached")

    async def _request(
        self, method: str, path: str, body: JsonObject | None, query: dict[str, str] | None = None
    ) -> JsonObject:
        if self._http is None:
            raise RuntimeError("not entered")
        headers = {"Authorization": f"Bearer {self.account.access_token}"}
        url = self.account.base_url + path
        async with self._http.request(method, url, json=body, params=query, headers=headers) as answer:
            try:
                parsed = await answer.json(content_type=None)
            except ValueError:
                parsed = {}
            parsed = parsed if isinstance(parsed, dict) else {}
            if answer.status >= 400:
                raise MatrixRefusedError(answer.status, parsed)
            return parsed


async def login(base_url: str, user: str, password: str, device_id: str | None = None) -> Account:
    """Log in by password.

    Raises:
        MatrixRefusedError: the homeserver refused.
    """
    identifier = {"type": "m.id.user", "user": user}
    body: JsonObject = {"type": "m.login.password", "identifier": identifier, "password": password}
    if device_id is not None:
        body["device_id"] = device_id
    return await _enter(base_url, "/_matrix/client/v3/login", body)


async def register(base_url: str, user: str, password: str) -> Account:
    """Register an account where the homeserver lets anybody.

    Raises:
        MatrixRefusedError: the homeserver refused.
    """
    body = {"username": user, "password": password, "auth": {"type": "m.login.dummy"}}
    return await _enter(base_url, "/_matrix/client/v3/register", body)


async def _enter(base_url: str, path: str, body: JsonObject) -> Account:
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(base_url + path, json=body) as answer,
    ):
        parsed = await answer.json(content_type=None)
        if answer.status >= 400:
            raise MatrixRefusedError(answer.status, parsed)
        return Account(base_url, parsed["user_id"], parsed["device_id"], parsed["access_token"])


def _room(room_id: str) -> str:
    return f"/_matrix/client/v3/rooms/{quote(room_id)}"
