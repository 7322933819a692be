"""The protocol as data, in real calls: all signalling fits the schemas, and what is recorded happens again.

About 20 s on a quiet machine: one focus for all of it.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from signalling.trace.lines import Began, read_recording
from signalling.trace.replay import Replay, differences
from signalling.web.paths import TRACE
from tests.e2e.listening import held_to_schemas
from tests.e2e.traces import PROGRAM, SCENES, SHORT_PINGS, recorded
from tests.e2e.venue import open_venue
from tests.e2e.watching import receives
from tests.support import schemas
from tests.support.schemas import SENT, by_type, check_lines
from tests.support.traces import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from loadtest.homeserver.server import Homeserver
    from signalling.trace.lines import Recording
    from tests.e2e.venue import Call, Venue

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

_PATIENCE_S: Final = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus"), calls=SHORT_PINGS) as venue:
        yield venue


async def focus(*arguments: object) -> tuple[int, str]:
    """Run a command of the focus; return how it ended, and what it said."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(_PATIENCE_S):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def read(file: Path) -> Recording:
    with file.open(encoding="utf-8") as lines:
        return read_recording(lines)


def only_file(folder: Path) -> Path:
    (file,) = folder.glob("*.jsonl")
    return file


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_a_leg_that_is_recorded_happens_again(
    venue: Venue, tmp_path: Path, scene: Callable[[Venue, Call, Path], Any]
) -> None:
    async with venue.call() as call:
        await scene(venue, call, tmp_path)
        file = only_file(tmp_path)
        assert file.stem in names()
        text = file.read_text(encoding="utf-8")
        personal = [venue.homeserver.base_url, call.room_id, call.conf_id, "127.0.0.1"]
        personal += [one.party.user_id for one in call.people] + [one.party.device_id for one in call.people]
        assert [word for word in personal if word in text] == []
    told = read(file)
    assert told.end == "stopped"
    assert list(differences(told, Replay(told).run())) == []
    check = check_lines(json.loads(line) for line in text.splitlines()[1:-1])
    assert check.faults == []
    assert check.checked.total() > 10


async def test_a_running_leg_can_be_recorded_for_a_while_and_not_be_replayed(
    venue: Venue, tmp_path: Path
) -> None:
    async with venue.call() as call:
        (alice,) = await call.join("alice")
        (bob,) = await call.join("bob")
        await receives(alice, bob)
        file = tmp_path / "alice.jsonl"
        status, said = await focus(
            *("trace", "record", "--url", venue.focus.admin_url, "--user", alice.party.user_id),
            *("--device", alice.party.device_id, "--call", call.conf_id, "--seconds", 2.5, "-o", file),
        )
    assert (status, read(file).end) == (0, "seconds"), said
    assert read(file).header.began is Began.DURING
    assert {"m.call.ping", "m.call.pong"} <= {line.type for line in read(file).lines}
    status, said = await focus("trace", "show", file)
    assert (status, "data channel  m.call.ping" in said) == (0, True)
    status, said = await focus("trace", "replay", file)
    assert (status, "not_replayable" in said) == (1, True)


async def test_a_recording_that_was_changed_is_different(venue: Venue, tmp_path: Path) -> None:
    file, again = tmp_path / "join.jsonl", tmp_path / "again.jsonl"
    async with venue.call() as call:
        user = await venue.user("alice")
        async with recorded(venue, user, file):
            (alice,) = await call.join(user)
            await alice.leave()
    status, said = await focus("trace", "replay", file, "-o", again)
    assert (status, "0 differences" in said) == (0, True), said
    assert [line.type for line in read(again).lines if line.type.startswith("m.call.")] != []
    file.write_text(file.read_text(encoding="utf-8").replace('"seq":1', '"seq":5'), encoding="utf-8")
    status, said = await focus("trace", "replay", file)
    assert (status, '+  "seq": 1' in said) == (3, True), said


async def test_nobody_answers_where_no_focus_is_and_odd_questions_are_refused(
    venue: Venue, tmp_path: Path
) -> None:
    file = tmp_path / "nothing.jsonl"
    status, said = await focus("trace", "record", "--url", "http://127.0.0.1:9", "--user", "@a:b", "-o", file)
    assert (status, "no focus answers" in said) == (1, True)
    status, said = await focus("trace", "record", "--url", venue.focus.admin_url, "-o", file)
    assert (status, "either --user or --everybody" in said) == (1, True)
    status, said = await focus(
        "trace", "record", "--url", venue.focus.admin_url, "--user", "@a:b", "--seconds", 1e9, "-o", file
    )
    assert (status, "seconds: legal is" in said) == (1, True)
    assert TRACE.startswith("/_focus/admin/")


async def test_a_message_that_does_not_fit_its_schema_is_caught(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the focus had begun to say something that is not written down: the check of every test fails."""
    written_down = {key: one for key, one in by_type().items() if key != (SENT, "to-device", "m.call.answer")}
    monkeypatch.setattr(schemas, "by_type", lambda: written_down)
    with (
        pytest.raises(AssertionError, match=r"no schema for m\.call\.answer"),
        held_to_schemas(venue.focus.admin_url),
    ):
        async with venue.call() as call:
            await call.join("alice")
