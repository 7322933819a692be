"""Where demos and benches are held: a throw-away homeserver and a focus, which leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.client.room import call_room
from loadtest.focus_process import FocusProcess, FocusSettings
from loadtest.homeserver.install import HomeserverError
from loadtest.homeserver.server import Homeserver
from signalling.events.room_state import FocusDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from loadtest.homeserver.users import User
    from loadtest.stage import Stage


@dataclass(frozen=True, slots=True)
class Grounds:
    """A homeserver and a focus that serve."""

    server: Homeserver
    focus: FocusProcess
    focus_user: User

    @property
    def device(self) -> FocusDevice:
        """What is dialled."""
        return FocusDevice(self.focus_user.user_id, self.focus.settings.device_id)

    async def register(self, name: str) -> User:
        """A new user.

        Raises:
            MatrixError: the homeserver refused.
        """
        return await asyncio.to_thread(self.server.register, name)

    async def room(self, creator: User, name: str) -> str:
        """A room that anybody may join and hold calls in; its id.

        Raises:
            MatrixError: the homeserver refused.
        """
        answer = await asyncio.to_thread(creator.post, "/_matrix/client/v3/createRoom", call_room(name))
        return str(answer["room_id"])


@contextlib.asynccontextmanager
async def grounds(
    stage: Stage, logs: Path | None = None, more: Mapping[str, Mapping[str, Any]] | None = None
) -> AsyncIterator[Grounds]:
    """Start both, and end them.

    Args:
        stage: is told what goes on.
        logs: folder that gets the logs of both; None: they go with the rest.
        more: settings of the focus by table and key.

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
        server = await stack.enter_async_context(_homeserver(logs))
        stage.say(f"homeserver at {server.base_url}; starting the focus")
        user = await asyncio.to_thread(server.register, "focus")
        settings = FocusSettings(server.base_url, user.user_id, user.password, more=more or {})
        focus = await stack.enter_async_context(_focus(FocusProcess(folder, settings), logs))
        yield Grounds(server, focus, user)
        stage.say("clearing up")


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
async def _focus(focus: FocusProcess, logs: Path | None) -> AsyncIterator[FocusProcess]:
    try:
        await focus.start()
        await focus.wait_ready()
        yield focus
    finally:
        await focus.stop()
        _keep(focus.log, logs)


def _keep(log: Path, logs: Path | None) -> None:
    if logs is not None and log.exists():
        logs.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, logs / log.name)
