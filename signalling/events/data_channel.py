"""The messages of a leg's data channel (MSC3898; protocol: section 6); more of our own are in `ours.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sfu.errors import ParseError
from signalling.events import cascade, ours
from signalling.events.cascade import ConnectToFocus, layers_content, parse_layers
from signalling.events.fields import JsonObject, as_list, as_object, flag, identifier, number, text
from signalling.events.metadata import (
    MAX_PIXELS,
    STABLE_KEY,
    StreamMetadata,
    metadata_content,
    parse_metadata,
)
from signalling.events.ours import OwnMessage
from signalling.events.to_device import MAX_SDP_LENGTH, parse_description_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sfu.units import Rid

CHANNEL_LABEL: Final = "datachannel"
"""What clients call it; a focus takes a leg's first channel whatever its label."""

MAX_MESSAGE_LENGTH: Final = 262_144
MAX_SUBSCRIPTIONS: Final = 1_024
MAX_TYPE_LENGTH: Final = 255
MAX_SPEAKERS: Final = 512
MAX_ERROR_TEXT: Final = 1_000

TRACK_SUBSCRIPTION: Final = "m.call.track_subscription"
NEGOTIATE: Final = "m.call.negotiate"
METADATA_CHANGED: Final = "m.call.sdp_stream_metadata_changed"
PING: Final = "m.call.ping"
PONG: Final = "m.call.pong"
SPEAKERS: Final = "org.matrix_focus.speakers"
ERROR: Final = "org.matrix_focus.error"


@dataclass(frozen=True, slots=True)
class TrackRef:
    """A track by its announced ids."""

    stream_id: str
    track_id: str

    def content(self) -> JsonObject:
        """As in `unsubscribe`."""
        return {"stream_id": self.stream_id, "track_id": self.track_id}


@dataclass(frozen=True, slots=True)
class SubscribedTrack:
    """A track that is wanted, in pixels of its tile; 0 where no size was said."""

    stream_id: str
    track_id: str
    width: int = 0
    height: int = 0
    is_pinned: bool = False
    """Ours: it comes before the others where not all fits."""
    is_visible: bool = True
    """Ours: false while the tile is out of sight, and will be seen again."""
    layers: tuple[Rid, ...] = ()
    """Between foci: exactly these are wanted, each as an RTP stream of its own; empty: the one that fits."""

    def content(self) -> JsonObject:
        """As in `subscribe`."""
        content: JsonObject = {"stream_id": self.stream_id, "track_id": self.track_id}
        if self.width or self.height:
            content |= {"width": self.width, "height": self.height}
        if self.is_pinned:
            content["pinned"] = True
        if not self.is_visible:
            content["visible"] = False
        return content | layers_content(self.layers)


@dataclass(frozen=True, slots=True)
class TrackSubscription:
    """Incremental; `unsubscribe` is done first, repeats are normal (protocol: section 6.4)."""

    subscribe: tuple[SubscribedTrack, ...] = ()
    unsubscribe: tuple[TrackRef, ...] = ()

    type = TRACK_SUBSCRIPTION

    def content(self) -> JsonObject:
        """The message's content."""
        return {
            "subscribe": [track.content() for track in self.subscribe],
            "unsubscribe": [track.content() for track in self.unsubscribe],
        }


@dataclass(frozen=True, slots=True)
class Negotiate:
    """An offer or an answer, with the complete metadata of its sender's side."""

    description_type: str
    sdp: str = field(repr=False)
    metadata: tuple[StreamMetadata, ...] | None = None

    type = NEGOTIATE

    def content(self) -> JsonObject:
        """The message's content."""
        content: JsonObject = {"description": {"type": self.description_type, "sdp": self.sdp}}
        if self.metadata is not None:
            content[STABLE_KEY] = metadata_content(self.metadata)
        return content


@dataclass(frozen=True, slots=True)
class MetadataChanged:
    """The complete metadata of its sender's side."""

    metadata: tuple[StreamMetadata, ...]

    type = METADATA_CHANGED

    def content(self) -> JsonObject:
        """The message's content."""
        return {STABLE_KEY: metadata_content(self.metadata)}


@dataclass(frozen=True, slots=True)
class Ping:
    """From the focus, at least every 30 s."""

    type = PING

    def content(self) -> JsonObject:
        """The message's content: empty."""
        return {}


@dataclass(frozen=True, slots=True)
class Pong:
    """The client's answer to a ping."""

    type = PONG

    def content(self) -> JsonObject:
        """The message's content: empty."""
        return {}


@dataclass(frozen=True, slots=True)
class ActiveSpeaker:
    """One speaker; `level` is 0 (silent) to 1 (loudest)."""

    user_id: str
    device_id: str
    level: float

    def content(self) -> JsonObject:
        """As in `speakers`."""
        return {"user_id": self.user_id, "device_id": self.device_id, "level": self.level}


@dataclass(frozen=True, slots=True)
class Speakers:
    """Ours: the active speakers, loudest first."""

    speakers: tuple[ActiveSpeaker, ...]

    type = SPEAKERS

    def content(self) -> JsonObject:
        """The message's content."""
        return {"speakers": [speaker.content() for speaker in self.speakers]}


@dataclass(frozen=True, slots=True)
class Error:
    """Ours: a message of the client was refused; `code` is from a closed list."""

    code: str
    text: str
    about: str | None = None
    """The type of the message that was refused."""

    type = ERROR

    def content(self) -> JsonObject:
        """The message's content."""
        content: JsonObject = {"code": self.code, "text": self.text}
        return content if self.about is None else content | {"about": self.about}


@dataclass(frozen=True, slots=True)
class Unknown:
    """A well-formed message of a type that we don't know: to be ignored."""

    type: str

    def content(self) -> JsonObject:
        """Nothing of it is kept."""
        return {}


DataMessage = (
    TrackSubscription
    | Negotiate
    | MetadataChanged
    | Ping
    | Pong
    | ConnectToFocus
    | Speakers
    | Error
    | OwnMessage
    | Unknown
)


def parse_message(source: str) -> DataMessage:
    """Read one frame of a data channel.

    Raises:
        ParseError: no JSON object with a type, or a known type with a mangled content.
    """
    if len(source) > MAX_MESSAGE_LENGTH:
        raise ParseError("too_long", f"{len(source)} characters, over {MAX_MESSAGE_LENGTH}")
    try:
        frame = as_object(json.loads(source), "message")
    except (ValueError, RecursionError) as error:
        raise ParseError("not_json", str(error)[:100]) from error
    message_type = text(frame, "type", limit=MAX_TYPE_LENGTH)
    parse = _PARSERS.get(message_type)
    if parse is None:
        return Unknown(message_type)
    return parse(as_object(frame.get("content", {}), "content"))


def serialise_message(message: DataMessage) -> str:
    """One frame: `{"type", "content"}`."""
    return json.dumps({"type": message.type, "content": message.content()}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Frame:
    """A message as it goes over the channel, and its type."""

    type: str
    text: str = field(repr=False)


def frame_of(message: DataMessage) -> Frame:
    """Any message, written."""
    return Frame(message.type, serialise_message(message))


def metadata_frame(metadata: str) -> Frame:
    """A `MetadataChanged` of metadata that is written already (`metadata_text`)."""
    content = f"{{{json.dumps(STABLE_KEY)}:{metadata}}}"
    return Frame(METADATA_CHANGED, f'{{"type":{json.dumps(METADATA_CHANGED)},"content":{content}}}')


def negotiate_frame(description_type: str, sdp: str, metadata: str) -> Frame:
    """A `Negotiate` of metadata that is written already (`metadata_text`)."""
    description = json.dumps({"type": description_type, "sdp": sdp}, separators=(",", ":"))
    content = f'{{"description":{description},{json.dumps(STABLE_KEY)}:{metadata}}}'
    return Frame(NEGOTIATE, f'{{"type":{json.dumps(NEGOTIATE)},"content":{content}}}')


def _parse_subscription(source: Mapping[str, Any]) -> TrackSubscription:
    subscribe = as_list(source.get("subscribe", []), "subscribe", MAX_SUBSCRIPTIONS)
    unsubscribe = as_list(source.get("unsubscribe", []), "unsubscribe", MAX_SUBSCRIPTIONS)
    return TrackSubscription(
        subscribe=tuple(_parse_subscribed(track) for track in subscribe),
        unsubscribe=tuple(_parse_ref(track) for track in unsubscribe),
    )


def _parse_subscribed(value: object) -> SubscribedTrack:
    source = as_object(value, "subscribe")
    return SubscribedTrack(
        stream_id=identifier(source, "stream_id"),
        track_id=identifier(source, "track_id"),
        width=number(source, "width", low=0, high=MAX_PIXELS) or 0,
        height=number(source, "height", low=0, high=MAX_PIXELS) or 0,
        is_pinned=flag(source, "pinned"),
        is_visible=flag(source, "visible", default=True),
        layers=parse_layers(source),
    )


def _parse_ref(value: object) -> TrackRef:
    source = as_object(value, "unsubscribe")
    return TrackRef(stream_id=identifier(source, "stream_id"), track_id=identifier(source, "track_id"))


def _parse_negotiate(source: Mapping[str, Any]) -> Negotiate:
    if "description" not in source:
        raise ParseError("missing", "description")
    description = as_object(source["description"], "description")
    return Negotiate(
        description_type=parse_description_type(description),
        sdp=text(description, "sdp", limit=MAX_SDP_LENGTH),
        metadata=parse_metadata(source),
    )


def _parse_metadata_changed(source: Mapping[str, Any]) -> MetadataChanged:
    metadata = parse_metadata(source)
    if metadata is None:
        raise ParseError("missing", STABLE_KEY)
    return MetadataChanged(metadata)


def _parse_ping(_: Mapping[str, Any]) -> Ping:
    return Ping()


def _parse_pong(_: Mapping[str, Any]) -> Pong:
    return Pong()


def _parse_speakers(source: Mapping[str, Any]) -> Speakers:
    return Speakers(
        tuple(_parse_speaker(s) for s in as_list(source.get("speakers"), "speakers", MAX_SPEAKERS))
    )


def _parse_speaker(value: object) -> ActiveSpeaker:
    source = as_object(value, "speaker")
    level = source.get("level")
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 <= level <= 1:
        raise ParseError("out_of_range", "level is no number from 0 to 1")
    return ActiveSpeaker(identifier(source, "user_id"), identifier(source, "device_id"), float(level))


def _parse_error(source: Mapping[str, Any]) -> Error:
    about = source.get("about")
    return Error(
        code=identifier(source, "code"),
        text=text(source, "text", limit=MAX_ERROR_TEXT),
        about=about if isinstance(about, str) else None,
    )


_PARSERS: Final[dict[str, Callable[[Mapping[str, Any]], DataMessage]]] = {
    TRACK_SUBSCRIPTION: _parse_subscription,
    NEGOTIATE: _parse_negotiate,
    METADATA_CHANGED: _parse_metadata_changed,
    PING: _parse_ping,
    PONG: _parse_pong,
    SPEAKERS: _parse_speakers,
    ERROR: _parse_error,
    **cascade.PARSERS,
    **ours.PARSERS,
}
