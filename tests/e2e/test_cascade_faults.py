"""What people notice when something fails between foci: on one side nothing, and across it not for long."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from loadtest.client.scene import AUDIO
from loadtest.homeserver.server import homeservers
from tests.e2e.apart import open_apart
from tests.e2e.cascade import has_no_trunk, is_up, join_at, trunk_to, trunks_of
from tests.e2e.venue import open_venue
from tests.e2e.watching import (
    all_receive,
    both_ways,
    dials_again,
    forgets,
    is_clean,
    seen,
    undisturbed,
    until,
    until_told,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.e2e.apart import Apart
    from tests.e2e.venue import Call, Venue

# Sound is watched without a break, and pictures are waited for: where a machine has too much to do, lines
# seem narrow, and pictures stand for a while on both sides of a fault.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

CUT_S: Final = 5.0
FLAPS: Final = 4
FLAP_S: Final = 1.0
RETURNS: Final = 2
AWAY_S: Final = 3.0
"""On top of the time until a focus knows that its homeserver is away: for several more tries, all in vain."""
HELD: Final = (
    "process_open_fds",
    "focus_legs",
    "focus_tracks",
    "focus_subscriptions",
    "focus_hop_trunks",
    "focus_hop_guests",
)
"""What a focus holds, as it says itself: sockets and whatever else is open, people, what goes to and fro."""


@pytest.fixture(scope="module")
def far_homeserver() -> Iterator[Homeserver]:
    with homeservers() as (server,):
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apart(
    homeserver: Homeserver, far_homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Apart]:
    near, far = [tmp_path_factory.mktemp(name) for name in ("near", "far")]
    async with open_apart((homeserver, near), (far_homeserver, far)) as apart:
        yield apart


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def meeting(apart: Apart) -> AsyncIterator[Call]:
    """A call of two on one side, and of one across."""
    async with ended(apart) as call:
        await join_at(apart.near.venue, call, "alice", "bob")
        await join_at(apart.far.venue, call, "carol")
        yield call


@contextlib.asynccontextmanager
async def ended(apart: Apart) -> AsyncIterator[Call]:
    """A call that is over for everybody in the end."""
    async with apart.near.venue.call() as call:
        yield call
        await call.terminate()
        for one in (apart.near.venue, apart.far.venue):
            await until_told(partial(is_empty, one), f"{one.device.user_id} has no call")


async def is_empty(venue: Venue) -> bool:
    """Whether there is neither anybody nor a trunk."""
    return await venue.admin.counted("focus_legs") == 0


@pytest.fixture
def venue(apart: Apart) -> Venue:
    """Where the room is made."""
    return apart.near.venue


@pytest.fixture
def far(apart: Apart) -> Venue:
    return apart.far.venue


async def test_of_two_dials_that_cross_one_goes_on(apart: Apart, venue: Venue, far: Venue) -> None:
    invites = "/sendToDevice/m.call.invite/"
    async with ended(apart) as call:
        with apart.near.door.holding(invites) as nears, apart.far.door.holding(invites) as fars:
            (alice,) = await join_at(venue, call, "alice")
            (carol,) = await join_at(far, call, "carol")
            await until(lambda: nears.waiting and fars.waiting, "both have dialled")
            for here, there in ((venue, far), (far, venue)):
                assert (await trunk_to(here, there))["state"] == "dialling"
        await all_receive((alice, carol))
        for one in (venue, far):
            (trunk,) = await trunks_of(one)
            assert trunk["state"] == "up"
            assert len(trunk["guests"]) == 1
            # The person, and the one trunk.
            assert await one.admin.counted("focus_legs") == 2
            assert await one.admin.counted("focus_hop_dials_total", outcome="up") == 1
        lost = [
            await one.admin.counted("focus_hop_dials_total", outcome="double_dial") for one in (venue, far)
        ]
        assert sorted(lost) == [0, 1]
        is_clean(alice, carol)


async def test_of_a_focus_that_is_killed_and_comes_again_others_notice_nothing(
    apart: Apart,
    venue: Venue,
    far: Venue,
    homeserver: Homeserver,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with open_venue(homeserver, tmp_path_factory.mktemp("beside")) as beside, ended(apart) as call:
        (alice,) = await join_at(venue, call, "alice")
        (bob,) = await join_at(beside, call, "bob")
        # Real clients know nothing of a kill: they dial again when they are hung up.
        (carol,) = await call.join(await far.user("carol"), focus=far.device, redial_after_s=0.5)
        await all_receive(call.people)
        dial = carol.leg
        between = await trunk_to(venue, beside)
        async with undisturbed(*both_ways(alice, bob), kinds=(AUDIO,)):
            await far.focus.kill()
            await all_receive((alice, bob))
            await far.focus.start()
            await far.focus.wait_ready()
            await dials_again(carol, dial)
            await all_receive(call.people)
        assert carol.observations.hangups == ["unknown_error"]
        assert await is_up(venue, beside, far)
        assert (await trunk_to(venue, beside))["leg"] == between["leg"]
        for one in (venue, beside, far):
            # The person, and two trunks.
            assert await one.admin.counted("focus_legs") == 3
        is_clean(alice, bob, carol)


async def test_a_trunk_whose_packets_are_lost_for_a_while_is_the_same_afterwards(
    apart: Apart, venue: Venue, far: Venue, meeting: Call
) -> None:
    alice, bob, carol = meeting.people
    await all_receive(meeting.people)
    before = await trunk_to(venue, far)
    async with undisturbed(*both_ways(alice, bob), kinds=(AUDIO,)):
        with apart.severed():
            frames = seen(alice, carol).frames_decoded
            await asyncio.gather(asyncio.sleep(CUT_S), all_receive((alice, bob)))
            # What was on the way when it was cut, and no more.
            assert seen(alice, carol).frames_decoded <= frames + 3
            assert sum(line.lost for line in apart.lines) > 0
        await all_receive(meeting.people)
    after = await trunk_to(venue, far)
    assert (after["state"], after["leg"]) == ("up", before["leg"])
    is_clean(alice, bob, carol)


async def test_while_a_homeserver_is_away_what_flows_goes_on_and_who_comes_waits(
    apart: Apart, venue: Venue, far: Venue, meeting: Call
) -> None:
    alice, _, carol = meeting.people
    await all_receive(meeting.people)
    trunk = await trunk_to(far, venue)
    late = await meeting.enter(await far.user("dave"), focus=far.device)
    async with undisturbed(*both_ways(alice, carol), kinds=(AUDIO,)), asyncio.TaskGroup() as group:
        apart.far.door.shut()
        # What goes over channels needs no homeserver: what she wants of her focus reaches that of Alice.
        await carol.subscribe_size(90)
        await until(lambda: seen(carol, alice).current_layer == "h", "a smaller picture comes")
        await until_told(partial(is_unready, far), "the focus says that it cannot serve")
        joining = group.create_task(late.join())
        await asyncio.gather(asyncio.sleep(AWAY_S), all_receive((alice, carol)))
        assert not joining.done()
        apart.far.door.open()
    await far.focus.wait_ready()
    await all_receive(meeting.people)
    await late.leave()
    meeting.people.remove(late)
    await forgets(alice, late)
    assert (await trunk_to(far, venue))["leg"] == trunk["leg"]
    assert alice.observations.hangups == carol.observations.hangups == []
    is_clean(alice, carol, late)


async def is_unready(venue: Venue) -> bool:
    """Whether a focus says that it cannot serve."""
    return (await venue.focus.ask_status()).get("ready") is False


async def test_a_trunk_that_flaps_leaves_one_trunk_and_nothing_beside_it(
    apart: Apart, venue: Venue, far: Venue, meeting: Call
) -> None:
    alice, bob, carol = meeting.people
    await all_receive(meeting.people)
    held = [await one.admin.gauged(*HELD) for one in (venue, far)]
    async with undisturbed(*both_ways(alice, bob), kinds=(AUDIO,)):
        for _ in range(FLAPS):
            with apart.severed():
                await asyncio.sleep(FLAP_S)
            await asyncio.sleep(FLAP_S)
        await all_receive(meeting.people)
        # And now it ends and begins, by who comes and goes: she is the only one across.
        for _ in range(RETURNS):
            await carol.leave()
            await until_told(partial(has_no_trunk, venue), "the trunk is gone")
            await forgets(alice, carol)
            (carol,) = await meeting.join(user_of(far, carol), focus=far.device)
            await until_told(partial(is_up, venue, far), "the trunk is up again")
        await all_receive((alice, bob, carol))
    for one, before in zip((venue, far), held, strict=True):
        assert len(await trunks_of(one)) == 1
        await until_told(partial(holds, one, before), f"{one.device.user_id} holds what it held: {before}")
    is_clean(alice, bob, carol)


def user_of(venue: Venue, one: Participant) -> User:
    """Somebody's account, for another participant of the same name."""
    return next(user for user in venue.homeserver.users.values() if user.user_id == one.party.user_id)


async def holds(venue: Venue, before: dict[str, float]) -> bool:
    """Whether a focus holds no more than before; of connections to its homeserver it may hold fewer."""
    now = await venue.admin.gauged(*HELD)
    return all(now[name] <= before[name] for name in HELD)
