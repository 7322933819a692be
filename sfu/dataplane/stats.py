"""Counters as arrays (`sfu.plane.PlaneStats`)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sfu.plane import PlaneStats
from sfu.rows import ENCODING_DTYPE, PAUSED, ROUTE_DTYPE, TRANSPORT_DTYPE
from sfu.units import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.dataplane.encoding import Encoding
    from sfu.dataplane.reception import Reception
    from sfu.dataplane.route import Route
    from sfu.dataplane.track import Track
    from sfu.dataplane.transport import Transport
    from sfu.plane import DropReason
    from sfu.rows import StructArray
    from sfu.units import Instant

Row = tuple[Any, ...]


def collect(
    now: Instant,
    transports: Iterable[Transport],
    tracks: Iterable[Track],
    routes: Iterable[Route],
    drops: Mapping[DropReason, int],
) -> PlaneStats:
    """Everything counted. Reading an audio level begins a new interval of it."""
    encodings = [
        _encoding_row(track, encoding, reception)
        for track in tracks
        for encoding in track.encodings
        if (reception := encoding.reception) is not None
    ]
    return PlaneStats(
        now,
        _array([_transport_row(now, transport) for transport in transports], TRANSPORT_DTYPE),
        _array(encodings, ENCODING_DTYPE),
        _array([_route_row(route) for route in routes], ROUTE_DTYPE),
        dict(drops),
    )


def _array(rows: list[Row], dtype: np.dtype[np.void]) -> StructArray:
    return np.array(rows, dtype)


def _transport_row(now: Instant, transport: Transport) -> Row:
    oldest = transport.pacer.oldest
    return (
        transport.id,
        transport.packets_received,
        transport.bytes_received,
        transport.packets_sent,
        transport.bytes_sent,
        transport.last_received_at or 0,
        math.nan if transport.round_trip_ms is None else transport.round_trip_ms,
        transport.remb_bps,
        transport.pacer.waiting_packets,
        0.0 if oldest is None else max(0, now - oldest.queued_at) / NS_PER_MS,
        transport.padding_bytes_sent,
        transport.feedback_lost,
        transport.numbered_packets_sent,
        transport.can_send,
    )


def _encoding_row(track: Track, encoding: Encoding, reception: Reception) -> Row:
    totals = encoding.totals
    loudness = encoding.level.take()
    statistics = reception.statistics
    return (
        track.handle,
        encoding.index,
        reception.ssrc,
        totals.packets_received,
        totals.bytes_received,
        totals.packets_lost,
        statistics.jitter_ms,
        totals.nack_count,
        encoding.pli_count,
        encoding.frames_received,
        encoding.key_frames_received,
        statistics.last_received_at or 0,
        loudness.level,
        loudness.voice,
        tuple(encoding.temporal_bytes_received),
        tuple(encoding.temporal_frames_received),
    )


def _route_row(route: Route) -> Row:
    reported = route.reported
    current = route.current
    return (
        route.spec.route,
        route.track.handle,
        route.transport.id,
        current,
        PAUSED if current == PAUSED else route.temporal,
        route.target,
        route.packets_sent,
        route.bytes_sent,
        route.retransmitted_packets_sent,
        route.nack_count,
        route.pli_count,
        0 if reported is None else reported.packets_lost,
        0.0 if reported is None else reported.fraction_lost / 256,
        route.jitter_ms,
        route.switches,
        route.last_sent_at or 0,
    )
