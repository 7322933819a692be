"""Legs recorded by `focus trace record` in real calls, and the transcripts that are made of them.

`python -m tests.e2e.traces` makes `tests/vectors/traces` and `docs/protocol/transcripts` anew, of calls that
it holds. With `--replayed`, of what the focus of this version says to the recorded legs: no call is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadtest.client.scene import SCREEN
from loadtest.homeserver.server import homeservers
from loadtest.lifeline import bound
from signalling.trace.lines import End, Header, Line, read_recording, written
from signalling.trace.replay import Replay
from signalling.trace.show import as_markdown
from tests.e2e.venue import open_venue
from tests.e2e.watching import all_receive, receives, until
from tests.support.traces import TRACES, TRANSCRIPTS, names, recording

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.e2e.venue import Call, Venue

SHORT_PINGS: Final = {"ping_interval_s": 1.0, "pong_timeout_s": 20.0}
PROGRAM: Final = Path(sys.executable).parent / "focus"
_PATIENCE_S: Final = 30.0


@contextlib.asynccontextmanager
async def recorded(venue: Venue, user: User, file: Path, *more: str) -> AsyncIterator[None]:
    """While inside, somebody's leg is recorded, as an operator would; Ctrl-C ends it."""
    process = await asyncio.create_subprocess_exec(
        *bound((PROGRAM, "trace", "record", "--url", venue.focus.admin_url, "--user", user.user_id)),
        *("-o", str(file), *more),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(_PATIENCE_S):
            assert b"recording" in await process.stderr.readline()
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_PATIENCE_S):
            await process.communicate()


async def joins(venue: Venue, call: Call, folder: Path) -> None:
    """Somebody is the first in a call, is pinged, and leaves."""
    user = await venue.user("alice")
    async with recorded(venue, user, folder / "join.jsonl"):
        (alice,) = await call.join(user)
        await until(lambda: alice.observations.pings > 1, "she is pinged")
        await alice.leave()
        await asyncio.sleep(0.5)  # the focus hears of it by two ways


async def joins_second(venue: Venue, call: Call, folder: Path) -> None:
    """Somebody joins a call with somebody in it, sees them, and leaves."""
    (alice,) = await call.join("alice")
    user = await venue.user("bob")
    async with recorded(venue, user, folder / "second-join.jsonl"):
        (bob,) = await call.join(user)
        await receives(bob, alice)
        await bob.leave()
        await asyncio.sleep(0.5)
    await alice.leave()


async def shares(venue: Venue, call: Call, folder: Path) -> None:
    """Somebody shares a screen, which somebody else sees, and ends that."""
    user = await venue.user("alice")
    async with recorded(venue, user, folder / "share.jsonl"):
        (alice,) = await call.join(user)
        (bob,) = await call.join("bob")
        await all_receive((alice, bob))
        await alice.start_share()
        await receives(bob, alice, SCREEN)
        await alice.stop_share()
        await asyncio.sleep(0.5)
        await alice.leave()
        await asyncio.sleep(0.5)
    await bob.leave()


async def redials(venue: Venue, call: Call, folder: Path) -> None:
    """A client dials again while it has a leg."""
    (alice,) = await call.join("alice")
    user = await venue.user("bob")
    async with recorded(venue, user, folder / "redial.jsonl"):
        (bob,) = await call.join(user)
        await receives(bob, alice)
        await bob.redial()
        await all_receive((alice, bob))
        await bob.leave()
        await asyncio.sleep(0.5)
    await alice.leave()


SCENES: Final = (joins, joins_second, shares, redials)


async def hold(homeserver: Homeserver, folder: Path) -> None:
    """All of it, at once in one focus."""
    with tempfile.TemporaryDirectory() as data:
        async with open_venue(homeserver, Path(data), calls=SHORT_PINGS) as venue:
            for scene in SCENES:
                async with venue.call() as call:
                    await scene(venue, call, folder)


def write_again() -> None:
    """Recordings as they would be made now of what is recorded of the clients."""
    for name in names():
        again = Replay(recording(name)).run()
        parts: list[Header | Line | End] = [again.header, *again.lines, End(again.end or "replayed")]
        text = "".join(f"{written(one)}\n" for one in parts)
        (TRACES / f"{name}.jsonl").write_text(text, encoding="utf-8")


def write_transcripts() -> None:
    """Documents of all recordings."""
    TRANSCRIPTS.mkdir(exist_ok=True)
    for name in names():
        text = (TRACES / f"{name}.jsonl").read_text(encoding="utf-8")
        document = f"# {name}\n\n{as_markdown(read_recording(text.splitlines()))}"
        (TRANSCRIPTS / f"{name}.md").write_text(document, encoding="utf-8")


def main() -> None:
    """The command."""
    if "--replayed" in sys.argv:
        write_again()
    else:
        TRACES.mkdir(exist_ok=True)
        with homeservers() as (server,):
            asyncio.run(hold(server, TRACES))
    write_transcripts()


if __name__ == "__main__":
    main()
