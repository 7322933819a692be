"""What goes over the transport of one leg, for the admin API: plain values that JSON knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfu.conference.snapshot import LegSnapshot


def transport_figures(one: LegSnapshot | None) -> dict[str, Any]:
    """Of a client or of a trunk; None: there is no leg, and nothing goes over it."""
    return {
        "round_trip_time_ms": None if one is None else one.round_trip_time_ms,
        "bytes_received": 0 if one is None else one.bytes_received,
        "bytes_sent": 0 if one is None else one.bytes_sent,
        "received_bps": 0 if one is None else round(one.received_bps),
        "sent_bps": 0 if one is None else round(one.sent_bps),
        "loss_received": None if one is None else _rounded(one.loss_received),
        "loss_sent": None if one is None else _rounded(one.loss_sent),
        "estimate_bps": None if one is None or one.estimate_bps is None else round(one.estimate_bps),
    }


def _rounded(loss: float | None) -> float | None:
    return None if loss is None else round(loss, 4)
