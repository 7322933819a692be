"""What an operator sets about pictures, in real calls: ceilings for some, and a policy of their own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from loadtest.client.publisher import Capture
from loadtest.client.scene import AUDIO
from signalling.cli.why import pairs_of
from tests.e2e.venue import open_venue
from tests.e2e.watching import all_receive, is_clean, receives, until_told
from tests.support.homeserver import new_user

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Call

pytestmark = pytest.mark.e2e

NO_MEDIA = Capture(has_microphone=False, camera=None)
THIN_BPS = 150_000
"""Sound of two, and not all of their pictures."""
BROKEN = """
def allocate(problem):
    raise KeyError("a mistake of the operator's")
"""


async def pictures(call: Call, one: Participant) -> list[tuple[str | None, str, str]]:
    """The layer, the cause and the sentence of each picture that somebody wants, in order of layers."""
    members = list((await call.members()).values())
    calls = [{"conf_id": call.conf_id, "members": members}]
    pairs = [pair for pair in pairs_of(calls, one.party.user_id, None) if pair["kind"] == "video"]
    return sorted(((pair["current"], pair["cause"], pair["why"]) for pair in pairs), key=str)


async def is_given(call: Call, one: Participant, *expected: tuple[str | None, str]) -> list[str]:
    """Wait until somebody is given these layers for these causes; return the sentences."""
    wanted = sorted(expected, key=str)

    async def so() -> bool:
        return [(layer, cause) for layer, cause, _ in await pictures(call, one)] == wanted

    await until_told(so, f"{one.party.user_id} is given {wanted}: {await pictures(call, one)}")
    return [text for _, _, text in await pictures(call, one)]


async def is_capped(call: Call, one: Participant, max_bps: int) -> bool:
    """Whether all that goes to somebody keeps below a ceiling of bits, and pictures are smaller for it."""
    subscriptions = (await call.members())[one.party.user_id]["subscriptions"]
    decisions = [wish["decision"] for wish in subscriptions if wish["decision"]]
    sum_bps = sum(decision["rate_bps"] for decision in decisions)
    causes = {wish["cause"] for wish in subscriptions if wish["kind"] == "video"}
    return len(decisions) == 4 and 0 < sum_bps <= max_bps and "cap" in causes and causes <= {"cap", "size"}


async def test_ceilings_hold_for_whom_they_are_for(homeserver: Homeserver, tmp_path: Path) -> None:
    names = ("low", "few", "thin")
    low, few, thin = [await asyncio.to_thread(new_user, homeserver, name) for name in names]
    caps = [
        {"user": low.user_id, "max_height": 100},
        {"user": few.user_id, "max_videos": 1},
        {"user": thin.user_id, "max_bps": THIN_BPS},
    ]
    async with open_venue(homeserver, tmp_path, **{"": {"caps": caps}}) as venue, venue.call() as call:
        alice, bob = await call.join("alice", "bob")
        await all_receive([alice, bob])
        guests = await call.join(low, few, thin, capture=NO_MEDIA)
        said = await is_given(call, guests[0], ("h", "ceiling"), ("h", "ceiling"))
        assert all("at most 100 lines" in text for text in said)
        said = await is_given(call, guests[1], (None, "last_n"), ("f", "size"))
        assert any("at most 1 picture" in text for text in said)
        await until_told(lambda: is_capped(call, guests[2], THIN_BPS), "who has few bits is told so")
        for one in (alice, bob):
            await receives(guests[2], one, AUDIO)
            await is_given(call, one, ("f", "size"))
        is_clean(*call.people)


async def test_a_policy_that_fails_harms_nobody_and_is_told_of(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    allocation = {"policy": "mine.py"}
    async with open_venue(homeserver, tmp_path, allocation=allocation) as venue, venue.call() as call:
        people = await call.join("alice", "bob")
        await all_receive(people)
        assert await venue.admin.counted("focus_policy_failures_total") > 0
        (first, *_) = venue.admin.log("policy_failed")
        assert "a mistake of the operator's" in first["exception"]
        for one in people:
            await is_given(call, one, ("f", "size"))
        is_clean(*people)
