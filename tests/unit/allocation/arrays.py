"""Demands and counters for the allocator's tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sfu.allocation.budgets import BUDGET_DTYPE
from sfu.allocation.rates import EncodingRates
from sfu.allocation.table import DemandTable
from sfu.conference.turn import SetDemand
from sfu.plane import PlaneStats
from sfu.rows import ENCODING_DTYPE, ROUTE_DTYPE, TRANSPORT_DTYPE, StructArray
from sfu.units import Instant, Kind, RouteId, TrackHandle, TransportId, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOW = Instant(100_000_000_000)

VIDEO = SetDemand(RouteId(1), TransportId(1), TrackHandle(1), Kind.VIDEO, 1280, 720, 1280, 720, encodings=3)
AUDIO = SetDemand(RouteId(2), TransportId(1), TrackHandle(2), Kind.AUDIO)

Bytes = dict[tuple[int, int], int]
"""Bytes received by track and encoding."""


def table_of(demands: Iterable[SetDemand]) -> DemandTable:
    table = DemandTable()
    for demand in demands:
        table.set(demand)
    return table


def video(route: int, **fields: object) -> SetDemand:
    """A demand for 720 lines of a track of three encodings, changed."""
    return replace(VIDEO, route=RouteId(route), track=TrackHandle(route), **fields)  # type: ignore[arg-type]  # fields of SetDemand


def stats_of(
    now: Instant, received: Bytes, last_at: Mapping[tuple[int, int], Instant] | None = None
) -> PlaneStats:
    """Counters of encodings whose last packet came now, or when `last_at` says."""
    rows = np.zeros(len(received), ENCODING_DTYPE)
    for row, (key, count) in zip(rows, received.items(), strict=True):
        row["track"], row["encoding"] = key
        row["bytes_received"] = count
        row["last_received_at"] = (last_at or {}).get(key, now)
    return PlaneStats(now, np.zeros(0, TRANSPORT_DTYPE), rows, np.zeros(0, ROUTE_DTYPE), {})


def rates_of(rates_bps: Mapping[tuple[int, int], float]) -> EncodingRates:
    """Rates of encodings that flow steadily."""
    rates = EncodingRates()
    rates.update(stats_of(NOW, dict.fromkeys(rates_bps, 0)))
    rates.update(stats_of(after_ms(NOW, 1_000), {key: int(bps / 8) for key, bps in rates_bps.items()}))
    return rates


def budgets_of(budgets_bps: Mapping[int, float]) -> StructArray:
    array = np.zeros(len(budgets_bps), BUDGET_DTYPE)
    array["transport"] = list(budgets_bps)
    array["keep_bps"] = array["change_bps"] = list(budgets_bps.values())
    return array
