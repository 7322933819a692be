"""A focus under test on a hand-set clock, with rooms, clients, and a runtime that does what it is told.

Whatever a test does, its stage checks what must hold always: counters exist with the labels that are used,
log lines name nobody, numbers of to-device messages have no gaps, no client is told more than it can bear.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sfu.conference.conference import LocalMedia
from sfu.conference.ids import IdSource
from sfu.conference.turn import (
    CloseLeg,
    DataChannelOpened,
    DataReceived,
    LegConnected,
    SendData,
)
from sfu.config import LimitsConfig, SfuConfig
from sfu.metrics import Metrics
from sfu.negotiation.parameters import Candidate, Fingerprint
from sfu.plane import AddTransport, PairSelected, RemoveTrack, SetTrack, StreamBound
from sfu.units import NS_PER_S, Instant, Kind, Ssrc, TrackHandle, TransportId, WallTime, after_ms
from signalling.events import data_channel, to_device
from signalling.events.metadata import StreamMetadata, TrackMetadata
from signalling.events.room_state import CALL_TYPES, call_content
from signalling.focus.cascade.settings import CascadeSettings
from signalling.focus.focus import Focus
from signalling.focus.settings import CallSettings
from signalling.focus.turn import Count, MessageReceived, Note, RoomState, SendToDevice, StateEvent
from tests.unit.conference.caller import Caller, of_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from signalling.focus.caps import CapRule

T = TypeVar("T")

FOCUS_USER: Final = "@focus:example.org"
FOCUS_DEVICE: Final = "FOCUSDEVICE"
ROOM: Final = "!room:example.org"
OTHER_ROOM: Final = "!other:example.org"
CONF: Final = "conf-1"
HOUR_MS: Final = 3_600_000
CALL: Final = CALL_TYPES[0]
METRICS: Final = Metrics()
OUTCOMES: Final = frozenset(
    {"other_session", "wrong_device", "olm_required", "ended", "repeated", "ignored", "late", "not_encrypted"}
    | {"unknown_leg", "expired", "malformed", "forged", "limit", "too_long"}
)
"""A closed list: they are labels."""
MEMBER: Final = "org.matrix.msc3401.call.member"


def member_event(
    user_id: str,
    *devices: tuple[str, str],
    conf_id: str = CONF,
    expires_at: int = HOUR_MS,
    kind: str = MEMBER,
) -> StateEvent:
    """A member event naming (device, session) pairs."""
    entries = [
        {
            "device_id": device_id,
            "session_id": session_id,
            "expires_ts": expires_at,
            "feeds": [{"purpose": "m.usermedia"}],
        }
        for device_id, session_id in devices
    ]
    content = {"m.calls": [{"m.call_id": conf_id, "m.devices": entries}] if entries else []}
    return StateEvent(kind, user_id, user_id, content)


def membership(user_id: str, state: str = "join") -> StateEvent:
    """Somebody joins or leaves."""
    return StateEvent("m.room.member", user_id, user_id, {"membership": state})


def call_event(conf_id: str = CONF, *, terminated: bool = False, kind: str = CALL) -> StateEvent:
    """A call begins or ends."""
    return StateEvent(kind, conf_id, "@alice:example.org", call_content(terminated=terminated))


@dataclass
class Client:
    """One device of a user, in the dialect."""

    name: str
    caller: Caller
    device_id: str = ""
    session_id: str = ""
    call_id: str = ""
    conf_id: str = CONF
    seq: int = 0
    leg: TransportId | None = None
    received: list[data_channel.DataMessage] = field(default_factory=list)
    letters: list[to_device.ToDeviceMessage] = field(default_factory=list)
    is_encrypted: bool = False
    purposes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.device_id = self.device_id or self.name.upper()
        self.session_id = self.session_id or f"{self.name}-session"
        self.call_id = self.call_id or f"{self.name}-call-1"

    @property
    def user_id(self) -> str:
        return f"@{self.name}:example.org"

    @property
    def named(self) -> tuple[str, str]:
        return self.device_id, self.session_id

    def envelope(self, *, numbered: bool = True) -> to_device.Envelope:
        seq = self.seq if numbered else None
        self.seq += numbered
        return to_device.Envelope(
            self.call_id,
            self.device_id,
            self.conf_id,
            self.device_id,
            self.session_id,
            to_device.FOCUS_SESSION_ID,
            seq,
        )

    def metadata(self, *, audio_muted: bool = False, video_muted: bool = False) -> tuple[StreamMetadata, ...]:
        streams: dict[str, list[TrackMetadata]] = {}
        for section in self.caller.sections:
            if section.kind == "application" or not section.stream_id or section.direction == "inactive":
                continue
            size = (1280, 720) if section.kind == "video" else (None, None)
            track = TrackMetadata(section.track_id, Kind(section.kind), *size)
            streams.setdefault(section.stream_id, []).append(track)
        return tuple(
            StreamMetadata(
                stream_id,
                self.purposes.get(stream_id, "m.usermedia"),
                tuple(tracks),
                audio_muted=audio_muted,
                video_muted=video_muted,
                user_id=self.user_id,
                device_id=self.device_id,
            )
            for stream_id, tracks in streams.items()
        )

    def invite(self, **fields: Any) -> to_device.Invite:  # noqa: ANN401  # fields of Invite
        given: dict[str, Any] = {"sdp": self.caller.offer(), "metadata": self.metadata()} | fields
        return to_device.Invite(self.envelope(), **given)

    def last(self, kind: type[T]) -> T:
        """The newest message of a type, of either way."""
        return of_type([*self.letters, *self.received], kind)[-1]

    def errors(self) -> list[str]:
        return [one.code for one in of_type(self.received, data_channel.Error)]


class Stage:
    """One focus and everybody around it."""

    def __init__(
        self,
        settings: CallSettings | None = None,
        limits: LimitsConfig | None = None,
        *,
        config: SfuConfig | None = None,
        identity: tuple[str, str] = (FOCUS_USER, FOCUS_DEVICE),
        workers: int = 1,
        caps: tuple[CapRule, ...] = (),
        cascade: CascadeSettings | None = None,
        seed: int = 7,
    ) -> None:
        self.identity = identity
        self.now = Instant(1_000_000_000)
        self.wall = WallTime(0)
        config = config or SfuConfig()
        if limits is not None:
            config = replace(config, limits=limits)
        self.focus = Focus(
            identity,
            tuple(
                LocalMedia(
                    Fingerprint("sha-256", ":".join(["CD"] * 32)),
                    (Candidate("192.0.2.1", 10_000 + worker, 2_130_706_431),),
                    worker,
                )
                for worker in range(workers)
            ),
            settings or CallSettings(),
            config,
            random.Random(seed),
            IdSource(),
            caps,
            cascade or CascadeSettings(),
        )
        self.clients: list[Client] = []
        self.answers_offers = True
        self.outputs: list[Any] = []
        self.tracks: dict[TrackHandle, TransportId] = {}
        self._numbers: Counter[tuple[str, str, str]] = Counter()
        self._said: dict[tuple[TransportId, str], list[Instant]] = {}
        self._added = TransportId(0)

    # --- what happens to the focus --------------------------------------------------------------------------

    def give(self, given: Any) -> list[Any]:  # noqa: ANN401  # any input
        """One turn; what it says reaches the clients, and what it asks of them is done."""
        return self._perform(self.focus.handle(self.now, self.wall, given))

    def state(self, *events: StateEvent, room: str = ROOM, complete: bool = False) -> list[Any]:
        return self.give(RoomState(room, events, complete))

    def pass_ms(self, delay_ms: float) -> list[Any]:
        """Time passes; what is due is done."""
        end = after_ms(self.now, delay_ms)
        outputs: list[Any] = []
        while (due := self.focus.next_timeout()) is not None and due <= end:
            self._advance(max(self.now, due))
            before = self.focus.next_timeout()
            outputs += self._perform(self.focus.handle_timeout(self.now, self.wall))
            assert self.focus.next_timeout() != before or outputs, "a timer that does not move on"
        self._advance(end)
        return outputs

    def _advance(self, to: Instant) -> None:
        self.wall = WallTime(self.wall + round((to - self.now) / 1e6))
        self.now = to

    # --- clients --------------------------------------------------------------------------------------------

    def client(self, name: str, kinds: str = "audio video", **fields: Any) -> Client:  # noqa: ANN401  # of Client
        client = Client(name, Caller.with_media(name, kinds), **fields)
        self.clients.append(client)
        return client

    def enter(self, client: Client, *, room: str = ROOM) -> None:
        """Its user is joined, and the member event of its user names it and its other devices."""
        devices = [one.named for one in self.clients if one.name == client.name]
        self.state(
            call_event(client.conf_id),
            membership(client.user_id),
            member_event(client.user_id, *devices, conf_id=client.conf_id, expires_at=self.wall + HOUR_MS),
            room=room,
        )

    def send(
        self,
        client: Client,
        message: to_device.ReceivedMessage,
        *,
        sender: str | None = None,
        age_ms: int = 0,
    ) -> list[Any]:
        proven = client.device_id if client.is_encrypted else None
        return self.give(MessageReceived(sender or client.user_id, message, proven, age_ms))

    def invite(self, client: Client, **fields: Any) -> list[Any]:  # noqa: ANN401  # of Invite
        return self.send(client, client.invite(**fields))

    def redial(self, client: Client, call_id: str, **fields: Any) -> list[Any]:  # noqa: ANN401  # of Client
        """Dial again, as a client does: a new peer connection with another call id."""
        client.call_id, client.seq, client.leg = call_id, 0, None
        client.caller = Caller.with_media(client.name)
        for name, value in fields.items():
            setattr(client, name, value)
        return self.invite(client)

    def connect(self, client: Client) -> list[Any]:
        """ICE and DTLS are done, its data channel is open, its media flows."""
        assert client.leg is not None
        outputs = self.give(PairSelected(client.leg))
        outputs += self.give(LegConnected(client.leg))
        outputs += self.give(DataChannelOpened(client.leg, 0, "datachannel"))
        return outputs + self.flow(client)

    def flow(self, client: Client) -> list[Any]:
        """Media of all its tracks flows."""
        outputs: list[Any] = []
        for track in [track for track, leg in self.tracks.items() if leg == client.leg]:
            for encoding in range(3):
                outputs += self.give(StreamBound(track, encoding, Ssrc(100 + encoding)))
        return outputs

    def join(self, name: str, kinds: str = "audio video", **fields: Any) -> Client:  # noqa: ANN401  # of Client
        """All of it: enter, invite, connect, and wait until everybody has been told."""
        client = self.client(name, kinds, **fields)
        self.enter(client)
        self.invite(client)
        self.connect(client)
        self.pass_ms(1_000)
        return client

    def say(self, client: Client, message: data_channel.DataMessage | str, *, channel: int = 0) -> list[Any]:
        """A message on its data channel."""
        assert client.leg is not None
        text = message if isinstance(message, str) else data_channel.serialise_message(message)
        return self.give(DataReceived(client.leg, channel, text))

    def subscribe(
        self, client: Client, *ids: tuple[str, str], size: tuple[int, int] = (640, 360)
    ) -> list[Any]:
        tracks = tuple(data_channel.SubscribedTrack(*one, *size) for one in ids)
        return self.say(client, data_channel.TrackSubscription(tracks))

    def told(self, client: Client) -> dict[str, StreamMetadata]:
        """The view of the call that its client was last told of by `metadata_changed`, by stream id."""
        return {one.stream_id: one for one in client.last(data_channel.MetadataChanged).metadata}

    # --- what the focus does --------------------------------------------------------------------------------

    def _perform(self, outputs: Sequence[Any]) -> list[Any]:
        self.outputs += outputs
        done = list(outputs)
        for output in outputs:
            match output:
                case AddTransport(transport):
                    self._added = transport
                case SetTrack(track, transport):
                    self.tracks[track] = transport
                case RemoveTrack(track):
                    self.tracks.pop(track, None)
                case Count(name, labels):
                    METRICS.count(name, labels)
                    assert name != "signalling_messages" or labels["outcome"] in OUTCOMES
                case Note(_, _, facts):
                    assert not any(set("@!:") & set(str(fact)) for fact in facts.values())
                case SendToDevice(user_id, device_id, message):
                    self._check_number(user_id, device_id, message)
                    done += self._deliver(user_id, device_id, message)
                case SendData(leg, channel, text):
                    self._check_pace(leg, text)
                    done += self._heard(leg, channel, text)
                case _:
                    pass
        return done

    def _check_number(self, user_id: str, device_id: str, message: to_device.ToDeviceMessage) -> None:
        envelope = message.envelope
        assert {envelope.party_id, envelope.device_id} == {self.identity[1]}
        assert envelope.sender_session_id == to_device.FOCUS_SESSION_ID
        key = user_id, device_id, envelope.call_id
        if envelope.seq is not None:
            assert envelope.seq == self._numbers[key]
            self._numbers[key] += 1

    def _check_pace(self, leg: TransportId, text: str) -> None:
        message = data_channel.parse_message(text)
        if isinstance(message, data_channel.Negotiate):
            return
        said = self._said.setdefault((leg, message.type), [])
        said.append(self.now)
        assert len([at for at in said if self.now - at < NS_PER_S]) <= 5

    def _deliver(self, user_id: str, device_id: str, message: to_device.ToDeviceMessage) -> list[Any]:
        # Through the wire's form and back.
        parsed = to_device.parse_to_device(message.type, json.loads(json.dumps(message.content())))
        assert parsed == message
        outputs: list[Any] = []
        for client in self.clients:
            if (client.user_id, client.device_id) != (user_id, device_id):
                continue
            client.letters.append(message)
            if isinstance(message, to_device.Answer) and message.envelope.call_id == client.call_id:
                client.leg = self._added
            if isinstance(message, to_device.Negotiate):
                outputs += self._described(client, message.description_type, message.sdp)
        return outputs

    def _heard(self, leg: TransportId, channel: int, text: str) -> list[Any]:
        message = data_channel.parse_message(text)
        for client in self.clients:
            if client.leg == leg:
                client.received.append(message)
                if channel == 0 and isinstance(message, data_channel.Negotiate):
                    return self._described(client, message.description_type, message.sdp)
        return []

    def _described(self, client: Client, kind: str, sdp: str) -> list[Any]:
        if kind != "offer" or not self.answers_offers:
            return []
        answer = client.caller.answer(sdp)
        return self.say(client, data_channel.Negotiate("answer", answer, client.metadata()))


def counted(outputs: Iterable[Any], name: str) -> list[dict[str, str]]:
    """The labels of every count of this counter."""
    return [dict(one.labels) for one in outputs if isinstance(one, Count) and one.name == name]


def letters(outputs: Iterable[Any], kind: type[T]) -> list[T]:
    """The to-device messages of a type."""
    return of_type([one.message for one in of_type(outputs, SendToDevice)], kind)


def closed(outputs: Iterable[Any]) -> list[TransportId]:
    """The legs that were closed."""
    return [one.leg for one in of_type(outputs, CloseLeg)]
