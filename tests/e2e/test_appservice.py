"""Calls on a focus that nobody invites: an application service of their homeserver. About 30 s."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadtest.client.participant import JoinFailedError
from loadtest.homeserver.users import request
from tests.e2e.venue import Call, open_appservice_venue
from tests.e2e.watching import all_receive, dials_again, is_clean, until_told
from tests.support.appservice import registered_homeserver
from tests.support.homeserver import room_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from loadtest.client.participant import Participant
    from tests.e2e.venue import Venue
    from tests.support.appservice import Registered

pytestmark = [pytest.mark.e2e]


def registers_itself(registered: Registered) -> None:
    """As an operator would."""
    config = registered.file.with_name("focus.toml")
    config.write_text(f'[matrix]\nuser_id = "{registered.user_id}"\n[appservice]\nport = {registered.port}\n')
    focus = Path(sys.executable).with_name("focus")
    command = [str(focus), "registration", "-c", str(config), "-o", str(registered.file)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  # our own
    assert "app_service_config_files:" in said


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    with registered_homeserver(tmp_path_factory.mktemp("registration"), registers_itself) as one:
        yield one


@pytest.fixture
async def venue(registered: Registered, tmp_path: Path) -> AsyncIterator[Venue]:
    async with open_appservice_venue(registered, tmp_path) as opened:
        yield opened


async def test_people_meet_in_rooms_without_the_focus_and_who_is_put_out_is_gone(venue: Venue) -> None:
    async with venue.call() as call, venue.call() as another:
        alice, bob = await call.join("alice", "bob")
        carol, dave = await another.join("carol", "dave")
        await all_receive([alice, bob])
        await all_receive([carol, dave])
        assert venue.focus_user.user_id not in await joined(call)
        assert set(await call.members()) == {alice.party.user_id, bob.party.user_id}
        await call.kick(bob.party.user_id)
        await until_told(lambda: has_left(call, bob), "bob's leg has ended")
        assert await venue.admin.counted("focus_leaves_total", reason="not_joined") == 1
        await all_receive([carol, dave])
        is_clean(carol, dave)


async def test_a_restart_keeps_the_room_and_whoever_was_put_out_meanwhile_is_not_let_in(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob = await call.join("alice", "bob", redial_after_s=0.5)
        (carol,) = await call.join("carol")
        await all_receive([alice, bob, carol])
        dials = alice.leg, bob.leg
        await venue.focus.kill()
        await call.kick(carol.party.user_id)
        await venue.focus.start()
        await venue.focus.wait_ready()
        for one, before in zip((alice, bob), dials, strict=True):
            await dials_again(one, before)
        with pytest.raises(JoinFailedError):
            await carol.redial()
        await all_receive([alice, bob])
        assert set(await call.members()) == {alice.party.user_id, bob.party.user_id}
        is_clean(alice, bob)


async def test_clients_are_told_that_the_focus_needs_no_invitation(venue: Venue) -> None:
    config = await asyncio.to_thread(request, "GET", f"{venue.focus.page_url}config.json")
    focus = {"user_id": venue.focus_user.user_id, "device_id": venue.focus_user.device_id, "appservice": True}
    assert config["foci"] == [focus]
    assert '"appservice": true' in venue.focus.log.read_text(encoding="utf-8")


async def joined(call: Call) -> set[str]:
    answer = await asyncio.to_thread(call.host.get, room_path(call.room_id, "joined_members"))
    return set(answer["joined"])


async def has_left(call: Call, one: Participant) -> bool:
    return one.party.user_id not in await call.members()
