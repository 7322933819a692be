"""Several participants of one process in one call: they join one after another, stay, and leave."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import aiohttp

from loadtest.client.participant import JoinFailedError, Participant, ParticipantConfig
from loadtest.client.publisher import Capture
from loadtest.client.scene import AUDIO, VIDEO, Scene
from loadtest.client.signalling import MatrixRefusedError
from loadtest.judge import Attendance, Verdict, judge, name_of
from loadtest.live_table import Cell, Person, View, short_names
from loadtest.meter import RateMeter
from sfu.units import NS_PER_S, Instant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from loadtest.client.signalling import Account
    from loadtest.media.clips import VideoFormat
    from signalling.events.room_state import FocusDevice

NEXT_JOIN_S: Final = 2.0
"""The next participant starts when the one before is in the call, or after this long. Shorter: a focus under
load sees more joins at once. Longer: a slow focus stretches the ramp."""
LEAVE_PATIENCE_S: Final = 10.0
REDIAL_AFTER_S: Final = 5.0
"""As browsers' clients do when the focus ends a leg (protocol: section 9)."""
NOT_TRIED: Final = "not tried, because the first participant did not join"


def attendees(
    accounts: Sequence[Account],
    room: str,
    foci: Sequence[FocusDevice | None],
    video: VideoFormat,
    addresses: tuple[str, ...],
) -> list[ParticipantConfig]:
    """Participants who show this video, and want to see everybody's at full size.

    Args:
        accounts: one for each.
        room: id or alias.
        foci: to dial, one for each; None: what the call or the homeserver names.
        video: of each camera.
        addresses: of this machine, for ICE.
    """
    return [
        ParticipantConfig(
            account,
            room,
            number,
            focus=focus,
            capture=Capture(camera=video),
            addresses=addresses,
            wanted_height=video.height,
            redial_after_s=REDIAL_AFTER_S,
        )
        for number, (account, focus) in enumerate(zip(accounts, foci, strict=True), 1)
    ]


@dataclass(slots=True)
class _Member:
    participant: Participant
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """In the call, or never."""
    has_joined: bool = False
    trouble: str | None = None


class Crowd:
    """Use as `async with Crowd(configs) as crowd: await crowd.join()`; leaving the block leaves the call."""

    def __init__(self, configs: Sequence[ParticipantConfig]) -> None:
        self.scene = Scene()
        self._members = [_Member(Participant(config, self.scene)) for config in configs]
        self._parting = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._meter = RateMeter()
        self._began_at = _now()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parting.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_PATIENCE_S)
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)

    async def join(self) -> None:
        """Enter the call, one after another; who cannot is in trouble, and the others go on.

        Where the first one cannot, nobody else tries: it would be the same reason, many times.
        """
        async with asyncio.TaskGroup() as group:
            for member in self._members:
                group.create_task(member.participant.prepare())
        first, *others = self._members
        for member in self._members:
            self._tasks.append(self._group.create_task(self._attend(member)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if member is first else NEXT_JOIN_S):
                    await member.settled.wait()
            if member is first and not first.has_joined:
                for other in others:
                    other.trouble = NOT_TRIED
                return
        for member in self._members:
            await member.settled.wait()
        self._began_at = _now()

    @property
    def is_empty(self) -> bool:
        """Whether nobody is in the call."""
        return all(attendance.trouble is not None for attendance in self._attendances())

    def judge(self) -> Verdict:
        """The verdict as of now."""
        return judge(_now(), self.scene, self._attendances())

    def view(self) -> View:
        """What there is to see now."""
        now = _now()
        attendances = self._attendances()
        cells = {}
        for row, receiver in enumerate(attendances):
            for column, sender in enumerate(attendances):
                if row == column:
                    continue
                video = receiver.seen.track(sender.party, VIDEO)
                audio = receiver.seen.track(sender.party, AUDIO)
                cells[row, column] = Cell(
                    layer=video.current_layer,
                    frames_per_s=self._meter.rate(now, (row, column, VIDEO), video.frames_decoded),
                    sounds_per_s=self._meter.rate(now, (row, column, AUDIO), audio.frames_decoded),
                    freezes=video.freezes + audio.freezes,
                    wrong_frames=video.wrong_frames + audio.wrong_frames,
                )
        names = short_names([name_of(attendance.party) for attendance in attendances])
        people = tuple(
            Person(name, has_joined=member.has_joined, trouble=attendance.trouble)
            for name, member, attendance in zip(names, self._members, attendances, strict=True)
        )
        return View((now - self._began_at) / NS_PER_S, people, cells)

    def _attendances(self) -> list[Attendance]:
        return [self._attendance(member) for member in self._members]

    @staticmethod
    def _attendance(member: _Member) -> Attendance:
        participant, trouble = member.participant, member.trouble
        leg = participant.leg
        if trouble is None and member.has_joined and leg is not None and leg.ended.is_set():
            trouble = f"no longer in the call: {leg.end_reason}"
        return Attendance(participant.party, participant.observations, trouble)

    async def _attend(self, member: _Member) -> None:
        """All of one participant's life; what goes wrong in it is this participant's trouble only."""
        try:
            async with member.participant as participant:
                await participant.join()
                member.has_joined = True
                member.settled.set()
                await self._parting.wait()
                await participant.leave()
        except* JoinFailedError as errors:
            member.trouble = f"did not join: {_reasons(errors)}"
        except* (MatrixRefusedError, aiohttp.ClientError, TimeoutError) as errors:
            member.trouble = f"the homeserver is gone: {_reasons(errors)}"
        finally:
            member.settled.set()


def _reasons(errors: BaseExceptionGroup[BaseException]) -> str:
    reasons: list[str] = []
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            reasons.append(_reasons(error))
        else:
            reasons.append(str(error) or type(error).__name__)
    return "; ".join(reasons)


def _now() -> Instant:
    return Instant(time.monotonic_ns())
