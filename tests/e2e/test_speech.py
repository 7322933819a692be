"""A real call in which more people talk than are forwarded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.client.publisher import Capture
from loadtest.client.scene import AUDIO
from sfu.units import Kind
from signalling.cli.why import pairs_of
from tests.e2e.venue import open_venue
from tests.e2e.watching import OBSERVED_FRAMES, is_clean, receives, seen, until_told

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Call

pytestmark = pytest.mark.e2e

SOUND_ONLY = Capture(camera=None)
PLACES = 2


async def causes(call: Call, listener: Participant) -> dict[str, str]:
    """Why somebody hears the others or does not, by their user ids."""
    calls = [{"conf_id": call.conf_id, "members": list((await call.members()).values())}]
    return {
        pair["from"].split("/")[0]: pair["cause"] for pair in pairs_of(calls, listener.party.user_id, None)
    }


async def heard_in(call: Call, people: list[Participant]) -> set[str]:
    """Who is heard by anybody."""
    told = [(await causes(call, one)).items() for one in people]
    return {user_id for row in told for user_id, cause in row if cause == "size"}


async def test_of_more_talkers_than_places_the_others_are_unheard_until_one_falls_silent(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    conference = {"loudest": PLACES, "loudest_from": 4}
    async with open_venue(homeserver, tmp_path, conference=conference) as venue, venue.call() as call:
        people = await call.join("alice", "bob", "carol", "dave", capture=SOUND_ONLY)
        names = {one.party.user_id: one for one in people}

        async def as_many_as_places() -> bool:
            told = [await causes(call, one) for one in people]
            unheard = {user_id for row in told for user_id, cause in row.items() if cause == "unheard"}
            heard = await heard_in(call, people)
            return len(heard) == PLACES and heard | unheard == names.keys() and not heard & unheard

        await until_told(as_many_as_places, "half of them are heard, and the others told that they are not")
        heard = await heard_in(call, people)
        talkers = [names[user_id] for user_id in sorted(heard)]
        others = [one for one in people if one not in talkers]
        before = {
            one.party: seen(one, others[1 - number], AUDIO).frames_decoded
            for number, one in enumerate(others)
        }
        for one in others:
            await receives(one, talkers[0], AUDIO, frames=OBSERVED_FRAMES)
        for number, one in enumerate(others):
            assert seen(one, others[1 - number], AUDIO).frames_decoded == before[one.party]

        await talkers[0].set_muted(Kind.AUDIO, muted=True)

        async def one_is_let_in() -> bool:
            return bool(await heard_in(call, people) & {one.party.user_id for one in others})

        await until_told(one_is_let_in, "the place of who fell silent is given to another")
        (newcomer,) = [one for one in others if one.party.user_id in await heard_in(call, people)]
        await receives(talkers[1], newcomer, AUDIO, frames=OBSERVED_FRAMES)
        is_clean(*people)


async def test_the_same_people_all_hear_each_other_without_the_limit(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    async with open_venue(homeserver, tmp_path, conference={"loudest": 0}) as venue, venue.call() as call:
        people = await call.join("alice", "bob", "carol", "dave", capture=SOUND_ONLY)
        for one in people:
            for other in people:
                if one is not other:
                    await receives(one, other, AUDIO, frames=OBSERVED_FRAMES)
        for one in people:
            assert set((await causes(call, one)).values()) == {"size"}
        is_clean(*people)
