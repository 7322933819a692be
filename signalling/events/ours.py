"""Messages of the data channel that are this focus's own (protocol: section 6.7), beside speakers and errors.

They tell what a focus knows and no MSC has a word for. Clients that don't know them ignore them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sfu.errors import ParseError
from signalling.events.fields import JsonObject, as_list, as_object, identifier, number, text
from signalling.events.metadata import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_TRACKS: Final = 1_024
"""Entries of one list; the focus itself says far fewer."""
MAX_RIDS: Final = 16
MAX_RID_LENGTH: Final = 255
MAX_FOCI: Final = 32
MAX_HOPS: Final = 64
"""As many foci as a focus remembers of one call."""
MAX_TEXT: Final = 1_000
MAX_COUNT: Final = 2**53
MIN_EVERY_MS: Final = 200
"""Lower: more than the five messages a second that a leg gets of one type."""
MAX_EVERY_MS: Final = 10_000
MAX_DEADLINE_MS: Final = 24 * 3_600_000

LAYERS: Final = "org.matrix_focus.layers"
WHY: Final = "org.matrix_focus.why"
STATS: Final = "org.matrix_focus.stats"
DRAIN: Final = "org.matrix_focus.drain"


@dataclass(frozen=True, slots=True)
class ActiveLayers:
    """The rids of one published track that are wanted now, lowest first; the others may be switched off."""

    stream_id: str
    track_id: str
    active: tuple[str, ...]

    def content(self) -> JsonObject:
        """As in `tracks`."""
        return {"stream_id": self.stream_id, "track_id": self.track_id, "active": list(self.active)}


@dataclass(frozen=True, slots=True)
class Layers:
    """To a publisher: what is wanted of all its simulcast tracks, by its own ids. Always complete."""

    tracks: tuple[ActiveLayers, ...]

    type = LAYERS

    def content(self) -> JsonObject:
        """The message's content."""
        return {"tracks": [track.content() for track in self.tracks]}


@dataclass(frozen=True, slots=True)
class SentLayer:
    """What a subscriber is sent of a track now."""

    rid: str
    """Empty for a track that is sent as one encoding."""
    temporal: int | None
    """The highest temporal layer; None: all of them."""
    width: int
    """0, like `height`, for audio."""
    height: int
    bitrate: int
    """Bits a second; 0 while it is not known."""

    def content(self) -> JsonObject:
        """As in `sent`."""
        return {
            "rid": self.rid,
            "temporal": self.temporal,
            "width": self.width,
            "height": self.height,
            "bitrate": self.bitrate,
        }


@dataclass(frozen=True, slots=True)
class OtherFocus:
    """A focus that takes invites."""

    user_id: str
    device_id: str

    def content(self) -> JsonObject:
        """As in `foci`."""
        return {"user_id": self.user_id, "device_id": self.device_id}


@dataclass(frozen=True, slots=True)
class Limit:
    """What a connection carries, where that decides."""

    bitrate: int
    """Bits a second, of everything that goes over it."""
    next: int
    """What the next larger layer takes; 0 while it is not known."""

    def content(self) -> JsonObject:
        """As in `limit`."""
        return {"bitrate": self.bitrate, "next": self.next}


@dataclass(frozen=True, slots=True)
class Hop:
    """The focus from which a track comes, where the connection to it is what limits."""

    focus: OtherFocus
    cause: str | None
    """Its own; None: there is no connection now."""
    limit: Limit | None = None
    """Likewise."""

    def content(self) -> JsonObject:
        """As in `hop`."""
        content = self.focus.content() | {"cause": self.cause}
        return content if self.limit is None else content | {"limit": self.limit.content()}


@dataclass(frozen=True, slots=True)
class TrackWhy:
    """What a subscriber asked for of one track, what it is sent, and why not something else."""

    stream_id: str
    track_id: str
    width: int
    """Of the tile, as it was asked for; 0, like `height`, where no size was said."""
    height: int
    sent: SentLayer | None
    cause: str
    text: str
    """One sentence for people."""
    layer: str | None = None
    """To another focus: the layer that it is about, of those that were asked for by name."""
    limit: Limit | None = None
    """With the causes that are one of the subscriber's own connection."""
    hop: Hop | None = None
    """With the cause `hop`."""

    def content(self) -> JsonObject:
        """As in `tracks`."""
        content: JsonObject = {
            "stream_id": self.stream_id,
            "track_id": self.track_id,
            "wanted": {"width": self.width, "height": self.height},
            "sent": None if self.sent is None else self.sent.content(),
            "cause": self.cause,
            "text": self.text,
        }
        if self.layer is not None:
            content["layer"] = self.layer
        if self.limit is not None:
            content["limit"] = self.limit.content()
        if self.hop is not None:
            content["hop"] = self.hop.content()
        return content


@dataclass(frozen=True, slots=True)
class Why:
    """To a subscriber: the tracks about which something else was decided; the others stay as they were."""

    tracks: tuple[TrackWhy, ...]

    type = WHY

    def content(self) -> JsonObject:
        """The message's content."""
        return {"tracks": [track.content() for track in self.tracks]}


@dataclass(frozen=True, slots=True)
class StatsRequest:
    """From a client: tell me figures every so often. 0 ends it; the rest is brought into the legal range."""

    every_ms: int

    type = STATS

    def content(self) -> JsonObject:
        """The message's content."""
        return {"every_ms": self.every_ms}


@dataclass(frozen=True, slots=True)
class TrackStats:
    """Figures of one track on its way to the client."""

    stream_id: str
    track_id: str
    rid: str | None
    """None while nothing flows."""
    bitrate: int
    """Bits a second that were sent, over the last second or two."""
    packets: int
    packets_lost: int
    """By the client's own receiver reports."""

    def content(self) -> JsonObject:
        """As in `tracks`."""
        return {
            "stream_id": self.stream_id,
            "track_id": self.track_id,
            "rid": self.rid,
            "bitrate": self.bitrate,
            "packets": self.packets,
            "packets_lost": self.packets_lost,
        }


@dataclass(frozen=True, slots=True)
class WayStats:
    """What goes over a trunk in one direction."""

    tracks: int
    layers: int
    """Of all tracks together; one of a track that is sent as one encoding."""
    bitrate: int
    """Bits a second of everything, over the last second or two."""
    loss: float | None
    """The part that was lost, from 0 to 1; None while that is not known."""

    def content(self) -> JsonObject:
        """As in `received` and `sent`."""
        return {"tracks": self.tracks, "layers": self.layers, "bitrate": self.bitrate, "loss": self.loss}


@dataclass(frozen=True, slots=True)
class HopStats:
    """The connection to one other focus of the call."""

    focus: OtherFocus
    state: str
    """One of `idle`, `waiting`, `dialling`, `answering`, `up`, `backing_off`, `resting`."""
    since: int
    """When it came into that state, in milliseconds since 1970."""
    people: int
    """Whose media comes by it."""
    round_trip_time: float | None
    """Seconds; None before it is known."""
    estimate: int | None
    """Bits a second that it carries from here; None while that is not known."""
    received: WayStats
    sent: WayStats

    def content(self) -> JsonObject:
        """As in `hops`."""
        return self.focus.content() | {
            "state": self.state,
            "since": self.since,
            "people": self.people,
            "round_trip_time": self.round_trip_time,
            "estimate": self.estimate,
            "received": self.received.content(),
            "sent": self.sent.content(),
        }


@dataclass(frozen=True, slots=True)
class Stats:
    """To a client: figures of its leg, from the focus's side."""

    estimate: int | None
    """Bits a second that its path carries; None while that is not known."""
    round_trip_time: float | None
    """Seconds; None before it is known."""
    packets_lost: int
    tracks: tuple[TrackStats, ...]
    hops: tuple[HopStats, ...] = ()
    """Of the call; none where all of it is on this focus."""

    type = STATS

    def content(self) -> JsonObject:
        """The message's content."""
        content: JsonObject = {
            "estimate": self.estimate,
            "round_trip_time": self.round_trip_time,
            "packets_lost": self.packets_lost,
            "tracks": [track.content() for track in self.tracks],
        }
        return content | {"hops": [hop.content() for hop in self.hops]} if self.hops else content


@dataclass(frozen=True, slots=True)
class Drain:
    """To a client: this focus goes away, dial another one."""

    deadline_ms: int
    """From now on; then the leg is hung up."""
    foci: tuple[OtherFocus, ...] = ()

    type = DRAIN

    def content(self) -> JsonObject:
        """The message's content."""
        content: JsonObject = {"deadline_ms": self.deadline_ms}
        return content | {"foci": [focus.content() for focus in self.foci]} if self.foci else content


OwnMessage = Layers | Why | StatsRequest | Stats | Drain


def _parse_layers(source: Mapping[str, Any]) -> Layers:
    return Layers(tuple(_parse_active(track) for track in _tracks(source)))


def _parse_active(value: object) -> ActiveLayers:
    source = as_object(value, "track")
    rids = as_list(source.get("active"), "active", MAX_RIDS)
    return ActiveLayers(
        identifier(source, "stream_id"),
        identifier(source, "track_id"),
        tuple(identifier({"rid": rid}, "rid") for rid in rids),
    )


def _parse_why(source: Mapping[str, Any]) -> Why:
    return Why(tuple(_parse_track_why(track) for track in _tracks(source)))


def _parse_track_why(value: object) -> TrackWhy:
    source = as_object(value, "track")
    wanted = as_object(source.get("wanted"), "wanted")
    return TrackWhy(
        stream_id=identifier(source, "stream_id"),
        track_id=identifier(source, "track_id"),
        width=_pixels(wanted, "width"),
        height=_pixels(wanted, "height"),
        sent=None if source.get("sent") is None else _parse_sent(source["sent"]),
        cause=identifier(source, "cause"),
        text=text(source, "text", limit=MAX_TEXT),
        layer=text(source, "layer", limit=MAX_RID_LENGTH) if "layer" in source else None,
        limit=_parse_limit(source),
        hop=_parse_hop(source["hop"]) if "hop" in source else None,
    )


def _parse_limit(source: Mapping[str, Any]) -> Limit | None:
    if "limit" not in source:
        return None
    limit = as_object(source["limit"], "limit")
    return Limit(_count(limit, "bitrate"), _count(limit, "next"))


def _parse_hop(value: object) -> Hop:
    source = as_object(value, "hop")
    cause = None if source.get("cause") is None else identifier(source, "cause")
    return Hop(_parse_focus(source), cause, _parse_limit(source))


def _parse_sent(value: object) -> SentLayer:
    source = as_object(value, "sent")
    return SentLayer(
        rid=text(source, "rid", limit=MAX_RID_LENGTH),
        temporal=number(source, "temporal", low=0, high=7),
        width=_pixels(source, "width"),
        height=_pixels(source, "height"),
        bitrate=_count(source, "bitrate"),
    )


def _parse_stats(source: Mapping[str, Any]) -> StatsRequest | Stats:
    if "every_ms" in source:
        asked = number(source, "every_ms", low=0, high=MAX_COUNT) or 0
        return StatsRequest(min(max(asked, MIN_EVERY_MS), MAX_EVERY_MS) if asked else 0)
    hops = as_list(source.get("hops", []), "hops", MAX_HOPS)
    return Stats(
        estimate=number(source, "estimate", low=0, high=MAX_COUNT),
        round_trip_time=_fraction(source, "round_trip_time", MAX_COUNT),
        packets_lost=_count(source, "packets_lost"),
        tracks=tuple(_parse_track_stats(track) for track in _tracks(source)),
        hops=tuple(_parse_hop_stats(hop) for hop in hops),
    )


def _parse_hop_stats(value: object) -> HopStats:
    source = as_object(value, "hop")
    return HopStats(
        focus=_parse_focus(source),
        state=identifier(source, "state"),
        since=_count(source, "since"),
        people=_count(source, "people"),
        round_trip_time=_fraction(source, "round_trip_time", MAX_COUNT),
        estimate=number(source, "estimate", low=0, high=MAX_COUNT),
        received=_parse_way(source.get("received")),
        sent=_parse_way(source.get("sent")),
    )


def _parse_way(value: object) -> WayStats:
    source = as_object(value, "way")
    return WayStats(
        tracks=_count(source, "tracks"),
        layers=_count(source, "layers"),
        bitrate=_count(source, "bitrate"),
        loss=_fraction(source, "loss", 1),
    )


def _fraction(source: Mapping[str, Any], name: str, high: int) -> float | None:
    value = source.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= high:
        raise ParseError("out_of_range", f"{name} is no number from 0 to {high}")
    return float(value)


def _parse_track_stats(value: object) -> TrackStats:
    source = as_object(value, "track")
    return TrackStats(
        stream_id=identifier(source, "stream_id"),
        track_id=identifier(source, "track_id"),
        rid=None if source.get("rid") is None else text(source, "rid", limit=MAX_RID_LENGTH),
        bitrate=_count(source, "bitrate"),
        packets=_count(source, "packets"),
        packets_lost=_count(source, "packets_lost"),
    )


def _parse_drain(source: Mapping[str, Any]) -> Drain:
    deadline_ms = number(source, "deadline_ms", low=0, high=MAX_DEADLINE_MS)
    if deadline_ms is None:
        raise ParseError("missing", "deadline_ms")
    foci = as_list(source.get("foci", []), "foci", MAX_FOCI)
    return Drain(deadline_ms, tuple(_parse_focus(focus) for focus in foci))


def _parse_focus(value: object) -> OtherFocus:
    source = as_object(value, "focus")
    return OtherFocus(identifier(source, "user_id"), identifier(source, "device_id"))


def _tracks(source: Mapping[str, Any]) -> list[Any]:
    return as_list(source.get("tracks"), "tracks", MAX_TRACKS)


def _pixels(source: Mapping[str, Any], name: str) -> int:
    return number(source, name, low=0, high=MAX_PIXELS) or 0


def _count(source: Mapping[str, Any], name: str) -> int:
    return number(source, name, low=0, high=MAX_COUNT) or 0


PARSERS: Final[dict[str, Callable[[Mapping[str, Any]], OwnMessage]]] = {
    LAYERS: _parse_layers,
    WHY: _parse_why,
    STATS: _parse_stats,
    DRAIN: _parse_drain,
}
"""By type."""
