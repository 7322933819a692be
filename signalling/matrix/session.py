"""The focus's account at its homeserver: requests in its name, and a new login when its token is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import structlog
from mautrix.api import HTTPAPI, Method
from mautrix.errors import MatrixConnectionError, MatrixRequestError, MUnknownToken

from sfu.errors import ConfigError, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signalling.config import MatrixConfig, Secrets
    from signalling.store import Store

_log = structlog.get_logger()

RETRY_FIRST_S: Final = 0.5
"""First wait after a failed request; doubles each time. Lower: a struggling homeserver is hammered."""
RETRY_MAX_S: Final = 8.0
"""Longest wait between tries. Higher: signalling is back later than the homeserver is."""

_TOKEN_FACT: Final = "access_token"  # noqa: S105  # the name of a fact


RETRY_AFTER_MAX_S: Final = 300.0
"""The longest `retry_after_ms` that is believed."""


class RateLimited(Exception):  # noqa: N818  # an answer, not an error of ours
    """The homeserver answered 429 (M_LIMIT_EXCEEDED)."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"rate limited for {retry_after_s} s")
        self.retry_after_s = retry_after_s


class MatrixSession:
    """One logged-in device. `healthy` is what readiness asks for."""

    def __init__(self, config: MatrixConfig, secrets: Secrets, store: Store) -> None:
        self._config = config
        self._secrets = secrets
        self._store = store
        self._login_lock = asyncio.Lock()
        http = aiohttp.ClientSession(middlewares=(_notice_rate_limit,))
        self._http = http
        self._api = HTTPAPI(config.homeserver_url, client_session=http, default_retry_count=0)
        self.user_id = config.user_id
        self.device_id = config.device_id
        self.healthy = False

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def open(self) -> None:
        """Log in, or check the token that was given; retries while the homeserver can't be reached.

        Raises:
            ConfigError: the account is not what the configuration says, or the homeserver refuses it.
        """
        if not self._config.user_id:
            raise ConfigError("matrix.user_id: must be set")
        token = self._secrets.access_token or self._store.fact(_TOKEN_FACT)
        if token is not None:
            self._api.token = token
            try:
                await self._adopt(await self.request("GET", "/_matrix/client/v3/account/whoami"))
                return
            except MUnknownToken:
                self._store.set_fact(_TOKEN_FACT, None)
        await self._log_in()

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """A request, tried until the homeserver gives an answer that is about the request itself.

        Not reached, 5xx and 429 are waited out (`retry_after_ms` is honoured). A token that has become
        unknown is replaced by a new login with the same device id, where a password is known.

        Raises:
            MatrixRequestError: the homeserver refused the request.
        """
        wait_s = RETRY_FIRST_S
        while True:
            token = self._api.token
            try:
                return await self._once(method, path, body, query, timeout_s)
            except MUnknownToken:
                self.healthy = False
                await self._renew(token)
                continue
            except RateLimited as limited:
                # Nothing is wrong with the homeserver: it only wants to be asked later.
                await asyncio.sleep(max(wait_s, limited.retry_after_s))
                continue
            except MatrixRequestError as error:
                if error.http_status < 500:
                    raise
                delay_s = wait_s
            except (MatrixConnectionError, TimeoutError, OSError) as error:
                delay_s = wait_s
                _log.warning("homeserver_unreachable", error=type(error).__name__, retry_in_s=delay_s)
            self.healthy = False
            await asyncio.sleep(delay_s)
            wait_s = min(RETRY_MAX_S, wait_s * 2)

    async def _once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
        timeout_s: float | None,
    ) -> dict[str, Any]:
        async with asyncio.timeout(self._config.request_timeout_s if timeout_s is None else timeout_s):
            answer = await self._api.request(
                Method(method),
                path,
                content=None if body is None else dict(body),
                query_params=dict(query or {}),
                sensitive=True,
            )
        self.healthy = True
        if not isinstance(answer, dict):
            raise TransportError(f"{path}: the homeserver answered {type(answer).__name__}, not an object")
        return answer

    async def _renew(self, refused: str) -> None:
        if self._secrets.password is None:
            raise ConfigError("the access token is no longer valid and there is no password to log in with")
        async with self._login_lock:
            if self._api.token == refused:
                _log.warning("access_token_unknown", action="log in again with the same device id")
                await self._log_in()

    async def _log_in(self) -> None:
        if self._secrets.password is None:
            raise ConfigError("neither FOCUS_ACCESS_TOKEN nor FOCUS_PASSWORD is set")
        self._api.token = ""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self._config.user_id},
            "password": self._secrets.password,
            "device_id": self._config.device_id,
            "initial_device_display_name": "matrix-focus",
        }
        try:
            answer = await self.request("POST", "/_matrix/client/v3/login", body)
        except MatrixRequestError as error:
            raise ConfigError(f"{self._config.user_id}: the homeserver refused the login: {error}") from error
        self._api.token = str(answer["access_token"])
        self._store.set_fact(_TOKEN_FACT, self._api.token)
        await self._adopt(answer)

    async def _adopt(self, answer: Mapping[str, Any]) -> None:
        user_id, device_id = str(answer["user_id"]), str(answer.get("device_id", self._config.device_id))
        if user_id != self._config.user_id:
            raise ConfigError(f"matrix.user_id = {self._config.user_id}: the homeserver says {user_id}")
        self.user_id, self.device_id = user_id, device_id


async def _notice_rate_limit(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # mautrix keeps only the words of an error, so its `retry_after_ms` must be read here.
    response = await handler(request)
    if response.status != 429:
        return response
    try:
        retry_after_s = float((await response.json())["retry_after_ms"]) / 1000.0
    except (aiohttp.ClientError, ValueError, KeyError, TypeError):
        retry_after_s = 0.0
    response.release()
    raise RateLimited(min(retry_after_s, RETRY_AFTER_MAX_S))
