"""Where participants of `loadtest run` get their accounts, at open homeservers and at closed ones."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from loadtest.client.accounts import AccountsError, Credentials, logged_in, registered
from loadtest.client.signalling import Account, MatrixClient, MatrixRefusedError
from loadtest.homeserver.server import Homeserver, homeservers
from tests.support.homeserver import new_room, new_user

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def closed_homeserver() -> Iterator[Homeserver]:
    """A homeserver that registers nobody who just asks."""
    settings = {"enable_registration": False, "enable_registration_without_verification": False}
    with homeservers(extra_settings=settings) as (server,):
        yield server


async def join(account: Account, room_id: str) -> None:
    async with MatrixClient(account) as client:
        await client.join(room_id)


async def test_accounts_are_registered_and_gone_afterwards(homeserver: Homeserver) -> None:
    room_id = new_room(new_user(homeserver))
    async with registered(homeserver.base_url, 2) as accounts:
        assert len({account.user_id for account in accounts}) == 2
        for account in accounts:
            await join(account, room_id)
    for account in accounts:
        with pytest.raises(MatrixRefusedError, match="401"):
            await join(account, room_id)


async def test_accounts_are_given_back_when_the_run_fails(homeserver: Homeserver) -> None:
    with pytest.raises(ZeroDivisionError):
        async with registered(homeserver.base_url, 1) as accounts:
            raise ZeroDivisionError
    with pytest.raises(MatrixRefusedError, match="401"):
        await join(accounts[0], "!any:here")


async def test_a_closed_homeserver_is_explained(closed_homeserver: Homeserver) -> None:
    with pytest.raises(AccountsError, match=r"disabled.*--registration-shared-secret.*--accounts"):
        async with registered(closed_homeserver.base_url, 1):
            pass


async def test_a_closed_homeserver_registers_by_its_secret(closed_homeserver: Homeserver) -> None:
    secret = closed_homeserver.registration_shared_secret
    async with registered(closed_homeserver.base_url, 2, secret) as accounts:
        assert len(accounts) == 2


async def test_a_wrong_secret_is_told(closed_homeserver: Homeserver) -> None:
    with pytest.raises(AccountsError, match="HMAC incorrect"):
        async with registered(closed_homeserver.base_url, 1, secrets.token_hex()):
            pass


async def test_lent_accounts_are_logged_in_and_out_but_live_on(homeserver: Homeserver) -> None:
    user = new_user(homeserver)
    lent = [Credentials(user.user_id, user.password)]
    for _ in range(2):
        async with logged_in(homeserver.base_url, lent) as (account,):
            assert account.user_id == user.user_id
            assert account.device_id != user.device_id
        with pytest.raises(MatrixRefusedError, match="401"):
            await join(account, "!any:here")


async def test_a_lent_account_with_a_wrong_password_is_named(homeserver: Homeserver) -> None:
    user = new_user(homeserver)
    with pytest.raises(AccountsError, match=f"{user.user_id} cannot log in: 403"):
        async with logged_in(homeserver.base_url, [Credentials(user.user_id, "wrong")]):
            pass


async def test_a_server_that_is_no_homeserver_is_told(homeserver: Homeserver) -> None:
    with pytest.raises(AccountsError, match="is no homeserver"):
        async with registered(f"{homeserver.base_url}/elsewhere", 1):
            pass
    with pytest.raises(AccountsError, match="cannot be reached"):
        async with registered("http://127.0.0.1:1", 1):
            pass
