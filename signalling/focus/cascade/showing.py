"""What is going on over a trunk, for the admin API: plain values that JSON knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from signalling.focus.figures import transport_figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sfu.conference.snapshot import LegSnapshot
    from sfu.units import Rid, TransportId
    from signalling.focus.calls import LiveCall
    from signalling.focus.cascade.hops import Hop

    Layers = tuple[str, str, tuple[Rid, ...]]
    """Of a track: by its ids as they are announced on the trunk."""

Json = dict[str, Any]


def trunk_snapshot(call: LiveCall, hop: Hop, legs: Mapping[TransportId, LegSnapshot]) -> Json:
    """One other focus of a call: how its trunk is, who is behind it, what goes each way."""
    leg = hop.leg
    media = None if leg is None else legs.get(leg.transport)
    end = None if leg is None else leg.trunk
    guests = [guest for guest in call.guests.values() if guest.path[-1] == hop.focus]
    asked = () if end is None else ((one.stream_id, one.track_id, one.layers) for one in end.asking.wanted)
    wanted = () if end is None else ((*ids, layers) for ids, layers in end.wanted.items())
    return {
        "user_id": hop.focus.user_id,
        "device_id": hop.focus.device_id,
        "state": hop.state,
        "since": hop.since,
        "leg": None if leg is None else leg.transport,
        "worker": None if leg is None else leg.worker,
        **transport_figures(media),
        "encrypted": leg is not None and leg.is_encrypted,
        "guests": [{"user_id": guest.user_id, "device_id": guest.device_id} for guest in guests],
        "streams_announced": 0 if end is None else end.announced,
        "streams_heard": len(hop.streams),
        "streams_refused": len(hop.refused),
        "layers_asked": _layers(asked),
        "layers_wanted": _layers(wanted),
        "layers_received": [] if media is None else _layers(_received(media)),
        "layers_sent": [] if media is None else _layers(_sent(media)),
    }


def _received(media: LegSnapshot) -> Iterator[Layers]:
    for track in media.tracks:
        flowing = tuple(encoding.rid for encoding in track.encodings if encoding.bitrate_bps)
        if flowing:
            yield track.stream_id or "", track.track_id or "", flowing


def _sent(media: LegSnapshot) -> Iterator[Layers]:
    for one in media.subscriptions:
        if one.layers:
            yield one.stream_id, one.track_id, one.layers


def _layers(tracks: Iterable[Layers]) -> list[Json]:
    return [
        {"stream_id": stream_id, "track_id": track_id, "layers": list(layers)}
        for stream_id, track_id, layers in tracks
    ]
