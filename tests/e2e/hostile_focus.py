"""A focus that says what a test wants it to say: an account of its own, and trunks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from loadtest.client.leg import Leg
from loadtest.client.negotiation import LIKE_CHROMIUM, LocalTrack
from loadtest.client.observations import Observations
from loadtest.client.publisher import Capture, Publisher
from loadtest.client.scene import Party, Scene
from loadtest.client.signalling import Account, MatrixClient
from loadtest.client.subscriber import Subscriber
from loadtest.client.terms import LegTerms, RuleBreaks
from loadtest.media.audio import FRAME_MS
from sfu.units import Instant, Ssrc
from signalling.events.cascade import ROOM_KEY
from signalling.events.room_state import FocusDevice
from signalling.events.to_device import (
    FOCUS_SESSION_ID,
    INVITE,
    Envelope,
    Invite,
    ReceivedMessage,
    Reject,
    parse_to_device,
)
from tests.e2e.watching import until
from tests.support.homeserver import account

if TYPE_CHECKING:
    from types import TracebackType

    from loadtest.client.rtp_session import RtpSession
    from loadtest.homeserver.users import User
    from signalling.events.data_channel import TrackSubscription
    from signalling.events.metadata import StreamMetadata

FIRST_NUMBER: Final = 20
"""Of whom it speaks for: the participants of a test have lower ones."""
VOICE: Final = Capture(camera=None)
"""What the one person has who really is behind it."""


class HostileFocus:
    """Use as `async with HostileFocus(user, victim) as liar:`.

    Its call ids are the smallest that there are: where both dial, its own dial goes on.

    Args:
        user: its account.
        victim: the focus that it is after.
    """

    def __init__(self, user: User, victim: FocusDevice) -> None:
        self.user = user
        self.device = FocusDevice(user.user_id, user.device_id)
        self.received: list[ReceivedMessage] = []
        """To-device messages that are of no trunk."""
        self._victim = victim
        self._client = _FocusClient(account(user))
        self._numbers = itertools.count(1)
        self._legs: dict[str, Leg] = {}
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._stack.callback(self._cancel)
        self._spawn(self._sync())
        self._spawn(self._play())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    def invite(self, room_id: str | None, conf_id: str, sdp: str = "v=0\r\n") -> Invite:
        """An invite of a new dial, which is nowhere yet."""
        call_id = f"{next(self._numbers):032x}"
        names = FOCUS_SESSION_ID, FOCUS_SESSION_ID
        envelope = Envelope(call_id, self.device.device_id, conf_id, self.device.device_id, *names, seq=0)
        return Invite(envelope, sdp, 30_000, (), self._victim.user_id, room_id)

    async def send(self, event_type: str, content: dict[str, Any]) -> None:
        """Send the victim any to-device message."""
        await self._client.send_to_device(event_type, self._victim.user_id, self._victim.device_id, content)

    async def rejection(self, invite: Invite) -> str:
        """Send an invite that is rejected; the reason.

        Raises:
            AssertionError: nothing was said.
        """
        await self.send(invite.type, invite.content())
        return await self.rejected(invite.envelope.call_id)

    async def rejected(self, call_id: str) -> str:
        """Wait until a dial is rejected; the reason.

        Raises:
            AssertionError: it never was.
        """

        def reasons() -> list[str]:
            return [
                one.reason
                for one in self.received
                if isinstance(one, Reject) and one.envelope.call_id == call_id
            ]

        await until(reasons, f"{call_id} is rejected")
        (reason,) = reasons()
        return reason

    async def dial(self, room_id: str, conf_id: str, speaker: Party, scene: Scene) -> HostileTrunk:
        """A trunk that is up.

        Args:
            room_id: of the call.
            conf_id: of the call.
            speaker: somebody who is on this focus, and whose voice the trunk brings if it is asked for.
            scene: of the other participants.
        """
        invite = self.invite(room_id, conf_id)
        self._client.rooms[invite.envelope.call_id] = room_id
        seen, number = Observations(), FIRST_NUMBER + len(self._legs)
        scene.enter(speaker, number)
        publisher = _FocusPublisher(scene, speaker, number, self.device)
        terms = LegTerms(
            party=Party(*_names(self.device)),
            session_id=FOCUS_SESSION_ID,
            conf_id=conf_id,
            focus=self._victim,
            numbers=LIKE_CHROMIUM,
            addresses=("127.0.0.1",),
            breaks=RuleBreaks(select_answer=False),
        )
        subscriber = _NoSubscriber(scene, terms.party, seen, 0, 0.0)
        leg = Leg(terms, self._client, publisher, subscriber, scene, seen)
        leg.call_id = invite.envelope.call_id
        self._legs[leg.call_id] = leg
        self._spawn(leg.run())
        await leg.settled.wait()
        assert leg.ready.is_set(), leg.end_reason
        await publisher.prepare()
        leg.tell_metadata()
        leg.republish()
        return HostileTrunk(leg, publisher, seen)

    def _spawn(self, work: Any) -> None:  # noqa: ANN401  # any coroutine
        assert self._group is not None
        self._tasks.append(self._group.create_task(work))

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _sync(self) -> None:
        async for event in self._client.sync():
            message = parse_to_device(event.type, event.content)
            if message is None:
                continue
            leg = self._legs.get(message.envelope.call_id)
            if leg is None:
                self.received.append(message)
            else:
                await leg.take(message)

    async def _play(self) -> None:
        while True:
            await asyncio.sleep(FRAME_MS / 1_000)
            for leg in self._legs.values():
                await leg.tick(Instant(time.monotonic_ns()), time.time())


class HostileTrunk:
    """A trunk on which anything can be said. What the victim offers is answered, and its pings too."""

    def __init__(self, leg: Leg, publisher: _FocusPublisher, seen: Observations) -> None:
        self.leg = leg
        self.seen = seen
        self._publisher = publisher

    @property
    def session(self) -> RtpSession:
        """What is sent and received, by what was negotiated."""
        return self.leg.session

    @property
    def packets(self) -> int:
        """All RTP that the victim has sent."""
        return self.leg.media_received

    def truth(self) -> tuple[StreamMetadata, ...]:
        """The streams of the person who really is on this focus."""
        return self._publisher.truth()

    def announce(self, *lies: StreamMetadata) -> None:
        """Announce these too, from now on."""
        self._publisher.lies = lies
        self.leg.tell_metadata()

    def offer(self, *tracks: LocalTrack) -> None:
        """Offer sections for these too, whoever's they are."""
        self._publisher.smuggled = tracks
        self.leg.republish()

    def ssrcs(self, kind: str) -> list[Ssrc]:
        """Of what the victim sends."""
        sections = self.leg._negotiation.receiving()
        return [Ssrc(ssrc) for section in sections if section.kind == kind for ssrc in section.ssrcs]

    async def send(self, track_id: str, count: int, *, rid: str | None = None) -> int:
        """Send packets, of a tone inside, on whatever was agreed for a track; how many there were.

        Args:
            track_id: of what was offered.
            count: of packets, 20 ms apart.
            rid: said in them instead of the one that was agreed.
        """
        sent = 0
        for _ in range(count):
            now = Instant(time.monotonic_ns())
            for stream in self.session.streams(track_id):
                stream.rid = stream.rid if rid is None else rid
                packets = self.session.send(
                    now, stream, [self._publisher.sound()], now, 0, level=-1, marker=False
                )
                await self.leg.send_packets(packets, is_rtcp=False)
                sent += len(packets)
            await asyncio.sleep(FRAME_MS / 1_000)
        return sent


class _FocusClient(MatrixClient):
    """Names the room of the call in the invites of legs, as foci do."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.rooms: dict[str, str] = {}
        """By call id."""

    async def send_to_device(
        self, event_type: str, user_id: str, device_id: str, content: dict[str, Any]
    ) -> None:
        room_id = self.rooms.get(content["call_id"])
        if event_type == INVITE and room_id is not None:
            content = {ROOM_KEY: room_id} | content
        await super().send_to_device(event_type, user_id, device_id, content)


class _FocusPublisher(Publisher):
    """One person's voice, announced as foci do, and lies."""

    def __init__(self, scene: Scene, party: Party, sender: int, focus: FocusDevice) -> None:
        super().__init__(scene, party, sender, VOICE)
        self.lies: tuple[StreamMetadata, ...] = ()
        self.smuggled: tuple[LocalTrack, ...] = ()
        self._focus = focus

    def truth(self) -> tuple[StreamMetadata, ...]:
        return tuple(replace(one, path=(self._focus,)) for one in super().metadata())

    def metadata(self) -> tuple[StreamMetadata, ...]:
        return (*self.truth(), *self.lies)

    def tracks(self) -> list[LocalTrack]:
        return [*super().tracks(), *self.smuggled]

    def sound(self) -> bytes:
        assert self._microphone is not None
        return self._microphone.tone[0]


class _NoSubscriber(Subscriber):
    """Wants what the test asks for, and nothing by itself."""

    def poll(self, now: Instant) -> TrackSubscription | None:  # as of its base
        return None


def _names(focus: FocusDevice) -> tuple[str, str]:
    return focus.user_id, focus.device_id
