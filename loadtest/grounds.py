"""Where demos and benches are held: throw-away homeservers with a focus each, which leave nothing behind."""

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
    from collections.abc import AsyncIterator, Mapping, Sequence

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
    async with several_grounds(stage, 1, logs, more) as (ground,):
        yield ground


@contextlib.asynccontextmanager
async def several_grounds(
    stage: Stage, count: int, logs: Path | None = None, more: Mapping[str, Mapping[str, Any]] | None = None
) -> AsyncIterator[tuple[Grounds, ...]]:
    """Start homeservers that federate with each other and a focus on each, and end them.

    Args:
        stage: is told what goes on.
        count: of homeservers.
        logs: folder that gets the logs; of several, each pair has a folder in it, named by its number from 1.
            None: they go with the rest.
        more: settings of each focus by table and key.

    Raises:
        HomeserverError: a homeserver could not be installed or started.
        FocusProcessError: a focus could not be started.
    """
    kept = (
        [logs] * count
        if logs is None or count == 1
        else [logs / str(number) for number in range(1, count + 1)]
    )
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="matrix-focus-demo-", ignore_cleanup_errors=True)
            )
        )
        is_one = count == 1
        stage.say(
            "starting a throw-away homeserver" if is_one else f"starting {count} throw-away homeservers"
        )
        await _prepare()
        servers = await stack.enter_async_context(_homeservers(kept))
        where = ", ".join(server.base_url for server in servers)
        stage.say(f"homeserver{'' if is_one else 's'} at {where}; starting the foc{'us' if is_one else 'i'}")
        opened = []
        for number, server in enumerate(servers):
            user = await asyncio.to_thread(server.register, "focus")
            settings = FocusSettings(server.base_url, user.user_id, user.password, more=more or {})
            home = folder / str(number + 1)
            home.mkdir()
            focus = await stack.enter_async_context(_focus(home, settings, kept[number]))
            opened.append(Grounds(server, focus, user))
        for ground in opened:
            await ground.focus.wait_ready()
        yield tuple(opened)
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
async def _homeservers(logs: Sequence[Path | None]) -> AsyncIterator[list[Homeserver]]:
    """One for each folder of logs."""
    servers: list[Homeserver] = []
    try:
        for _ in logs:
            servers.append(Homeserver())
            # Not in a thread: that would go on starting it while it is being stopped.
            servers[-1].start()
        for server in servers:
            await asyncio.to_thread(server.wait_ready)
        yield servers
    finally:
        for server, kept in zip(servers, logs, strict=False):  # the first ones may be all that there are
            _keep(server.folder / "homeserver.log", kept)
            server.terminate()
        for server in servers:
            server.stop()


@contextlib.asynccontextmanager
async def _focus(folder: Path, settings: FocusSettings, logs: Path | None) -> AsyncIterator[FocusProcess]:
    """A process that is on its way."""
    focus = FocusProcess(folder, settings)
    try:
        await focus.start()
        yield focus
    finally:
        await focus.stop()
        _keep(focus.log, logs)


def _keep(log: Path, logs: Path | None) -> None:
    if logs is not None and log.exists():
        logs.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, logs / log.name)
