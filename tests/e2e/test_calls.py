"""Calls as people have them: everybody sees and hears everybody, whatever each of them does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from loadtest.client.publisher import Capture
from loadtest.client.scene import AUDIO, SCREEN, VIDEO
from loadtest.client.terms import RuleBreaks
from loadtest.media.clips import VideoFormat
from sfu.units import Kind
from tests.e2e.venue import open_venue
from tests.e2e.watching import (
    all_receive,
    both_ways,
    forgets,
    is_clean,
    knows,
    receives,
    seen,
    undisturbed,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.client.observations import TrackObservations
    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Call, Venue

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

SHORT_PINGS = {"ping_interval_s": 1.0, "pong_timeout_s": 6.0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus"), calls=SHORT_PINGS) as venue:
        yield venue


async def call_id_of(call: Call, one: Participant) -> str | None:
    """The dial by which the focus knows somebody."""
    member = (await call.members()).get(one.party.user_id)
    return None if member is None else member["call_id"]


async def shows(picture: TrackObservations, layer: str) -> None:
    """Wait until a layer is seen."""
    await until(lambda: picture.current_layer == layer, f"layer {layer} is seen: {picture}")


async def share_ends(viewer: Participant, sharer: Participant) -> None:
    """Wait until somebody has been told that a share is over."""
    await until(lambda: SCREEN not in knows(viewer, sharer), f"{viewer.party.user_id} sees the share end")


async def test_everyone_sees_and_hears_everyone(venue: Venue) -> None:
    async with venue.call() as call:
        people = await call.join("alice", "bob", "carol")
        await all_receive(people)
        for one in people:
            assert {other.party for other in people if other is not one} == one.observations.announced.keys()
        is_clean(*people)


async def test_a_picture_changes_to_the_size_that_its_viewer_asks_for(venue: Venue) -> None:
    async with venue.call() as call:
        (alice,) = await call.join("alice", capture=Capture(camera=VideoFormat()))
        (bob,) = await call.join("bob", wanted_height=90)
        picture = seen(bob, alice)
        async with undisturbed((bob, alice)):
            for height, layer in ((90, "q"), (180, "h"), (360, "f"), (180, "h")):
                await bob.subscribe_size(height)
                await shows(picture, layer)
                await receives(bob, alice)
                assert picture.current_layer == layer
        assert picture.layer_switches == 3


async def test_a_screen_share_starts_stops_and_starts_again(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob, carol = await call.join("alice", "bob", "carol")
        async with undisturbed((bob, alice), (carol, alice)):
            for _ in range(2):
                await alice.start_share()
                for viewer in (bob, carol):
                    await receives(viewer, alice, SCREEN)
                await alice.stop_share()
                for viewer in (bob, carol):
                    await share_ends(viewer, alice)
                    assert knows(viewer, alice) == {AUDIO, VIDEO}


@pytest.mark.parametrize(("kind", "name"), [(Kind.AUDIO, AUDIO), (Kind.VIDEO, VIDEO)])
async def test_a_mute_is_seen_and_ended(venue: Venue, kind: Kind, name: str) -> None:
    async with venue.call() as call:
        alice, bob = await call.join("alice", "bob")
        track = seen(bob, alice, name)
        await receives(bob, alice)
        await alice.set_muted(kind, muted=True)
        await until(lambda: track.is_muted, "bob is told of the mute")
        await alice.set_muted(kind, muted=False)
        await until(lambda: not track.is_muted, "bob is told of its end")
        await receives(bob, alice)
        is_clean(alice, bob)


async def test_a_redial_replaces_its_leg(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob, carol = await call.join("alice", "bob", "carol")
        await all_receive((alice, bob, carol))
        replaced = await venue.admin.counted("focus_leaves_total", reason="replaced")
        async with undisturbed(*both_ways(alice, carol)):
            await bob.redial()
            assert bob.leg is not None
            assert await call_id_of(call, bob) == bob.leg.call_id
            await all_receive((alice, bob, carol))
        assert len(await call.members()) == 3
        assert await venue.admin.counted("focus_leaves_total", reason="replaced") == replaced + 1


async def test_a_new_session_replaces_its_leg(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob, carol = await call.join("alice", "bob", "carol")
        await all_receive((alice, bob, carol))
        replaced = await venue.admin.counted("focus_leaves_total", reason="new_session")
        async with undisturbed(*both_ways(alice, carol)):
            await bob.restart()
            assert bob.leg is not None
            assert await call_id_of(call, bob) == bob.leg.call_id
            await all_receive((alice, bob, carol))
        assert len(await call.members()) == 3
        assert await venue.admin.counted("focus_leaves_total", reason="new_session") == replaced + 1


async def test_who_vanishes_is_gone_for_the_others(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob, carol = await call.join("alice", "bob", "carol")
        await all_receive((alice, bob, carol))
        async with undisturbed(*both_ways(alice, carol)):
            bob.vanish()
            for one in (alice, carol):
                await forgets(one, bob)
        assert (await call.members()).keys() == {alice.party.user_id, carol.party.user_id}


async def test_who_answers_no_ping_is_hung_up(venue: Venue) -> None:
    async with venue.call() as call:
        (alice,) = await call.join("alice")
        (bob,) = await call.join("bob", breaks=RuleBreaks(answer_pings=False))
        await all_receive((alice, bob))
        await until(lambda: bob.observations.hangups == ["keep_alive_timeout"], "bob is hung up")
        await forgets(alice, bob)
        assert (await call.members()).keys() == {alice.party.user_id}


async def test_who_leaves_is_gone_at_once(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob, carol = await call.join("alice", "bob", "carol")
        await all_receive((alice, bob, carol))
        async with undisturbed(*both_ways(alice, carol)):
            await bob.leave()
            for one in (alice, carol):
                await forgets(one, bob)
        assert (await call.members()).keys() == {alice.party.user_id, carol.party.user_id}


async def test_people_who_come_and_come_back_all_at_once_disturb_nobody(venue: Venue) -> None:
    async with venue.call() as call:
        people = await call.join("alice", "bob", "carol", "dave", "erin")
        await all_receive(people)
        async with asyncio.TaskGroup() as group:
            for one in people:
                group.create_task(one.restart())
        await all_receive(people)
        assert [one.observations.legs for one in people] == [2] * len(people)
        is_clean(*people)


async def test_one_who_comes_late_and_one_who_comes_back_see_everything(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob = await call.join("alice", "bob")
        await bob.leave()
        await forgets(alice, bob)
        (carol,) = await call.join("carol")
        async with undisturbed(*both_ways(alice, carol)):
            await bob.restart()
            await all_receive((alice, bob, carol))
