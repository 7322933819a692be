"""One call over two homeservers, each with a focus of its own: people are on that of their homeserver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from loadtest.lifeline import bound
from tests.e2e.cascade import has_no_trunk, has_trunks, join_at, trunks_of
from tests.e2e.listening import Listener
from tests.e2e.venue import open_venue
from tests.e2e.watching import all_receive, forgets, is_clean, until_told
from tests.support.schemas import TRUNK, check_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Venue

pytestmark = pytest.mark.e2e

LOADTEST: Final = Path(sys.executable).parent / "loadtest"
DEMO: Final = ("demo", "--homeservers", "2", "--participants", "2", "--width", "160", "--height", "128")
PATIENCE_S: Final = 100.0
"""A limit against hanging, not a measure."""


@pytest.fixture
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """Where the room is made."""
    async with open_venue(homeserver, tmp_path_factory.mktemp("near")) as venue:
        yield venue


@pytest.fixture
async def far(own_homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(own_homeserver, tmp_path_factory.mktemp("far")) as far:
        yield far


async def test_what_foci_say_to_each_other_is_held_to_the_schemas(venue: Venue, far: Venue) -> None:
    listeners = [Listener(one.focus.admin_url) for one in (venue, far)]
    for listener in listeners:
        listener.start()
    async with venue.call() as call:
        people = [*await join_at(venue, call, "alice"), *await join_at(far, call, "carol")]
        await all_receive(people)
        for one in people:
            await one.leave()
        await until_told(lambda: has_no_trunk(venue), "the trunk is gone")
    checks = [check_lines(listener.stop()) for listener in listeners]
    assert [check.faults for check in checks] == [[], []]
    for check in checks:
        assert {kind for direction, way, kind in check.checked if (direction, way) == (TRUNK, "channel")} >= {
            "m.call.negotiate",
            "m.call.sdp_stream_metadata_changed",
            "m.call.track_subscription",
        }
    to_device = {key for check in checks for key in check.checked if key[:2] == (TRUNK, "to-device")}
    assert {kind for _, _, kind in to_device} >= {"m.call.invite", "m.call.answer"}


async def test_people_of_two_homeservers_are_in_one_call(venue: Venue, far: Venue) -> None:
    async with venue.call() as call:
        near_people = await join_at(venue, call, "alice", "bob")
        await all_receive(near_people)
        assert await trunks_of(venue) == []

        far_people = await join_at(far, call, "carol", "dave")
        await all_receive([*near_people, *far_people])
        for here, there, guests in ((venue, far, far_people), (far, venue, near_people)):
            (trunk,) = await trunks_of(here)
            assert (trunk["user_id"], trunk["state"]) == (there.device.user_id, "up")
            assert {(guest["user_id"], guest["device_id"]) for guest in trunk["guests"]} == {
                (one.party.user_id, one.party.device_id) for one in guests
            }
            assert len(trunk["layers_asked"]) == len(trunk["layers_wanted"]) == 4, "each track once"
            assert min(trunk["bytes_sent"], trunk["bytes_received"]) > 0

        for one in far_people:
            await one.leave()
        await until_told(lambda: has_no_trunk(venue), "the trunk ends where people stay")
        await until_told(lambda: has_no_trunk(far), "the trunk ends where nobody is left")
        assert await far.focus.ask_calls() == []
        for one in near_people:
            for gone in far_people:
                await forgets(one, gone)
        await all_receive(near_people)
        is_clean(*near_people, *far_people)


async def test_two_calls_between_the_same_foci_do_not_disturb_each_other(venue: Venue, far: Venue) -> None:
    async with venue.call() as call, far.call() as other:
        first = [*await join_at(venue, call, "alice"), *await join_at(far, call, "carol")]
        second = [*await join_at(venue, other, "bob"), *await join_at(far, other, "dave")]
        for people in (first, second):
            await all_receive(people)
        for here in (venue, far):
            trunks = await trunks_of(here)
            assert [trunk["state"] for trunk in trunks] == ["up", "up"]
            assert all(len(trunk["guests"]) == 1 for trunk in trunks)
        # Both go on together, not by turns; and one when the other has ended.
        for people in (first, second, first):
            await all_receive(people)
        for one in first:
            await one.leave()
        await until_told(lambda: has_trunks(venue, 1), "the trunk of the call that has ended ends")
        await all_receive(second)
        is_clean(*first, *second)


def test_a_demo_over_two_homeservers_tells_what_its_trunk_has_carried(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = bound((LOADTEST, *DEMO, "--seconds", "8", "--json", str(out), "--logs", str(tmp_path / "logs")))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)  # noqa: S603  # our own console script
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    assert len(content["pairs"]) == 4
    assert all(pair["frames_decoded"] > 0 for pair in content["pairs"]), content["pairs"]
    assert content["wrong_frames"] == 0
    (trunk,) = content["trunks"]
    assert (trunk["states"], trunk["tracks"]) == (["up", "up"], 4)
    assert trunk["layers"] >= 4
    for direction, owner in zip(trunk["directions"], trunk["foci"], strict=True):
        assert direction["from"] == owner
        assert direction["bytes_sent"] > 0
        server = owner.partition(":")[2]
        assert {(track["owner"].partition(":")[2], track["kind"]) for track in direction["tracks"]} == {
            (server, "audio"),
            (server, "video"),
        }
    logs = {str(path.relative_to(tmp_path / "logs")) for path in (tmp_path / "logs").glob("*/*")}
    assert logs == {f"{number}/{name}.log" for number in (1, 2) for name in ("focus", "homeserver")}
