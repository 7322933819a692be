"""`loadtest demo`: from nothing to a call, with a homeserver and a focus of its own, and back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from loadtest.client.room import call_room
from loadtest.client.signalling import Account
from loadtest.crowd import Crowd, attendees
from loadtest.focus_process import FocusProcess, FocusSettings
from loadtest.homeserver.install import HomeserverError
from loadtest.homeserver.server import Homeserver
from loadtest.media.clips import VideoFormat
from loadtest.performance import perform
from loadtest.report import Report
from loadtest.run import LOOPBACK
from signalling.events.room_state import FocusDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.ending import Ending
    from loadtest.homeserver.users import User
    from loadtest.stage import Stage

NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")
"""Who takes part; more than these are numbered."""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How many people meet, and for how long."""

    participants: int = 3
    seconds: float | None = None
    """None: until somebody ends it."""
    video: VideoFormat = field(default_factory=VideoFormat)
    logs: Path | None = None
    """Folder that gets the logs of homeserver and focus; None: they go with the rest."""


async def demo(settings: DemoSettings, stage: Stage, ending: Ending) -> Report:
    """Start everything, hold a call, and leave nothing behind.

    Raises:
        HomeserverError: the homeserver could not be installed or started.
        FocusProcessError: the focus could not be started.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="matrix-focus-demo-", ignore_cleanup_errors=True)
            )
        )
        stage.say("starting a throw-away homeserver")
        await _prepare()
        server = await stack.enter_async_context(_homeserver(settings.logs))
        names = [*NAMES, *(f"user{n}" for n in range(len(NAMES) + 1, settings.participants + 1))]
        focus_user, *users = [
            await asyncio.to_thread(server.register, name)
            for name in ("focus", *names[: settings.participants])
        ]
        stage.say(f"homeserver at {server.base_url}; starting the focus")
        focus = await stack.enter_async_context(_focus(folder, server, focus_user, settings.logs))
        room = await asyncio.to_thread(_create_room, users[0])
        stage.say(f"focus {focus_user.user_id}, admin API at {focus.admin_url}; call in {room}")
        stage.say(f"Join with a browser: {page_address(focus.page_url, room)}")
        device = FocusDevice(focus_user.user_id, focus.settings.device_id)
        crowd = Crowd(attendees(_accounts(users), room, device, settings.video, (LOOPBACK,)))
        verdict, seconds = await perform(crowd, stage, ending, settings.seconds)
        plane = (await focus.ask_status()).get("plane")
        if focus.status is not None:
            stage.say(focus.log_tail())
            trouble = f"the focus ended with status {focus.status} during the call"
            verdict = replace(verdict, troubles=(trouble, *verdict.troubles))
        stage.say("clearing up")
    return Report(verdict, settings.participants, seconds, None if plane is None else str(plane))


def page_address(page_url: str, room_id: str) -> str:
    """Where somebody with a browser is one click away from a call; homeserver and focus tell the rest."""
    return f"{page_url}#demo={quote(room_id, safe='!:')}"


async def _prepare() -> None:
    """Install the homeserver if need be, in a process that ends with us."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.homeserver.prepare", start_new_session=True
    )
    try:
        if await process.wait():
            raise HomeserverError("the throw-away homeserver could not be installed")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)  # whatever it runs too
            await process.wait()


@contextlib.asynccontextmanager
async def _homeserver(logs: Path | None) -> AsyncIterator[Homeserver]:
    server = Homeserver()
    try:
        # Not in a thread: that would go on starting it while it is being stopped.
        server.start()
        await asyncio.to_thread(server.wait_ready)
        yield server
    finally:
        _keep(server.folder / "homeserver.log", logs)
        server.stop()


@contextlib.asynccontextmanager
async def _focus(
    folder: Path, server: Homeserver, user: User, logs: Path | None
) -> AsyncIterator[FocusProcess]:
    focus = FocusProcess(folder, FocusSettings(server.base_url, user.user_id, user.password))
    try:
        await focus.start()
        await focus.wait_ready()
        yield focus
    finally:
        await focus.stop()
        _keep(focus.log, logs)


def _create_room(creator: User) -> str:
    return str(creator.post("/_matrix/client/v3/createRoom", call_room("demo"))["room_id"])


def _accounts(users: list[User]) -> list[Account]:
    return [Account(user.base_url, user.user_id, user.device_id, user.access_token) for user in users]


def _keep(log: Path, logs: Path | None) -> None:
    if logs is not None and log.exists():
        logs.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, logs / log.name)
