"""Which layer for whom: one pass over all subscribers of all calls, with a record of why."""

from __future__ import annotations

from operator import is_not
from typing import TYPE_CHECKING

import numpy as np

from sfu.allocation.budgets import NO_BUDGETS, NO_CAPS, rows_of
from sfu.allocation.decision import records
from sfu.allocation.first import why_short
from sfu.allocation.flow import Chosen, flow_of, picked
from sfu.allocation.layout import layout_of
from sfu.allocation.past import Past
from sfu.allocation.policies.lowest_layers_first import lowest_layers_first
from sfu.allocation.policies.utility import utility
from sfu.allocation.problem import LAYERS, NEVER, Paced, Problem
from sfu.allocation.speech import NO_SPEECH
from sfu.rows import MAX_TEMPORAL, PAUSED

if TYPE_CHECKING:
    from sfu.allocation.flow import Flow
    from sfu.allocation.layout import Layout
    from sfu.allocation.problem import Policy
    from sfu.allocation.rates import BoolArray, EncodingRates, Places
    from sfu.allocation.table import DemandTable
    from sfu.rows import StructArray


class Allocator:
    """Decides every route, tick after tick, and remembers what it gave.

    Audio is given always, its silence may be DTX, but for what is told to be unheard.
    Of video only encodings that flow: the one that fits the tile, else the nearest lower, else the nearest
    higher one, never above the ceiling.

    Args:
        policy: divides the budgets.
    """

    def __init__(self, policy: Policy = utility) -> None:
        self._policy = policy
        self._paced = policy if isinstance(policy, Paced) else None
        self._layout: Layout | None = None
        self._laid_out: tuple[object, ...] = ()
        """What the layout was made of."""
        self._places: Places | None = None
        self._placed: tuple[object, ...] = (None,)
        """What they were found for."""
        self._flow: Flow | None = None
        self._flowed: tuple[object, ...] = ()
        """What it was made of."""
        self._past: Past | None = None

    @classmethod
    def resumed(cls, policy: Policy, past: Past) -> Allocator:
        """One that goes on where another was, with another policy perhaps."""
        allocator = cls(policy)
        allocator._past = past
        return allocator

    @property
    def past(self) -> Past | None:
        """What it gave last; None before the first decision."""
        return self._past

    def decide(
        self,
        demand: DemandTable,
        rates: EncodingRates,
        budgets: StructArray = NO_BUDGETS,
        caps: StructArray = NO_CAPS,
        speech: StructArray = NO_SPEECH,
    ) -> StructArray:
        """Decide every route.

        Args:
            demand: who wants what.
            rates: brought up to date with this tick's counters; is told what is given now.
            budgets: (n,) of `BUDGET_DTYPE`; who is not in it has no limit.
            caps: (n,) of `CAPS_DTYPE`, each transport once; who is not in it has none.
            speech: (n,) of `SPEECH_DTYPE`, sorted by track.

        Returns:
            (len(demand),) of `DECISION_DTYPE`, in the order of `demand.rows`.
        """
        layout = self._layout_of(demand, speech, caps)
        places = self._places_of(layout, rates)
        flow = self._flow_of(layout, rates, places)
        past, reordered = Past.none(layout), np.ones(len(layout.transports), np.bool_)
        if self._past is not None:
            past, reordered = self._past.moved_to(layout)
        problem = _problem(layout, flow, past, budgets, rates, reordered)
        layer = self._policy(problem)
        chosen = Chosen(layer, *flow.targets(layer), why_short(self._policy, problem, layer, past.short))
        self._past = _remembered(problem, flow, past, chosen, self._due(problem))
        given = (chosen.encoding != PAUSED) & picked(places.found, chosen.encoding)
        rates.give_at(picked(places.at, chosen.encoding)[given])
        return records(layout, flow, problem, chosen)

    def _layout_of(self, demand: DemandTable, speech: StructArray, caps: StructArray) -> Layout:
        made_of = (demand, demand.changes, speech.tobytes(), caps.tobytes())
        if self._layout is None or made_of != self._laid_out:
            self._layout = layout_of(demand.rows, speech, caps)
            self._laid_out = made_of
        return self._layout

    def _places_of(self, layout: Layout, rates: EncodingRates) -> Places:
        is_same = self._placed[0] is layout and self._placed[1:] == (rates, rates.layout)
        if self._places is None or not is_same:
            self._places = rates.places(layout.rows["track"])
            self._placed = (layout, rates, rates.layout)
        return self._places

    def _flow_of(self, layout: Layout, rates: EncodingRates, places: Places) -> Flow:
        # Rates are measured at every other tick.
        made_of = layout, places, rates.measured
        if self._flow is None or any(map(is_not, made_of, self._flowed)):
            self._flow, self._flowed = flow_of(layout, rates, places), made_of
        return self._flow

    def _due(self, problem: Problem) -> BoolArray:
        if self._paced is None:
            return np.ones(len(problem.keep_bps), np.bool_)
        return self._paced.due(problem)


def allocate(
    demand: DemandTable,
    rates: EncodingRates,
    budgets: StructArray = NO_BUDGETS,
    policy: Policy = lowest_layers_first,
) -> StructArray:
    """Decide every route once, as if nothing had been given before (see `Allocator`)."""
    return Allocator(policy).decide(demand, rates, budgets)


def _problem(
    layout: Layout,
    flow: Flow,
    past: Past,
    budgets: StructArray,
    rates: EncodingRates,
    reordered: BoolArray,
) -> Problem:
    given = rows_of(layout.transports, budgets, (np.inf, np.inf))
    keep_bps = np.minimum(given["keep_bps"], layout.caps["max_bps"])
    return Problem(
        now=rates.now,
        subscriber=layout.subscriber,
        track=layout.track,
        rank=layout.rank,
        is_audio=layout.is_audio,
        is_screen=layout.is_screen,
        is_pinned=layout.is_pinned,
        is_visible=layout.is_visible,
        speaker=layout.speaker,
        width=layout.width,
        height=layout.height,
        layer_widths=layout.widths.T,
        layer_heights=layout.heights.T,
        frame_rates=flow.frame_rates[:LAYERS].T,
        costs_bps=flow.costs_bps[:LAYERS].T,
        usable=flow.usable.T,
        previous=flow.layer(past.encoding, past.temporal),
        previous_at=past.previous_at,
        changed=(flow.usable != past.usable).any(axis=0),
        lowered_at=past.lowered_at,
        keep_bps=keep_bps,
        change_bps=np.minimum(given["change_bps"], keep_bps),
        reordered=reordered,
        decided_at=past.decided_at,
        decided_bps=past.decided_bps,
    )


def _remembered(problem: Problem, flow: Flow, past: Past, chosen: Chosen, due: BoolArray) -> Past:
    now = problem.now
    encoding, temporal = chosen.encoding, chosen.temporal
    is_other = (encoding != past.encoding) | (temporal != past.temporal) | (past.previous_at == NEVER)
    is_lower = (encoding < past.encoding) & (encoding != PAUSED)
    was_usable = picked(flow.usable, np.maximum(past.encoding, 0) * MAX_TEMPORAL)
    return Past(
        layout=past.layout,
        encoding=encoding,
        temporal=temporal,
        previous_at=np.where(is_other, now, past.previous_at),
        lowered_at=np.where(is_lower & was_usable, now, past.lowered_at),
        usable=flow.usable,
        decided_at=np.where(due, now, past.decided_at),
        decided_bps=np.where(due, problem.keep_bps, past.decided_bps),
        short=chosen.short,
    )
