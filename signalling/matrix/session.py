"""Requests to the homeserver in the focus's name, tried until they are answered."""

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
from signalling.matrix.account import AccessRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from signalling.config import MatrixConfig
    from signalling.matrix.account import Access, Account

_log = structlog.get_logger()

RETRY_FIRST_S: Final = 0.5
"""First wait after a failed request; doubles each time. Lower: a struggling homeserver is hammered."""
RETRY_MAX_S: Final = 8.0
"""Longest wait between tries. Higher: signalling is back later than the homeserver is."""
RETRY_AFTER_MAX_S: Final = 300.0
"""The longest `retry_after_ms` that is believed."""
_JSON_NAMES: Final = {dict: "object", list: "array"}


class RateLimited(Exception):  # noqa: N818  # an answer, not an error of ours
    """The homeserver answered 429 (M_LIMIT_EXCEEDED)."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"rate limited for {retry_after_s} s")
        self.retry_after_s = retry_after_s


class MatrixSession:
    """Requests of one device.

    `trouble` says in a few words why the homeserver can't be worked with now, None while it can: it is what
    readiness asks for.
    """

    def __init__(self, config: MatrixConfig, account: Account) -> None:
        self._config = config
        self._account = account
        self._renewing = asyncio.Lock()
        self._http = aiohttp.ClientSession(middlewares=(_notice_rate_limit,))
        self._api = self._make_api()
        self._query: Mapping[str, str] = {}
        self.user_id = config.user_id
        self.device_id = config.device_id
        self.request_timeout_s = config.request_timeout_s
        self.trouble: str | None = "not asked yet"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def open(self) -> None:
        """Get into the account; waits while the homeserver can't be reached, or does not let us in yet.

        Raises:
            ConfigError: the account is not what the configuration says, or the homeserver refuses it.
        """
        if not self._config.user_id:
            raise ConfigError("matrix.user_id: must be set, such as @focus:example.org")
        while True:
            try:
                self._adopt(await self._account.open(self._ask))
            except AccessRefused as refused:
                await self._wait_out(refused)
            else:
                return

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        *,
        as_user: str | None = None,
        timeout_s: float | None = None,
        tries: int | None = None,
    ) -> dict[str, Any]:
        """A request, tried until the homeserver gives an answer that is about the request itself.

        Not reached, 5xx, no JSON and 429 are waited out (`retry_after_ms` is honoured). A token that has
        become unknown is replaced, where the account can have another.

        Args:
            method: of HTTP.
            path: from `/_matrix` on, quoted.
            body: sent as JSON.
            query: not yet quoted.
            as_user: in whose name, where that is not ours (application services only).
            timeout_s: for one try; None: `matrix.request_timeout_s`.
            tries: give up after so many. For what another homeserver has a say in: that one's being away
                says nothing of ours. None: never.

        Raises:
            MatrixRequestError: the homeserver refused the request.
            TransportError: it gave no answer in `tries`.
        """
        answer: dict[str, Any] = await self._with_token(
            lambda: self._persist(
                self._api, method, path, body, self._signed(query, as_user), timeout_s, tries
            )
        )
        return answer

    async def request_array(self, path: str, *, as_user: str | None = None) -> list[Any]:
        """GET what is a JSON array, such as a room's state; otherwise as `request`.

        Raises:
            MatrixRequestError: the homeserver refused the request.
        """
        answer: list[Any] = await self._with_token(
            lambda: self._persist(self._api, "GET", path, None, self._signed(None, as_user), expected=list)
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
        cause: Exception | None
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
                trouble, cause = f"answers with status {error.http_status}", error
            except TimeoutError as error:
                trouble, cause = "does not answer in time", error
            except (MatrixConnectionError, aiohttp.ClientError, OSError) as error:
                trouble, cause = f"can't be reached ({type(error.__cause__ or error).__name__})", error
            except (ValueError, TypeError, RecursionError) as error:
                trouble, cause = "answers with something other than JSON", error
            else:
                if isinstance(answer, expected):
                    self._set_trouble(None)
                    return answer
                trouble, cause = f"answers with JSON that is no {_JSON_NAMES[expected]}", None
            tried += 1
            if tries is None:
                self._set_trouble(trouble)
            elif tried >= tries:
                raise TransportError(f"{path}: the homeserver {trouble}") from cause
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

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = await self._persist(self._make_api(token), method, path, body, query)
        return answer

    async def _renew(self, refused: str) -> None:
        """Get a new token in place of a refused one; waits where there is none to be had.

        Media needs no homeserver, so calls go on whatever happens here.
        """
        async with self._renewing:
            if self._api.token != refused:
                return
            self._set_trouble(self._account.locked_out)
            try:
                self._adopt(await self._account.renew(self._ask))
            except AccessRefused as refusal:
                await self._wait_out(refusal)

    async def _wait_out(self, refused: AccessRefused) -> None:
        self._set_trouble(refused.trouble)
        await asyncio.sleep(refused.retry_in_s)

    def _adopt(self, access: Access) -> None:
        self.device_id = access.device_id
        self._api.token = access.token
        self._query = access.query

    def _signed(self, query: Mapping[str, str] | None, as_user: str | None) -> Mapping[str, str]:
        own = self._query if as_user is None else self._account.masked(as_user)
        return {**(query or {}), **own}

    def _make_api(self, token: str | None = None) -> HTTPAPI:
        return HTTPAPI(
            self._config.homeserver_url, token or "", client_session=self._http, default_retry_count=0
        )

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
