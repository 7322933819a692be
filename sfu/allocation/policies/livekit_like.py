"""What LiveKit's stream allocator would choose: all are left as they are, unless the link says otherwise.

While nobody lacks anything, everybody gets the best that is asked for. Once the path carries less than what
is given, all layers are dealt out anew: the lowest for everybody, then the next, shared screens first, then
who may have the higher layers. After that a track only moves for a reason: one that starts takes the best
that the headroom carries, or collects the bits for its lowest layer from the tracks closest to what they
want; headroom that the path has proved lifts the screen, then the track farthest from what it wants, one
step at a time. A shared screen of a single encoding always has its best.

Pausing is allowed, as its sample configuration has it; the default of its code streams a lowest layer that
does not fit. What it learns by probing is `change_bps` here. Sources: docs/allocation-policies.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.policies.turns import (
    cost_of,
    given_audio,
    has_waited,
    highest,
    hold,
    in_turn,
    next_above,
    per_subscriber,
    video_budget,
    video_layers,
)
from sfu.allocation.problem import LAYERS
from sfu.rows import MAX_TEMPORAL, PAUSED
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray

SPATIAL_COST: Final = 10
"""What it costs a track that gives bits to change its encoding, in steps of frame rate: a key frame is
needed. Lower: others freeze for a moment more often. Higher: they lose their frame rate first."""

CONGESTED_AFTER_S: Final = 0.5
"""How often it asks whether the link is full. Lower: a short dip deals everything out anew. Higher: a queue
grows meanwhile."""

PROBE_INTERVAL_S: Final = 3.0
"""How long nothing moves before a layer is lifted: probes are no closer. Lower: more attempts that fail.
Higher: a better link shows later."""

_COLUMNS: Final = np.arange(LAYERS)
_ENCODING: Final = _COLUMNS // MAX_TEMPORAL
_TEMPORAL: Final = _COLUMNS % MAX_TEMPORAL


class LivekitLike:
    """Everything anew when the link is full, else only what starts or can be lifted."""

    def due(self, problem: Problem, /) -> BoolArray:
        """(subscribers,) something changed, or congestion would have been noticed by now."""
        return has_waited(problem, CONGESTED_AFTER_S)

    def __call__(self, problem: Problem, /) -> IntArray:
        """(rows,) layers."""
        due = self.due(problem)
        tracks = _Tracks.of(problem)
        keep_bps = video_budget(problem, problem.keep_bps)
        change_bps = video_budget(problem, problem.change_bps)
        kept = tracks.kept()
        lacks = _any_of(problem, tracks.is_deficient(kept) & ~problem.changed)
        best = np.where(lacks[problem.subscriber], kept, tracks.best)
        is_full = due & (tracks.spent_bps(best) > keep_bps)
        dealt = tracks.deal(is_full, keep_bps)
        started = tracks.start(best, problem.changed & ~is_full[problem.subscriber], keep_bps)

        has_rested = ~_any_of(problem, problem.now - problem.previous_at < PROBE_INTERVAL_S * NS_PER_S)
        gave_back = _any_of(problem, problem.changed & ~problem.is_audio & (kept < problem.previous))
        lifted = tracks.lift(started, due & lacks & ~is_full & (has_rested | gave_back), change_bps)
        decided = np.where(is_full[problem.subscriber], dealt, lifted)
        return hold(problem, due, np.where(problem.is_audio, given_audio(problem), decided))


livekit_like: Final = LivekitLike()


@dataclass(frozen=True, slots=True)
class _Tracks:
    """What may be given of each row, and the ways in which rows move. Arrays are (rows,) unless said."""

    problem: Problem
    layers: BoolArray
    """(rows, LAYERS)"""
    best: IntArray
    """What is asked for: the highest layer, `PAUSED` where there is none."""
    is_managed: BoolArray
    """Whether it takes part; a shared screen of one encoding just gets its best."""
    temporal_layers: IntArray
    """How many there are."""

    @classmethod
    def of(cls, problem: Problem) -> _Tracks:
        layers = video_layers(problem)
        is_multi_layered = (problem.layer_heights[:, MAX_TEMPORAL:] > 0).any(axis=1)
        return cls(
            problem=problem,
            layers=layers,
            best=highest(layers),
            is_managed=~problem.is_screen | is_multi_layered,
            temporal_layers=np.where(layers, _TEMPORAL, 0).max(axis=1) + 1,
        )

    def spent_bps(self, layer: IntArray) -> FloatArray:
        """(subscribers,) what the layers cost together."""
        return per_subscriber(self.problem, cost_of(self.problem.costs_bps, layer))

    def is_deficient(self, layer: IntArray) -> BoolArray:
        """Whether a layer costs less than the best: quality is told by bits."""
        costs_bps = self.problem.costs_bps
        deficient: BoolArray = self.is_managed & (cost_of(costs_bps, layer) < cost_of(costs_bps, self.best))
        return deficient

    def kept(self) -> IntArray:
        """What can stay as it was: never above the best, and paused where the layer is gone."""
        previous = np.minimum(np.where(self.problem.is_audio, PAUSED, self.problem.previous), self.best)
        is_there = self.layers[np.arange(len(previous)), np.maximum(previous, 0)]
        return np.where(self.is_managed, np.where(is_there, previous, PAUSED), self.best)

    def distance(self, layer: IntArray) -> FloatArray:
        """How far a layer is from the best, in encodings; pausing is one more than the lowest layer."""
        apart = (_encoding(self.best) - _encoding(layer)) * self.temporal_layers + self.best % MAX_TEMPORAL
        apart = apart - np.where(layer == PAUSED, 0, layer % MAX_TEMPORAL)
        distance: FloatArray = apart / self.temporal_layers + (layer == PAUSED)
        return distance

    def deal(self, is_full: BoolArray, keep_bps: FloatArray) -> IntArray:
        """Everything anew, layer by layer, for subscribers whose link is full."""
        problem = self.problem
        dealt = np.where(self.is_managed, PAUSED, self.best)
        left_bps = np.maximum(keep_bps - self.spent_bps(dealt), 0.0)
        takes_part = self.is_managed & is_full[problem.subscriber] & (self.best != PAUSED)
        turns = in_turn(problem, takes_part, ~problem.is_screen, -self.best)
        for layer in range(LAYERS):
            for turn in turns:
                row = turn[self.layers[turn, layer]]
                subscriber = problem.subscriber[row]
                more_bps = problem.costs_bps[row, layer] - cost_of(problem.costs_bps[row], dealt[row])
                fits = more_bps <= left_bps[subscriber]
                dealt[row[fits]] = layer
                left_bps[subscriber[fits]] -= more_bps[fits]
        return dealt

    def start(self, layer: IntArray, may_start: BoolArray, keep_bps: FloatArray) -> IntArray:
        """Tracks that begin: the best that the headroom carries, else the lowest with bits of others."""
        problem = self.problem
        started = layer.copy()
        for turn in in_turn(problem, may_start & (layer == PAUSED) & (self.best != PAUSED)):
            subscriber = problem.subscriber[turn]
            costs_bps = problem.costs_bps[turn]
            headroom_bps = (keep_bps - self.spent_bps(started))[subscriber]
            fitting = highest(self.layers[turn] & (costs_bps <= headroom_bps[:, None]))
            started[turn] = fitting
            needy = turn[fitting == PAUSED]
            lowest = self.layers[needy].argmax(axis=1)
            needed_bps = np.zeros(len(keep_bps))
            needed_bps[problem.subscriber[needy]] = problem.costs_bps[needy, lowest]
            given, is_enough = self._collected(started, needed_bps)
            started = np.where(is_enough[problem.subscriber], given, started)
            started[needy] = np.where(is_enough[problem.subscriber[needy]], lowest, PAUSED)
        return started

    def _collected(self, layer: IntArray, needed_bps: FloatArray) -> tuple[IntArray, BoolArray]:
        """Layers once bits are given, by who is nearest to the best, and (subscribers,) whether they do."""
        problem = self.problem
        offer, saved_bps = self._offers(layer)
        gives = (saved_bps > 0) & self.is_managed & (needed_bps[problem.subscriber] > 0)
        given = layer.copy()
        collected_bps = np.zeros(len(needed_bps))
        for turn in in_turn(problem, gives, problem.is_screen, self.distance(layer)):
            row = turn[collected_bps[problem.subscriber[turn]] < needed_bps[problem.subscriber[turn]]]
            given[row] = offer[row]
            collected_bps[problem.subscriber[row]] += saved_bps[row]
        return given, (needed_bps > 0) & (collected_bps >= needed_bps)

    def _offers(self, layer: IntArray) -> tuple[IntArray, FloatArray]:
        """The lower layer that saves most for what the change costs, and the bits that it saves."""
        encoding, temporal = _encoding(layer)[:, None], (layer % MAX_TEMPORAL)[:, None]
        lower = self.layers & (encoding >= _ENCODING) & (temporal >= _TEMPORAL) & (layer[:, None] > _COLUMNS)
        cost_bps = cost_of(self.problem.costs_bps, layer)[:, None]
        saved_bps = np.where(lower, np.maximum(cost_bps - self.problem.costs_bps, 0.0), 0.0)
        steps = self.temporal_layers[:, None] * (encoding - _ENCODING) + temporal - _TEMPORAL
        price = np.where(lower, steps + SPATIAL_COST * (encoding != _ENCODING), 1)
        value = saved_bps / price
        is_best = lower & (value == value.max(axis=1, keepdims=True))
        offer = np.where(is_best, saved_bps, -1.0).argmax(axis=1)
        return offer, np.where(layer == PAUSED, 0.0, saved_bps[np.arange(len(layer)), offer])

    def lift(self, layer: IntArray, is_lifted: BoolArray, change_bps: FloatArray) -> IntArray:
        """One step up after the other, for the screen, then for who is farthest from the best."""
        problem = self.problem
        above = next_above(self.layers)
        rows = np.arange(len(layer))
        lifted = layer.copy()
        left_bps = change_bps - self.spent_bps(layer)
        while True:
            following = above[rows, lifted]
            more_bps = cost_of(problem.costs_bps, following) - cost_of(problem.costs_bps, lifted)
            is_open = (is_lifted & (left_bps > 0))[problem.subscriber]
            can_rise = is_open & self.is_deficient(lifted) & (following != PAUSED)
            can_rise &= more_bps <= left_bps[problem.subscriber]
            turns = in_turn(problem, can_rise, ~problem.is_screen, -self.distance(lifted))
            if not turns:
                return lifted
            lifted[turns[0]] = following[turns[0]]
            left_bps[problem.subscriber[turns[0]]] -= more_bps[turns[0]]


def _any_of(problem: Problem, rows: BoolArray) -> BoolArray:
    """(subscribers,) whether any of their rows is one of these."""
    found = np.zeros(len(problem.keep_bps), np.bool_)
    found[problem.subscriber[rows]] = True
    return found


def _encoding(layer: IntArray) -> IntArray:
    """The encoding of a layer, the lowest where paused."""
    return np.maximum(layer, 0) // MAX_TEMPORAL
