"""What is going on over a trunk: plain values that JSON knows for the admin API, figures for clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sfu.units import after_s
from signalling.events import ours
from signalling.focus.figures import transport_figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sfu.conference.snapshot import LegSnapshot
    from sfu.units import Instant, Rid, TransportId
    from signalling.focus.calls import LiveCall
    from signalling.focus.cascade.hops import Hop, Neighbourhood, Neighbours

    Layers = tuple[str, str, tuple[Rid, ...]]
    """Of a track: by its ids as they are announced on the trunk."""

Json = dict[str, Any]

REFRESH_S: Final = 1.0
"""How old the figures of trunks may be that a client is told. Lower: in a large call in which somebody looks
at them, more turns go through all counters. Higher: they are history."""


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


class HopFigures:
    """What clients are told of trunks: the same to all of a call.

    Args:
        neighbourhood: of all calls.
    """

    def __init__(self, neighbourhood: Neighbourhood) -> None:
        self._neighbourhood = neighbourhood

    def of(self, now: Instant, call: LiveCall) -> tuple[ours.HopStats, ...]:
        """Of a call."""
        near = self._neighbourhood.of(call.key)
        if near is None or not near.hops:
            return ()
        if near.figures is None or now >= after_s(near.figures[0], REFRESH_S):
            near.figures = now, _hop_figures(call, near)
        return near.figures[1]


def _hop_figures(call: LiveCall, near: Neighbours) -> tuple[ours.HopStats, ...]:
    legs = [hop.leg.transport for hop in near.hops.values() if hop.leg is not None]
    media = {leg: call.conference.leg_snapshot(leg) for leg in legs if leg in call.legs}
    return tuple(_hop_stats(trunk_snapshot(call, hop, media)) for hop in near.hops.values())


def _hop_stats(trunk: Json) -> ours.HopStats:
    round_trip_time_ms = trunk["round_trip_time_ms"]
    return ours.HopStats(
        focus=ours.OtherFocus(trunk["user_id"], trunk["device_id"]),
        state=trunk["state"],
        since=trunk["since"],
        people=len(trunk["guests"]),
        round_trip_time=None if round_trip_time_ms is None else round(round_trip_time_ms / 1_000, 4),
        estimate=trunk["estimate_bps"],
        received=_way(trunk, "received"),
        sent=_way(trunk, "sent"),
    )


def _way(trunk: Json, way: str) -> ours.WayStats:
    tracks = trunk[f"layers_{way}"]
    layers = sum(len(track["layers"]) for track in tracks)
    return ours.WayStats(len(tracks), layers, trunk[f"{way}_bps"], trunk[f"loss_{way}"])


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
