"""A homeserver, a focus and the calls that are held there, for tests of whole programs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from loadtest.client.participant import Participant, ParticipantConfig
from loadtest.client.publisher import Capture
from loadtest.client.scene import Scene
from loadtest.focus_process import FocusProcess, FocusSettings
from loadtest.media.clips import VideoFormat
from signalling.events.room_state import CALL_TYPES, FocusDevice, call_content
from tests.e2e.admin import Admin
from tests.e2e.listening import held_to_schemas
from tests.e2e.watching import until_told
from tests.support.homeserver import account, new_room, new_user, room_path, send_to_device

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.support.appservice import Registered

SMALL: Final = VideoFormat.of_size(320, 180, 15)
"""Three layers of 45, 90 and 180 lines: as little work as a call can be."""
CALL_TYPE: Final = CALL_TYPES[0]


class Venue:
    """One homeserver and one focus."""

    def __init__(
        self, homeserver: Homeserver, focus: FocusProcess, focus_user: User, *, is_invited: bool = True
    ) -> None:
        self.homeserver = homeserver
        self.is_invited = is_invited
        """Whether whoever makes or joins a room for a call has the focus come too."""
        self.focus = focus
        self.focus_user = focus_user
        self.device = FocusDevice(focus_user.user_id, focus_user.device_id)
        self.admin = Admin(focus)

    async def user(self, name: str) -> User:
        """A user whom nobody else knows."""
        return await asyncio.to_thread(new_user, self.homeserver, name)

    async def room(self, user: User, *, with_focus: bool) -> str:
        """A room of somebody's own."""
        guests = (self.focus_user,) if with_focus else ()
        return await asyncio.to_thread(new_room, user, *guests)

    async def send(self, sender: User, event_type: str, content: dict[str, Any]) -> None:
        """Send the focus any to-device message."""
        await asyncio.to_thread(send_to_device, sender, self.focus_user, event_type, content)

    @contextlib.asynccontextmanager
    async def call(self, **more: Any) -> AsyncIterator[Call]:  # noqa: ANN401  # keys of createRoom
        """A call in a room of its own, which anybody may join unless `more` says otherwise."""
        host = await self.user("host")
        guests = (self.focus_user,) if self.is_invited else ()
        room_id = await asyncio.to_thread(new_room, host, *guests, **more)
        conf_id = f"conf-{time.time_ns()}"
        await write_call(host, room_id, conf_id)
        async with Call(self, host, room_id, conf_id) as call:
            yield call


class Call:
    """One call; whoever was let into it is gone when it is over.

    Args:
        venue: where it is held.
        host: has made the room, and takes no part in the call.
        room_id: of the room.
        conf_id: of the call.
    """

    def __init__(self, venue: Venue, host: User, room_id: str, conf_id: str) -> None:
        self.venue = venue
        self.host = host
        self.room_id = room_id
        self.conf_id = conf_id
        self.people: list[Participant] = []
        """Whoever was let in, in that order."""
        self._scene = Scene()
        self._numbers = itertools.count(1)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def enter(self, who: str | User, **changes: Any) -> Participant:  # noqa: ANN401  # of ParticipantConfig
        """Somebody who is ready to join. A name stands for a new user."""
        user = await self.venue.user(who) if isinstance(who, str) else who
        config = ParticipantConfig(
            account(user),
            self.room_id,
            next(self._numbers),
            focus=self.venue.device,
            conf_id=self.conf_id,
            invites_focus=self.venue.is_invited,
            capture=Capture(camera=SMALL),
            wanted_height=SMALL.height,
        )
        participant = Participant(replace(config, **changes), self._scene)
        await self._stack.enter_async_context(participant)
        await participant.prepare()
        self.people.append(participant)
        return participant

    async def join(self, *who: str | User, **changes: Any) -> list[Participant]:  # noqa: ANN401  # of ParticipantConfig
        """People who have joined."""
        people = [await self.enter(one, **changes) for one in who]
        async with asyncio.TaskGroup() as group:
            for one in people:
                group.create_task(one.join())
        return people

    @contextlib.asynccontextmanager
    async def with_guests(self) -> AsyncIterator[Self]:
        """Whoever is let in inside is gone at the end; whoever is there already stays."""
        stay, stack = [*self.people], self._stack
        self._stack = contextlib.AsyncExitStack()
        try:
            async with self._stack:
                yield self
        finally:
            self.people, self._stack = stay, stack

        async def are_gone() -> bool:
            return (await self.members()).keys() == {one.party.user_id for one in stay}

        await until_told(are_gone, "the guests are gone")

    async def members(self) -> dict[str, dict[str, Any]]:
        """What the focus says of everybody in this call, by user id."""
        return await self.venue.admin.members(self.room_id, self.conf_id)

    async def terminate(self) -> None:
        """End the call for everybody."""
        await write_call(self.host, self.room_id, self.conf_id, terminated=True)

    async def kick(self, user_id: str) -> None:
        """Remove somebody from the room."""
        await asyncio.to_thread(self.host.post, room_path(self.room_id, "kick"), {"user_id": user_id})


async def write_call(user: User, room_id: str, conf_id: str, *, terminated: bool = False) -> None:
    """Write a call event."""
    path = room_path(room_id, f"state/{CALL_TYPE}/{conf_id}")
    await asyncio.to_thread(user.put, path, call_content(terminated=terminated))


@contextlib.asynccontextmanager
async def open_venue(
    homeserver: Homeserver, folder: Path, **tables: Mapping[str, Any]
) -> AsyncIterator[Venue]:
    """A focus that serves, and at the end has made no mistake of its own.

    Args:
        homeserver: runs.
        folder: is empty.
        tables: of the focus's configuration.
    """
    async with closed_venue(homeserver, folder, **tables) as venue, serving(venue):
        yield venue


@contextlib.asynccontextmanager
async def closed_venue(
    homeserver: Homeserver, folder: Path, **tables: Mapping[str, Any]
) -> AsyncIterator[Venue]:
    """Likewise, but the focus is not started."""
    user = await asyncio.to_thread(new_user, homeserver, "focus")
    settings = FocusSettings(homeserver.base_url, user.user_id, user.password, more=tables)
    focus = FocusProcess(folder, settings)
    async with _stopped(Venue(homeserver, focus, replace(user, device_id=settings.device_id))) as venue:
        yield venue


@contextlib.asynccontextmanager
async def open_appservice_venue(registered: Registered, folder: Path) -> AsyncIterator[Venue]:
    """A focus that serves as an application service, which nobody invites anywhere."""
    tables: dict[str, dict[str, Any]] = {
        "matrix": {"mode": "appservice"},
        "appservice": {"registration": str(registered.file), "port": registered.port},
    }
    homeserver = registered.homeserver
    settings = FocusSettings(homeserver.base_url, registered.user_id, "", more=tables)
    user = registered.focus_user(settings.device_id)
    venue = Venue(homeserver, FocusProcess(folder, settings), user, is_invited=False)
    async with _stopped(venue), serving(venue):
        yield venue


@contextlib.asynccontextmanager
async def serving(venue: Venue) -> AsyncIterator[None]:
    """While inside, the focus of a closed venue serves, and says and takes what the schemas say."""
    await venue.focus.start()
    await venue.focus.wait_ready()
    with held_to_schemas(venue.focus.admin_url):
        yield
    assert venue.focus.status is None, venue.focus.log_tail()
    assert await venue.admin.counted("focus_internal_failures_total") == 0


@contextlib.asynccontextmanager
async def _stopped(venue: Venue) -> AsyncIterator[Venue]:
    try:
        yield venue
    finally:
        await venue.focus.stop()
    mistakes = [line for line in venue.admin.log() if line.get("level") in {"error", "critical", None}]
    assert not mistakes, mistakes
