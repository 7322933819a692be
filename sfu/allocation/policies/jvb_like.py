"""What Jitsi Videobridge would choose: the stage up to 360 lines, then a step for each in turn.

The layers worth having of a camera are all frame rates below 360 lines, above them only the full one; of a
shared screen all. A source on stage climbs at once to its preferred layer, and until it is there nobody
behind it gets anything; then everybody climbs one step a round. A higher layer that costs no more than the
one reached is taken for it. A screen that is first on stage may exceed the budget by 500 kbit/s. Decided
when the estimate has moved by more than 15 %, when sources, speakers or sizes change, else every 5 s.

On stage is what is pinned; where a subscriber pinned nothing, a shared screen (jitsi-meet pins the latest
one of somebody else). The rest stands in the order of speech. Sources: docs/allocation-policies.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.policies.turns import (
    UNLIMITED_BPS,
    cost_of,
    given_audio,
    has_waited,
    highest,
    hold,
    in_turn,
    next_above,
    video_budget,
    video_layers,
)
from sfu.allocation.problem import LAYERS
from sfu.rows import PAUSED

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray

INTERVAL_S: Final = 5.0
"""How long a decision stands at most. Lower: more switches for rates that waver. Higher: a layer that became
cheaper or dearer is noticed later."""

CHANGE: Final = 0.15
"""The part by which the estimate must move for a new decision. Lower: the picture follows the estimate's
noise. Higher: it is longer above a link that became slower, or below one that became faster."""

PREFERRED_HEIGHT: Final = 360
"""What the stage climbs to before anybody else gets a bit. Lower: more thumbnails on slow links. Higher:
a better speaker in an empty room."""

PREFERRED_FRAME_RATE: Final = 30.0
"""Below this, `PREFERRED_HEIGHT` and more are not considered. Lower: sharp slides instead of motion.
Higher: small but smooth."""

FRAME_RATE_TOLERANCE: Final = 0.9
"""The part of a wanted frame rate that counts as reached: here rates are measured, there they are declared.
Lower: 24 frames pass for 30. Higher: a camera that skips a frame loses its upper layers."""

SMALL_HEIGHT: Final = 180
"""Who may have no more than this leaps to the lowest height only. Lower: a small stage starves the rest.
Higher: a large one waits its turn."""

OVERSEND_BPS: Final = 500_000.0
"""By how much a shared screen on stage may exceed the budget. Lower: slides go dark on slow links.
Higher: they come late, and audio with them."""

_COLUMNS: Final = np.arange(LAYERS)


class JvbLike:
    """The stage up to its preferred layer, then a step for everybody in the order of speech."""

    def due(self, problem: Problem, /) -> BoolArray:
        """(subscribers,) five seconds have passed, something changed, or the estimate moved by 15 %."""
        before_bps = np.minimum(problem.decided_bps, UNLIMITED_BPS)
        moved_bps = np.abs(np.minimum(problem.keep_bps, UNLIMITED_BPS) - before_bps)
        due: BoolArray = (
            has_waited(problem, INTERVAL_S) | problem.reordered | (moved_bps > CHANGE * before_bps)
        )
        return due

    def __call__(self, problem: Problem, /) -> IntArray:
        """(rows,) layers."""
        due = self.due(problem)
        layers = video_layers(problem)
        climb = _Climb.of(problem, layers, _on_stage(problem, layers))
        takes_part = layers.any(axis=1) & due[problem.subscriber]
        turns = in_turn(problem, takes_part, ~climb.on_stage, problem.speaker)
        chosen = np.where(problem.is_audio, given_audio(problem), PAUSED)
        left_bps = video_budget(problem, problem.keep_bps)
        is_climbing = due
        while is_climbing.any():
            before_bps = left_bps.copy()
            is_open = is_climbing.copy()
            for place, turn in enumerate(turns):
                row = turn[is_open[problem.subscriber[turn]]]
                subscriber = problem.subscriber[row]
                had_bps = cost_of(climb.costs_bps[row], chosen[row])
                reached = climb.improve(
                    row, chosen[row], left_bps[subscriber] + had_bps, may_oversend=place == 0
                )
                chosen[row] = reached
                left_bps[subscriber] += had_bps - cost_of(climb.costs_bps[row], reached)
                is_open[subscriber] = ~climb.on_stage[row] | (reached >= climb.preferred[row])
            is_climbing = left_bps != before_bps
        return hold(problem, due, chosen)


jvb_like: Final = JvbLike()


@dataclass(frozen=True, slots=True)
class _Climb:
    """Which layers each row climbs, and how. Arrays are (rows,) or (rows, LAYERS)."""

    costs_bps: FloatArray
    layers: BoolArray
    above: IntArray
    on_stage: BoolArray
    preferred: IntArray
    """The layer that is climbed to at once on stage; `PAUSED` where there are no layers."""
    oversend: IntArray
    """The layer up to which the budget may be exceeded; `PAUSED` where it may not."""

    @classmethod
    def of(cls, problem: Problem, layers: BoolArray, on_stage: BoolArray) -> _Climb:
        heights = problem.layer_heights
        lowest_height = np.where(heights > 0, heights, np.inf).min(axis=1)[:, None]
        top_height = np.where(layers, heights, 0.0).max(axis=1)[:, None]
        enough_frames = np.minimum(problem.frame_rates.max(axis=1), PREFERRED_FRAME_RATE)[:, None]
        is_worth_it = (
            (heights < PREFERRED_HEIGHT)
            | (problem.frame_rates >= enough_frames * FRAME_RATE_TOLERANCE)
            | (heights == lowest_height)
        )
        considered = layers & (is_worth_it | problem.is_screen[:, None])
        preferred_height = np.where(
            top_height > SMALL_HEIGHT, np.maximum(PREFERRED_HEIGHT, lowest_height), lowest_height
        )
        preferred = highest(considered & ((heights <= preferred_height) | problem.is_screen[:, None]))
        sharpest = considered & (heights == top_height)
        cheapest = np.where(sharpest, problem.costs_bps, np.inf).argmin(axis=1)
        may_oversend = problem.is_screen & on_stage
        return cls(
            costs_bps=problem.costs_bps,
            layers=considered,
            above=next_above(considered),
            on_stage=on_stage,
            preferred=preferred,
            oversend=np.where(may_oversend, cheapest, PAUSED),
        )

    def improve(
        self, row: IntArray, layer: IntArray, budget_bps: FloatArray, *, may_oversend: bool
    ) -> IntArray:
        """Where rows get from `layer` in one step, with what they pay now included in the budget."""
        costs_bps, layers = self.costs_bps[row], self.layers[row]
        at_once = layers & (costs_bps <= budget_bps[:, None]) & (self.preferred[row][:, None] >= _COLUMNS)
        at_once &= np.logical_and.accumulate(at_once | ~layers, axis=1)
        following = self.above[row, layer]
        fits = (following != PAUSED) & (cost_of(costs_bps, following) < budget_bps)
        is_first_leap = self.on_stage[row] & (layer == PAUSED)
        reached = np.where(is_first_leap, highest(at_once), np.where(fits, following, layer))
        reached = self._past_dearer(costs_bps, layers, reached)
        if not may_oversend:
            return reached
        allowed = layers & (reached[:, None] < _COLUMNS) & (self.oversend[row][:, None] >= _COLUMNS)
        allowed &= costs_bps <= budget_bps[:, None] + OVERSEND_BPS
        return np.where(allowed.any(axis=1), allowed.argmax(axis=1), reached)

    @staticmethod
    def _past_dearer(costs_bps: FloatArray, layers: BoolArray, layer: IntArray) -> IntArray:
        """The cheapest higher layer where that costs no more than the one reached, else the one reached."""
        higher = np.where(layers & (layer[:, None] < _COLUMNS), costs_bps, np.inf)
        is_cheaper = (layer != PAUSED) & (higher.min(axis=1) <= cost_of(costs_bps, layer))
        return np.where(is_cheaper, higher.argmin(axis=1), layer)


def _on_stage(problem: Problem, layers: BoolArray) -> BoolArray:
    """(rows,) what is pinned, else, for who pinned nothing, shared screens."""
    is_there = layers.any(axis=1)
    pins = np.bincount(problem.subscriber, problem.is_pinned & is_there, len(problem.keep_bps))
    on_stage: BoolArray = is_there & np.where(
        pins[problem.subscriber] > 0, problem.is_pinned, problem.is_screen
    )
    return on_stage
