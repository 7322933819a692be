"""Participants at a real homeserver where something is missing: each is told in words that help."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from loadtest.client.participant import ParticipantConfig
from loadtest.crowd import NOT_TRIED, Crowd
from signalling.events.room_state import CALL_MEMBER_TYPES, FocusDevice
from tests.support.homeserver import account, join, new_room, new_user

if TYPE_CHECKING:
    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User

pytestmark = pytest.mark.integration

ANSWER_PATIENCE_S = 0.5


def config(user: User, room: str, focus: User | None, **more: Any) -> ParticipantConfig:  # noqa: ANN401  # its fields
    device = None if focus is None else FocusDevice(focus.user_id, focus.device_id)
    return ParticipantConfig(
        account(user), room, 1, focus=device, answer_patience_s=ANSWER_PATIENCE_S, **more
    )


async def troubles(*configs: ParticipantConfig) -> list[str]:
    async with Crowd(configs) as crowd, asyncio.timeout(30):
        await crowd.join()
        assert crowd.is_empty
        return [text.partition(": ")[2] for text in crowd.judge().troubles]


async def test_a_focus_that_never_answers_is_named(homeserver: Homeserver) -> None:
    focus, alice, bob = (new_user(homeserver, name) for name in ("focus", "alice", "bob"))
    room = new_room(alice, focus)
    join(focus, room)
    first, second = await troubles(config(alice, room, focus), config(bob, room, focus))
    device = f"{focus.user_id}, device {focus.device_id}"
    assert first == f"did not join: no answer to the invite of {device} within 0.5 s"
    assert second == NOT_TRIED


async def test_where_no_focus_is_known_it_is_said_how_to_name_one(homeserver: Homeserver) -> None:
    alice = new_user(homeserver, "alice")
    (trouble,) = await troubles(config(alice, new_room(alice), None))
    assert trouble == "did not join: no focus is named (--focus), used by others in the call, or announced"


async def test_a_room_that_does_not_let_us_in_is_named(homeserver: Homeserver) -> None:
    alice, bob, focus = (new_user(homeserver, name) for name in ("alice", "bob", "focus"))
    room = new_room(alice, preset="private_chat")
    (trouble,) = await troubles(config(bob, room, focus))
    assert trouble.startswith(f"did not join: {room} cannot be joined: 403 M_FORBIDDEN")


async def test_a_room_that_forbids_member_events_is_explained(homeserver: Homeserver) -> None:
    alice, bob, focus = (new_user(homeserver, name) for name in ("alice", "bob", "focus"))
    levels = {"state_default": 0, "events": dict.fromkeys(CALL_MEMBER_TYPES, 100)}
    room = new_room(alice, power_level_content_override=levels)
    for user in (bob, focus):
        join(user, room)
    (trouble,) = await troubles(config(bob, room, focus))
    assert trouble.startswith("did not join: the member event cannot be written: 403 M_FORBIDDEN")


async def test_a_homeserver_that_dies_is_the_trouble_of_those_who_join(own_homeserver: Homeserver) -> None:
    alice, focus = new_user(own_homeserver, "alice"), new_user(own_homeserver, "focus")
    room = new_room(alice, focus)
    own_homeserver.kill()
    (trouble,) = await troubles(config(alice, room, focus))
    assert trouble.startswith(f"did not join: {room} cannot be joined: Cannot connect")
