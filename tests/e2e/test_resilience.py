"""What people notice of it when a focus or a homeserver goes away and comes back: as little as can be."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from loadtest.client.scene import VIDEO
from tests.e2e.venue import closed_venue, open_venue
from tests.e2e.watching import (
    all_receive,
    both_ways,
    dials_again,
    is_clean,
    seen,
    undisturbed,
    until,
    until_told,
)

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Venue

pytestmark = [pytest.mark.e2e]

IMPATIENT = {"request_timeout_s": 2.0, "sync_timeout_ms": 1_000}
"""A focus that soon notices that its homeserver does not answer."""
AWAY_S = 5.0
"""On top of the time until the focus knows: for several more tries, all in vain."""
STANDSTILL_S = 5.0
"""As of a machine that moves to another host, or swaps."""


async def test_everybody_is_back_after_a_focus_was_killed(homeserver: Homeserver, tmp_path: Path) -> None:
    async with closed_venue(homeserver, tmp_path) as venue:
        await venue.focus.start()
        await venue.focus.wait_ready()
        async with venue.call() as call:
            # Real clients know nothing of a kill: they dial again when they are hung up.
            people = await call.join("alice", "bob", "carol", redial_after_s=0.5)
            await all_receive(people)
            dials = [one.leg for one in people]
            await venue.focus.kill()
            await venue.focus.start()
            await venue.focus.wait_ready()
            for one, before in zip(people, dials, strict=True):
                await dials_again(one, before)
            await all_receive(people)
            for one in people:
                assert one.observations.hangups == ["unknown_error"]
            is_clean(*people)
            assert len(await call.members()) == 3
            assert await venue.admin.counted("focus_leaves_total", reason="restart") == 3
            # And the next one does not hang up those that were told.
            assert venue.admin.log("leg_record_unreadable") == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("hung", [False, True], ids=["killed", "hung"])
async def test_media_goes_on_while_the_homeserver_is_away(
    own_homeserver: Homeserver, tmp_path: Path, *, hung: bool
) -> None:
    async with open_venue(own_homeserver, tmp_path, matrix=IMPATIENT) as venue, venue.call() as call:
        alice, bob = await call.join("alice", "bob")
        late = await call.enter("carol")
        async with undisturbed(*both_ways(alice, bob)):
            if hung:
                own_homeserver.pause()
            else:
                await asyncio.to_thread(own_homeserver.kill)
            # What goes over the data channel needs no homeserver.
            await alice.subscribe_size(90)
            await until(lambda: seen(alice, bob, VIDEO).current_layer == "h", "a smaller picture comes")
            await says_that_it_is_not_ready(venue)
            await asyncio.sleep(AWAY_S)
            if hung:
                own_homeserver.resume()
            else:
                await asyncio.to_thread(own_homeserver.start)
                await asyncio.to_thread(own_homeserver.wait_ready)
            await venue.focus.wait_ready()
            await late.join()
            await all_receive((alice, bob, late))
        assert alice.observations.hangups == bob.observations.hangups == []
        is_clean(alice, bob, late)


async def test_calls_go_on_after_a_focus_stood_still(homeserver: Homeserver, tmp_path: Path) -> None:
    async with open_venue(homeserver, tmp_path) as venue, venue.call() as call:
        people = await call.join("alice", "bob")
        await all_receive(people)
        pid = venue.focus.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(STANDSTILL_S)
        os.kill(pid, signal.SIGCONT)
        async with undisturbed(*both_ways(*people)):
            (late,) = await call.join("carol")
        await all_receive((*people, late))
        assert [one.observations.legs for one in people] == [1, 1]


async def says_that_it_is_not_ready(venue: Venue) -> None:
    """Wait until the focus says that it cannot serve."""

    async def says_so() -> bool:
        status = await venue.focus.ask_status()
        return status.get("ready") is False and status["homeserver"] != "reachable"

    await until_told(says_so, "the focus says that it cannot serve")


async def test_a_focus_that_is_asked_to_end_hangs_everybody_up_who_call_again_when_it_is_back(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    async with closed_venue(homeserver, tmp_path) as venue:
        await venue.focus.start()
        await venue.focus.wait_ready()
        async with venue.call() as call:
            people = await call.join("alice", "bob", redial_after_s=1.0)
            await all_receive(people)
            dials = [one.leg for one in people]
            await venue.focus.stop()
            assert venue.focus.status == 0
            for one in people:
                await hung_up(one)
                assert one.observations.hangups == ["unknown_error"]
            await venue.focus.start()
            await venue.focus.wait_ready()
            for one, before in zip(people, dials, strict=True):
                await dials_again(one, before)
            await all_receive(people)


async def hung_up(one: Participant) -> None:
    """Wait for the focus's last word."""
    await until(lambda: one.observations.hangups, f"{one.party.user_id} is hung up")


@pytest.mark.timeout(240)
async def test_a_focus_that_starts_before_its_homeserver_serves_as_soon_as_it_can(
    own_homeserver: Homeserver, tmp_path: Path
) -> None:
    async with closed_venue(own_homeserver, tmp_path) as venue:
        await asyncio.to_thread(own_homeserver.kill)
        await venue.focus.start()
        await says_that_it_is_not_ready(venue)
        await asyncio.to_thread(own_homeserver.start)
        await asyncio.to_thread(own_homeserver.wait_ready)
        await venue.focus.wait_ready()
        async with venue.call() as call:
            people = await call.join("alice", "bob")
            await all_receive(people)
            is_clean(*people)
