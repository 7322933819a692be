"""The account at its homeserver: a scripted one for what goes wrong, and a real one."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from mautrix.errors import MatrixRequestError

from sfu.errors import ConfigError, TransportError
from signalling.config import MatrixConfig, Secrets
from signalling.matrix import account as account_module
from signalling.matrix import session as session_module
from signalling.matrix.account import OrdinaryAccount
from signalling.matrix.session import MatrixSession
from signalling.store import Store
from tests.support.eventually import eventually
from tests.support.homeserver import new_user
from tests.support.scripted_homeserver import (
    DEVICE_ID,
    UNKNOWN_TOKEN,
    USER_ID,
    Answer,
    ScriptedHomeserver,
    error,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from loadtest.homeserver.server import Homeserver

pytestmark = pytest.mark.integration

OK = Answer({"ok": True})
PASSWORD, TOKEN, NEW_TOKEN = "secret", "token", "new-token"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(account_module, "LOGIN_RETRY_S", 0.02)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "focus.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedHomeserver]:
    async with ScriptedHomeserver() as homeserver:
        homeserver.usual["/thing"] = OK
        yield homeserver


@asynccontextmanager
async def session_at(
    url: str,
    store: Store,
    *,
    password: str | None = PASSWORD,
    token: str | None = TOKEN,
    timeout_s: float = 5.0,
) -> AsyncIterator[MatrixSession]:
    config = MatrixConfig(
        homeserver_url=url, user_id=USER_ID, device_id=DEVICE_ID, request_timeout_s=timeout_s
    )
    session = MatrixSession(
        config, OrdinaryAccount(config, Secrets(password=password, access_token=token), store)
    )
    try:
        yield session
    finally:
        await session.close()


@asynccontextmanager
async def open_session(
    homeserver: ScriptedHomeserver,
    store: Store,
    *,
    password: str | None = PASSWORD,
    token: str | None = TOKEN,
) -> AsyncIterator[MatrixSession]:
    async with session_at(homeserver.url, store, password=password, token=token) as session:
        await session.open()
        yield session


async def ask(session: MatrixSession) -> dict[str, object]:
    return await session.request("GET", "/_matrix/client/v3/thing")


# --- opening ----------------------------------------------------------------------------------------------


async def test_a_token_that_was_given_is_used_with_the_device_it_belongs_to(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.script("/account/whoami", Answer({"user_id": USER_ID, "device_id": "OTHER"}))
    async with open_session(scripted, store) as session:
        assert session.device_id == "OTHER"
        assert session.trouble is None
    assert scripted.requests("/login") == []


async def test_without_a_token_it_logs_in_with_its_device_and_keeps_the_token(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with open_session(scripted, store, token=None) as session:
        await ask(session)
    (login,) = scripted.requests("/login")
    assert login.token is None
    assert login.body["device_id"] == DEVICE_ID
    assert login.body["password"] == PASSWORD
    assert scripted.requests("/thing")[0].token == NEW_TOKEN

    async with open_session(scripted, store, token=None):
        assert len(scripted.requests("/login")) == 1, "after a restart the kept token is good"


async def test_a_kept_token_of_another_device_is_not_used(scripted: ScriptedHomeserver, store: Store) -> None:
    store.set_fact("access_token", "old-token")
    scripted.script("/account/whoami", Answer({"user_id": USER_ID, "device_id": "BEFORE"}))
    async with open_session(scripted, store, token=None) as session:
        assert session.device_id == DEVICE_ID
    assert len(scripted.requests("/login")) == 1


async def test_an_unknown_token_is_replaced_where_there_is_a_password(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.script("/account/whoami", UNKNOWN_TOKEN)
    async with open_session(scripted, store) as session:
        await ask(session)
    assert scripted.requests("/thing")[0].token == NEW_TOKEN


@pytest.mark.parametrize(
    ("token", "password", "whoami", "login", "expected"),
    [
        (None, None, OK, OK, "neither FOCUS_ACCESS_TOKEN nor FOCUS_PASSWORD"),
        ("token", None, UNKNOWN_TOKEN, OK, "FOCUS_ACCESS_TOKEN: the homeserver does not know it"),
        ("token", None, Answer({"user_id": "@other:localhost"}), OK, "the homeserver says @other:localhost"),
        ("token", None, error("M_FORBIDDEN", 403), OK, "whoami was refused with status 403"),
        ("token", None, OK, OK, "the homeserver says None"),
        (None, "wrong", OK, error("M_FORBIDDEN", 403), "refused the login"),
        (None, "secret", OK, Answer({"user_id": USER_ID}), "no access token"),
    ],
)
async def test_an_account_that_can_not_be_used_is_the_operators_to_mend(
    scripted: ScriptedHomeserver,
    store: Store,
    token: str | None,
    password: str | None,
    whoami: Answer,
    login: Answer,
    expected: str,
) -> None:
    scripted.usual["/account/whoami"], scripted.usual["/login"] = whoami, login
    async with session_at(scripted.url, store, token=token, password=password) as session:
        with pytest.raises(ConfigError, match=expected) as caught:
            await session.open()
        assert PASSWORD not in str(caught.value)


async def test_no_user_id_is_a_config_error(store: Store) -> None:
    config = MatrixConfig()
    session = MatrixSession(config, OrdinaryAccount(config, Secrets(access_token="token"), store))
    with pytest.raises(ConfigError, match=r"matrix\.user_id"):
        await session.open()
    await session.close()


async def test_a_homeserver_that_is_away_at_the_start_is_waited_for(store: Store) -> None:
    async with ScriptedHomeserver() as scripted:
        url = scripted.url
    async with session_at(url, store) as session, asyncio.TaskGroup() as tasks:
        opening = tasks.create_task(session.open())
        await eventually(lambda: session.trouble is not None and "reached" in session.trouble)
        assert not opening.done()
        async with ScriptedHomeserver(port=int(url.rpartition(":")[2])):
            await opening
        assert session.trouble is None


# --- requests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "trouble"),
    [
        (Answer(b"Bad Gateway", 502), "status 502"),
        (error("M_UNKNOWN", 500), "status 500"),
        (Answer(b"<html>", headers={"Content-Type": "text/html"}), "can't be reached"),
        (Answer(b"{broken"), "other than JSON"),
        (Answer(b"\xff\xfe"), "other than JSON"),
        (Answer(b"[" * 100_000), "other than JSON"),
        (Answer([1, 2]), "no object"),
        (Answer(None), "no object"),
        (Answer(["an", "error"], 400), "other than JSON"),
        (Answer({"errcode": {}, "error": 7}, 403), "other than JSON"),
    ],
)
async def test_an_answer_that_is_none_is_waited_out_and_readiness_says_so(
    scripted: ScriptedHomeserver, store: Store, bad: Answer, trouble: str
) -> None:
    async with open_session(scripted, store) as session:
        scripted.script("/thing", bad, bad, Answer({"ok": True}, delay_s=0.05))
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ask(session))
            await scripted.until("/thing", 3)
            assert session.trouble is not None
            assert trouble in session.trouble
            assert await asking == {"ok": True}
        assert session.trouble is None


async def test_a_homeserver_that_hangs_is_asked_again(scripted: ScriptedHomeserver, store: Store) -> None:
    async with session_at(scripted.url, store, timeout_s=0.1) as session:
        await session.open()
        scripted.script("/thing", Answer(delay_s=1.0))
        assert await ask(session) == {"ok": True}
    assert len(scripted.requests("/thing")) == 2


@pytest.mark.parametrize(
    "limited",
    [
        error("M_LIMIT_EXCEEDED", 429, retry_after_ms=300),
        Answer({"errcode": "M_LIMIT_EXCEEDED"}, 429, {"Retry-After": "0.3"}),
    ],
)
async def test_a_rate_limit_is_waited_out_for_as_long_as_it_says(
    scripted: ScriptedHomeserver, store: Store, limited: Answer
) -> None:
    async with open_session(scripted, store) as session:
        scripted.script("/thing", limited)
        began_at = time.monotonic()
        assert await ask(session) == {"ok": True}
        assert time.monotonic() - began_at >= 0.3
        assert session.trouble is None, "nothing is wrong with it"


@pytest.mark.parametrize(
    "limited",
    [
        Answer(b"slow down", 429),
        Answer([7], 429),
        Answer({"retry_after_ms": "soon"}, 429),
        Answer({"retry_after_ms": -5}, 429),
        Answer({"retry_after_ms": 10**400}, 429),
        Answer(b'{"retry_after_ms": NaN}', 429),
        Answer({}, 429, {"Retry-After": "Wed, 25 Nov 2026 21:00:00 GMT"}),
    ],
)
async def test_a_rate_limit_that_does_not_say_how_long_is_waited_out_too(
    scripted: ScriptedHomeserver, store: Store, limited: Answer
) -> None:
    async with open_session(scripted, store) as session:
        scripted.script("/thing", limited)
        assert await ask(session) == {"ok": True}


async def test_a_refusal_is_told_to_the_one_who_asked(scripted: ScriptedHomeserver, store: Store) -> None:
    async with open_session(scripted, store) as session:
        scripted.script("/thing", error("M_FORBIDDEN", 403))
        with pytest.raises(MatrixRequestError) as caught:
            await ask(session)
        assert caught.value.http_status == 403
        assert session.trouble is None


async def test_a_request_of_few_tries_gives_up_and_blames_nobody(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with open_session(scripted, store) as session:
        scripted.script("/thing", *[error("M_UNKNOWN", 502)] * 3)
        with pytest.raises(TransportError, match="status 502"):
            await session.request("GET", "/_matrix/client/v3/thing", tries=3)
        assert len(scripted.requests("/thing")) == 3
        assert session.trouble is None


# --- a token that goes away -------------------------------------------------------------------------------


async def test_a_token_that_becomes_unknown_is_replaced_once_for_everybody_and_nothing_is_lost(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with open_session(scripted, store) as session:
        scripted.script("/thing", *[UNKNOWN_TOKEN] * 3)
        scripted.script("/login", Answer(scripted.usual["/login"].body, delay_s=0.1))
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(ask(session)) for _ in range(3)]
            await scripted.until("/login")
            late = tasks.create_task(ask(session))
        assert [await task for task in (*asking, late)] == [{"ok": True}] * 4
    (login,) = scripted.requests("/login")
    assert login.body["device_id"] == DEVICE_ID
    assert all(asked.token for asked in scripted.requests("/thing")), "never without a token"
    assert store.fact("access_token") == NEW_TOKEN


async def test_without_a_password_a_refused_token_is_tried_again_and_readiness_says_so(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with open_session(scripted, store, password=None) as session:
        scripted.script("/thing", UNKNOWN_TOKEN, UNKNOWN_TOKEN, Answer({"ok": True}, delay_s=0.05))
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ask(session))
            await scripted.until("/thing", 3)
            assert session.trouble == "does not know our access token any more"
            assert await asking == {"ok": True}
        assert session.trouble is None


async def test_a_login_that_is_refused_while_calls_run_is_tried_again(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with open_session(scripted, store) as session:
        scripted.script("/thing", UNKNOWN_TOKEN, UNKNOWN_TOKEN)
        scripted.script("/login", error("M_FORBIDDEN", 403))
        assert await ask(session) == {"ok": True}
    assert len(scripted.requests("/login")) == 2


# --- a real homeserver ------------------------------------------------------------------------------------


async def test_synapse_takes_a_login_and_a_second_one_after_the_token_was_revoked(
    homeserver: Homeserver, store: Store
) -> None:
    user = await asyncio.to_thread(new_user, homeserver, "focus")
    config = MatrixConfig(homeserver_url=homeserver.base_url, user_id=user.user_id, device_id="THEFOCUS")
    session = MatrixSession(config, OrdinaryAccount(config, Secrets(password=user.password), store))
    await session.open()
    first = store.fact("access_token")
    assert await session.request("GET", "/_matrix/client/v3/joined_rooms") == {"joined_rooms": []}
    # Revokes every token of the account, whoever asks for it.
    await asyncio.to_thread(user.post, "/_matrix/client/v3/logout/all")
    assert await session.request("GET", "/_matrix/client/v3/joined_rooms") == {"joined_rooms": []}
    whoami = await session.request("GET", "/_matrix/client/v3/account/whoami")
    assert (whoami["device_id"], session.device_id) == ("THEFOCUS", "THEFOCUS")
    assert store.fact("access_token") not in {None, first}
    await session.close()
