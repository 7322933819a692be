"""A call that is under way is recorded as an operator would, and happens again: the same is chosen."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from loadtest.client.scene import AUDIO
from loadtest.lifeline import bound
from tests.e2e.venue import open_venue
from tests.e2e.watching import all_receive, receives
from tests.support.homeserver import new_user

if TYPE_CHECKING:
    from loadtest.homeserver.server import Homeserver

pytestmark = pytest.mark.e2e

PROGRAM: Final = Path(sys.executable).parent / "focus"
THIN_BPS: Final = 150_000
"""Sound of two, and not all of their pictures: there is something to choose."""
PATIENCE_S: Final = 30.0
ENOUGH_S: Final = 5.0
"""Of each state of the call: longer than a block of the recording, the last of which is lost at its end."""


async def focus_media(*arguments: str) -> tuple[int | None, str, str]:
    """Run the command; return its exit status and what it says."""
    process = await asyncio.create_subprocess_exec(
        *bound((PROGRAM, "media", *arguments)), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_what_was_chosen_is_chosen_again(homeserver: Homeserver, tmp_path: Path) -> None:
    file = tmp_path / "call.media"
    thin = await asyncio.to_thread(new_user, homeserver, "thin")
    caps = [{"user": thin.user_id, "max_bps": THIN_BPS}]
    async with open_venue(homeserver, tmp_path, **{"": {"caps": caps}}) as venue, venue.call() as call:
        people = await call.join(thin, "alice")
        await all_receive(people, AUDIO)
        url = venue.focus.admin_url
        process = await asyncio.create_subprocess_exec(
            *bound((PROGRAM, "media", "record", "--url", url, "-o", str(file), "--packets")),
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            assert b"recording" in await process.stderr.readline()
        second = await focus_media("record", "--url", url, "-o", str(tmp_path / "second.media"))
        assert second[0] == 1
        assert "under way" in second[2]
        (bob,) = await call.join("bob")
        await receives(people[1], bob, AUDIO)
        await people[1].start_share()
        await asyncio.sleep(ENOUGH_S)
        await bob.leave()
        await asyncio.sleep(ENOUGH_S)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            await process.communicate()
        assert process.returncode == 0
        names = {thin.user_id, call.room_id, call.conf_id, "alice", "bob", "127.0.0.1"}
    status, told, why = await focus_media("replay", str(file), "--policy", "jvb_like", "--json")
    assert status == 0, why
    outcomes: dict[str, Any] = json.loads(told)
    agreement = outcomes["utility"]["agreement"]
    assert agreement["decisions"] > 50
    assert agreement["different"] == 0
    assert outcomes["jvb_like"]["agreement"]["seconds"] == agreement["seconds"] > ENOUGH_S
    assert len(outcomes["utility"]["subscribers"]) == 3
    assert min(one["utility"] for one in outcomes["utility"]["subscribers"].values()) < 0.99
    status, shown, why = await focus_media("show", str(file))
    assert status == 0, why
    assert not [name for name in names if name in shown]
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", shown)
    steps = [json.loads(line) for line in shown.splitlines()[1:]]
    assert {one["what"] for step in steps for one in step.get("told", ())} >= {"DemandSet", "DemandDropped"}
    assert any(step.get("feedback") for step in steps)
