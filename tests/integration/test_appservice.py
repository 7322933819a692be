"""Appservice mode: a scripted homeserver for what goes wrong, and a real one."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from loadtest.homeserver.server import free_port
from sfu.errors import ConfigError
from sfu.units import WallTime
from signalling.config import AppserviceConfig, MatrixConfig
from signalling.events.room_state import (
    CALL_MEMBER_TYPES,
    CALL_TYPES,
    FocusDevice,
    MemberDevice,
    call_content,
    member_content,
)
from signalling.events.to_device import Envelope, Hangup, Invite
from signalling.focus.turn import MessageReceived, RoomGone, RoomState
from signalling.matrix import appservice_account as account_module
from signalling.matrix import followed as followed_module
from signalling.matrix import introductions as introductions_module
from signalling.matrix import session as session_module
from signalling.matrix import transactions as transactions_module
from signalling.matrix import way_back as way_back_module
from signalling.matrix.appservice_account import AppserviceAccount
from signalling.matrix.followed import FOLLOWED_MS
from signalling.matrix.registration import new_registration, read_registration, write_registration
from signalling.matrix.session import MatrixSession
from signalling.store import Store
from tests.support.appservice import registered_homeserver
from tests.support.eventually import eventually
from tests.support.homeserver import join, new_room, new_user, room_path, send_to_device
from tests.support.matrix_shell import MatrixShell, appservice_shell
from tests.support.olm_device import OlmDevice
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

    from loadtest.homeserver.users import User
    from signalling.matrix.registration import Registration
    from tests.support.appservice import Registered

pytestmark = pytest.mark.integration

ROOM, OTHER_ROOM = "!room:localhost", "!other:localhost"
ALICE, BOB, REMOTE = "@alice:localhost", "@bob:localhost", "@carol:elsewhere"
STATE: Final = f"/rooms/{ROOM}/state"
PING: Final = "/_matrix/client/v1/appservice/"
ENVELOPE = Envelope("call", "PARTY", "conf", "ALICEDEVICE", "session", "sfu", seq=0)
SDP = "v=0\r\n"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(account_module, "REGISTRATION_RETRY_S", 0.02)
    monkeypatch.setattr(way_back_module, "RETRY_S", 0.02)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "focus.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedHomeserver]:
    async with ScriptedHomeserver() as homeserver:
        homeserver.usual |= {
            "/register": Answer({"user_id": USER_ID}),
            "/devices/": Answer(),
            PING: Answer({"duration_ms": 1}),
        }
        yield homeserver


@dataclasses.dataclass
class Told:
    """The focus's shell, and the homeserver's side of its listener."""

    shell: MatrixShell
    registration: Registration
    port: int

    async def put(self, *events: Any, number: int = 1) -> int:  # noqa: ANN401  # JSON
        """Send a transaction as the homeserver does; the status of the answer."""
        return await self.send({"events": list(events)}, number=number)

    async def send(
        self,
        body: object,
        *,
        number: int = 1,
        token: str | None = None,
        query: str = "",
    ) -> int:
        """Send any transaction."""
        path = f"/_matrix/app/v1/transactions/{number}{query}"
        if query:
            return await self.ask("PUT", path, None, body)
        return await self.ask("PUT", path, self.registration.hs_token if token is None else token, body)

    async def ask(self, method: str, path: str, token: str | None, body: object = None) -> int:
        """Any request; the status of the answer."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self.port}{path}"
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, json=body, headers=headers) as answer,
        ):
            return answer.status


@asynccontextmanager
async def told(homeserver: ScriptedHomeserver, store: Store) -> AsyncIterator[Told]:
    """A shell that is up: its first sync has been answered, and it was pinged."""
    port = free_port()
    registration = new_registration(USER_ID, f"http://127.0.0.1:{port}")
    config = MatrixConfig(
        homeserver_url=homeserver.url, user_id=USER_ID, device_id=DEVICE_ID, request_timeout_s=5.0
    )
    async with appservice_shell(config, AppserviceConfig(port=port), registration, store) as shell:
        homeserver.sync(next_batch="s1")
        await homeserver.until("/sync", 2)
        await eventually(lambda: shell.source.is_caught_up)
        yield Told(shell, registration, port)


def event(kind: str, key: str, content: Any, sender: str = ALICE, room_id: str = ROOM) -> dict[str, Any]:  # noqa: ANN401  # JSON
    return {"type": kind, "state_key": key, "sender": sender, "content": content, "room_id": room_id}


def placed(user_id: str, membership: str = "join", room_id: str = ROOM) -> dict[str, Any]:
    return event("m.room.member", user_id, {"membership": membership}, user_id, room_id)


def call(sender: str = ALICE, conf_id: str = "conf", room_id: str = ROOM) -> dict[str, Any]:
    return event(CALL_TYPES[0], conf_id, call_content(), sender, room_id)


def in_call(shell: MatrixShell, user_id: str = ALICE) -> dict[str, Any]:
    expires_at = WallTime(shell.wall + FOLLOWED_MS)
    device = MemberDevice("D", "session", expires_at, (), (FocusDevice(USER_ID, DEVICE_ID),))
    return event(CALL_MEMBER_TYPES[0], user_id, member_content("conf", (device,)), user_id)


def message(content: Any, kind: str, sender: str = ALICE) -> dict[str, Any]:  # noqa: ANN401  # JSON
    return {"type": kind, "sender": sender, "content": content}


INVITE: Final = message(Invite(ENVELOPE, SDP, 60_000, ()).content(), "m.call.invite")
HANGUP: Final = message(Hangup(ENVELOPE).content(), "m.call.hangup")


def seen_in_name_of(homeserver: ScriptedHomeserver, path: str) -> list[str | None]:
    return [asked.query.get("user_id") for asked in homeserver.requests(path)]


def keys_of(state: RoomState) -> list[str]:
    return [one.state_key for one in state.events]


# --- the account ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("register", [Answer({"user_id": USER_ID}), error("M_USER_IN_USE", 400)])
async def test_user_and_device_are_made_and_every_request_is_theirs(
    scripted: ScriptedHomeserver, store: Store, register: Answer
) -> None:
    scripted.script("/register", register)
    async with told(scripted, store) as one:
        assert one.shell.session.device_id == DEVICE_ID
    (registered,), (device,) = scripted.requests("/register"), scripted.requests("/devices/")
    assert registered.body == {
        "type": "m.login.application_service",
        "username": "focus",
        "inhibit_login": True,
    }
    assert (device.method, device.path) == ("PUT", f"/devices/{DEVICE_ID}")
    assert {asked.token for asked in scripted.asked} == {one.registration.as_token}
    ours = {"user_id": USER_ID, "device_id": DEVICE_ID}
    assert all(asked.query.items() >= ours.items() for asked in scripted.requests("/sync"))
    assert scripted.requests("/login") == []


async def test_a_homeserver_that_has_not_loaded_the_registration_is_waited_for(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.script("/register", UNKNOWN_TOKEN, UNKNOWN_TOKEN)
    async with told(scripted, store) as one:
        assert one.shell.session.trouble is None
        scripted.script("/register", UNKNOWN_TOKEN)
        scripted.script("/thing", UNKNOWN_TOKEN)
        scripted.usual["/thing"] = Answer({"ok": True}, delay_s=0.05)
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(one.shell.session.request("GET", "/_matrix/client/v3/thing"))
            await eventually(lambda: "does not know our as_token" in (one.shell.session.trouble or ""))
            assert await asking == {"ok": True}
    assert len(scripted.requests("/register")) == 4


@pytest.mark.parametrize(
    ("path", "answer", "expected"),
    [
        ("/register", error("M_EXCLUSIVE", 400), r"matrix\.user_id = @focus:localhost: .* register it"),
        ("/devices/", error("M_NOT_FOUND", 404), r"matrix\.device_id = 'FOCUS': .* implement MSC4190"),
        ("/account/whoami", Answer({"user_id": USER_ID}), r"matrix\.homeserver_url = .* implement MSC4326"),
        ("/account/whoami", Answer({"user_id": ALICE, "device_id": DEVICE_ID}), "takes us for device"),
    ],
)
async def test_an_account_that_is_not_to_be_had_is_the_operators_to_mend(
    scripted: ScriptedHomeserver, store: Store, path: str, answer: Answer, expected: str
) -> None:
    scripted.usual[path] = answer
    with pytest.raises(ConfigError, match=expected):
        async with told(scripted, store):
            pass


# --- the listener -----------------------------------------------------------------------------------------


async def test_nobody_but_the_homeserver_is_listened_to(scripted: ScriptedHomeserver, store: Store) -> None:
    async with told(scripted, store) as one:
        body = {"events": [call()]}
        for token in ("wrong", "", one.registration.as_token, one.registration.hs_token + "x", "föcus"):
            assert await one.send(body, token=token) == 403
        assert await one.send(body, query="?access_token=wrong") == 403
        assert await one.ask("POST", "/_matrix/app/v1/ping", "wrong") == 403
        assert one.shell.counted("transaction", "unauthorised") == 7
        assert one.shell.received == []
        assert scripted.requests("/rooms/") == []
        assert await one.send({"events": []}, query=f"?access_token={one.registration.hs_token}") == 200


async def test_the_rest_of_the_api_is_answered(scripted: ScriptedHomeserver, store: Store) -> None:
    async with told(scripted, store) as one:
        token = one.registration.hs_token
        assert await one.ask("POST", "/_matrix/app/v1/ping", token) == 200
        for path in ("users/@x:localhost", "rooms/%23x:localhost", "thirdparty/protocol/x"):
            assert await one.ask("GET", f"/_matrix/app/v1/{path}", token) == 404


async def test_what_is_no_transaction_is_refused_and_counted(
    scripted: ScriptedHomeserver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions_module, "MAX_BODY_BYTES", 1_000)
    async with told(scripted, store) as one:
        assert await one.send([7]) == 400
        assert await one.send({"events": "x" * 1_000}) == 413
        assert await one.send({"events": [7, {"type": "m.room.member"}]}) == 200
        assert one.shell.counted("transaction", "malformed") == 3
        assert one.shell.counted("transaction", "too_large") == 1


async def test_an_address_that_is_taken_names_its_setting(scripted: ScriptedHomeserver, store: Store) -> None:
    async with told(scripted, store) as one:
        config = MatrixConfig(homeserver_url=scripted.url, user_id=USER_ID, device_id=DEVICE_ID)
        listening = AppserviceConfig(port=one.port)
        with pytest.raises(ExceptionGroup) as caught:  # it is a task of the shell that fails
            async with appservice_shell(config, listening, one.registration, store):
                await asyncio.sleep(60)
        assert caught.group_contains(ConfigError, match=r"appservice\.port = \d+ \(TCP\)")


# --- rooms ------------------------------------------------------------------------------------------------


async def test_a_room_with_a_call_is_read_in_the_name_of_who_says_so(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual[STATE] = Answer([placed(ALICE), placed(REMOTE), call()])
    async with told(scripted, store) as one:
        assert await one.put(call()) == 200
        (state,) = one.shell.received
        assert (state.room_id, state.is_complete) == (ROOM, True)
        assert keys_of(state) == [ALICE, REMOTE, "conf"]
    (asked,) = scripted.requests("/rooms/")
    assert (asked.path, asked.token) == (STATE, one.registration.as_token)
    assert asked.query == {"user_id": ALICE}, "she has no device of our name"


async def test_of_all_other_rooms_nothing_is_asked(scripted: ScriptedHomeserver, store: Store) -> None:
    look_alike = {"application": "m.call", "device_id": "D", "focus_active": {"type": "livekit"}}
    async with told(scripted, store) as one:
        events = [
            event("m.room.message", "", {"body": "hello"}),
            placed(BOB),
            event(CALL_TYPES[0], "conf", call_content(terminated=True)),
            event(CALL_MEMBER_TYPES[0], ALICE, {"m.calls": []}),
            event(CALL_MEMBER_TYPES[0], f"_{ALICE}_D_m.call", look_alike),
            {"type": "m.room.redaction", "sender": ALICE, "room_id": ROOM},
        ]
        assert await one.put(*events) == 200
        assert one.shell.received == []
    assert scripted.requests("/rooms/") == []


async def test_what_happens_in_a_known_room_is_asked_and_never_believed(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual[STATE] = Answer([placed(ALICE), placed(BOB), call()])
    async with told(scripted, store) as one:
        await one.put(call())
        now = in_call(one.shell, BOB)
        scripted.script(f"{STATE}/{CALL_MEMBER_TYPES[0]}/{BOB}", Answer(now), error("M_NOT_FOUND", 404))
        stale = now | {"content": {"m.calls": []}}
        await one.put(stale, number=2)
        await one.put(stale, number=3)
    _, told_twice, absent = one.shell.of(RoomState)
    assert [event.content for event in told_twice.events] == [now["content"]]
    assert [(event.state_key, event.content) for event in absent.events] == [(BOB, {})]
    asked = scripted.requests(f"{STATE}/")
    assert [one.query for one in asked] == [{"format": "event", "user_id": ALICE}] * 2


async def test_who_may_have_left_is_not_asked(scripted: ScriptedHomeserver, store: Store) -> None:
    scripted.usual[STATE] = Answer([placed(ALICE), placed(BOB), call()])
    scripted.usual[f"{STATE}/m.room.member/{ALICE}"] = Answer(placed(ALICE, "ban"))
    scripted.usual[f"{STATE}/{CALL_TYPES[0]}/conf"] = Answer(call())
    async with told(scripted, store) as one:
        await one.put(call())
        await one.put(placed(ALICE, "ban"), number=2)
        await one.put(call(BOB), number=3)
    assert seen_in_name_of(scripted, f"{STATE}/") == [BOB, BOB]
    assert one.shell.of(RoomGone) == []


async def test_where_everybody_may_have_left_the_room_is_read_by_one_who_shows_to_be_there(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual[STATE] = Answer([placed(ALICE), placed(BOB), call()])
    async with told(scripted, store) as one:
        await one.put(call())
        before = len(scripted.requests(STATE))
        left = [placed(ALICE, "leave"), placed(BOB), call()]
        scripted.script(STATE, Answer(left), error("M_FORBIDDEN", 403), Answer(left))
        await one.put(placed(ALICE, "leave"), placed(BOB), number=2)
        assert one.shell.of(RoomGone) == [RoomGone(ROOM)], "alice sees what was, bob is refused"
        assert seen_in_name_of(scripted, STATE)[before:] == [ALICE, BOB]
        scripted.script(STATE, Answer(left))
        await one.put(call(BOB), number=3)
        assert one.shell.of(RoomState)[-1].is_complete
        assert one.shell.of(RoomState)[-1].room_id == ROOM
    assert [room for room, _ in store.followed_rooms()] == [ROOM]


async def test_a_room_whose_last_user_has_left_is_gone(scripted: ScriptedHomeserver, store: Store) -> None:
    scripted.usual[STATE] = Answer([placed(ALICE), placed(REMOTE), call()])
    async with told(scripted, store) as one:
        await one.put(call())
        scripted.usual[STATE] = Answer([placed(ALICE, "leave"), placed(REMOTE), call()])
        await one.put(placed(ALICE, "leave"), number=2)
        assert one.shell.received[1:] == [RoomGone(ROOM)]
        assert store.followed_rooms() == []


async def test_a_redaction_reads_a_followed_room_anew(scripted: ScriptedHomeserver, store: Store) -> None:
    scripted.usual[STATE] = Answer([placed(ALICE), call()])
    async with told(scripted, store) as one:
        await one.put(call())
        await one.put({"type": "m.room.redaction", "sender": ALICE, "room_id": ROOM}, number=2)
        assert [state.is_complete for state in one.shell.of(RoomState)] == [True, True]


async def test_a_room_is_read_by_the_focus_itself_where_it_is_in_it(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual[STATE] = Answer([placed(USER_ID), placed(REMOTE), call(REMOTE)])
    scripted.usual["/rooms/!room:localhost/join"] = Answer({"room_id": ROOM})
    async with told(scripted, store) as one:
        invitation = placed(USER_ID, "invite") | {"sender": ALICE}
        await one.put(invitation)
        await scripted.until("/rooms/!room:localhost/join")
        assert seen_in_name_of(scripted, "/rooms/!room:localhost/join") == [USER_ID]
        await one.put(placed(USER_ID), number=2)
        (state,) = one.shell.of(RoomState)
        assert state.is_complete
    assert seen_in_name_of(scripted, STATE) == [USER_ID]


async def test_a_call_of_another_server_s_user_is_no_business_of_ours_where_nobody_of_ours_takes_part(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual[STATE] = error("M_FORBIDDEN", 403)
    async with told(scripted, store) as one:
        assert await one.put(call(REMOTE)) == 200
        assert one.shell.received == []
    assert seen_in_name_of(scripted, STATE) == [USER_ID]


async def test_a_quiet_room_is_followed_no_more_and_a_new_call_begins_anew(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual[STATE] = Answer([placed(ALICE), call()])
    async with told(scripted, store) as one:
        await one.put(call())
        one.shell.wall = WallTime(one.shell.wall + FOLLOWED_MS)
        await one.put(number=2)
        assert one.shell.received[1:] == [RoomGone(ROOM)]
        assert store.followed_rooms() == []
        await one.put(call(), number=3)
        assert one.shell.of(RoomState)[-1].is_complete


async def test_more_rooms_than_there_is_place_for_are_counted(
    scripted: ScriptedHomeserver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_module, "MAX_FOLLOWED", 1)
    scripted.usual["/rooms/"] = Answer([placed(ALICE), call()])
    async with told(scripted, store) as one:
        assert await one.put(call(), call(room_id=OTHER_ROOM)) == 200
        assert [state.room_id for state in one.shell.of(RoomState)] == [ROOM]
        assert one.shell.counted("transaction", "too_many") == 1


async def test_a_transaction_that_we_stumble_over_is_confirmed_and_everything_read_anew(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual[STATE] = Answer([placed(ALICE), call()])
    async with told(scripted, store) as one:
        await one.put(call())
        scripted.usual[f"{STATE}/{CALL_TYPES[0]}/conf"] = Answer(call())
        one.shell.fails_on = lambda given: not given.is_complete
        assert await one.put(call(), number=2) == 200
        assert [state.is_complete for state in one.shell.of(RoomState)] == [True, True]
        failures = one.shell.metrics.registry.get_sample_value(
            "focus_internal_failures_total", {"where": "transaction"}
        )
        assert failures == 1


async def test_after_a_restart_rooms_are_read_by_one_who_is_still_there(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual[STATE] = Answer([placed(ALICE), placed(BOB), call()])
    async with told(scripted, store) as one:
        await one.put(call())
    async with ScriptedHomeserver() as later:
        later.usual |= scripted.usual | {"/joined_rooms": Answer({"joined_rooms": [7, {}]})}
        later.script(STATE, Answer([placed(ALICE, "leave"), placed(BOB), call()]))
        later.usual[STATE] = Answer([placed(BOB), call()])
        async with told(later, store) as one:
            (state,) = one.shell.received
            assert (state.is_complete, keys_of(state)) == (True, [BOB, "conf"])
        assert seen_in_name_of(later, STATE) == [ALICE, BOB]


# --- introductions ----------------------------------------------------------------------------------------

FOUND: Final = f"{STATE}/{CALL_TYPES[0]}/conf"


async def test_the_room_of_an_unknown_call_is_looked_for_before_its_invite_is_judged(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual["/joined_rooms"] = Answer({"joined_rooms": [OTHER_ROOM, ROOM, 7]})
    scripted.usual[f"/rooms/{OTHER_ROOM}"] = error("M_NOT_FOUND", 404)
    async with told(scripted, store) as one:
        before = len(one.shell.received)
        scripted.usual |= {FOUND: Answer(call_content(), delay_s=0.1), STATE: Answer([placed(ALICE), call()])}
        scripted.sync(next_batch="s2", to_device={"events": [INVITE, HANGUP]})
        await one.shell.until(lambda: len(one.shell.of(MessageReceived)) == 2)
        state, invite, hangup = one.shell.received[before:]
        assert isinstance(state, RoomState)
        assert (invite.message.type, hangup.message.type) == ("m.call.invite", "m.call.hangup")
        assert set(seen_in_name_of(scripted, FOUND)) == {ALICE}


@pytest.mark.parametrize(
    "answers",
    [
        {"/joined_rooms": error("M_FORBIDDEN", 403)},
        {"/joined_rooms": Answer({"joined_rooms": 7})},
        {"/joined_rooms": error("M_UNKNOWN", 502)},
        {FOUND: error("M_NOT_FOUND", 404)},
        {FOUND: error("M_UNKNOWN", 502)},
        {FOUND: Answer(call_content(terminated=True))},
        {FOUND: Answer({"m.intent": 7})},
        {FOUND: Answer(call_content()), STATE: error("M_FORBIDDEN", 403)},
        {FOUND: Answer(call_content(), delay_s=1)},
    ],
)
async def test_an_invite_whose_call_is_not_found_is_judged_by_what_is_known(
    scripted: ScriptedHomeserver,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, Answer],
) -> None:
    monkeypatch.setattr(introductions_module, "SEARCH_S", 0.5)
    async with told(scripted, store) as one:
        listed = Answer({"joined_rooms": [ROOM]})
        scripted.usual |= {"/joined_rooms": listed, STATE: error("M_NOT_FOUND", 404)} | answers
        scripted.sync(next_batch="s2", to_device={"events": [INVITE]})
        await one.shell.until(lambda: one.shell.of(MessageReceived))
        assert len(one.shell.received) == 1


async def test_nothing_is_looked_for_where_that_can_not_help(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with told(scripted, store) as one:
        before = len(scripted.requests("/joined_rooms"))
        one.shell.known_calls = {"known"}
        known = dataclasses.replace(ENVELOPE, conf_id="known")
        events = [
            HANGUP,
            INVITE | {"sender": REMOTE},
            message(Invite(known, SDP, 60_000, ()).content(), "m.call.invite"),
        ]
        scripted.sync(next_batch="s2", to_device={"events": events})
        await one.shell.until(lambda: len(one.shell.of(MessageReceived)) == 3)
        assert len(scripted.requests("/joined_rooms")) == before


async def test_whoever_invites_for_nothing_is_looked_for_at_a_rate_and_others_all_the_same(
    scripted: ScriptedHomeserver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introductions_module, "SEARCHES_PER_S", 0.0)
    monkeypatch.setattr(introductions_module, "SEARCHES_AT_ONCE_OF_USER", 1.0)
    async with told(scripted, store) as one:
        before = len(scripted.requests("/joined_rooms"))
        scripted.sync(next_batch="s2", to_device={"events": [INVITE]})
        await one.shell.until(lambda: len(one.shell.of(MessageReceived)) == 1)
        scripted.sync(next_batch="s3", to_device={"events": [INVITE, INVITE]})
        await one.shell.until(lambda: len(one.shell.of(MessageReceived)) == 3)
        assert len(scripted.requests("/joined_rooms")) == before + 1
        assert one.shell.counted("m.call.invite", "not_searched") == 2
        scripted.sync(next_batch="s5", to_device={"events": [INVITE | {"sender": BOB}]})
        await one.shell.until(lambda: len(one.shell.of(MessageReceived)) == 4)
        assert len(scripted.requests("/joined_rooms")) == before + 2


async def test_what_waits_behind_a_search_is_bounded_and_other_senders_do_not_wait(
    scripted: ScriptedHomeserver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introductions_module, "MAX_HELD", 3)
    monkeypatch.setattr(introductions_module, "SEARCH_S", 0.5)
    async with told(scripted, store) as one:
        scripted.usual["/joined_rooms"] = Answer({"joined_rooms": []}, delay_s=60)
        events = [INVITE, *[HANGUP] * 4, HANGUP | {"sender": BOB}]
        scripted.sync(next_batch="s2", to_device={"events": events})
        await one.shell.until(lambda: one.shell.of(MessageReceived))
        assert [given.sender for given in one.shell.of(MessageReceived)] == [BOB]
        await one.shell.until(lambda: len(one.shell.of(MessageReceived)) == 4)
        assert one.shell.counted("m.call.hangup", "too_many") == 2
        assert one.shell.counted("m.call.invite", "search_failed") == 1


# --- the way back -----------------------------------------------------------------------------------------


def bad_status(status: int) -> Answer:
    return Answer({"errcode": "M_BAD_STATUS", "error": "as scripted", "status": status}, 502)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (bad_status(403), "another hs_token"),
        (bad_status(404), "something else at http://127.0.0.1:.*status 404"),
        (error("M_BAD_STATUS", 502), "status None"),
        (error("M_CONNECTION_FAILED", 502), r"can't reach http://127\.0\.0\.1:\d+ \(url in"),
        (error("M_CONNECTION_TIMEOUT", 504), "has no answer from http"),
        (error("M_URL_NOT_SET", 400), "without a url"),
        (error("M_FORBIDDEN", 403), "another id"),
        (error("M_WHATEVER", 400), "refuses to try to reach us: M_WHATEVER"),
    ],
)
async def test_a_homeserver_that_does_not_reach_us_says_what_to_mend(
    scripted: ScriptedHomeserver, store: Store, answer: Answer, expected: str
) -> None:
    scripted.usual[PING] = answer
    async with told(scripted, store) as one:
        await eventually(lambda: one.shell.source.trouble != "has not reached us yet")
        trouble = one.shell.source.trouble
        scripted.usual[PING] = Answer({"duration_ms": 1})
        await eventually(lambda: one.shell.source.trouble is None)
    assert trouble is not None
    assert re.search(expected, trouble)


@pytest.mark.parametrize("answer", [error("M_UNRECOGNIZED", 404), error("M_NOT_FOUND", 404)])
async def test_a_homeserver_that_can_not_be_made_to_try_is_trusted(
    scripted: ScriptedHomeserver, store: Store, answer: Answer
) -> None:
    scripted.usual[PING] = answer
    async with told(scripted, store) as one:
        await eventually(lambda: one.shell.source.trouble is None)


async def test_that_a_homeserver_is_away_says_nothing_of_the_way_back(
    scripted: ScriptedHomeserver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way_back_module, "PING_S", 0.02)
    async with told(scripted, store) as one:
        await eventually(lambda: one.shell.source.trouble is None)
        scripted.usual[PING] = Answer(b"Bad Gateway", 502, {"Content-Type": "text/html"})
        count = len(scripted.requests(PING))
        await scripted.until(PING, count + 3)
        assert one.shell.source.trouble is None


# --- a real homeserver ------------------------------------------------------------------------------------


def registers(registered: Registered) -> None:
    registration = new_registration(registered.user_id, f"http://127.0.0.1:{registered.port}")
    write_registration(registered.file, registration, registered.user_id, overwrite=False)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    with registered_homeserver(tmp_path_factory.mktemp("registration"), registers) as one:
        yield one


@asynccontextmanager
async def at_synapse(
    registered: Registered, store: Store, device_id: str = DEVICE_ID
) -> AsyncIterator[MatrixShell]:
    """A shell that its homeserver has reached.

    Messages and keys of a device outlive a store at the homeserver: a test of those has its own device.
    """
    config = MatrixConfig(
        homeserver_url=registered.homeserver.base_url,
        user_id=registered.user_id,
        device_id=device_id,
        sync_timeout_ms=2_000,
    )
    registration = read_registration(registered.file, registered.user_id)
    async with appservice_shell(config, AppserviceConfig(port=registered.port), registration, store) as shell:
        await eventually(lambda: shell.source.is_caught_up and shell.source.trouble is None)
        yield shell


def put_call(user: User, room_id: str, conf_id: str) -> None:
    user.put(room_path(room_id, f"state/{CALL_TYPES[0]}/{conf_id}"), call_content())


def calls_of(shell: MatrixShell, room_id: str) -> set[str]:
    return {
        event.state_key
        for state in shell.of(RoomState)
        for event in state.events
        if state.room_id == room_id and event.type in CALL_TYPES
    }


def membership(shell: MatrixShell, user: User) -> object:
    """What was told last."""
    said: object = None
    for state in shell.of(RoomState):
        for one in state.events:
            if (
                one.type == "m.room.member"
                and one.state_key == user.user_id
                and isinstance(one.content, dict)
            ):
                said = one.content.get("membership")
    return said


async def test_synapse_tells_of_calls_in_rooms_without_the_focus_until_nobody_of_its_users_is_there(
    registered: Registered, store: Store
) -> None:
    alice = await asyncio.to_thread(new_user, registered.homeserver, "alice")
    bob = await asyncio.to_thread(new_user, registered.homeserver, "bob")
    async with at_synapse(registered, store) as shell:
        room_id = await asyncio.to_thread(new_room, alice)
        await asyncio.to_thread(join, bob, room_id)
        await asyncio.to_thread(put_call, alice, room_id, "conf")
        await shell.until(lambda: "conf" in calls_of(shell, room_id))
        first = shell.of(RoomState)[0]
        assert (first.room_id, first.is_complete) == (room_id, True)
        assert {alice.user_id, bob.user_id} <= set(keys_of(first))
        await asyncio.to_thread(put_call, bob, room_id, "next")
        await shell.until(lambda: "next" in calls_of(shell, room_id))
        await asyncio.to_thread(alice.post, room_path(room_id, "kick"), {"user_id": bob.user_id})
        await shell.until(lambda: membership(shell, bob) == "leave")
        assert shell.of(RoomGone) == []
        await asyncio.to_thread(alice.post, room_path(room_id, "leave"))
        await shell.until(lambda: shell.of(RoomGone))
    assert shell.of(RoomGone) == [RoomGone(room_id)]


async def test_state_that_many_write_at_once_never_goes_back(registered: Registered, store: Store) -> None:
    people = [await asyncio.to_thread(new_user, registered.homeserver) for _ in range(4)]
    room_id = await asyncio.to_thread(new_room, people[0])
    for one in people[1:]:
        await asyncio.to_thread(join, one, room_id)

    def write(one: User) -> None:
        for number in range(10):
            path = room_path(room_id, f"state/{CALL_MEMBER_TYPES[0]}/{one.user_id}")
            one.put(path, {"number": number})

    def numbers(one: User) -> list[int]:
        return [
            event.content["number"]
            for state in shell.of(RoomState)
            for event in state.events
            if event.type == CALL_MEMBER_TYPES[0]
            and event.state_key == one.user_id
            and isinstance(event.content, dict)
        ]

    async with at_synapse(registered, store) as shell, asyncio.TaskGroup() as group:
        # The room becomes known, and is read, while they write.
        for one in people:
            group.create_task(asyncio.to_thread(write, one))
        await asyncio.to_thread(put_call, people[0], room_id, "conf")
        await shell.until(lambda: all(9 in numbers(one) for one in people))
    for one in people:
        assert numbers(one) == sorted(numbers(one))


async def test_what_happens_while_the_focus_is_away_is_known_when_it_is_back(
    registered: Registered, store: Store
) -> None:
    alice = await asyncio.to_thread(new_user, registered.homeserver, "alice")
    bob = await asyncio.to_thread(new_user, registered.homeserver, "bob")
    room_id = await asyncio.to_thread(new_room, alice)
    await asyncio.to_thread(join, bob, room_id)
    async with at_synapse(registered, store) as shell:
        await asyncio.to_thread(put_call, alice, room_id, "conf")
        await shell.until(lambda: "conf" in calls_of(shell, room_id))
    await asyncio.to_thread(alice.post, room_path(room_id, "leave"))
    new_room_id = await asyncio.to_thread(new_room, bob)
    await asyncio.to_thread(put_call, bob, new_room_id, "new")
    async with at_synapse(registered, store) as shell:
        # The room that is known is read; the other one comes with a transaction that was kept for us.
        assert membership(shell, alice) == "leave"
        assert membership(shell, bob) == "join"
        await shell.until(lambda: "new" in calls_of(shell, new_room_id))


async def test_a_call_that_began_before_the_focus_is_found_by_its_invite(
    registered: Registered, store: Store
) -> None:
    alice = await asyncio.to_thread(new_user, registered.homeserver, "alice")
    focus = registered.focus_user("FOUND")
    rooms = [await asyncio.to_thread(new_room, alice) for _ in range(3)]
    async with at_synapse(registered, store, focus.device_id) as shell:
        await asyncio.to_thread(put_call, alice, rooms[1], "conf")
        await shell.until(lambda: calls_of(shell, rooms[1]))
        # Comes when that is confirmed: it is not told again.
        await asyncio.to_thread(put_call, alice, rooms[2], "later")
        await shell.until(lambda: calls_of(shell, rooms[2]))
    # As if it were the first time.
    store.forget_followed_room(rooms[1])
    async with at_synapse(registered, store, focus.device_id) as shell:
        assert calls_of(shell, rooms[1]) == set()
        invite = dict(INVITE["content"])
        await asyncio.to_thread(send_to_device, alice, focus, INVITE["type"], invite)
        await shell.until(lambda: shell.of(MessageReceived))
        elsewhere = [given for given in shell.of(RoomState) if given.room_id != rooms[1]]
        state, invited = (given for given in shell.received if given not in elsewhere)
        assert (state.room_id, state.is_complete) == (rooms[1], True)
        assert invited.sender == alice.user_id


async def test_messages_go_both_ways_in_the_clear_and_encrypted(registered: Registered, store: Store) -> None:
    alice = await asyncio.to_thread(new_user, registered.homeserver, "alice")
    focus = registered.focus_user("HEARD")
    async with at_synapse(registered, store, focus.device_id) as shell:
        content = dict(HANGUP["content"])
        await asyncio.to_thread(send_to_device, alice, focus, "m.call.hangup", content)
        await shell.until(lambda: shell.of(MessageReceived))
        device = await asyncio.to_thread(OlmDevice, alice)
        await asyncio.to_thread(device.send, focus.user_id, focus.device_id, "m.call.hangup", content)
        await shell.until(lambda: len(shell.of(MessageReceived)) == 2)
        shell.outbox.send(alice.user_id, alice.device_id, "m.call.answer", {"a": 1}, is_encrypted=True)
        shell.outbox.send(alice.user_id, alice.device_id, "m.call.answer", {"a": 2})
        await shell.outbox.flush(10)
    assert [given.proven_device_id for given in shell.of(MessageReceived)] == [None, alice.device_id]
    answer = await asyncio.to_thread(alice.get, "/_matrix/client/v3/sync?timeout=5000")
    encrypted, plain = answer["to_device"]["events"]
    assert device.decrypt(encrypted["content"])["content"] == {"a": 1}
    assert (plain["sender"], plain["content"]) == (focus.user_id, {"a": 2})


async def test_a_registration_that_synapse_has_not_loaded_is_said_so(
    registered: Registered, store: Store
) -> None:
    other = dataclasses.replace(read_registration(registered.file, registered.user_id), as_token="another")
    config = MatrixConfig(
        homeserver_url=registered.homeserver.base_url, user_id=registered.user_id, device_id=DEVICE_ID
    )
    session = MatrixSession(config, AppserviceAccount(config, other))
    async with asyncio.TaskGroup() as tasks:
        opening = tasks.create_task(session.open())
        await eventually(lambda: session.trouble is not None and "as_token" in session.trouble)
        opening.cancel()
    await session.close()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hs_token": "another"}, "reaches .* with another hs_token"),
        ({"id": "another"}, "a registration of another id"),
    ],
)
async def test_synapse_says_why_it_does_not_reach_us(
    registered: Registered, store: Store, change: dict[str, Any], expected: str
) -> None:
    config = MatrixConfig(
        homeserver_url=registered.homeserver.base_url, user_id=registered.user_id, device_id=DEVICE_ID
    )
    registration = read_registration(registered.file, registered.user_id)
    changed = dataclasses.replace(registration, **change)
    async with appservice_shell(config, AppserviceConfig(port=registered.port), changed, store) as shell:
        await eventually(lambda: re.search(expected, shell.source.trouble or ""))


async def test_synapse_says_that_nobody_is_there(registered: Registered, store: Store) -> None:
    config = MatrixConfig(
        homeserver_url=registered.homeserver.base_url, user_id=registered.user_id, device_id=DEVICE_ID
    )
    registration = read_registration(registered.file, registered.user_id)
    async with appservice_shell(config, AppserviceConfig(port=0), registration, store) as shell:
        await eventually(lambda: re.search(r"can't reach http://", shell.source.trouble or ""))
