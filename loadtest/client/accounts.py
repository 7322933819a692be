"""Accounts for participants: registered for one run, or lent by an operator in a file."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import aiohttp

from loadtest.client.signalling import (
    Account,
    JsonObject,
    MatrixRefusedError,
    exchange,
    open_http,
    patiently,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_VERSIONS: Final = "/_matrix/client/versions"
_LOGIN: Final = "/_matrix/client/v3/login"
_LOGOUT: Final = "/_matrix/client/v3/logout"
_REGISTER: Final = "/_matrix/client/v3/register"
_REGISTER_WITH_SECRET: Final = "/_synapse/admin/v1/register"  # noqa: S105  # a path
_DEACTIVATE: Final = "/_matrix/client/v3/account/deactivate"

OTHER_WAYS: Final = (
    "Give --registration-shared-secret (Synapse's registration_shared_secret), or --accounts FILE with one"
    " account a line: USER PASSWORD"
)


class AccountsError(Exception):
    """There are no accounts for the participants; the text says what would help."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One line of an accounts file."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Guest:
    """An account in use, and how it is given back."""

    account: Account
    password: str = field(repr=False)
    is_registered_here: bool
    """Made for this run: deactivated after it, where one that was lent is only logged out."""


@contextlib.asynccontextmanager
async def registered(
    base_url: str, count: int, shared_secret: str | None = None
) -> AsyncIterator[list[Account]]:
    """Accounts of one run, registered openly or by Synapse's shared secret, and deactivated at its end.

    Raises:
        AccountsError: the homeserver is not there or does not let us.
    """
    run = secrets.token_hex(3)
    guests: list[_Guest] = []
    async with open_http() as http:
        await _check_homeserver(http, base_url)
        try:
            for number in range(1, count + 1):
                name, password = f"loadtest-{run}-{number}", secrets.token_urlsafe(16)
                account = await _register(http, base_url, name, password, shared_secret)
                guests.append(_Guest(account, password, is_registered_here=True))
            yield [guest.account for guest in guests]
        finally:
            await _give_back(http, guests)


@contextlib.asynccontextmanager
async def logged_in(base_url: str, lent: Sequence[Credentials]) -> AsyncIterator[list[Account]]:
    """Accounts that exist, on a device of this run each, and logged out at its end.

    Raises:
        AccountsError: the homeserver is not there or refuses one of them.
    """
    guests: list[_Guest] = []
    async with open_http() as http:
        await _check_homeserver(http, base_url)
        try:
            for credentials in lent:
                account = await _log_in(http, base_url, credentials)
                guests.append(_Guest(account, credentials.password, is_registered_here=False))
            yield [guest.account for guest in guests]
        finally:
            await _give_back(http, guests)


def parse_accounts(text: str) -> list[Credentials]:
    """Read an accounts file: USER PASSWORD on each line, # begins a comment line.

    Raises:
        AccountsError: a line without a password, or a user who is named twice.
    """
    found: dict[str, Credentials] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        user, _, password = line.strip().partition(" ")
        if not password.strip():
            raise AccountsError(f"line {number}: not USER PASSWORD")
        if user in found:
            raise AccountsError(f"line {number}: {user} stands there twice; each participant is a user")
        found[user] = Credentials(user, password.strip())
    return list(found.values())


async def _register(
    http: aiohttp.ClientSession, base_url: str, name: str, password: str, shared_secret: str | None
) -> Account:
    try:
        if shared_secret is None:
            body: JsonObject = {"username": name, "password": password, "auth": {"type": "m.login.dummy"}}
            return _account(base_url, await _post(http, base_url + _REGISTER, body))
        url = base_url + _REGISTER_WITH_SECRET
        asked = await patiently(lambda: exchange(http, "GET", url))
        nonce = str(asked.get("nonce", "")) if isinstance(asked, dict) else ""
        proof = "\0".join((nonce, name, password, "notadmin")).encode()
        digest = hmac.new(shared_secret.encode(), proof, hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": name, "password": password, "admin": False, "mac": digest}
        return _account(base_url, await _post(http, url, body))
    except MatrixRefusedError as error:
        raise AccountsError(_why_not_registered(base_url, error, shared_secret)) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise AccountsError(f"{base_url}: {_text(error)}") from error


async def _log_in(http: aiohttp.ClientSession, base_url: str, credentials: Credentials) -> Account:
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": credentials.user},
        "password": credentials.password,
        "initial_device_display_name": "loadtest",
    }
    try:
        return _account(base_url, await _post(http, base_url + _LOGIN, body))
    except (MatrixRefusedError, aiohttp.ClientError, TimeoutError) as error:
        raise AccountsError(f"{credentials.user} cannot log in: {_text(error)}") from error


async def _give_back(http: aiohttp.ClientSession, guests: Sequence[_Guest]) -> None:
    """Deactivate what was registered and log out of what was lent, as far as the homeserver lets us."""
    for guest in guests:
        account = guest.account
        with contextlib.suppress(MatrixRefusedError, aiohttp.ClientError, TimeoutError):
            if not guest.is_registered_here:
                await _post(http, account.base_url + _LOGOUT, {}, account.access_token)
                continue
            proof = {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": account.user_id},
                "password": guest.password,
            }
            await _post(http, account.base_url + _DEACTIVATE, {"auth": proof}, account.access_token)


async def _check_homeserver(http: aiohttp.ClientSession, base_url: str) -> None:
    try:
        answer = await exchange(http, "GET", base_url + _VERSIONS)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise AccountsError(f"{base_url} cannot be reached: {_text(error)}") from error
    except MatrixRefusedError as error:
        raise AccountsError(f"{base_url} is no homeserver: {_VERSIONS} says {error}") from error
    if not isinstance(answer, dict) or "versions" not in answer:
        raise AccountsError(f"{base_url} is no homeserver: {_VERSIONS} says something else")


async def _post(
    http: aiohttp.ClientSession, url: str, body: JsonObject, token: str | None = None
) -> JsonObject:
    answer = await patiently(lambda: exchange(http, "POST", url, body, token=token))
    return answer if isinstance(answer, dict) else {}


def _account(base_url: str, answer: JsonObject) -> Account:
    try:
        return Account(base_url, answer["user_id"], answer["device_id"], answer["access_token"])
    except KeyError as error:
        raise AccountsError(f"{base_url} logs nobody in: {error} is missing in its answer") from error


def _why_not_registered(base_url: str, error: MatrixRefusedError, shared_secret: str | None) -> str:
    if shared_secret is not None:
        return f"{base_url} does not register by this shared secret: {error}"
    wants = f"asks for {' or '.join(error.stages)}" if error.stages else str(error)
    return f"{base_url} registers nobody who just asks: {wants}. {OTHER_WAYS}"


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
