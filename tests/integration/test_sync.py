"""Following the homeserver: a scripted one for what goes wrong, and a real one."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from loadtest.homeserver.server import homeservers
from signalling.config import MatrixConfig, Secrets
from signalling.events.room_state import CALL_MEMBER_TYPES
from signalling.events.to_device import Envelope, Hangup
from signalling.focus.turn import MessageReceived, RoomGone, RoomState
from signalling.matrix import invitations as invitations_module
from signalling.matrix import rooms as rooms_module
from signalling.matrix import session as session_module
from signalling.matrix import sync as sync_module
from signalling.matrix.answers import SYNC_FILTER
from signalling.matrix.olm import ENCRYPTED, ONE_TIME_KEYS, OlmMachine
from signalling.store import Store
from tests.support.eventually import eventually
from tests.support.homeserver import join, new_room, new_user, room_path, send_to_device
from tests.support.matrix_shell import MatrixShell, matrix_shell
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
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User

pytestmark = pytest.mark.integration

SINCE_FACT = f"since {USER_ID} {DEVICE_ID}"
ENVELOPE = Envelope("call", "PARTY", "conf", "ALICEDEVICE", "session", "sfu", seq=0)
HANGUP: Final[dict[str, Any]] = {
    "type": "m.call.hangup",
    "sender": "@alice:localhost",
    "content": Hangup(ENVELOPE).content(),
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(sync_module, "REFUSED_WAIT_S", 0.02)
    monkeypatch.setattr(sync_module, "MALFORMED_WAIT_S", 0.02)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "focus.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedHomeserver]:
    async with ScriptedHomeserver() as homeserver:
        yield homeserver


@asynccontextmanager
async def following(
    homeserver: ScriptedHomeserver, store: Store, *allowed_servers: str
) -> AsyncIterator[MatrixShell]:
    config = MatrixConfig(
        homeserver_url=homeserver.url,
        user_id=USER_ID,
        device_id=DEVICE_ID,
        allowed_servers=allowed_servers,
        request_timeout_s=5.0,
    )
    async with matrix_shell(config, Secrets(access_token="token", password="secret"), store) as shell:
        yield shell


def member(user_id: str, membership: str = "join", sender: str | None = None) -> dict[str, Any]:
    return {
        "type": "m.room.member",
        "state_key": user_id,
        "sender": user_id if sender is None else sender,
        "content": {"membership": membership},
    }


def joined(
    *events: dict[str, Any],
    room_id: str = "!room:localhost",
    limited: bool = False,
    state: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    timeline = {"events": list(events), "limited": limited}
    return {"join": {room_id: {"state": {"events": list(state)}, "timeline": timeline}}}


def invited(inviter: str | None, room_id: str = "!room:localhost") -> dict[str, Any]:
    events = [] if inviter is None else [member(USER_ID, "invite", inviter)]
    return {"invite": {room_id: {"invite_state": {"events": events}}}}


def users_of(state: RoomState) -> list[str]:
    return [event.state_key for event in state.events]


# --- position ---------------------------------------------------------------------------------------------


async def test_the_position_moves_on_only_when_an_answer_has_been_dealt_with(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with following(scripted, store) as shell:
        scripted.script("/rooms/", Answer([], delay_s=0.2))
        scripted.sync(next_batch="s1", rooms=joined(), to_device={"events": [HANGUP]})
        await scripted.until("/rooms/")
        assert store.fact(SINCE_FACT) is None
        syncs = await scripted.until("/sync", 2)
        assert store.fact(SINCE_FACT) == "s1"
        assert len(shell.of(MessageReceived)) == 1
    assert "since" not in syncs[0].query
    assert syncs[1].query["since"] == "s1"
    assert (syncs[0].query["timeout"], syncs[1].query["timeout"]) == ("0", "30000")
    assert json.loads(syncs[0].query["filter"]) == SYNC_FILTER


async def test_a_restart_goes_on_from_the_position_and_reads_quiet_rooms(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    store.set_fact(SINCE_FACT, "s41")
    scripted.usual["/joined_rooms"] = Answer({"joined_rooms": ["!quiet:localhost"]})
    scripted.usual["/rooms/"] = Answer([member("@alice:localhost")])
    async with following(scripted, store) as shell:
        assert not shell.source.is_caught_up
        scripted.sync(next_batch="s42", to_device={"events": [HANGUP]})
        await scripted.until("/sync", 2)
        assert shell.source.is_caught_up
    assert scripted.requests("/sync")[0].query["since"] == "s41"
    state, message = shell.received
    assert isinstance(state, RoomState)
    assert (state.room_id, state.is_complete, users_of(state)) == (
        "!quiet:localhost",
        True,
        ["@alice:localhost"],
    )
    assert isinstance(message, MessageReceived), "room state comes before the messages of the same sync"


async def test_an_answer_that_we_stumble_over_is_counted_and_not_asked_for_again(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with following(scripted, store) as shell:
        shell.fails_on = lambda given: isinstance(given, MessageReceived)
        scripted.sync(next_batch="s1", rooms=joined(), to_device={"events": [HANGUP]})
        await scripted.until("/sync", 2)
        assert (
            shell.metrics.registry.get_sample_value("focus_internal_failures_total", {"where": "sync"}) == 1
        )
        shell.fails_on = lambda _: False
        scripted.sync(next_batch="s2", rooms=joined(), to_device={"events": [HANGUP]})
        await shell.until(lambda: shell.of(MessageReceived))
    assert scripted.requests("/sync")[1].query["since"] == "s1"
    assert [state.is_complete for state in shell.of(RoomState)] == [True, True], "the room is read anew"


async def test_a_position_that_is_refused_is_given_up_and_everything_read_anew(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual["/joined_rooms"] = Answer({"joined_rooms": ["!room:localhost", "!old:localhost"]})
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1")
        await scripted.until("/sync", 2)
        scripted.usual["/joined_rooms"] = Answer({"joined_rooms": ["!room:localhost"]})
        scripted.sync(error("M_INVALID_PARAM", 400))
        scripted.sync(next_batch="t1")
        await scripted.until("/sync", 4)
    assert "since" not in scripted.requests("/sync")[2].query
    assert shell.of(RoomGone) == [RoomGone("!old:localhost")]
    assert [state.room_id for state in shell.of(RoomState)].count("!room:localhost") == 2


# --- rooms ------------------------------------------------------------------------------------------------


async def test_changes_of_a_known_room_come_in_order_without_reading_it(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms=joined())
        await shell.until(lambda: shell.of(RoomState))
        left, back = member("@alice:localhost", "leave"), member("@alice:localhost")
        scripted.sync(next_batch="s2", rooms=joined(left, back))
        await shell.until(lambda: len(shell.of(RoomState)) == 2)
    change = shell.of(RoomState)[1]
    assert not change.is_complete
    assert [event.content for event in change.events] == [left["content"], back["content"]]
    assert len(scripted.requests("/rooms/")) == 1


async def test_state_beside_the_timeline_of_a_known_room_is_no_more_than_a_hint(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    alice, bob = "/rooms/!room:localhost/state/m.room.member/@alice:localhost", member("@bob:localhost")
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms=joined())
        await shell.until(lambda: shell.of(RoomState))
        scripted.script(alice, Answer(member("@alice:localhost", "ban")))
        stale = [member("@alice:localhost"), member("@alice:localhost", "leave")]
        scripted.sync(next_batch="s2", rooms=joined(bob, state=stale))
        await shell.until(lambda: len(shell.of(RoomState)) == 2)
        scripted.script(alice, error("M_NOT_FOUND", 404))
        scripted.sync(next_batch="s3", rooms=joined(state=stale))
        await shell.until(lambda: len(shell.of(RoomState)) == 3)
    _, asked, gone = shell.of(RoomState)
    assert [(event.state_key, event.content) for event in asked.events] == [
        ("@bob:localhost", {"membership": "join"}),
        ("@alice:localhost", {"membership": "ban"}),
    ]
    assert [(event.state_key, event.content) for event in gone.events] == [("@alice:localhost", {})]
    first, second = scripted.requests(alice)
    assert first.query == second.query == {"format": "event"}


@pytest.mark.parametrize("content", [{"membership": "ban"}, member("@other:localhost"), {}])
async def test_where_the_homeserver_does_not_say_how_state_stands_the_room_is_read(
    scripted: ScriptedHomeserver, store: Store, content: dict[str, Any]
) -> None:
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms=joined())
        await shell.until(lambda: shell.of(RoomState))
        scripted.script("/rooms/", Answer(content), Answer([member("@alice:localhost", "ban")]))
        scripted.sync(next_batch="s2", rooms=joined(state=[member("@alice:localhost")]))
        await shell.until(lambda: len(shell.of(RoomState)) == 2)
    whole = shell.of(RoomState)[1]
    assert whole.is_complete
    assert [event.content for event in whole.events] == [{"membership": "ban"}]


async def test_where_much_of_a_room_s_state_is_in_doubt_the_room_is_read(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    state = [member(f"@user{number}:localhost") for number in range(rooms_module.MAX_ASKED + 1)]
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms=joined())
        await shell.until(lambda: shell.of(RoomState))
        scripted.sync(next_batch="s2", rooms=joined(state=state))
        await shell.until(lambda: len(shell.of(RoomState)) == 2)
    assert [asked.path for asked in scripted.requests("/rooms/")] == ["/rooms/!room:localhost/state"] * 2


@pytest.mark.parametrize("listed", [{}, {"joined_rooms": 7}, {"joined_rooms": [7, None]}])
async def test_a_list_of_rooms_that_is_none_gives_up_no_room(
    scripted: ScriptedHomeserver, store: Store, listed: dict[str, Any]
) -> None:
    scripted.usual["/joined_rooms"] = Answer(listed)
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms=joined())
        await scripted.until("/sync", 2)
        assert shell.source.is_caught_up
    assert [state.room_id for state in shell.of(RoomState)] == ["!room:localhost"]
    assert shell.of(RoomGone) == []


async def test_a_limited_timeline_reads_the_whole_room(scripted: ScriptedHomeserver, store: Store) -> None:
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms=joined())
        await shell.until(lambda: shell.of(RoomState))
        scripted.script("/rooms/", Answer([member("@alice:localhost"), member("@bob:localhost", "ban")]))
        scripted.sync(next_batch="s2", rooms=joined(member("@alice:localhost"), limited=True))
        await shell.until(lambda: len(shell.of(RoomState)) == 2)
    whole = shell.of(RoomState)[1]
    assert whole.is_complete
    assert users_of(whole) == ["@alice:localhost", "@bob:localhost"]
    assert scripted.requests("/rooms/")[1].path == "/rooms/!room:localhost/state"


async def test_a_room_that_we_are_put_out_of_is_gone_once(scripted: ScriptedHomeserver, store: Store) -> None:
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms=joined())
        scripted.sync(next_batch="s2", rooms={"leave": {"!room:localhost": {}, "!never:localhost": {}}})
        scripted.sync(next_batch="s3", rooms={"leave": {"!room:localhost": {}}})
        await scripted.until("/sync", 4)
    assert shell.of(RoomGone) == [RoomGone("!room:localhost")]


async def test_a_room_whose_state_is_forbidden_is_gone(scripted: ScriptedHomeserver, store: Store) -> None:
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms=joined())
        await shell.until(lambda: shell.of(RoomState))
        scripted.script("/rooms/", error("M_FORBIDDEN", 403))
        scripted.sync(next_batch="s2", rooms=joined(limited=True))
        await shell.until(lambda: shell.of(RoomGone))
    assert shell.received[-1] == RoomGone("!room:localhost")


async def test_a_room_whose_state_is_refused_lives_on_what_syncs_say_and_is_read_next_time(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with following(scripted, store) as shell:
        scripted.script("/rooms/", error("M_UNKNOWN", 400))
        scripted.sync(next_batch="s1", rooms=joined(member("@alice:localhost")))
        await shell.until(lambda: shell.of(RoomState))
        scripted.sync(next_batch="s2", rooms=joined(member("@bob:localhost")))
        await shell.until(lambda: len(shell.of(RoomState)) == 2)
    first, second = shell.of(RoomState)
    assert (first.is_complete, users_of(first)) == (False, ["@alice:localhost"])
    assert second.is_complete


# --- invitations ------------------------------------------------------------------------------------------


async def test_an_invitation_by_a_user_of_our_server_is_followed(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual["/rooms/!room:localhost/join"] = Answer({"room_id": "!room:localhost"})
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms=invited("@alice:localhost"))
        (asked,) = await scripted.until("/rooms/!room:localhost/join")
    assert asked.method == "POST"
    assert shell.counted("room_invite", "not_allowed") == 0


@pytest.mark.parametrize(
    ("allowed", "inviter", "is_followed"),
    [
        ((), "@alice:elsewhere", False),
        ((), "@alice:localhost:8448", False),
        ((), None, False),
        (("elsewhere",), "@alice:elsewhere", True),
        (("elsewhere",), "@alice:localhost", False),
        (("localhost:8448",), "@alice:localhost:8448", True),
    ],
)
async def test_only_invitations_from_served_servers_are_followed(
    scripted: ScriptedHomeserver,
    store: Store,
    allowed: tuple[str, ...],
    inviter: str | None,
    is_followed: bool,
) -> None:
    async with following(scripted, store, *allowed) as shell:
        scripted.sync(next_batch="s1", rooms=invited(inviter))
        await scripted.until("/sync", 2)
        assert shell.counted("room_invite", "not_allowed") == (0 if is_followed else 1)
        if is_followed:
            await scripted.until("/rooms/")
    assert len(scripted.requests("/rooms/")) == is_followed


async def test_a_join_that_fails_is_counted_and_keeps_nobody_waiting(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with following(scripted, store) as shell:
        scripted.script("/rooms/!room:localhost/join", error("M_FORBIDDEN", 403))
        scripted.sync(next_batch="s1", rooms=invited("@alice:localhost"))
        scripted.sync(next_batch="s2", to_device={"events": [HANGUP]})
        await shell.until(lambda: shell.of(MessageReceived))
        await eventually(lambda: not len(shell.source.invitations))
        assert shell.counted("room_invite", "failed") == 1
        assert shell.session.trouble is None


async def test_a_room_of_which_no_server_is_known_yet_is_entered_a_moment_later(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual["/rooms/!room:localhost/join"] = Answer({"room_id": "!room:localhost"})
    async with following(scripted, store) as shell:
        scripted.script("/rooms/!room:localhost/join", error("M_UNKNOWN", 404))
        scripted.sync(next_batch="s1", rooms=invited("@alice:localhost"))
        await scripted.until("/rooms/!room:localhost/join", 2)
        await eventually(lambda: not len(shell.source.invitations))
        assert shell.counted("room_invite", "joined") == 1


async def test_a_join_that_another_server_fails_is_tried_again_and_readiness_stays(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual["/rooms/!room:localhost/join"] = Answer({"room_id": "!room:localhost"})
    async with following(scripted, store) as shell:
        scripted.script("/rooms/!room:localhost/join", *[error("M_UNKNOWN", 502)] * 2)
        scripted.sync(next_batch="s1", rooms=invited("@alice:localhost"))
        await scripted.until("/rooms/!room:localhost/join", 3)
        assert shell.session.trouble is None
        await eventually(lambda: not len(shell.source.invitations))
        assert shell.counted("room_invite", "joined") == 1


async def test_more_invitations_than_can_wait_are_left_alone_and_none_is_followed_twice(
    scripted: ScriptedHomeserver, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations_module, "MAX_WAITING", 2)
    scripted.usual["/rooms/"] = Answer(delay_s=60)
    wanted = {
        room_id: invited("@alice:localhost", room_id)["invite"][room_id] for room_id in ("!1", "!2", "!3")
    }
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", rooms={"invite": wanted})
        scripted.sync(next_batch="s2", rooms=invited("@alice:localhost", "!1"))
        await scripted.until("/sync", 3)
        assert len(shell.source.invitations) == 2
        assert shell.counted("room_invite", "too_many") == 1
        assert [asked.path for asked in await scripted.until("/rooms/", 2)] == [
            "/rooms/!1/join",
            "/rooms/!2/join",
        ]


# --- messages ---------------------------------------------------------------------------------------------


async def test_messages_that_can_not_be_read_are_counted_and_the_others_handed_on(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    events = [
        HANGUP | {"content": {"call_id": 7}},
        HANGUP | {"content": "no object"},
        HANGUP | {"sender": ""},
        HANGUP | {"sender": "@" + "a" * 300},
        HANGUP | {"type": "m.room_key_request"},
        HANGUP | {"type": ENCRYPTED, "sender": "@mallory:localhost", "content": {"algorithm": "none"}},
        HANGUP | {"type": ENCRYPTED, "sender": "@mallory:localhost", "content": None},
        HANGUP | {"unsigned": {"age": 4_000}},
        17,
    ]
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", to_device={"events": events})
        await scripted.until("/sync", 2)
        assert shell.counted("m.call.hangup", "malformed") == 2
        assert shell.counted("other", "malformed") == 2
        assert shell.counted("other", "ignored") == 1
        assert shell.counted("m.room.encrypted", "not_decrypted") == 2
        assert shell.counted("sync", "malformed") == 1
        assert shell.counted("m.call.hangup", "read") == 1
    (message,) = shell.of(MessageReceived)
    assert message == MessageReceived("@alice:localhost", Hangup(ENVELOPE), None, age_ms=4_000)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"next_batch": None},
        {"next_batch": ["s"]},
        {"rooms": {"join": {}}},
    ],
)
async def test_an_answer_that_can_not_be_gone_on_from_is_asked_for_again(
    scripted: ScriptedHomeserver, store: Store, body: dict[str, Any]
) -> None:
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1")
        scripted.sync(body)
        scripted.sync(next_batch="s2", to_device={"events": [HANGUP]})
        await shell.until(lambda: shell.of(MessageReceived))
        assert shell.counted("sync", "malformed") == 1
    assert [asked.query.get("since") for asked in scripted.requests("/sync")[:3]] == [None, "s1", "s1"]


@pytest.mark.parametrize(
    "bad",
    [
        Answer(b"{broken"),
        Answer([1]),
        error("M_UNKNOWN", 503),
        error("M_LIMIT_EXCEEDED", 429, retry_after_ms=20),
        UNKNOWN_TOKEN,
        Answer({"next_batch": "x", "rooms": 7, "to_device": [], "device_one_time_keys_count": 1}),
        Answer({"next_batch": "x", "rooms": {"join": [], "invite": 7, "leave": {"!a": 1}}}),
    ],
)
async def test_sync_survives_whatever_the_homeserver_says(
    scripted: ScriptedHomeserver, store: Store, bad: Answer
) -> None:
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1")
        scripted.sync(bad)
        scripted.sync(next_batch="s2", to_device={"events": [HANGUP]})
        await shell.until(lambda: shell.of(MessageReceived))
        assert shell.session.trouble is None


async def test_one_time_keys_are_filled_up_when_the_homeserver_runs_out_of_them(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    async with following(scripted, store):
        scripted.sync(next_batch="s1", device_one_time_keys_count={"signed_curve25519": ONE_TIME_KEYS})
        scripted.sync(next_batch="s2", device_one_time_keys_count={"signed_curve25519": 3})
        published, filled = await scripted.until("/keys/upload", 2)
    assert "device_keys" in published.body
    assert len(filled.body["one_time_keys"]) == ONE_TIME_KEYS - 3


async def test_one_time_keys_that_are_refused_are_not_offered_again(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual["/keys/upload"] = Answer({"one_time_key_counts": {}})
    async with following(scripted, store):
        scripted.script("/keys/upload", Answer({"one_time_key_counts": {}}), error("M_UNKNOWN", 400))
        scripted.sync(next_batch="s1", device_one_time_keys_count={})
        _, refused, filled = await scripted.until("/keys/upload", 3)
    assert not refused.body["one_time_keys"].keys() & filled.body["one_time_keys"].keys()


async def test_keys_that_are_refused_leave_signalling_in_the_clear(
    scripted: ScriptedHomeserver, store: Store
) -> None:
    scripted.usual["/keys/upload"] = error("M_UNKNOWN", 400)
    async with following(scripted, store) as shell:
        scripted.sync(next_batch="s1", to_device={"events": [HANGUP]})
        await shell.until(lambda: shell.of(MessageReceived))


async def test_who_encrypts_with_keys_of_no_known_device_is_refused_until_the_keys_are_known(
    scripted: ScriptedHomeserver, store: Store, tmp_path: Path
) -> None:
    alice_store = Store(tmp_path / "alice.sqlite3")
    alice = OlmMachine(alice_store, "@alice:localhost", "A")
    directory = Answer({"device_keys": {"@alice:localhost": {"A": alice.device_keys()}}})
    async with following(scripted, store) as shell:
        one_time = next(iter(shell.machine.one_time_keys(0).values()))["key"]
        alice.start_session(shell.machine.keys, one_time)

        def encrypted() -> dict[str, Any]:
            content = alice.encrypt(USER_ID, shell.machine.keys, "m.call.hangup", HANGUP["content"])
            return HANGUP | {"type": ENCRYPTED, "content": content}

        scripted.script("/keys/query", Answer({"device_keys": {}}), directory)
        scripted.sync(next_batch="s1", to_device={"events": [encrypted()]})
        await scripted.until("/sync", 2)
        assert shell.counted("m.room.encrypted", "not_decrypted") == 1
        scripted.sync(next_batch="s2", to_device={"events": [encrypted(), encrypted()]})
        await shell.until(lambda: len(shell.of(MessageReceived)) == 2)
        assert {message.proven_device_id for message in shell.of(MessageReceived)} == {"A"}
        assert len(scripted.requests("/keys/query")) == 2, "keys that were found are remembered"
    alice_store.close()


# --- a real homeserver ------------------------------------------------------------------------------------


def config_at(homeserver: Homeserver, user: User) -> MatrixConfig:
    return MatrixConfig(
        homeserver_url=homeserver.base_url, user_id=user.user_id, device_id=DEVICE_ID, sync_timeout_ms=2_000
    )


@asynccontextmanager
async def following_synapse(homeserver: Homeserver, user: User, store: Store) -> AsyncIterator[MatrixShell]:
    config = config_at(homeserver, user)
    async with matrix_shell(config, Secrets(password=user.password), store) as shell:
        yield shell


def put_call(user: User, room_id: str, conf_id: str) -> str:
    """Start a call; the event's id."""
    call = {"m.intent": "m.room", "m.type": "m.video"}
    return str(user.put(room_path(room_id, f"state/org.matrix.msc3401.call/{conf_id}"), call)["event_id"])


def calls_of(shell: MatrixShell) -> list[str]:
    return [
        event.state_key
        for state in shell.of(RoomState)
        for event in state.events
        if event.type == "org.matrix.msc3401.call"
    ]


def hang_up(sender: User, focus: User) -> None:
    receiver = dataclasses.replace(focus, device_id=DEVICE_ID)
    send_to_device(sender, receiver, "m.call.hangup", dict(HANGUP["content"]))


def to_device_of(user: User) -> list[dict[str, Any]]:
    answer = user.get("/_matrix/client/v3/sync?timeout=5000")
    return list(answer.get("to_device", {}).get("events", []))


@pytest.fixture
def focus(homeserver: Homeserver) -> User:
    return new_user(homeserver, "focus")


@pytest.fixture
def alice(homeserver: Homeserver) -> User:
    return new_user(homeserver, "alice")


async def test_the_focus_joins_where_it_is_invited_and_hears_of_calls_until_it_is_put_out(
    homeserver: Homeserver, store: Store, focus: User, alice: User
) -> None:
    async with following_synapse(homeserver, focus, store) as shell:
        room_id = await asyncio.to_thread(new_room, alice, focus)
        await shell.until(lambda: shell.of(RoomState))
        first = shell.of(RoomState)[0]
        assert (first.room_id, first.is_complete) == (room_id, True)
        assert {alice.user_id, focus.user_id} <= set(users_of(first))
        await asyncio.to_thread(put_call, alice, room_id, "conf")
        await shell.until(lambda: calls_of(shell))
        assert not shell.of(RoomState)[-1].is_complete
        kick = room_path(room_id, "kick")
        await asyncio.to_thread(alice.post, kick, {"user_id": focus.user_id})
        await shell.until(lambda: shell.of(RoomGone))
    assert shell.of(RoomGone) == [RoomGone(room_id)]


async def test_a_redacted_call_is_over_as_soon_as_that_is_told(
    homeserver: Homeserver, store: Store, focus: User, alice: User
) -> None:
    room_id = await asyncio.to_thread(new_room, alice, focus)
    async with following_synapse(homeserver, focus, store) as shell:
        await shell.until(lambda: shell.of(RoomState))
        written = await asyncio.to_thread(put_call, alice, room_id, "conf")
        await shell.until(lambda: calls_of(shell))
        shell.received.clear()
        redact = room_path(room_id, f"redact/{written}/once")
        await asyncio.to_thread(alice.put, redact, {})
        await shell.until(lambda: shell.of(RoomState))
    whole = shell.of(RoomState)[-1]
    assert whole.is_complete
    assert [event.content for event in whole.events if event.state_key == "conf"] == [{}]


async def test_state_that_many_write_at_once_never_goes_back(
    homeserver: Homeserver, store: Store, focus: User, alice: User
) -> None:
    people = [await asyncio.to_thread(new_user, homeserver) for _ in range(6)]
    room_id = await asyncio.to_thread(new_room, alice, focus)
    for one in people:
        await asyncio.to_thread(join, one, room_id)

    def write(one: User) -> None:
        for number in range(12):
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

    async with following_synapse(homeserver, focus, store) as shell:
        await shell.until(lambda: shell.of(RoomState))
        await asyncio.gather(*(asyncio.to_thread(write, one) for one in people))
        await shell.until(lambda: all(11 in numbers(one) for one in people))
    for one in people:
        assert numbers(one) == sorted(numbers(one))


async def test_a_gap_in_the_timeline_loses_nothing(
    homeserver: Homeserver, store: Store, focus: User, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SYNC_FILTER["room"]["timeline"], "limit", 2)
    room_id = await asyncio.to_thread(new_room, alice, focus)
    async with following_synapse(homeserver, focus, store) as shell:
        await shell.until(lambda: shell.of(RoomState))
    for number in range(5):
        await asyncio.to_thread(put_call, alice, room_id, f"conf{number}")
    shell.received.clear()
    async with following_synapse(homeserver, focus, store) as shell:
        await shell.until(lambda: shell.of(RoomState))
    assert shell.of(RoomState)[0].is_complete
    assert set(calls_of(shell)) == {f"conf{number}" for number in range(5)}


async def test_messages_go_both_ways(homeserver: Homeserver, store: Store, focus: User, alice: User) -> None:
    async with following_synapse(homeserver, focus, store) as shell:
        await asyncio.to_thread(hang_up, alice, focus)
        await shell.until(lambda: shell.of(MessageReceived))
        for number in range(20):
            shell.outbox.send(alice.user_id, alice.device_id, "m.call.candidates", {"number": number})
        await shell.outbox.flush(10)
        assert shell.counted("m.call.candidates", "ok", "sent") == 20
    assert shell.of(MessageReceived) == [MessageReceived(alice.user_id, Hangup(ENVELOPE))]
    heard = await asyncio.to_thread(to_device_of, alice)
    assert [event["content"]["number"] for event in heard] == list(range(20))
    assert {(event["type"], event["sender"]) for event in heard} == {("m.call.candidates", focus.user_id)}


async def test_encrypted_messages_go_both_ways_and_prove_the_device(
    homeserver: Homeserver, store: Store, focus: User, alice: User
) -> None:
    async with following_synapse(homeserver, focus, store) as shell:
        await eventually(lambda: shell.source.is_caught_up)
        device = await asyncio.to_thread(OlmDevice, alice)
        content = dict(HANGUP["content"])
        await asyncio.to_thread(device.send, focus.user_id, DEVICE_ID, "m.call.hangup", content)
        await shell.until(lambda: shell.of(MessageReceived))
        shell.outbox.send(alice.user_id, alice.device_id, "m.call.answer", {"a": 1}, is_encrypted=True)
        await shell.outbox.flush(10)
    assert shell.of(MessageReceived) == [
        MessageReceived(alice.user_id, Hangup(ENVELOPE), proven_device_id=alice.device_id)
    ]
    (event,) = await asyncio.to_thread(to_device_of, alice)
    assert event["type"] == ENCRYPTED
    decrypted = device.decrypt(event["content"])
    assert (decrypted["type"], decrypted["content"]) == ("m.call.answer", {"a": 1})
    assert (decrypted["sender"], decrypted["recipient"]) == (focus.user_id, alice.user_id)
    assert decrypted["recipient_keys"] == {"ed25519": device.ed25519}


async def test_the_focus_can_begin_an_encrypted_conversation(
    homeserver: Homeserver, store: Store, focus: User, alice: User
) -> None:
    device = await asyncio.to_thread(OlmDevice, alice)
    async with following_synapse(homeserver, focus, store) as shell:
        shell.outbox.send(alice.user_id, alice.device_id, "m.call.answer", {"a": 1}, is_encrypted=True)
        await shell.outbox.flush(10)
    (event,) = await asyncio.to_thread(to_device_of, alice)
    assert device.decrypt(event["content"])["content"] == {"a": 1}


async def test_a_device_without_keys_is_told_nothing_in_the_clear(
    homeserver: Homeserver, store: Store, focus: User, alice: User
) -> None:
    async with following_synapse(homeserver, focus, store) as shell:
        shell.outbox.send(alice.user_id, alice.device_id, "m.call.answer", {"a": 1}, is_encrypted=True)
        shell.outbox.send(alice.user_id, alice.device_id, "m.call.hangup", {})
        await shell.outbox.flush(10)
        assert shell.counted("m.call.answer", "not_encrypted", "sent") == 1
    (event,) = await asyncio.to_thread(to_device_of, alice)
    assert event["type"] == "m.call.hangup"


async def test_what_came_while_we_were_away_comes_once_after_a_restart(
    homeserver: Homeserver, store: Store, focus: User, alice: User
) -> None:
    room_id = await asyncio.to_thread(new_room, alice, focus)
    async with following_synapse(homeserver, focus, store) as shell:
        await asyncio.to_thread(hang_up, alice, focus)
        await shell.until(lambda: shell.of(MessageReceived) and shell.of(RoomState))
        await eventually(lambda: shell.source.is_caught_up)
    await asyncio.to_thread(hang_up, alice, focus)
    await asyncio.to_thread(hang_up, alice, focus)
    async with following_synapse(homeserver, focus, store) as shell:
        await shell.until(lambda: len(shell.of(MessageReceived)) >= 2)
        await eventually(lambda: shell.source.is_caught_up)
    assert len(shell.of(MessageReceived)) == 2
    assert [(state.room_id, state.is_complete) for state in shell.of(RoomState)] == [(room_id, True)]


async def test_a_revoked_token_interrupts_nothing(
    homeserver: Homeserver, store: Store, focus: User, alice: User
) -> None:
    async with following_synapse(homeserver, focus, store) as shell:
        await eventually(lambda: shell.source.is_caught_up)
        first = store.fact("access_token")
        await asyncio.to_thread(focus.post, "/_matrix/client/v3/logout/all")
        # That has ended the device too: what is sent to it before it is back goes nowhere.
        await eventually(lambda: store.fact("access_token") != first)
        await asyncio.to_thread(hang_up, alice, focus)
        await shell.until(lambda: shell.of(MessageReceived))
        shell.outbox.send(alice.user_id, alice.device_id, "m.call.hangup", {})
        await shell.outbox.flush(10)
        assert shell.counted("m.call.hangup", "ok", "sent") == 1
        assert shell.session.device_id == DEVICE_ID


async def test_a_homeserver_that_is_killed_and_comes_back_is_followed_on(
    own_homeserver: Homeserver, store: Store
) -> None:
    focus, alice = new_user(own_homeserver, "focus"), new_user(own_homeserver, "alice")
    async with following_synapse(own_homeserver, focus, store) as shell:
        await eventually(lambda: shell.source.is_caught_up)
        await asyncio.to_thread(own_homeserver.kill)
        shell.outbox.send(alice.user_id, alice.device_id, "m.call.hangup", {})
        await eventually(lambda: shell.session.trouble is not None)
        await asyncio.to_thread(own_homeserver.start)
        await asyncio.to_thread(own_homeserver.wait_ready)
        await asyncio.to_thread(hang_up, alice, focus)
        await shell.until(lambda: shell.of(MessageReceived))
        await shell.outbox.flush(15)
        assert shell.session.trouble is None
    (event,) = await asyncio.to_thread(to_device_of, alice)
    assert event["type"] == "m.call.hangup", "what was to be sent meanwhile is sent"


async def test_an_invitation_into_a_room_of_a_served_server_is_followed(store: Store) -> None:
    users: tuple[tuple[str, ...], ...] = (("focus",), ("bob",))
    with homeservers(users) as (here, there):
        focus, bob = here.users["focus"], there.users["bob"]
        config = dataclasses.replace(config_at(here, focus), allowed_servers=(there.server_name,))
        async with matrix_shell(config, Secrets(password=focus.password), store) as shell:
            room_id = await asyncio.to_thread(new_room, bob, focus)
            await asyncio.to_thread(put_call, bob, room_id, "conf")
            await shell.until(lambda: "conf" in calls_of(shell))
            assert shell.of(RoomState)[0].room_id == room_id
            await asyncio.to_thread(hang_up, bob, focus)
            await shell.until(lambda: shell.of(MessageReceived))
    assert shell.of(MessageReceived)[0].sender == bob.user_id
