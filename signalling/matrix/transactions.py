"""The listener for the homeserver: the application service API, as far as a focus needs it."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any, Final, Self

import structlog
from aiohttp import web

from sfu.errors import ConfigError
from signalling.matrix.answers import read_transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from sfu.metrics import Metrics
    from signalling.config import AppserviceConfig
    from signalling.matrix.answers import Transaction
    from signalling.matrix.refusals import Refusals

MAX_BODY_BYTES: Final = 32 << 20
"""A hundred events, each with what it replaces, at 64 KiB each, and some. Lower: a homeserver that sends more
sends it for ever. Higher: whoever has the token fills our memory."""
SHUTDOWN_S: Final = 0.5
"""How long a transaction may keep the process from ending; it comes again."""

_PREFIX: Final = "/_matrix/app/v1"
_COUNTED: Final = "transaction"

_log = structlog.get_logger()


class TransactionListener:
    """An aiohttp server that is told what happens in rooms; use as `async with`.

    A transaction is confirmed when it has been dealt with: until then, and while we are away, the homeserver
    keeps it and all after it. One that comes again is dealt with again.

    Args:
        config: where to listen.
        hs_token: what the homeserver must know.
        user_id: ours.
        take: deals with a transaction.
        recover: finds out how things stand, when one could not be dealt with.
        refusals: where requests that are none are counted.
        metrics: where our own mistakes are counted.
    """

    def __init__(
        self,
        config: AppserviceConfig,
        hs_token: str,
        user_id: str,
        *,
        take: Callable[[Transaction], Awaitable[None]],
        recover: Callable[[], Awaitable[None]],
        refusals: Refusals,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._hs_token = hs_token.encode()
        self._user_id = user_id
        self._take = take
        self._recover = recover
        self._refusals = refusals
        self._metrics = metrics
        self._runner: web.AppRunner | None = None
        self.port = config.port

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._authenticate])
        app.router.add_put(f"{_PREFIX}/transactions/{{id}}", self._transaction)
        app.router.add_post(f"{_PREFIX}/ping", self._ping)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        config = self._config
        try:
            site = web.TCPSite(self._runner, config.host, config.port)
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"appservice.host = {config.host}, appservice.port = {config.port} (TCP): "
                f"{error.strerror or error}"
            ) from error
        self.port = int(self._runner.addresses[0][1])
        _log.info("appservice_listener", host=config.host, port=self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _authenticate(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # Before anything is read of it, and before it is said what there is.
        if not hmac.compare_digest(_token_of(request).encode("utf-8", "surrogateescape"), self._hs_token):
            self._refusals.refuse(_COUNTED, "unauthorised")
            return _error(403, "M_FORBIDDEN", "not the hs_token of this application service")
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            self._refusals.refuse(_COUNTED, "too_large")
            return _error(413, "M_TOO_LARGE", f"more than {MAX_BODY_BYTES} bytes")
        except web.HTTPException as error:
            # Users and rooms that the homeserver asks for among others: none is made on demand.
            errcode = "M_NOT_FOUND" if error.status == 404 else "M_UNRECOGNIZED"
            return _error(error.status, errcode, "there is nothing here")

    async def _ping(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def _transaction(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            self._refusals.refuse(_COUNTED, "malformed", reason="body")
            return _error(400, "M_NOT_JSON", "not a JSON object")
        if not await self._supervised(self._take(read_transaction(body, self._user_id))):
            await self._supervised(self._recover())
        return web.json_response({})

    async def _supervised(self, dealing: Awaitable[None]) -> bool:
        """Whether something went well. A transaction that we stumble over must not come for ever."""
        try:
            await dealing
        except Exception:  # noqa: BLE001  # a supervisor: one odd transaction must not be the last
            _log.exception("internal_failure", where="transaction")
            self._metrics.failures.labels("transaction").inc()
            return False
        return True


def _token_of(request: web.Request) -> str:
    """What the homeserver shows; in the query before version 1.4 of the specification."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else request.query.get("access_token", "")


def _error(status: int, errcode: str, text: str) -> web.Response:
    body: dict[str, Any] = {"errcode": errcode, "error": text}
    return web.json_response(body, status=status)
