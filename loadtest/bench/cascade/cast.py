"""Who takes part in the calls of the cascade bench, on which focus."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Final

import aiohttp

from loadtest.bench.cascade.figures import Round
from loadtest.bench.cascade.tap import Tap
from loadtest.bench.tab import NothingSeenError
from loadtest.client.participant import JoinFailedError, Participant, ParticipantConfig
from loadtest.client.publisher import Capture
from loadtest.client.scene import AUDIO, VIDEO, Scene
from loadtest.client.signalling import Account, MatrixRefusedError
from loadtest.crowd import REDIAL_AFTER_S
from loadtest.fleet.member import FleetMember, MemberConfig, MemberError
from loadtest.homeserver.install import HomeserverError
from sfu.units import Instant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from loadtest.client.observations import TrackObservations
    from loadtest.fleet.fleet import Fleet
    from loadtest.fleet.schedule import Schedule
    from loadtest.grounds import Grounds
    from loadtest.homeserver.users import User

PATIENCE_S: Final = 30.0
"""A limit against hanging, not a measure."""
LEAVE_PATIENCE_S: Final = 10.0
POLL_S: Final = 0.005
SHOWN: Final = Capture()
"""Microphone and a camera of three layers."""
ONLOOKER: Final = Capture(has_microphone=False, camera=None)


class Cast:
    """Users of the homeservers, registered once and used in one call after another.

    Args:
        grounds: homeservers with a focus each; people name them by their number, counted from 1.
    """

    def __init__(self, grounds: Sequence[Grounds]) -> None:
        self._grounds = dict(enumerate(grounds, 1))
        self._users: dict[tuple[int, str], User] = {}

    def ground(self, number: int) -> Grounds:
        """A homeserver and its focus."""
        return self._grounds[number]

    def tap(self, number: int) -> Tap:
        """A door of a focus for one participant."""
        return Tap(("127.0.0.1", self._grounds[number].focus.media_port))

    async def user(self, number: int, name: str) -> User:
        """A user of a homeserver."""
        if (number, name) not in self._users:
            self._users[number, name] = await self._grounds[number].register(name)
        return self._users[number, name]

    async def account(self, number: int, name: str) -> Account:
        """Likewise, as a participant needs it."""
        user = await self.user(number, name)
        return Account(user.base_url, user.user_id, user.device_id, user.access_token)

    @contextlib.asynccontextmanager
    async def call(self, number: int = 1) -> AsyncIterator[CascadeCall]:
        """A call in a room of its own, on a homeserver; whoever is in it leaves at the end."""
        ground = self._grounds[number]
        async with contextlib.AsyncExitStack() as stack:
            room_id = await ground.room(await self.user(number, "host"), "bench")
            call = CascadeCall(self, room_id, stack)
            yield call
            await call.leave()


class CascadeCall:
    """One call; people come and go."""

    def __init__(self, cast: Cast, room_id: str, stack: contextlib.AsyncExitStack) -> None:
        self.cast = cast
        self.room_id = room_id
        self.scene = Scene()
        self._stack = stack
        self._senders = itertools.count(1)
        self._present: list[Participant | FleetMember] = []

    async def join(
        self,
        number: int,
        name: str,
        capture: Capture = SHOWN,
        *,
        height: int = 360,
        scene: Scene | None = None,
    ) -> Participant:
        """Let somebody join on a focus, who wants all video at a height; 0 wants none."""
        config = ParticipantConfig(
            await self.cast.account(number, name),
            self.room_id,
            next(self._senders),
            focus=self.cast.ground(number).device,
            capture=capture,
            wanted_height=height,
            redial_after_s=REDIAL_AFTER_S,
        )
        participant = Participant(config, self.scene if scene is None else scene)
        await self._stack.enter_async_context(participant)
        await participant.join()
        self._present.append(participant)
        return participant

    async def seat(
        self,
        number: int,
        names: Iterable[str],
        fleet: Fleet,
        schedule: Schedule | None = None,
        *,
        height: int = 360,
        reroute: Callable[[str], str] | None = None,
    ) -> None:
        """Let people of a swarm join on a focus: publishers with a schedule, without one viewers."""
        members = []
        for name in names:
            account = await self.cast.account(number, name)
            focus = self.cast.ground(number).device
            config = MemberConfig(account, self.room_id, focus, schedule, height, reroute)
            # Entered here and not where they join: their tasks must end in this one.
            members.append(await self._stack.enter_async_context(FleetMember(fleet, config)))
        async with asyncio.TaskGroup() as group:
            for member in members:
                group.create_task(member.join())
        self._present += members

    async def leave(self, *people: Participant | FleetMember) -> None:
        """Let people leave; everybody where nobody is named."""
        async with asyncio.timeout(LEAVE_PATIENCE_S), asyncio.TaskGroup() as group:
            for one in people or tuple(self._present):
                self._present.remove(one)
                group.create_task(one.leave())


async def until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so.

    Raises:
        NothingSeenError: it never was.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise NothingSeenError(f"not within {patience_s:g} s: {what}")
        await asyncio.sleep(POLL_S)


async def all_see(people: Iterable[Participant], frames: int = 8) -> None:
    """Wait until everybody has decoded new pictures and sound of everybody else who shows something.

    Raises:
        NothingSeenError: somebody did not.
    """
    people = tuple(people)
    waits = [
        (seen(receiver, sender, kind), kind, receiver, sender)
        for receiver in people
        for sender in people
        for kind in (AUDIO, VIDEO)
        if receiver is not sender
    ]
    goals = [(track, track.frames_decoded + frames) for track, *_ in waits]
    missing = {f"{r.party.user_id} of {s.party.user_id}, {kind}" for _, kind, r, s in waits}

    def all_there() -> bool:
        missing.clear()
        missing.update(
            f"{receiver.party.user_id} of {sender.party.user_id}, {kind}"
            for (track, goal), (_, kind, receiver, sender) in zip(goals, waits, strict=True)
            if track.frames_decoded < goal
        )
        return not missing

    try:
        await until(all_there, "everybody sees everybody")
    except NothingSeenError as error:
        raise NothingSeenError(f"{error}; missing: {'; '.join(sorted(missing))}") from error


def seen(receiver: Participant, sender: Participant, kind: str = VIDEO) -> TrackObservations:
    """What somebody observed of somebody else."""
    return receiver.observations.track(sender.party, kind)


async def attempt(work: Callable[[], Awaitable[Round]]) -> Round:
    """Hold a round; where something in it never came, that is its fault and nobody else's."""
    result = Round(faults=("it ended",))
    try:
        result = await work()
    except* (
        NothingSeenError,
        JoinFailedError,
        MemberError,
        MatrixRefusedError,
        HomeserverError,
        aiohttp.ClientError,
        TimeoutError,
    ) as errors:
        result = Round(faults=(_first(errors),))
    return result


def now() -> Instant:
    """The monotonic clock that participants note their times by."""
    return Instant(time.monotonic_ns())


def _first(errors: BaseExceptionGroup[BaseException]) -> str:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first) or type(first).__name__
