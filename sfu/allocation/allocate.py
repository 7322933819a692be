"""Which layer for whom: one pass over all subscribers of all calls, with a record of why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.allocation.policy import Problem, lowest_layers_first
from sfu.allocation.wanted import below_ceiling, wanted_encodings
from sfu.plane import ALL_TEMPORAL, MAX_ENCODINGS, PAUSED

if TYPE_CHECKING:
    from sfu.allocation.policy import Policy
    from sfu.allocation.rates import BoolArray, EncodingRates, FloatArray, IntArray
    from sfu.allocation.table import DemandTable
    from sfu.plane import StructArray

BUDGET_DTYPE: Final = np.dtype([("transport", "<u4"), ("budget_bps", "<f8")])
"""What a subscriber's path carries now."""

NO_BUDGETS: Final = np.zeros(0, BUDGET_DTYPE)

AUDIO_BPS: Final = 40_000.0
ENCODING_BPS: Final = (120_000.0, 300_000.0, 1_700_000.0)
"""Costs that are assumed before they are measured: the encodings' ceilings of protocol section 7.2."""

_COLUMNS: Final = np.arange(MAX_ENCODINGS)
_AUDIO_COLUMNS: Final = _COLUMNS == 0


def allocate(
    demand: DemandTable,
    rates: EncodingRates,
    budgets: StructArray = NO_BUDGETS,
    policy: Policy = lowest_layers_first,
) -> StructArray:
    """Decide every route.

    Audio is given always: its silence may be DTX. Of video only encodings that flow: the one that fits the
    tile, else the nearest lower, else the nearest higher one, never above the ceiling.

    Args:
        demand: who wants what.
        rates: brought up to date with this tick's counters; is told what is wanted now.
        budgets: (n,) of `BUDGET_DTYPE`; who is not in it has no limit.
        policy: divides the budgets.

    Returns:
        (len(demand),) of `DECISION_DTYPE`, in the order of `demand.rows`.
    """
    rows = demand.rows
    is_audio = rows["is_audio"]
    measured = rates.of(rows["track"])
    costs = _costs(is_audio, measured.rates_bps)
    wanted = wanted_encodings(rows)
    permitted = below_ceiling(rows)
    allowed = np.minimum(wanted, permitted.sum(axis=1) - 1)
    # After a stall of the whole track nothing is live yet: then what flows is good enough at once.
    video = np.where(measured.live.any(axis=1, keepdims=True), measured.live, measured.flowing)
    sent: BoolArray = np.where(is_audio[:, None], _AUDIO_COLUMNS, video)
    best = _nearest(sent & permitted, allowed)
    usable = sent & permitted & (best[:, None] >= _COLUMNS)
    subscribers, subscriber = np.unique(rows["subscriber"], return_inverse=True)
    budget_bps = _budgets(subscribers, budgets)
    chosen = policy(
        Problem(
            subscriber=subscriber,
            rank=np.lexsort((rows["route"], ~rows["is_screen"])).argsort(),
            is_audio=is_audio,
            costs_bps=costs,
            usable=usable,
            budget_bps=budget_bps,
        )
    )
    is_given = chosen != PAUSED
    rates.want(
        np.concatenate([rows["track"], rows["track"][is_given]]), np.concatenate([allowed, chosen[is_given]])
    )
    decisions = np.empty(len(rows), DECISION_DTYPE)
    for name in ("route", "subscriber", "track", "is_audio"):
        decisions[name] = rows[name]
    decisions["wanted_encoding"] = wanted
    decisions["allowed_encoding"] = allowed
    decisions["chosen_encoding"] = chosen
    decisions["temporal"] = ALL_TEMPORAL
    decisions["cause"] = np.select(
        [chosen == wanted, ~sent.any(axis=1), chosen != best, best == PAUSED, best != allowed],
        [Cause.SIZE, Cause.PAUSED, Cause.BUDGET, Cause.CEILING, Cause.LAYER_NOT_SENT],
        Cause.CEILING,
    )
    decisions["rate_bps"] = _cost_of(costs, chosen)
    decisions["next_rate_bps"] = _cost_of(costs, _next_above(sent & permitted, chosen))
    decisions["budget_bps"] = budget_bps[subscriber]
    return decisions


def _costs(is_audio: BoolArray, rates_bps: FloatArray) -> FloatArray:
    assumed = np.where(is_audio[:, None], AUDIO_BPS, np.array(ENCODING_BPS))
    known = np.isfinite(rates_bps) & (rates_bps > 0)
    return np.where(known, rates_bps, assumed)


def _nearest(usable: BoolArray, allowed: IntArray) -> IntArray:
    """The usable layer at or below `allowed`, else the nearest above it, else `PAUSED`."""
    at_or_below = usable & (allowed[:, None] >= _COLUMNS)
    highest = MAX_ENCODINGS - 1 - at_or_below[:, ::-1].argmax(axis=1)
    above = np.where(usable.any(axis=1), usable.argmax(axis=1), PAUSED)
    return np.where(at_or_below.any(axis=1), highest, above)


def _next_above(usable: BoolArray, layer: IntArray) -> IntArray:
    above = usable & (layer[:, None] < _COLUMNS)
    return np.where(above.any(axis=1), above.argmax(axis=1), PAUSED)


def _cost_of(costs_bps: FloatArray, layer: IntArray) -> FloatArray:
    return np.where(layer >= 0, costs_bps[np.arange(len(layer)), np.maximum(layer, 0)], 0.0)


def _budgets(subscribers: IntArray, budgets: StructArray) -> FloatArray:
    found = np.full(len(subscribers), np.inf)
    _, at, given = np.intersect1d(subscribers, budgets["transport"], return_indices=True)
    found[at] = budgets["budget_bps"][given]
    return found
