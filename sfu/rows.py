"""The arrays of the data plane's contract: a row for each transport, encoding, route, choice and report.

They are packed and little-endian, so that a plane in another language writes them as they are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

StructArray = NDArray[np.void]

MAX_ENCODINGS: Final = 3
"""Simulcast encodings of one track. Arrays have this many columns."""

MAX_TEMPORAL: Final = 3
"""Temporal layers that are counted apart; a stream's higher ones count as the third."""

LOWEST_ONLY: Final = 0
PAUSED: Final = -1
"""In a target: send nothing of this route."""
ALL_TEMPORAL: Final = 7
"""In a target: every temporal layer."""

TARGET_DTYPE: Final = np.dtype([("route", "<u4"), ("encoding", "<i1"), ("temporal", "<i1")])
"""One layer choice: encoding index (`PAUSED`: nothing) and highest temporal layer (`ALL_TEMPORAL`)."""

PACING_DTYPE: Final = np.dtype(
    [("transport", "<u4"), ("rate_bps", "<f8"), ("padding_bps", "<f8"), ("queue_limit_ms", "<f4")]
)
"""How a transport is sent to. At most `rate_bps` leaves, counting datagrams without UDP headers (infinite:
all at once), and at least `padding_bps`, filled up where media is less; video that has waited for
`queue_limit_ms` is dropped. Before a transport's first row: infinite, 0, 250."""

PROBE_DTYPE: Final = np.dtype(
    [("transport", "<u4"), ("cluster", "<u4"), ("rate_bps", "<f8"), ("size_bytes", "<u4")]
)
"""One probe: `size_bytes` sent at `rate_bps`. `cluster` is its number in `FEEDBACK_DTYPE`, and is not 0."""

TRANSPORT_DTYPE: Final = np.dtype(
    [
        ("transport", "<u4"),
        ("packets_received", "<u8"),
        ("bytes_received", "<u8"),
        ("packets_sent", "<u8"),
        ("bytes_sent", "<u8"),
        ("last_received_at", "<i8"),
        ("round_trip_time_ms", "<f4"),
        ("remb_bps", "<f8"),
        ("queue_packets", "<u4"),
        ("queue_ms", "<f4"),
        ("padding_bytes_sent", "<u8"),
        ("feedback_lost", "<u8"),
        ("numbered_packets_sent", "<u8"),
        ("can_send", "?"),
    ]
)
"""Per transport. `round_trip_time_ms` from receiver reports, NaN before the first; `remb_bps` is what the
peer last said by REMB, 0 where it never did. `queue_packets` wait for the pacer now, and
the oldest video among them has waited for `queue_ms`. `padding_bytes_sent` were sent for their size alone:
padding, and payloads sent again though nobody asked. `feedback_lost`: rows too many for `feedback`.
`numbered_packets_sent` had a transport-wide number, so that the peer tells of
them. `can_send`: there are keys, and an address to send to."""

ENCODING_DTYPE: Final = np.dtype(
    [
        ("track", "<u4"),
        ("encoding", "<u1"),
        ("ssrc", "<u4"),
        ("packets_received", "<u8"),
        ("bytes_received", "<u8"),
        ("packets_lost", "<i8"),
        ("jitter_ms", "<f4"),
        ("nack_count", "<u8"),
        ("pli_count", "<u8"),
        ("frames_received", "<u8"),
        ("key_frames_received", "<u8"),
        ("last_received_at", "<i8"),
        ("audio_level", "<u1"),
        ("voice", "?"),
        ("temporal_bytes_received", "<u8", (MAX_TEMPORAL,)),
        ("temporal_frames_received", "<u8", (MAX_TEMPORAL,)),
    ]
)
"""Per encoding that was ever bound. Counters are of the original stream, RTX apart, but for the last two:
what arrived of each temporal layer of video, repaired or not, without padding; what tells no layer is of the
first. `audio_level` is the loudest since the last `stats()` in -dBov (0 loud, 127 silent; RFC 6464), 127
where none came."""

ROUTE_DTYPE: Final = np.dtype(
    [
        ("route", "<u4"),
        ("track", "<u4"),
        ("transport", "<u4"),
        ("encoding", "<i1"),
        ("temporal", "<i1"),
        ("target_encoding", "<i1"),
        ("packets_sent", "<u8"),
        ("bytes_sent", "<u8"),
        ("retransmitted_packets_sent", "<u8"),
        ("nack_count", "<u8"),
        ("pli_count", "<u8"),
        ("packets_lost", "<i8"),
        ("fraction_lost", "<f4"),
        ("jitter_ms", "<f4"),
        ("switches", "<u4"),
        ("last_sent_at", "<i8"),
    ]
)
"""Per route. `encoding` is what flows now (`PAUSED`: nothing yet), `target_encoding` what is wanted;
`packets_lost`, `fraction_lost` and `jitter_ms` are the subscriber's receiver reports."""

FEEDBACK_DTYPE: Final = np.dtype(
    [
        ("transport", "<u4"),
        ("seq", "<i8"),
        ("cluster", "<u4"),
        ("size_bytes", "<u4"),
        ("sent_at", "<i8"),
        ("arrived_at", "<i8"),
        ("reported_at", "<i8"),
    ]
)
"""What a subscriber says of one packet. `seq` is its transport-wide number, unwrapped; `cluster` the probe it
was part of, or 0; `size_bytes` its datagram's. `arrived_at` is in nanoseconds of the subscriber's own clock
(only differences mean anything), or `LOST`; what was lost and came after all has a second row."""

LOST: Final = -1
"""In feedback: the packet had not come when the subscriber reported."""
