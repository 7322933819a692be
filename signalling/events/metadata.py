"""`sdp_stream_metadata`: what streams are for, who owns them, what is muted (MSC3077, MSC3291, MSC3898).

A message's metadata is always the complete picture of its sender's side (protocol: section 5).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sfu.errors import ParseError
from sfu.units import Kind
from signalling.events.cascade import layers_content, parse_layers, parse_path, path_content
from signalling.events.fields import (
    JsonObject,
    as_object,
    flag,
    identifier,
    number,
    one_of,
    optional_identifier,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.units import Rid
    from signalling.events.room_state import FocusDevice

STABLE_KEY: Final = "sdp_stream_metadata"
"""On the data channel, and of newer clients in to-device messages."""
UNSTABLE_KEY: Final = "org.matrix.msc3077.sdp_stream_metadata"
"""In to-device messages of older clients; some read only this one."""

USERMEDIA: Final = "m.usermedia"
SCREENSHARE: Final = "m.screenshare"

MAX_STREAMS: Final = 512
"""Streams in one message: a focus tells a client of everybody's."""
MAX_TRACKS: Final = 32
MAX_PIXELS: Final = 32_768
MAX_PURPOSE_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class TrackMetadata:
    """One track of a stream; `width` and `height` are of the full-resolution encoding."""

    track_id: str
    kind: Kind | None = None
    width: int | None = None
    height: int | None = None
    layers: tuple[Rid, ...] = ()
    """Between foci: the rids of its encodings, lowest first; empty for a track that is sent as one."""


@dataclass(frozen=True, slots=True)
class StreamMetadata:
    """One stream. `user_id` and `device_id` are self-declared: never trust a client's."""

    stream_id: str
    purpose: str
    tracks: tuple[TrackMetadata, ...] = ()
    audio_muted: bool = False
    video_muted: bool = False
    user_id: str | None = None
    device_id: str | None = None
    path: tuple[FocusDevice, ...] = ()
    """Between foci: those that it has come through, from its owner's own one to the one that announces it."""


def parse_metadata(source: Mapping[str, Any]) -> tuple[StreamMetadata, ...] | None:
    """Read the metadata of a message's content under either key; None where it has none.

    Raises:
        ParseError: not of the right shape or beyond a limit.
    """
    value = source.get(STABLE_KEY)
    if value is None:
        value = source.get(UNSTABLE_KEY)
    if value is None:
        return None
    streams = as_object(value, STABLE_KEY)
    if len(streams) > MAX_STREAMS:
        raise ParseError("too_long", f"{len(streams)} streams, over {MAX_STREAMS}")
    return tuple(_parse_stream(stream_id, stream) for stream_id, stream in streams.items())


def metadata_content(streams: Iterable[StreamMetadata]) -> JsonObject:
    """The JSON object that goes under a metadata key."""
    return {stream.stream_id: _stream_content(stream) for stream in streams}


def stream_text(stream: StreamMetadata) -> str:
    """One stream's member of the JSON object that `metadata_content` is: `"id":{…}`."""
    content = json.dumps(_stream_content(stream), separators=(",", ":"))
    return f"{json.dumps(stream.stream_id)}:{content}"


def metadata_text(streams: Iterable[str]) -> str:
    """The JSON object of `metadata_content`, of streams that are written already."""
    return f"{{{','.join(streams)}}}"


def _parse_stream(stream_id: str, value: object) -> StreamMetadata:
    identifier({"stream id": stream_id}, "stream id")
    stream = as_object(value, "stream")
    purpose = stream.get("purpose", USERMEDIA)
    if not isinstance(purpose, str) or len(purpose) > MAX_PURPOSE_LENGTH:
        raise ParseError("wrong_type", "purpose is no short string")
    tracks = as_object(stream.get("tracks", {}), "tracks")
    if len(tracks) > MAX_TRACKS:
        raise ParseError("too_long", f"{len(tracks)} tracks in a stream, over {MAX_TRACKS}")
    return StreamMetadata(
        stream_id=stream_id,
        purpose=purpose,
        tracks=tuple(_parse_track(track_id, track) for track_id, track in tracks.items()),
        audio_muted=flag(stream, "audio_muted"),
        video_muted=flag(stream, "video_muted"),
        user_id=optional_identifier(stream, "user_id"),
        device_id=optional_identifier(stream, "device_id"),
        path=parse_path(stream),
    )


def _parse_track(track_id: str, value: object) -> TrackMetadata:
    identifier({"track id": track_id}, "track id")
    track = as_object(value, "track")
    kind = track.get("kind")
    return TrackMetadata(
        track_id=track_id,
        kind=Kind(kind) if one_of(kind, Kind) else None,
        width=number(track, "width", low=0, high=MAX_PIXELS),
        height=number(track, "height", low=0, high=MAX_PIXELS),
        layers=parse_layers(track),
    )


def _stream_content(stream: StreamMetadata) -> JsonObject:
    content: JsonObject = {
        "purpose": stream.purpose,
        "audio_muted": stream.audio_muted,
        "video_muted": stream.video_muted,
        "tracks": {track.track_id: _track_content(track) for track in stream.tracks},
    }
    if stream.user_id is not None:
        content["user_id"] = stream.user_id
    if stream.device_id is not None:
        content["device_id"] = stream.device_id
    return content | path_content(stream.path)


def _track_content(track: TrackMetadata) -> JsonObject:
    content: JsonObject = {}
    if track.kind is not None:
        content["kind"] = str(track.kind)
    if track.width is not None:
        content["width"] = track.width
    if track.height is not None:
        content["height"] = track.height
    return content | layers_content(track.layers)
