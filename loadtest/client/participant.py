"""One synthetic participant: joins a call, sends and receives media, and does what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

from loadtest.client.leg import Leg
from loadtest.client.negotiation import LIKE_CHROMIUM, LegNumbers
from loadtest.client.observations import Observations
from loadtest.client.publisher import Capture, Publisher
from loadtest.client.room import Room
from loadtest.client.scene import Party, Scene
from loadtest.client.signalling import Account, MatrixClient, MatrixRefusedError
from loadtest.client.subscriber import Subscriber
from loadtest.client.terms import ANSWER_PATIENCE_S, LegTerms, RuleBreaks
from loadtest.client.transport import TransportFailedError
from loadtest.media.audio import FRAME_MS
from sfu.errors import ParseError
from sfu.units import NS_PER_S, Instant, Kind
from signalling.events.to_device import Envelope, Invite, Reject, parse_to_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from signalling.events.data_channel import DataMessage
    from signalling.events.room_state import FocusDevice

MEMBER_REFRESH_S: Final = 45 * 60.0
"""The member event says one hour; rewritten this often (protocol: section 2.2)."""
MAX_REDIALS: Final = 3
"""Dials in a row without a connection, before a participant falls silent (protocol: section 6.5)."""

FOCUS_ONLY: Final = "focus_only"
"""Why calls of other members are declined."""


class JoinFailedError(Exception):
    """There is no connected leg; the text says why."""


@dataclass(frozen=True, slots=True)
class ParticipantConfig:
    """Who takes part, where, and how."""

    account: Account
    room_id: str
    sender: int
    """The number in its pictures; its tone. Unique in a run."""
    focus: FocusDevice | None = None
    """None: what other members use, else what the homeserver announces."""
    conf_id: str | None = None
    """None: the room's live call, else a new one."""
    capture: Capture = field(default_factory=Capture)
    numbers: LegNumbers = LIKE_CHROMIUM
    addresses: tuple[str, ...] = ("127.0.0.1",)
    wanted_height: int = 360
    subscribe_delay_s: float = 0.0
    invites_focus: bool = True
    redial_after_s: float | None = None
    """Dial again this long after the focus ended a leg; None: never."""
    breaks: RuleBreaks = field(default_factory=RuleBreaks)
    answer_patience_s: float = ANSWER_PATIENCE_S


class Participant:
    """Use as `async with Participant(config, scene) as alice: await alice.join()`."""

    def __init__(self, config: ParticipantConfig, scene: Scene | None = None) -> None:
        self.config = config
        self.party = Party(config.account.user_id, config.account.device_id)
        self.scene = scene if scene is not None else Scene()
        self.observations = Observations()
        self.session_id = secrets.token_hex(5)
        self._client = MatrixClient(config.account)
        self._room = Room(self._client, config.room_id)
        self._publisher = Publisher(self.scene, self.party, config.sender, config.capture)
        self._subscriber = Subscriber(
            self.scene, self.party, self.observations, config.wanted_height, config.subscribe_delay_s
        )
        self._stack = contextlib.AsyncExitStack()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._leg: Leg | None = None
        self._conf_id: str | None = None
        self._focus: FocusDevice | None = None
        self._is_leaving = False
        self._failed_dials = 0
        self.scene.enter(self.party, config.sender)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._stack.callback(self._cancel_tasks)
        self._spawn(self._sync())
        self._spawn(self._play())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    # --- what tests and scenarios do ---------------------------------------------------------------------

    @property
    def conf_id(self) -> str | None:
        """The call taken part in."""
        return self._conf_id

    @property
    def leg(self) -> Leg | None:
        """The newest leg."""
        return self._leg

    async def prepare(self) -> None:
        """Encode what will be sent; `join` does it otherwise."""
        await self._publisher.prepare()

    async def join(self) -> None:
        """Enter the call and connect.

        Raises:
            JoinFailedError: the homeserver or the focus said no, or there was no connection.
        """
        config = self.config
        await self._publisher.prepare()
        with _explained(f"{config.room_id} cannot be joined"):
            await self._room.join()
        with _explained("the call cannot be found or started"):
            self._conf_id = config.conf_id or await self._room.find_call() or await self._room.start_call()
        with _explained("no focus can be found"):
            self._focus = config.focus or await self._room.find_focus(self._conf_id)
        if self._focus is None:
            raise JoinFailedError("no focus is named (--focus), used by others in the call, or announced")
        absence = None
        if config.invites_focus:
            with _explained(f"{self._focus.user_id} is not in the room and does not come"):
                absence = await self._room.invite_focus(self._focus.user_id)
        # The invite may overtake the member event, as browsers' does (protocol: section 2.2).
        leg = self._dial()
        with _explained("the member event cannot be written"):
            await self._tell_member()
        try:
            await self._connected(leg)
        except JoinFailedError as error:
            if absence is None:
                raise
            raise JoinFailedError(f"{error}; {absence}") from error

    async def redial(self) -> None:
        """Dial again with a new call id; the focus replaces the leg.

        Raises:
            JoinFailedError: as `join`.
        """
        if self._leg is not None:
            self._leg.abandon()
        await self._connected(self._dial())

    async def restart(self) -> None:
        """Dial again as after a reload of the page: with a new session.

        Raises:
            JoinFailedError: as `join`.
        """
        self.session_id = secrets.token_hex(5)
        if self._leg is not None:
            self._leg.abandon()
        await self._tell_member()
        await self._connected(self._dial())

    async def leave(self) -> None:
        """Leave the call: the member event first, then the hangup."""
        self._is_leaving = True
        if self._conf_id is not None and self.config.breaks.member_event:
            await self._room.clear_member(self.party.user_id)
        if self._leg is not None:
            await self._leg.hang_up()

    def vanish(self) -> None:
        """Be gone without a word, as after a power cut."""
        self._is_leaving = True
        if self._leg is not None:
            self._leg.vanish()

    async def rebind(self, check_after_s: float = 0.5) -> None:
        """Go on from another port, as behind a NAT that has forgotten ours.

        Args:
            check_after_s: until our next connectivity check, by which the focus learns of it. Browsers check
                every 2.5 s.
        """
        if self._leg is not None:
            await self._leg.rebind(check_after_s)

    def lose_network(self) -> None:
        """Send and receive no media any more, until `restart_ice`."""
        if self._leg is not None:
            self._leg.lose_network()

    async def restart_ice(self, *, by_to_device: bool = False) -> None:
        """Connect anew within the leg, after a change of the network or without one.

        Raises:
            TransportFailedError: the focus did not answer, or there is no connection.
        """
        if self._leg is None:
            raise TransportFailedError("no leg to restart")
        await self._leg.restart_ice(by_to_device=by_to_device)

    async def subscribe_size(self, height: int) -> None:
        """Want all video at this height; 0 hides it."""
        self._subscriber.want(height)

    async def subscribe_track(self, party: Party, kind: str, height: int) -> None:
        """Want one track at a height of its own; 0 ends it."""
        self._subscriber.want_track(party, kind, height)

    async def pin(self, party: Party, kind: str, *, pinned: bool = True) -> None:
        """Have somebody's video come before the others where not all fits, or no longer."""
        self._subscriber.pin_track(party, kind, pinned=pinned)

    async def hide(self, party: Party, kind: str, *, hidden: bool = True) -> None:
        """Scroll somebody's video out of sight, or back."""
        self._subscriber.hide_track(party, kind, hidden=hidden)

    async def start_share(self) -> None:
        """Share the screen."""
        await self._publisher.open_screen()
        self._republish()
        await self._tell_member()

    async def stop_share(self) -> None:
        """End the screen share."""
        self._publisher.close_screen()
        self._republish()
        await self._tell_member()

    async def set_muted(self, kind: Kind, *, muted: bool) -> None:
        """Mute or unmute the microphone or the camera."""
        self._publisher.mute(kind, muted=muted)
        if self._leg is not None:
            self._leg.tell_metadata()

    async def send_raw(self, event_type: str, content: dict[str, Any]) -> None:
        """Send the focus any to-device message."""
        if self._focus is not None:
            focus = self._focus
            await self._client.send_to_device(event_type, focus.user_id, focus.device_id, content)

    def say(self, message: DataMessage) -> None:
        """Send a message on the data channel."""
        if self._leg is not None:
            self._leg.say(message)

    def say_raw(self, message: str | bytes) -> None:
        """Send anything on the data channel."""
        if self._leg is not None:
            self._leg.say_raw(message)

    async def say_bytes(self, data: bytes) -> None:
        """Send bytes as a text on the data channel, UTF-8 or not."""
        if self._leg is not None:
            await self._leg.say_bytes(data)

    def open_channel(self, label: str) -> asyncio.Queue[str | bytes]:
        """Open one more data channel; what comes on it.

        Raises:
            TransportFailedError: there is no leg, or it has no connection.
        """
        if self._leg is None:
            raise TransportFailedError("no leg to open a channel on")
        return self._leg.open_channel(label)

    async def send_datagram(self, data: bytes) -> None:
        """Send the focus any datagram from the address that it knows as this leg's."""
        if self._leg is not None:
            await self._leg.send_datagram(data)

    async def send_packets(self, packets: Sequence[bytes], *, is_rtcp: bool) -> None:
        """Send the focus any RTP or RTCP packets, encrypted as they should be."""
        if self._leg is not None:
            await self._leg.send_packets(packets, is_rtcp=is_rtcp)

    def bytes_published(self) -> dict[str, int]:
        """What each encoding of the microphone and the camera took on the wire on the newest leg, by rid.

        The microphone stands under `""`.
        """
        leg = self._leg
        if leg is None:
            return {}
        streams = [s for track in self._publisher.tracks() for s in leg.session.streams(track.track_id)]
        return {stream.rid: leg.rtp_bytes_sent(stream.ssrc) for stream in streams}

    @property
    def room(self) -> Room:
        """The room, for tests that change its state."""
        return self._room

    # --- helpers -----------------------------------------------------------------------------------------

    def _dial(self) -> Leg:
        if self._conf_id is None or self._focus is None:
            raise JoinFailedError("nothing to dial before join")
        terms = LegTerms(
            party=self.party,
            session_id=self.session_id,
            conf_id=self._conf_id,
            focus=self._focus,
            numbers=self.config.numbers,
            addresses=self.config.addresses,
            breaks=self.config.breaks,
            answer_patience_s=self.config.answer_patience_s,
        )
        leg = Leg(terms, self._client, self._publisher, self._subscriber, self.scene, self.observations)
        self._leg = leg
        self._spawn(self._run(leg))
        return leg

    async def _run(self, leg: Leg) -> None:
        await leg.run()
        pause_s = self.config.redial_after_s
        if pause_s is None or not self._may_redial(leg):
            return
        self._failed_dials = 0 if leg.ready.is_set() else self._failed_dials + 1
        if self._failed_dials < MAX_REDIALS:
            await asyncio.sleep(pause_s)
            if self._may_redial(leg):
                self._dial()

    def _may_redial(self, leg: Leg) -> bool:
        return leg is self._leg and not self._is_leaving

    async def _connected(self, leg: Leg) -> None:
        await leg.settled.wait()
        if not leg.ready.is_set():
            raise JoinFailedError(leg.end_reason or "ended")

    async def _tell_member(self) -> None:
        breaks = self.config.breaks
        if self._conf_id is None or self._focus is None or not breaks.member_event:
            return
        await self._room.put_member(
            Party(self.party.user_id, breaks.member_device_id or self.party.device_id),
            session_id=breaks.member_session_id or self.session_id,
            conf_id=self._conf_id,
            focus=self._focus,
            lifetime_ms=breaks.member_lifetime_ms,
            purposes=tuple(stream.purpose for stream in self._publisher.metadata()),
        )

    def _republish(self) -> None:
        if self._leg is not None:
            self._leg.republish()

    async def _sync(self) -> None:
        async for event in self._client.sync():
            try:
                message = parse_to_device(event.type, event.content)
            except ParseError as error:
                self.observations.violations.append(f"{event.type}: {error}")
                continue
            leg = self._leg
            if message is not None and leg is not None and message.envelope.call_id == leg.call_id:
                await leg.take(message)
            elif isinstance(message, Invite):
                await self._decline(event.sender, message.envelope)

    async def _decline(self, sender: str, dialled: Envelope) -> None:
        """Tell a client that knows no focus, and calls every member, not to wait (protocol: section 3.4)."""
        if (dialled.conf_id, dialled.dest_session_id) != (self._conf_id, self.session_id):
            return
        self.observations.calls_declined += 1
        envelope = Envelope(
            call_id=dialled.call_id,
            party_id=self.party.device_id,
            conf_id=dialled.conf_id,
            device_id=self.party.device_id,
            sender_session_id=self.session_id,
            dest_session_id=dialled.sender_session_id,
            seq=0,
        )
        content = Reject(envelope, FOCUS_ONLY).content()
        # Nothing is lost with it: that client gives up by itself after a minute.
        with contextlib.suppress(MatrixRefusedError, aiohttp.ClientError):
            await self._client.send_to_device(Reject.type, sender, dialled.device_id, content)

    async def _play(self) -> None:
        """One step of media every 20 ms, and the member event every 45 minutes."""
        refresh_at = time.monotonic() + MEMBER_REFRESH_S
        step_ns = FRAME_MS * NS_PER_S // 1_000
        # Participants of one process take their steps at different moments.
        due = time.monotonic_ns() + secrets.randbelow(step_ns)
        while True:
            await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / NS_PER_S))
            due = max(due + step_ns, time.monotonic_ns() - 5 * step_ns)
            leg = self._leg
            if leg is not None:
                await leg.tick(Instant(time.monotonic_ns()), time.time())
            if time.monotonic() > refresh_at and not self._is_leaving:
                refresh_at = time.monotonic() + MEMBER_REFRESH_S
                await self._tell_member()

    def _spawn(self, work: Any) -> None:  # noqa: ANN401  # any coroutine
        if self._group is None:
            raise RuntimeError("not entered")
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(self._group.create_task(work))

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Say which step of joining failed."""
    try:
        yield
    except (MatrixRefusedError, aiohttp.ClientError, TimeoutError) as error:
        raise JoinFailedError(f"{what}: {str(error) or type(error).__name__}") from error
