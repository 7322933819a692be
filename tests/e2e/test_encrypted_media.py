"""Media encrypted end to end, in real browsers: who sees, who does not, and what the focus can still do.

Some 60 s on a quiet machine.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from loadtest.client.scene import AUDIO, VIDEO
from tests.e2e.encrypted_tabs import HEIGHT, encrypted_chromium
from tests.e2e.meeting import everybody_meets
from tests.e2e.venue import open_venue
from tests.e2e.watching import FRAMES, MAX_STANDSTILL_S, OBSERVED_FRAMES, until_told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.client.scene import Party
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.encrypted_tabs import EncryptedChromium, EncryptedTab, Role
    from tests.e2e.venue import Venue

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

NOT_OURS = {"forged", "malformed", "codec", "failed"}
"""Reasons for which no frame of an honest call is dropped; before its key comes, one has none, and what
measures a path comes twice."""
NOTICE_PERIOD_S = 10.0
"""By then whoever left is shut out: several times what it takes on a quiet machine."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus")) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[EncryptedChromium]:
    async with encrypted_chromium() as browser:
        yield browser


async def nothing_was_wrong(*tabs: EncryptedTab) -> None:
    for tab in tabs:
        assert (await tab.dropped()).keys().isdisjoint(NOT_OURS), await tab.dropped()


@pytest.mark.parametrize("role", ["encrypts", "plain"])
async def test_layers_switch_and_speakers_are_told_encrypted_or_not(
    venue: Venue, browser: EncryptedChromium, role: Role
) -> None:
    async with venue.call() as call, browser.tabs(call, "erin", "frank", role=role) as (erin, frank):
        await erin.join()
        await frank.join()
        await everybody_meets([erin, frank], [])
        before = await frank.received(erin.party, VIDEO)
        for height in (HEIGHT // 2, HEIGHT, HEIGHT // 2):
            await frank.do(f"person.subscribe({height})")
            await frank.shows(erin.party, height)
            await frank.sees(erin.party)
        after = await frank.received(erin.party, VIDEO)
        assert after["mid"] == before["mid"]
        assert after["lost"] == before["lost"]
        assert after["freezesSeconds"] - before["freezesSeconds"] <= MAX_STANDSTILL_S

        async def erin_speaks() -> bool:
            return any(one["user_id"] == erin.party.user_id for one in await frank.do("person.speakers"))

        await until_told(erin_speaks, "frank is told that erin speaks")
        if role == "encrypts":
            await nothing_was_wrong(erin, frank)


async def test_who_has_no_key_receives_everything_and_sees_nothing(
    venue: Venue, browser: EncryptedChromium
) -> None:
    async with (
        venue.call() as call,
        browser.tabs(call, "erin", "frank") as (erin, frank),
        browser.tabs(call, "eve", role="plain") as (eve,),
    ):
        for tab in (erin, frank, eve):
            await tab.join()
        await everybody_meets([erin, frank], [])

        async def eve_receives_a_lot() -> bool:
            rows = [await eve.received(tab.party, VIDEO) for tab in (erin, frank)]
            return all(row.get("packets", 0) > 10 * OBSERVED_FRAMES for row in rows)

        await until_told(eve_receives_a_lot, "packets reach who has no key")
        for tab in (erin, frank):
            assert (await eve.received(tab.party, VIDEO))["frames"] == 0
            # Silence, and no noise.
            assert (await eve.received(tab.party, AUDIO))["energy"] == 0
            # Nor is anything shown of somebody who sends in the clear; and both are said.
            assert (await tab.received(eve.party, VIDEO)).get("frames", 0) == 0
            assert (await tab.do(f"person.party({json.dumps(eve.party.user_id)})"))["ok"] is False
        await everybody_meets([erin, frank], [])


async def recorded_with(eve: EncryptedTab, owner: Party, keys: list[dict[str, Any]]) -> dict[str, int]:
    """How frames of somebody that were recorded fare with somebody's keys, by outcome."""
    script = f"person.openRecorded({json.dumps(owner.user_id)}, {json.dumps(keys)})"
    return dict(await eve.do(script))


async def record_anew(eve: EncryptedTab, owner: Party) -> None:
    """Forget what was recorded, and wait until there is enough again."""
    await eve.do("person.recorded.splice(0)")
    what = f"frames of {owner.user_id} are recorded"
    count = f"person.recorded.filter((frame) => frame.owner === {json.dumps(owner.user_id)}).length"
    await until_told(lambda: eve.do(f"{count} > {FRAMES}"), what)


async def test_keys_change_when_somebody_leaves_and_when_somebody_joins(
    venue: Venue, browser: EncryptedChromium
) -> None:
    async with (
        venue.call() as call,
        browser.tabs(call, "erin", "frank", "gina", "hugo") as (erin, frank, gina, hugo),
        browser.tabs(call, "eve", role="records") as (eve,),
    ):
        for tab in (erin, frank, gina, eve):
            await tab.join()
        await everybody_meets([erin, frank, gina], [])
        await record_anew(eve, erin.party)
        gina_was_given = await gina.given_keys()
        # The control: with these keys what eve records can be read.
        outcome = await recorded_with(eve, erin.party, gina_was_given)
        assert outcome.pop("opened") > 0
        assert outcome.keys() <= {"replayed"}

        index, _ = await erin.own_key()
        await gina.do("person.leave()")

        async def key_is_fresh() -> bool:
            return await erin.own_key() == ((index + 1) % 16, 0)

        await until_told(key_is_fresh, "erin's key is another one", NOTICE_PERIOD_S)

        async def gina_is_shut_out() -> bool:
            await record_anew(eve, erin.party)
            return (await recorded_with(eve, erin.party, gina_was_given))["opened"] == 0

        await until_told(gina_is_shut_out, "gina's keys open nothing any more")
        frank_was_given = await frank.given_keys()
        assert (await recorded_with(eve, erin.party, frank_was_given))["opened"] > 0

        await record_anew(eve, erin.party)
        await eve.do("person.past = person.recorded.slice()")
        await hugo.join()
        await everybody_meets([erin, frank, hugo], [])
        hugo_was_given = json.dumps(await hugo.given_keys())
        owner = json.dumps(erin.party.user_id)
        past = await eve.do(f"person.openRecorded({owner}, {hugo_was_given}, person.past)")
        assert past["opened"] == 0
        await record_anew(eve, erin.party)
        assert (await recorded_with(eve, erin.party, await hugo.given_keys()))["opened"] > 0
        # The join cost erin one message, to hugo.
        assert len(await frank.given_keys()) == len(frank_was_given) + 1
        await nothing_was_wrong(erin, frank, hugo)


async def test_a_reloaded_tab_is_the_same_device_with_other_keys(
    venue: Venue, browser: EncryptedChromium
) -> None:
    async with venue.call() as call, browser.tabs(call, "erin", "frank") as (erin, frank):
        await erin.join()
        await frank.join()
        await everybody_meets([erin, frank], [])
        before = await frank.given_keys()
        await erin.load()
        await erin.join()
        await everybody_meets([erin, frank], [])
        sessions = {key["content"]["session_id"] for key in await frank.given_keys()}
        assert len(sessions) == 2
        materials = [key["content"]["key"] for key in await frank.given_keys()]
        assert len(set(materials)) == len(materials) > len(before)
        assert {key["content"]["device_id"] for key in await frank.given_keys()} == {erin.party.device_id}
        await nothing_was_wrong(erin, frank)


async def test_a_picture_starts_as_soon_as_a_late_key_comes(venue: Venue, browser: EncryptedChromium) -> None:
    async with venue.call() as call, browser.tabs(call, "erin", "frank") as (erin, frank):
        await erin.do("person.prepare()")
        # The homeserver is slow with what erin sends to devices over Olm.
        await erin.do(
            """{
              person.prepare = async () => {};
              const send = person.matrix.sendToDevice.bind(person.matrix);
              person.released = new Promise((resolve) => (person.release = resolve));
              person.matrix.sendToDevice = async (type, messages, options = {}) => {
                if (options.encrypted) await person.released;
                return send(type, messages, options);
              };
            }"""
        )
        await erin.join()
        await frank.join()
        await erin.sees(frank.party)

        async def frames_wait_for_the_key() -> bool:
            return (await frank.dropped()).get("noKey", 0) > OBSERVED_FRAMES

        await until_told(frames_wait_for_the_key, "frames come before their key")
        assert (await frank.received(erin.party, VIDEO))["frames"] == 0
        await erin.do("person.release()")
        await frank.sees(erin.party)
        await frank.hears(erin.party)
        await frank.can_read(erin.party)
        await nothing_was_wrong(erin, frank)
