"""A participant at a real homeserver: rooms, calls, foci, messages, and a homeserver that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from loadtest.client.room import Room
from loadtest.client.scene import Party
from loadtest.client.signalling import MatrixClient, MatrixRefusedError, ToDeviceEvent
from loadtest.homeserver.server import homeservers
from signalling.events.room_state import CALL_MEMBER_TYPES, FocusDevice
from tests.support.homeserver import account, join, new_room, new_user, room_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000
FOCUS = FocusDevice("@focus:here", "FOCUS")


@contextlib.asynccontextmanager
async def at(user: User, room_id: str) -> AsyncIterator[Room]:
    async with MatrixClient(account(user)) as client:
        yield Room(client, room_id)


def is_invited(user: User, room_id: str, by: User) -> bool:
    members = by.get(room_path(room_id, "members"))["chunk"]
    return any(
        event["state_key"] == user.user_id and event["content"]["membership"] == "invite" for event in members
    )


async def take_part(room: Room, user: User, conf_id: str, *, lifetime_ms: int = HOUR_MS) -> None:
    party = Party(user.user_id, user.device_id)
    await room.put_member(
        party,
        session_id="s",
        conf_id=conf_id,
        focus=FOCUS,
        lifetime_ms=lifetime_ms,
        purposes=("m.usermedia",),
    )


async def test_of_several_calls_the_newest_that_lives_is_found(homeserver: Homeserver) -> None:
    alice = new_user(homeserver)
    async with at(alice, new_room(alice)) as room:
        assert await room.find_call() is None
        first = await room.start_call()
        second = await room.start_call()
        assert await room.find_call() == second
        await room.end_call(second)
        assert await room.find_call() == first
        await room.end_call(first)
        assert await room.find_call() is None


async def test_the_focus_of_others_in_the_call_is_found_while_they_are_in_it(homeserver: Homeserver) -> None:
    alice, bob = new_user(homeserver), new_user(homeserver)
    room_id = new_room(alice)
    join(bob, room_id)
    async with at(alice, room_id) as alices, at(bob, room_id) as bobs:
        conf_id = await alices.start_call()
        assert await bobs.find_focus(conf_id) is None
        await take_part(alices, alice, conf_id, lifetime_ms=-1)
        assert await bobs.find_focus(conf_id) is None
        await take_part(alices, alice, conf_id)
        assert await bobs.find_focus(conf_id) == FOCUS
        assert await bobs.find_focus("another call") is None
        await alices.clear_member(alice.user_id)
        assert await bobs.find_focus(conf_id) is None


async def test_a_member_event_says_everything_that_clients_look_for(homeserver: Homeserver) -> None:
    alice = new_user(homeserver)
    room_id = new_room(alice)
    async with at(alice, room_id) as room:
        await take_part(room, alice, "conf")
    path = room_path(room_id, f"state/{CALL_MEMBER_TYPES[0]}/{quote(alice.user_id)}")
    (call,) = alice.get(path)["m.calls"]
    (device,) = call["m.devices"]
    assert call["m.call_id"] == "conf"
    assert (device["device_id"], device["session_id"]) == (alice.device_id, "s")
    assert device["expires_ts"] > time.time() * 1_000
    assert device["feeds"] == [{"purpose": "m.usermedia"}]
    assert device["org.matrix.msc3898.foci.active"] == [{"user_id": "@focus:here", "device_id": "FOCUS"}]


async def test_the_focus_that_a_homeserver_announces_is_found() -> None:
    foci = [{"user_id": "@focus:here", "device_id": "FOCUS"}]
    settings = {"extra_well_known_client_content": {"org.matrix_focus.foci": foci}}
    with homeservers(extra_settings=settings) as (server,):
        alice = new_user(server)
        async with at(alice, new_room(alice)) as room:
            assert await room.find_focus("conf") == FOCUS


async def test_a_focus_is_invited_and_waited_for(homeserver: Homeserver) -> None:
    alice, focus = new_user(homeserver), new_user(homeserver)
    room_id = new_room(alice)
    async with at(alice, room_id) as room, asyncio.TaskGroup() as group:
        waiting = group.create_task(room.invite_focus(focus.user_id))
        while not is_invited(focus, room_id, alice):  # noqa: ASYNC110  # the homeserver is asked, not an event
            await asyncio.sleep(0.05)
        assert not waiting.done()
        await asyncio.to_thread(join, focus, room_id)
    async with at(alice, room_id) as room:
        assert await room.invite_focus(focus.user_id) is None  # harmless once it is there


async def test_a_focus_that_may_not_be_invited_is_dialled_all_the_same(homeserver: Homeserver) -> None:
    host, alice, focus = (new_user(homeserver) for _ in range(3))
    room_id = new_room(host, power_level_content_override={"invite": 50})
    await asyncio.to_thread(join, alice, room_id)
    async with at(alice, room_id) as room:
        why = await room.invite_focus(focus.user_id)
    assert why is not None
    assert why.startswith(f"{focus.user_id} is not in the room, and our invitation was refused (403")


async def test_messages_come_in_order_and_over_a_restart_of_the_homeserver(
    own_homeserver: Homeserver,
) -> None:
    alice, bob = new_user(own_homeserver), new_user(own_homeserver)

    async def send(client: MatrixClient, n: int) -> None:
        await client.send_to_device("m.call.test", bob.user_id, bob.device_id, {"n": n})

    async with (
        MatrixClient(account(alice)) as alices,
        MatrixClient(account(bob)) as bobs,
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
    ):
        events = bobs.sync()
        for n in range(10):
            await send(alices, n)
        got = [await anext(events) for _ in range(10)]
        own_homeserver.kill()
        sending = group.create_task(send(alices, 10))
        await asyncio.sleep(0.5)
        assert not sending.done()
        own_homeserver.start()
        await asyncio.to_thread(own_homeserver.wait_ready)
        got.append(await anext(events))
    assert got == [ToDeviceEvent(alice.user_id, "m.call.test", {"n": n}) for n in range(11)]


async def test_a_refusal_is_told_and_not_tried_again(homeserver: Homeserver) -> None:
    alice, bob = new_user(homeserver), new_user(homeserver)
    room_id = new_room(alice)
    async with at(bob, room_id) as room:
        with pytest.raises(MatrixRefusedError, match="403 M_FORBIDDEN"):
            await room.start_call()
