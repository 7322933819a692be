"""Whether the homeserver reaches the application service: it is asked to try."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import structlog
from mautrix.errors import MatrixRequestError

from sfu.errors import TransportError

if TYPE_CHECKING:
    from signalling.matrix.registration import Registration
    from signalling.matrix.session import MatrixSession

PING_S: Final = 60.0
"""Between two tries. Lower: more requests for nothing. Higher: a homeserver that could not reach us, and
waits ever longer before it tries again (Synapse: up to 8.5 min), is stirred so much later."""
RETRY_S: Final = 5.0
"""After one that failed."""
TIMEOUT_S: Final = 70.0
"""For one: the homeserver may wait a minute for our answer."""

_FILE: Final = "appservice.registration"
_UNSUPPORTED: Final = "M_UNRECOGNIZED"

_log = structlog.get_logger()


class WayBack:
    """Pings ourselves through the homeserver (application service API, version 1.7).

    A ping that succeeds makes Synapse send at once what it has kept for us.
    """

    def __init__(self, session: MatrixSession, registration: Registration) -> None:
        self._session = session
        self._registration = registration
        self.trouble: str | None = "has not reached us yet"
        """Why the homeserver can't tell us anything, in a few words; None while it can."""

    async def run(self) -> None:
        """Ping until cancelled."""
        while True:
            trouble = await self._ping()
            if trouble is not None and trouble != self.trouble:
                _log.warning("appservice_not_reached", homeserver=trouble)
            elif trouble is None and self.trouble is not None:
                _log.info("appservice_reached", url=self._registration.url)
            self.trouble = trouble
            await asyncio.sleep(PING_S if trouble is None else RETRY_S)

    async def _ping(self) -> str | None:
        path = f"/_matrix/client/v1/appservice/{quote(self._registration.id, safe='')}/ping"
        try:
            await self._session.request(
                "POST", path, {"transaction_id": self._registration.id}, timeout_s=TIMEOUT_S, tries=1
            )
        except MatrixRequestError as error:
            return self._trouble(error)
        except TransportError as error:
            cause = error.__cause__
            if isinstance(cause, MatrixRequestError):
                return self._trouble(cause)
            # It says nothing of the way back that we can't reach it; the session says so.
            return self.trouble
        return None

    def _trouble(self, error: MatrixRequestError) -> str | None:
        url = self._registration.url
        match error.errcode:
            case "M_BAD_STATUS" if _status_of(error) == 403:
                return f"reaches {url} with another hs_token: it has loaded another file than {_FILE}"
            case "M_BAD_STATUS":
                return f"reaches something else at {url} (url in {_FILE}): status {_status_of(error)}"
            case "M_CONNECTION_TIMEOUT":
                return f"has no answer from {url} (url in {_FILE})"
            case "M_CONNECTION_FAILED":
                return f"can't reach {url} (url in {_FILE})"
            case "M_URL_NOT_SET":
                return "has loaded a registration without a url"
            case "M_FORBIDDEN":
                return f"has loaded a registration of another id than {_FILE}"
            case errcode if errcode == _UNSUPPORTED or error.http_status == 404:
                _log.info("appservice_ping_unsupported")
                return None
            case None if error.http_status >= 500:
                # Whatever stands before the homeserver said this.
                return self.trouble
            case errcode:
                return f"refuses to try to reach us: {errcode}"


def _status_of(error: MatrixRequestError) -> int | None:
    """The status that the homeserver got from us, as it says."""
    try:
        status = json.loads(getattr(error, "text", ""))["status"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return status if isinstance(status, int) else None
