"""A participant of a swarm as a member of a call: Matrix by the load test's client, all else native."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from loadtest.client import sdp
from loadtest.client.room import Room
from loadtest.client.scene import Party
from loadtest.client.signalling import Account, MatrixClient
from sfu.errors import ParseError
from sfu.units import Kind
from signalling.events import data_channel, to_device
from signalling.events.metadata import USERMEDIA, StreamMetadata, TrackMetadata
from signalling.events.to_device import FOCUS_SESSION_ID, Envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from loadtest.fleet.fleet import Fleet
    from loadtest.fleet.schedule import Schedule
    from signalling.events.room_state import FocusDevice

JOIN_PATIENCE_S: Final = 30.0
"""From the invite to the open data channel."""
MEMBER_LIFETIME_MS: Final = 3_600_000


class MemberError(Exception):
    """A member is not in the call, or not any more."""


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """Who takes part, where, and how.

    Attributes:
        schedule: what is sent; None: a viewer, who wants all tracks of the others.
        height: that all video is wanted at, 16:9.
        reroute: is given each description of the focus before it is read.
    """

    account: Account
    room_id: str
    focus: FocusDevice
    schedule: Schedule | None = None
    height: int = 720
    reroute: Callable[[str], str] | None = None


class FleetMember:
    """Use as `async with FleetMember(fleet, config) as viewer: await viewer.join()`."""

    def __init__(self, fleet: Fleet, config: MemberConfig) -> None:
        self.config = config
        self.party = Party(config.account.user_id, config.account.device_id)
        self.participant: int | None = None
        """The id in the swarm, once there is one."""
        self.broken: list[str] = []
        """What the focus said that could not be followed."""
        self.end_reason: str | None = None
        self._fleet = fleet
        self._client = MatrixClient(config.account)
        self._room = Room(self._client, config.room_id)
        self._session_id = secrets.token_hex(5)
        self._call_id = f"{int(time.time() * 1_000)}{secrets.token_hex(8)}"
        self._conf_id = ""
        self._seq = 0
        self._answer: asyncio.Future[to_device.Answer] | None = None
        self._settled = asyncio.Event()
        self._is_open = False
        self._subscribed: data_channel.TrackSubscription | None = None
        self._wanted: tuple[StreamMetadata, ...] = ()
        self._stack = contextlib.AsyncExitStack()
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._client)
        self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._answer = asyncio.get_running_loop().create_future()
        self._stack.callback(self._drop)
        self._stack.callback(self._group.create_task(self._sync()).cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def join(self) -> None:
        """Enter the call, the room's live one or a new one, until the data channel is open.

        Raises:
            MemberError: the focus refused, or there was no connection in time.
            MatrixRefusedError: the homeserver refused.
        """
        await self._room.join()
        self._conf_id = await self._room.find_call() or await self._room.start_call()
        await self._room.invite_focus(self.config.focus.user_id)
        offer = self._enter_swarm()
        metadata = self._own_metadata(offer)
        await self._room.put_member(
            self.party,
            session_id=self._session_id,
            conf_id=self._conf_id,
            focus=self.config.focus,
            lifetime_ms=MEMBER_LIFETIME_MS,
            purposes=tuple(stream.purpose for stream in metadata),
        )
        invitee = self.config.focus.user_id
        try:
            async with asyncio.timeout(JOIN_PATIENCE_S):
                await self._send(
                    to_device.Invite(self._envelope(), offer, metadata=metadata, invitee=invitee)
                )
                await self._connect()
        except TimeoutError as error:
            raise MemberError(f"not connected within {JOIN_PATIENCE_S:g} s") from error
        if not self._is_open:
            raise MemberError(self.end_reason or "ended")

    async def leave(self) -> None:
        """Leave the call: the member event first, then the hangup."""
        await self._room.clear_member(self.party.user_id)
        await self._send(to_device.Hangup(self._envelope()))

    # --- helpers: joining --------------------------------------------------------------------------------

    def _enter_swarm(self) -> str:
        swarm, schedule = self._fleet.swarm, self.config.schedule
        if schedule is None:
            # The focus offers what is wanted, as it comes.
            self.participant, offer = swarm.add_receiver(audio=0, video=0)
        else:
            self.participant, offer = swarm.add_publisher(schedule.frames, schedule.period_ms)
        return offer

    async def _connect(self) -> None:
        if self._answer is None or self._group is None or self.participant is None:
            raise MemberError("not entered")
        answer = await self._answer
        try:
            self._fleet.swarm.accept_answer(self.participant, self._read(answer.sdp))
        except ValueError as error:
            raise MemberError(f"the answer can't be used: {error}") from error
        self._announced(answer.metadata)
        await self._send(to_device.SelectAnswer(self._envelope(), answer.envelope.party_id))
        converse = self._converse(self._fleet.inbox(self.participant))
        self._stack.callback(self._group.create_task(converse).cancel)
        await self._settled.wait()

    def _own_metadata(self, offer: str) -> tuple[StreamMetadata, ...]:
        sections = [s for s in sdp.parse(offer).sections if s.sends and s.msid is not None]
        streams = []
        for section in sections:
            stream_id, track_id = section.msid or ("", "")
            kind = Kind.VIDEO if section.kind == sdp.VIDEO else Kind.AUDIO
            track = TrackMetadata(track_id, kind, 1_280, 720)
            owner = self.party
            streams.append(
                StreamMetadata(
                    stream_id, USERMEDIA, (track,), user_id=owner.user_id, device_id=owner.device_id
                )
            )
        return tuple(streams)

    def _envelope(self) -> Envelope:
        self._seq += 1
        return Envelope(
            call_id=self._call_id,
            party_id=self.party.device_id,
            conf_id=self._conf_id,
            device_id=self.party.device_id,
            sender_session_id=self._session_id,
            dest_session_id=FOCUS_SESSION_ID,
            seq=self._seq - 1,
        )

    async def _send(self, message: to_device.ToDeviceMessage) -> None:
        focus = self.config.focus
        await self._client.send_to_device(message.type, focus.user_id, focus.device_id, message.content())

    async def _sync(self) -> None:
        async for event in self._client.sync():
            try:
                message = to_device.parse_to_device(event.type, event.content)
            except ParseError as error:
                self.broken.append(f"{event.type}: {error}")
                continue
            if message is None or message.envelope.call_id != self._call_id:
                continue
            match message:
                case to_device.Answer() if self._answer is not None and not self._answer.done():
                    self._answer.set_result(message)
                case to_device.Reject() | to_device.Hangup():
                    self._end(f"{message.type}: {message.reason}")
                case _:
                    pass

    # --- helpers: the data channel -----------------------------------------------------------------------

    async def _converse(self, inbox: asyncio.Queue[tuple[str, str]]) -> None:
        while True:
            match await inbox.get():
                case ("channel_open", _):
                    self._is_open = True
                    self._settled.set()
                    self._subscribe()
                case ("text", text):
                    self._take(text)
                case ("closed", reason):
                    self._end(reason)
                case _:
                    pass

    def _take(self, text: str) -> None:
        try:
            message = data_channel.parse_message(text)
        except ParseError as error:
            self.broken.append(str(error))
            return
        match message:
            case data_channel.Ping():
                self._say(data_channel.Pong())
            case data_channel.MetadataChanged():
                self._announced(message.metadata)
            case data_channel.Negotiate():
                self._announced(message.metadata)
                self._negotiate(message)
            case data_channel.Error():
                self.broken.append(f"{message.code}: {message.text}")
            case _:
                pass

    def _negotiate(self, message: data_channel.Negotiate) -> None:
        if self.participant is None or message.description_type != "offer":
            return
        try:
            answer = self._fleet.swarm.accept_offer(self.participant, self._read(message.sdp))
        except ValueError as error:
            self.broken.append(f"an offer: {error}")
            return
        self._say(data_channel.Negotiate("answer", answer, ()))

    def _read(self, sdp_text: str) -> str:
        reroute = self.config.reroute
        return sdp_text if reroute is None else reroute(sdp_text)

    def _announced(self, metadata: Sequence[StreamMetadata] | None) -> None:
        if metadata is not None:
            self._wanted = tuple(metadata)
            self._subscribe()

    def _subscribe(self) -> None:
        """Want everything that others send, once it can be said."""
        if not self._is_open or self.config.schedule is not None:
            return
        height = self.config.height
        tracks = []
        for stream in self._wanted:
            for track in stream.tracks:
                if track.kind is Kind.AUDIO:
                    tracks.append(data_channel.SubscribedTrack(stream.stream_id, track.track_id))
                else:
                    size = (round(height * 16 / 9), height)
                    tracks.append(data_channel.SubscribedTrack(stream.stream_id, track.track_id, *size))
        wish = data_channel.TrackSubscription(tuple(tracks))
        if tracks and wish != self._subscribed:
            self._subscribed = wish
            self._say(wish)

    def _say(self, message: data_channel.DataMessage) -> None:
        if self.participant is None:
            return
        try:
            self._fleet.swarm.send_text(self.participant, data_channel.serialise_message(message))
        except ValueError as error:
            self.broken.append(str(error))

    def _end(self, reason: str) -> None:
        self.end_reason = self.end_reason or reason
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(MemberError(reason))
        self._settled.set()

    def _drop(self) -> None:
        if self.participant is not None:
            self._fleet.remove(self.participant)
