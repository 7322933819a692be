"""The focus as shipped: `focus serve` beside a throw-away homeserver, and everybody joins through Matrix."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp

from loadtest.client.signalling import Account, MatrixRefusedError
from loadtest.fleet.member import FleetMember, MemberConfig, MemberError
from loadtest.grounds import Grounds, grounds
from loadtest.peers.sfu import PeerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence
    from pathlib import Path

    from loadtest.homeserver.users import User
    from loadtest.peers.seats import Seats
    from loadtest.stage import Stage


class Focus:
    """A focus that serves; each call is in a room of its own.

    Args:
        ground: homeserver and focus.
        users: as whom people join, the publisher first.
    """

    name = "focus"

    def __init__(self, ground: Grounds, users: Sequence[User]) -> None:
        self._ground = ground
        self._users = users

    @classmethod
    @contextlib.asynccontextmanager
    async def at_work(cls, stage: Stage, receivers: int, logs: Path | None) -> AsyncIterator[Focus]:
        """Start homeserver and focus, and end them.

        Raises:
            HomeserverError: the homeserver could not be installed or started.
            FocusProcessError: the focus could not be started.
        """
        async with grounds(stage, logs) as ground:
            names = ["publisher", *(f"viewer{number}" for number in range(receivers))]
            yield cls(ground, [await ground.register(name) for name in names])

    async def plane(self) -> str | None:
        """The data plane that the focus says it uses."""
        plane = (await self._ground.focus.ask_status()).get("plane")
        return None if plane is None else str(plane)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[FocusServing]:
        """A room for a call, until all have left it.

        Raises:
            PeerError: the focus has ended, or the homeserver refused somebody.
        """
        if self._ground.focus.status is not None:
            raise PeerError(f"focus: ended\n{self._ground.focus.log_tail()}")
        room = await self._ground.room(self._users[0], "bench")
        trouble = None
        try:
            async with contextlib.AsyncExitStack() as members:
                serving = FocusServing(self._ground, room, self._users, members)
                try:
                    yield serving
                    await serving.leave()
                except PeerError as error:
                    # Members hold task groups, which would wrap it.
                    trouble = error
        except* (MatrixRefusedError, MemberError, aiohttp.ClientError, TimeoutError) as errors:
            trouble = PeerError(f"focus: a member ended: {_first(errors)}")
        if trouble is not None:
            raise trouble


class FocusServing:
    """A focus with an empty call.

    Args:
        ground: homeserver and focus.
        room_id: where the call is.
        users: as whom people join, the publisher first.
        members: takes whoever joins.
    """

    def __init__(
        self, ground: Grounds, room_id: str, users: Sequence[User], members: contextlib.AsyncExitStack
    ) -> None:
        self._ground = ground
        self._room_id = room_id
        self._users = users
        self._members = members
        self._present: list[FleetMember] = []

    @property
    def pid(self) -> int:
        """The process whose run time counts."""
        return self._ground.focus.pid or 0

    async def join(self, seats: Seats) -> None:
        """Let everybody in, the publisher first.

        Raises:
            PeerError: the focus or the homeserver refused somebody.
        """
        publisher = await self._member(
            FleetMember(
                seats.publishers,
                MemberConfig(_account(self._users[0]), self._room_id, self._ground.device, seats.schedule),
            )
        )
        viewers = [
            await self._member(
                FleetMember(seats.receivers, MemberConfig(_account(user), self._room_id, self._ground.device))
            )
            for user in self._users[1 : seats.count + 1]
        ]
        await self._all_at_once("join", publisher.join())
        await self._all_at_once("join", *(viewer.join() for viewer in viewers))

    async def leave(self) -> None:
        """Let everybody leave.

        Raises:
            PeerError: the homeserver refused somebody.
        """
        await self._all_at_once("leave", *(member.leave() for member in self._present))

    async def _member(self, member: FleetMember) -> FleetMember:
        self._present.append(await self._members.enter_async_context(member))
        return member

    @staticmethod
    async def _all_at_once(what: str, *steps: Coroutine[object, object, None]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for step in steps:
                    group.create_task(step)
        except* (MemberError, MatrixRefusedError, aiohttp.ClientError, TimeoutError) as errors:
            raise PeerError(f"focus: {what}: {_first(errors)}") from errors


def _account(user: User) -> Account:
    return Account(user.base_url, user.user_id, user.device_id, user.access_token)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group, however deep."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
