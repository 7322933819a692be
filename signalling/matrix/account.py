"""How the focus gets into its account: what requests are made with, and what to do when that fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from mautrix.errors import MatrixRequestError, MUnknownToken

from sfu.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signalling.config import MatrixConfig, Secrets
    from signalling.store import Store

LOGIN_RETRY_S: Final = 30.0
"""Wait after a login that was refused while calls run. Lower: the account is locked out by its own focus."""

WHOAMI: Final = "/_matrix/client/v3/account/whoami"
_TOKEN_FACT: Final = "access_token"  # noqa: S105  # the name of a fact
_LOGIN: Final = "/_matrix/client/v3/login"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Access:
    """What requests of one device are made with."""

    device_id: str
    token: str = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    """Goes with every request."""


class AccessRefused(Exception):  # noqa: N818  # waited out, as nothing here can mend it
    """The homeserver does not let us in, which somebody may mend while we wait.

    Args:
        trouble: in a few words, beginning with what the homeserver does.
        retry_in_s: when to try again.
    """

    def __init__(self, trouble: str, retry_in_s: float) -> None:
        super().__init__(trouble)
        self.trouble = trouble
        self.retry_in_s = retry_in_s


class Ask(Protocol):
    """A request with a given token, or none, tried until there is an answer about the request itself."""

    async def __call__(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
    ) -> dict[str, Any]:
        """Ask; raises `MatrixRequestError` where the homeserver refuses the request."""
        ...


class Account(Protocol):
    """One account of a homeserver, and its one device."""

    @property
    def locked_out(self) -> str:
        """The trouble that the homeserver makes when it knows our token no more."""
        ...

    async def open(self, ask: Ask) -> Access:
        """Get in.

        Raises:
            ConfigError: the operator must change something of ours.
            AccessRefused: not now.
        """
        ...

    async def renew(self, ask: Ask) -> Access:
        """Get in again when the token is not known any more; raises as `open`."""
        ...

    def masked(self, user_id: str) -> Mapping[str, str]:
        """The query by which a request is made in the name of another user.

        Raises:
            LookupError: this account may not do so.
        """
        ...


class OrdinaryAccount:
    """An account like everybody's: a token that was given or kept, or a password."""

    locked_out: Final = "does not know our access token any more"

    def __init__(self, config: MatrixConfig, secrets: Secrets, store: Store) -> None:
        self._config = config
        self._secrets = secrets
        self._store = store

    async def open(self, ask: Ask) -> Access:
        """Check the token that was given or kept, or log in."""
        given, kept = self._secrets.access_token, self._store.fact(_TOKEN_FACT)
        if given is not None:
            access = await self._known(ask, given)
            if access is not None:
                return access
        if kept is not None and kept != given:
            access = await self._known(ask, kept, as_configured=True)
            if access is not None:
                return access
        if self._secrets.password is None:
            raise ConfigError(
                "neither FOCUS_ACCESS_TOKEN nor FOCUS_PASSWORD is set"
                if given is None
                else "FOCUS_ACCESS_TOKEN: the homeserver does not know it, and FOCUS_PASSWORD is not set"
            )
        try:
            return await self._log_in(ask, self._secrets.password)
        except MatrixRequestError as error:
            raise ConfigError(f"{self._config.user_id}: the homeserver refused the login: {error}") from error

    async def renew(self, ask: Ask) -> Access:
        """Log in again with the same device id."""
        if self._secrets.password is None:
            _log.error("access_token_unknown", action="start again with a new FOCUS_ACCESS_TOKEN")
            raise AccessRefused(self.locked_out, LOGIN_RETRY_S)
        _log.warning("access_token_unknown", action="log in again with the same device id")
        try:
            return await self._log_in(ask, self._secrets.password)
        except (MatrixRequestError, ConfigError) as error:
            _log.error("login_refused", error=str(error)[:200], retry_in_s=LOGIN_RETRY_S)
            raise AccessRefused("refuses the login", LOGIN_RETRY_S) from error

    def masked(self, user_id: str) -> Mapping[str, str]:
        """Nobody lets an ordinary account do so."""
        raise LookupError(f"no request can be made in the name of {user_id}")

    async def _known(self, ask: Ask, token: str, *, as_configured: bool = False) -> Access | None:
        """The access that a token gives; None where the homeserver does not know it.

        Raises:
            ConfigError: it belongs to somebody else (with `as_configured` it is only not ours).
        """
        try:
            answer = await ask("GET", WHOAMI, token=token)
        except MUnknownToken:
            return None
        except MatrixRequestError as error:
            raise ConfigError(
                f"matrix.homeserver_url = {self._config.homeserver_url}: "
                f"whoami was refused with status {error.http_status}: {error}"
            ) from error
        user_id, device_id = answer.get("user_id"), answer.get("device_id", self._config.device_id)
        if as_configured and (user_id, device_id) != (self._config.user_id, self._config.device_id):
            return None
        return self._access(user_id, device_id, token)

    async def _log_in(self, ask: Ask, password: str) -> Access:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self._config.user_id},
            "password": password,
            "device_id": self._config.device_id,
            "initial_device_display_name": "matrix-focus",
        }
        answer = await ask("POST", _LOGIN, body)
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise ConfigError(f"{self._config.homeserver_url}: logged in, but was given no access token")
        access = self._access(answer.get("user_id"), answer.get("device_id", self._config.device_id), token)
        self._store.set_fact(_TOKEN_FACT, token)
        return access

    def _access(self, user_id: object, device_id: object, token: str) -> Access:
        if user_id != self._config.user_id or not isinstance(device_id, str):
            raise ConfigError(f"matrix.user_id = {self._config.user_id}: the homeserver says {user_id}")
        return Access(device_id, token)
