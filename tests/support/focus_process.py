"""A focus in a process of its own at a real homeserver, and people to call it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from loadtest.client.participant import Participant, ParticipantConfig
from loadtest.client.scene import Scene
from loadtest.focus_process import FocusProcess, FocusSettings
from signalling.cli.admin import ask
from signalling.events.room_state import FocusDevice
from signalling.web.paths import CALLS, STATUS
from tests.support.eventually import PATIENCE_S
from tests.support.homeserver import account, new_room, new_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from prometheus_client import Metric

    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User


@dataclass(frozen=True, slots=True)
class RunningFocus:
    """A focus that serves, and where it does."""

    process: FocusProcess
    user: User
    homeserver: Homeserver

    @property
    def device(self) -> FocusDevice:
        return FocusDevice(self.user.user_id, self.process.settings.device_id)

    async def status(self) -> dict[str, Any]:
        """What `focus status --json` prints."""
        return await asyncio.to_thread(ask, self.process.admin_url, STATUS)

    async def until(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until the status is so; return it."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(status := await self.status()):  # noqa: ASYNC110  # another process, no event
                await asyncio.sleep(0.05)
        return status

    async def calls(self) -> list[dict[str, Any]]:
        """What `focus calls --json` prints."""
        answer = await asyncio.to_thread(ask, self.process.admin_url, CALLS)
        return list(answer["calls"])

    async def metrics(self) -> list[Metric]:
        """What a scrape sees."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.process.admin_url}/metrics") as answer:
            return list(text_string_to_metric_families(await answer.text()))

    @contextlib.asynccontextmanager
    async def call(self, *names: str, **config: Any) -> AsyncIterator[tuple[Participant, ...]]:  # noqa: ANN401  # fields of ParticipantConfig
        """People in a room of their own, who have not joined the call yet."""
        users = [await asyncio.to_thread(new_user, self.homeserver, name) for name in names]
        room_id = await asyncio.to_thread(new_room, users[0])
        scene = Scene()
        async with contextlib.AsyncExitStack() as stack:
            yield tuple(
                [
                    await stack.enter_async_context(
                        Participant(
                            ParticipantConfig(account(user), room_id, number, focus=self.device, **config),
                            scene,
                        )
                    )
                    for number, user in enumerate(users, 1)
                ]
            )


@contextlib.asynccontextmanager
async def running_focus(
    homeserver: Homeserver, folder: Path, more: Mapping[str, Mapping[str, Any]] | None = None
) -> AsyncIterator[RunningFocus]:
    """A focus with an account of its own; it is asked to end at last."""
    user = await asyncio.to_thread(new_user, homeserver, "focus")
    process = FocusProcess(
        folder, FocusSettings(homeserver.base_url, user.user_id, user.password, more=more or {})
    )
    try:
        await process.start()
        await process.wait_ready()
        yield RunningFocus(process, user, homeserver)
    finally:
        await process.stop()
