"""The throw-away homeserver: it starts, does what tests need of it, federates, and leaves nothing behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from loadtest.homeserver.server import homeservers
from loadtest.homeserver.users import MatrixError, User, request
from signalling.events.room_state import CALL_MEMBER_TYPES, CALL_TYPES
from tests.support.homeserver import join, new_room, new_user, room_path, send_to_device

if TYPE_CHECKING:
    from loadtest.homeserver.server import Homeserver

pytestmark = pytest.mark.integration

SYNC = "/_matrix/client/v3/sync"
PATIENCE_S = 20.0


def to_device(user: User) -> list[dict[str, Any]]:
    """The to-device messages that come first; the homeserver waits for them with us."""
    deadline = time.monotonic() + PATIENCE_S
    since = ""
    while time.monotonic() < deadline:
        answer = user.get(f"{SYNC}?timeout=5000{since}")
        events: list[dict[str, Any]] = answer.get("to_device", {}).get("events", [])
        if events:
            return events
        since = f"&since={quote(answer['next_batch'])}"
    raise TimeoutError("no to-device message")


def test_users_log_in_on_devices_of_their_own(homeserver: Homeserver) -> None:
    name = new_user(homeserver).user_id.removeprefix("@").split(":")[0]
    phone = homeserver.login(name, "PHONE")
    whoami = phone.get("/_matrix/client/v3/account/whoami")
    assert whoami["device_id"] == "PHONE"
    assert whoami["user_id"] == f"@{name}:{homeserver.server_name}"


def test_a_to_device_message_reaches_one_device(homeserver: Homeserver) -> None:
    alice, bob = new_user(homeserver, "alice"), new_user(homeserver, "bob")
    send_to_device(alice, bob, "m.call.invite", {"seq": 0})
    (event,) = to_device(bob)
    assert event == {"type": "m.call.invite", "sender": alice.user_id, "content": {"seq": 0}}


def test_every_member_of_a_call_room_may_write_the_call_and_their_member_event(
    homeserver: Homeserver,
) -> None:
    alice, bob = new_user(homeserver, "alice"), new_user(homeserver, "bob")
    room_id = new_room(alice)
    join(bob, room_id)
    for call_type in CALL_TYPES:
        bob.put(room_path(room_id, f"state/{call_type}/conf"), {"m.intent": "m.room"})
    for member_type in CALL_MEMBER_TYPES:
        bob.put(room_path(room_id, f"state/{member_type}/{quote(bob.user_id)}"), {"m.calls": []})
        with pytest.raises(MatrixError, match="403"):
            bob.put(room_path(room_id, f"state/{member_type}/{quote(alice.user_id)}"), {"m.calls": []})


def test_a_killed_homeserver_comes_back_with_its_data(own_homeserver: Homeserver) -> None:
    alice = new_user(own_homeserver, "alice")
    room_id = new_room(alice)
    own_homeserver.kill()
    with pytest.raises(OSError, match="refused"):
        request("GET", f"{own_homeserver.base_url}/_matrix/client/versions")
    own_homeserver.start()
    own_homeserver.wait_ready()
    assert alice.get("/_matrix/client/v3/joined_rooms")["joined_rooms"] == [room_id]


def test_two_homeservers_federate() -> None:
    with homeservers((("alice",), ("bob",))) as (here, there):
        alice, bob = here.users["alice"], there.users["bob"]
        room_id = new_room(alice, bob)
        join(bob, room_id)
        members = alice.get(room_path(room_id, "joined_members"))["joined"]
        assert set(members) == {alice.user_id, bob.user_id}
        send_to_device(bob, alice, "m.call.hangup", {"reason": "user_hangup"})
        (event,) = to_device(alice)
        assert event["sender"] == bob.user_id
    assert not here.folder.exists()
    assert not there.folder.exists()
