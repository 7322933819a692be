"""The focus's account as an application service makes it: no password, and requests in other users' names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import structlog
from mautrix.errors import MatrixRequestError, MUnknownToken, MUserInUse

from sfu.errors import ConfigError
from signalling.matrix.account import WHOAMI, Access, AccessRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signalling.config import MatrixConfig
    from signalling.matrix.account import Ask
    from signalling.matrix.registration import Registration

REGISTRATION_RETRY_S: Final = 5.0
"""Wait while the homeserver does not know the registration. Lower: it is asked all the time. Higher: the
focus is there so much later than the homeserver, when both are set up together."""

_REGISTER: Final = "/_matrix/client/v3/register"
_DEVICES: Final = "/_matrix/client/v3/devices/"

_log = structlog.get_logger()


class AppserviceAccount:
    """A user and a device that the application service has made for itself (MSC4190, MSC4326).

    Args:
        config: whose user and device.
        registration: what the homeserver must have loaded.
    """

    locked_out: Final = (
        "does not know our as_token: app_service_config_files must list appservice.registration"
    )

    def __init__(self, config: MatrixConfig, registration: Registration) -> None:
        self._config = config
        self._registration = registration

    async def open(self, ask: Ask) -> Access:
        """Make user and device where they are missing."""
        try:
            await self._make_user(ask)
            await self._make_device(ask)
            await self._check(ask)
        except MUnknownToken as error:
            _log.error("registration_unknown", retry_in_s=REGISTRATION_RETRY_S)
            raise AccessRefused(self.locked_out, REGISTRATION_RETRY_S) from error
        return Access(self._config.device_id, self._registration.as_token, self._ours())

    async def renew(self, ask: Ask) -> Access:
        """Look whether the homeserver has loaded the registration again, and has us as we were."""
        try:
            return await self.open(ask)
        except ConfigError as error:
            _log.error("account_lost", error=str(error)[:300], retry_in_s=REGISTRATION_RETRY_S)
            raise AccessRefused("does not let us have our account any more", REGISTRATION_RETRY_S) from error

    def masked(self, user_id: str) -> Mapping[str, str]:
        """A user of ours, or of the homeserver's: which device it would be does not matter."""
        return {"user_id": user_id}

    async def _make_user(self, ask: Ask) -> None:
        localpart = self._config.user_id.removeprefix("@").partition(":")[0]
        body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        try:
            await ask("POST", _REGISTER, body, token=self._registration.as_token)
        except MUserInUse:
            return
        except MUnknownToken:
            raise
        except MatrixRequestError as error:
            raise ConfigError(
                f"matrix.user_id = {self._config.user_id}: the homeserver does not let an application "
                f"service register it: {error}; is it of another registration than appservice.registration?"
            ) from error

    async def _make_device(self, ask: Ask) -> None:
        try:
            await ask(
                "PUT",
                _DEVICES + quote(self._config.device_id, safe=""),
                {"display_name": "matrix-focus"},
                {"user_id": self._config.user_id},
                token=self._registration.as_token,
            )
        except MUnknownToken:
            raise
        except MatrixRequestError as error:
            raise ConfigError(
                f"matrix.device_id = {self._config.device_id!r}: the homeserver does not let an "
                f"application service make it: {error}; it must implement MSC4190"
            ) from error

    async def _check(self, ask: Ask) -> None:
        answer = await ask("GET", WHOAMI, None, self._ours(), token=self._registration.as_token)
        ours = (self._config.user_id, self._config.device_id)
        if (answer.get("user_id"), answer.get("device_id")) != ours:
            raise ConfigError(
                f"matrix.homeserver_url = {self._config.homeserver_url}: the homeserver must implement "
                f"MSC4326: it takes us for device {answer.get('device_id')} of {answer.get('user_id')}"
            )

    def _ours(self) -> dict[str, str]:
        return {"user_id": self._config.user_id, "device_id": self._config.device_id}
