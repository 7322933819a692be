"""The focus's account at its homeserver: requests in its name, and a new login when its token is gone."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import structlog
from mautrix.api import HTTPAPI, Method
from mautrix.errors import MatrixConnectionError, MatrixRequestError, MUnknownToken

from sfu.errors import ConfigError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from signalling.config import MatrixConfig, Secrets
    from signalling.store import Store

_log = structlog.get_logger()

RETRY_FIRST_S: Final = 0.5
"""First wait after a failed request; doubles each time. Lower: a struggling homeserver is hammered."""
RETRY_MAX_S: Final = 8.0
"""Longest wait between tries. Higher: signalling is back later than the homeserver is."""
RETRY_AFTER_MAX_S: Final = 300.0
"""The longest `retry_after_ms` that is believed."""
LOGIN_RETRY_S: Final = 30.0
"""Wait after a login that was refused while calls run. Lower: the account is locked out by its own focus."""

_TOKEN_FACT: Final = "access_token"  # noqa: S105  # the name of a fact
_WHOAMI: Final = "/_matrix/client/v3/account/whoami"
_LOGIN: Final = "/_matrix/client/v3/login"
_JSON_NAMES: Final = {dict: "object", list: "array"}


class RateLimited(Exception):  # noqa: N818  # an answer, not an error of ours
    """The homeserver answered 429 (M_LIMIT_EXCEEDED)."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"rate limited for {retry_after_s} s")
        self.retry_after_s = retry_after_s


class MatrixSession:
    """One logged-in device.

    `trouble` says in a few words why the homeserver can't be worked with now, None while it can: it is what
    readiness asks for.
    """

    def __init__(self, config: MatrixConfig, secrets: Secrets, store: Store) -> None:
        self._config = config
        self._secrets = secrets
        self._store = store
        self._login_lock = asyncio.Lock()
        self._http = aiohttp.ClientSession(middlewares=(_notice_rate_limit,))
        self._api = self._make_api()
        self.user_id = config.user_id
        self.device_id = config.device_id
        self.request_timeout_s = config.request_timeout_s
        self.trouble: str | None = "not asked yet"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def open(self) -> None:
        """Log in, or check the token that was given or kept; waits while the homeserver can't be reached.

        Raises:
            ConfigError: the account is not what the configuration says, or the homeserver refuses it.
        """
        if not self._config.user_id:
            raise ConfigError("matrix.user_id: must be set, such as @focus:example.org")
        given, kept = self._secrets.access_token, self._store.fact(_TOKEN_FACT)
        if given is not None and await self._is_ours(given):
            return
        if kept is not None and kept != given and await self._is_ours(kept, as_configured=True):
            return
        if self._secrets.password is None:
            raise ConfigError(
                "neither FOCUS_ACCESS_TOKEN nor FOCUS_PASSWORD is set"
                if given is None
                else "FOCUS_ACCESS_TOKEN: the homeserver does not know it, and FOCUS_PASSWORD is not set"
            )
        try:
            await self._log_in(self._secrets.password)
        except MatrixRequestError as error:
            raise ConfigError(f"{self._config.user_id}: the homeserver refused the login: {error}") from error

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
        tries: int | None = None,
    ) -> dict[str, Any]:
        """A request, tried until the homeserver gives an answer that is about the request itself.

        Not reached, 5xx, no JSON and 429 are waited out (`retry_after_ms` is honoured). A token that has
        become unknown is replaced by a new login with the same device id, where a password is known.

        Args:
            method: of HTTP.
            path: from `/_matrix` on, quoted.
            body: sent as JSON.
            query: not yet quoted.
            timeout_s: for one try; None: `matrix.request_timeout_s`.
            tries: give up after so many. For what another homeserver has a say in: that one's being away
                says nothing of ours. None: never.

        Raises:
            MatrixRequestError: the homeserver refused the request.
            TransportError: it gave no answer in `tries`.
        """
        answer: dict[str, Any] = await self._with_token(
            lambda: self._persist(self._api, method, path, body, query, timeout_s, tries)
        )
        return answer

    async def request_array(self, path: str) -> list[Any]:
        """GET what is a JSON array, such as a room's state; otherwise as `request`.

        Raises:
            MatrixRequestError: the homeserver refused the request.
        """
        answer: list[Any] = await self._with_token(
            lambda: self._persist(self._api, "GET", path, expected=list)
        )
        return answer

    async def _with_token(self, ask: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401  # JSON
        while True:
            token = self._api.token
            try:
                return await ask()
            except MUnknownToken:
                await self._renew(token)

    async def _persist(
        self,
        api: HTTPAPI,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        tries: int | None = None,
        expected: type[dict[str, Any] | list[Any]] = dict,
    ) -> Any:  # noqa: ANN401  # JSON of the expected type
        # Encoded before the loop: what can't be encoded is our mistake, and would be tried for ever.
        content = None if body is None else json.dumps(dict(body))
        wait_s, tried = RETRY_FIRST_S, 0
        while True:
            try:
                answer = await self._once(api, method, path, content, query, timeout_s)
            except RateLimited as limited:
                # Nothing is wrong with the homeserver: it only wants to be asked later.
                await asyncio.sleep(max(wait_s, limited.retry_after_s))
                continue
            except MatrixRequestError as error:
                if error.http_status < 500:
                    raise
                trouble = f"answers with status {error.http_status}"
            except TimeoutError:
                trouble = "does not answer in time"
            except (MatrixConnectionError, aiohttp.ClientError, OSError) as error:
                trouble = f"can't be reached ({type(error.__cause__ or error).__name__})"
            except (ValueError, TypeError, RecursionError):
                trouble = "answers with something other than JSON"
            else:
                if isinstance(answer, expected):
                    self._set_trouble(None)
                    return answer
                trouble = f"answers with JSON that is no {_JSON_NAMES[expected]}"
            tried += 1
            if tries is None:
                self._set_trouble(trouble)
            elif tried >= tries:
                raise TransportError(f"{path}: the homeserver {trouble}")
            await asyncio.sleep(wait_s)
            wait_s = min(RETRY_MAX_S, wait_s * 2)

    async def _once(
        self,
        api: HTTPAPI,
        method: str,
        path: str,
        content: str | None,
        query: Mapping[str, str] | None,
        timeout_s: float | None,
    ) -> object:
        async with asyncio.timeout(self.request_timeout_s if timeout_s is None else timeout_s):
            return await api.request(
                Method(method),
                path,
                content=content,
                query_params=dict(query or {}),
                sensitive=content is not None,
            )

    async def _is_ours(self, token: str, *, as_configured: bool = False) -> bool:
        """Whether the homeserver knows a token, and then use it.

        Raises:
            ConfigError: it belongs to somebody else (with `as_configured` it is only not ours).
        """
        self._api.token = token
        try:
            answer = await self._persist(self._api, "GET", _WHOAMI)
        except MUnknownToken:
            return False
        except MatrixRequestError as error:
            raise ConfigError(
                f"matrix.homeserver_url = {self._config.homeserver_url}: "
                f"whoami was refused with status {error.http_status}: {error}"
            ) from error
        user_id, device_id = answer.get("user_id"), answer.get("device_id", self._config.device_id)
        if as_configured and (user_id, device_id) != (self._config.user_id, self._config.device_id):
            return False
        self._adopt(user_id, device_id)
        return True

    async def _renew(self, refused: str) -> None:
        """Get a new token in place of a refused one; waits where there is none to be had.

        Media needs no homeserver, so calls go on whatever happens here.
        """
        async with self._login_lock:
            if self._api.token != refused:
                return
            self._set_trouble("does not know our access token any more")
            if self._secrets.password is None:
                _log.error("access_token_unknown", action="start again with a new FOCUS_ACCESS_TOKEN")
                await asyncio.sleep(LOGIN_RETRY_S)
                return
            _log.warning("access_token_unknown", action="log in again with the same device id")
            try:
                await self._log_in(self._secrets.password)
            except (MatrixRequestError, ConfigError) as error:
                self._set_trouble("refuses the login")
                _log.error("login_refused", error=str(error)[:200], retry_in_s=LOGIN_RETRY_S)
                await asyncio.sleep(LOGIN_RETRY_S)

    async def _log_in(self, password: str) -> None:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self._config.user_id},
            "password": password,
            "device_id": self._config.device_id,
            "initial_device_display_name": "matrix-focus",
        }
        answer = await self._persist(self._make_api(), "POST", _LOGIN, body)
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise ConfigError(f"{self._config.homeserver_url}: logged in, but was given no access token")
        self._adopt(answer.get("user_id"), answer.get("device_id", self._config.device_id))
        self._api.token = token
        self._store.set_fact(_TOKEN_FACT, token)

    def _adopt(self, user_id: object, device_id: object) -> None:
        if user_id != self._config.user_id or not isinstance(device_id, str):
            raise ConfigError(f"matrix.user_id = {self._config.user_id}: the homeserver says {user_id}")
        self.device_id = device_id

    def _make_api(self) -> HTTPAPI:
        return HTTPAPI(self._config.homeserver_url, client_session=self._http, default_retry_count=0)

    def _set_trouble(self, trouble: str | None) -> None:
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble is None:
            _log.info("homeserver_works")
        else:
            _log.warning("homeserver_trouble", homeserver=trouble)


async def _notice_rate_limit(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # mautrix keeps only the words of an error, so how long to wait must be read here: from the header that
    # the specification prefers, else from the body as it was before (client-server API section 2.4).
    response = await handler(request)
    if response.status != 429:
        return response
    retry_after_s = _seconds(response.headers.get("Retry-After"))
    if not retry_after_s:
        try:
            retry_after_s = _seconds((await response.json())["retry_after_ms"]) / 1000.0
        except (aiohttp.ClientError, ValueError, LookupError, TypeError, RecursionError):
            retry_after_s = 0.0
    response.release()
    raise RateLimited(min(retry_after_s, RETRY_AFTER_MAX_S))


def _seconds(value: object) -> float:
    """A number from a header or a body; 0 where it is none (`Retry-After` may also be a date)."""
    try:
        number = float(value) if isinstance(value, (str, int, float)) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
