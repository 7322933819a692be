"""Users of a throw-away homeserver, and requests in their name."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from loadtest.homeserver.install import HomeserverError

JsonObject = dict[str, Any]

REQUEST_TIMEOUT_S = 40.0


class MatrixError(HomeserverError):
    """The homeserver answered a request with an error."""

    def __init__(self, status: int, body: JsonObject) -> None:
        super().__init__(f"{status} {body.get('errcode')}: {body.get('error')}")
        self.status = status
        self.errcode = body.get("errcode")


@dataclass(frozen=True, slots=True)
class User:
    """A registered user with one logged-in device."""

    user_id: str
    password: str = field(repr=False)
    access_token: str = field(repr=False)
    device_id: str
    base_url: str

    def get(self, path: str) -> JsonObject:
        """GET as this user.

        Raises:
            MatrixError: the homeserver refused.
        """
        return request("GET", self.base_url + path, token=self.access_token)

    def post(self, path: str, body: JsonObject | None = None) -> JsonObject:
        """POST as this user.

        Raises:
            MatrixError: the homeserver refused.
        """
        return request("POST", self.base_url + path, body or {}, token=self.access_token)

    def put(self, path: str, body: JsonObject | None = None) -> JsonObject:
        """PUT as this user.

        Raises:
            MatrixError: the homeserver refused.
        """
        return request("PUT", self.base_url + path, body or {}, token=self.access_token)


def request(
    method: str,
    url: str,
    body: JsonObject | None = None,
    *,
    token: str | None = None,
    timeout_s: float = REQUEST_TIMEOUT_S,
) -> JsonObject:
    """One blocking request with JSON in and out.

    Raises:
        MatrixError: the homeserver refused.
        OSError: it could not be reached.
    """
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310  # our own URL
    # Never through a proxy: these servers are on loopback only.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=timeout_s) as answer:
            return _parsed(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise MatrixError(error.code, _parsed(error.read())) from None


def register(base_url: str, name: str, password: str) -> User:
    """Register a user, who is logged in at once.

    Raises:
        MatrixError: the homeserver refused.
    """
    body = {
        "username": name,
        "password": password,
        "initial_device_display_name": name,
        "auth": {"type": "m.login.dummy"},
    }
    answer = request("POST", f"{base_url}/_matrix/client/v3/register", body)
    return _user(base_url, password, answer)


def login(known: User, device_id: str | None = None) -> User:
    """Another device of a known user, or the same one with a new token.

    Raises:
        MatrixError: the homeserver refused.
    """
    body: JsonObject = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": known.user_id},
        "password": known.password,
    }
    if device_id:
        body["device_id"] = device_id
    answer = request("POST", f"{known.base_url}/_matrix/client/v3/login", body)
    return _user(known.base_url, known.password, answer)


def _user(base_url: str, password: str, answer: JsonObject) -> User:
    return User(
        user_id=answer["user_id"],
        password=password,
        access_token=answer["access_token"],
        device_id=answer["device_id"],
        base_url=base_url,
    )


def _parsed(body: bytes) -> JsonObject:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
