"""What Signal's calling service would choose: everybody's low layer, and two budgets against flicker.

Videos go by the height they are requested in, largest first, among equals who spoke last. Everybody is
offered its lowest layer, then everybody the next, up to the one that fits its tile; what does not fit is
skipped, and a smaller video behind it may still fit. A layer that a subscriber has must fit what its path
carries now; another one must fit the lowest that it carried in the last 2.5 to 5 s. Decided once a second,
at once when the path no longer carries nine tenths of what was given.

Behaviour only, from its tests and constants (docs/allocation-policies.md). It has no temporal layers: each
encoding is one step, at its full frame rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.policies.turns import (
    cost_of,
    given_audio,
    has_waited,
    hold,
    in_turn,
    per_subscriber,
    video_budget,
    video_layers,
)
from sfu.rows import MAX_ENCODINGS, MAX_TEMPORAL

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray

INTERVAL_S: Final = 1.0
"""How often it decides. Lower: each wobble of the estimate may switch layers. Higher: a better link shows
later."""

AT_ONCE_BELOW: Final = 0.9
"""It does not wait where the path carries less than this part of what is given. Lower: a queue grows for
up to a second. Higher: noise decides, not the clock."""

_ENCODINGS: Final = np.arange(MAX_ENCODINGS)


class SignalLike:
    """Layer by layer, the largest request first, under a budget to keep and one to change."""

    def due(self, problem: Problem, /) -> BoolArray:
        """(subscribers,) a second has passed, something changed, or too much is being sent."""
        given_bps = per_subscriber(
            problem, np.where(problem.is_audio, 0.0, cost_of(problem.costs_bps, problem.previous))
        )
        too_much = given_bps * AT_ONCE_BELOW > video_budget(problem, problem.keep_bps)
        due: BoolArray = has_waited(problem, INTERVAL_S) | problem.reordered | too_much
        return due

    def __call__(self, problem: Problem, /) -> IntArray:
        """(rows,) layers."""
        due = self.due(problem)
        keep_bps = video_budget(problem, problem.keep_bps)
        change_bps = video_budget(problem, problem.change_bps)
        step, has_step = _full_rate(video_layers(problem))
        rows = np.arange(len(step))[:, None]
        costs = np.where(has_step, problem.costs_bps[rows, step], np.inf)
        ideal = _ideal(problem, step, has_step)
        turns = in_turn(problem, (ideal >= 0) & due[problem.subscriber], -problem.height, problem.speaker)

        chosen = given_audio(problem)
        paid = np.zeros(len(step))
        spent = np.zeros(len(keep_bps))
        for encoding in range(MAX_ENCODINGS):
            # A higher encoding that costs less than this one is offered in its place.
            offer = np.where((encoding <= _ENCODINGS) & (ideal[:, None] >= _ENCODINGS), costs, np.inf)
            offered, offered_bps = offer.argmin(axis=1), offer.min(axis=1)
            is_offered = has_step[:, encoding] & (ideal >= encoding)
            is_kept = offered == problem.previous // MAX_TEMPORAL
            for turn in turns:
                row = turn[is_offered[turn]]
                subscriber = problem.subscriber[row]
                # What a cheaper layer saves is given to nobody, so sums stay on the safe side.
                total = spent[subscriber] + np.maximum(offered_bps[row] - paid[row], 0.0)
                fits = total <= np.where(is_kept[row], keep_bps[subscriber], change_bps[subscriber])
                taken = row[fits]
                spent[subscriber[fits]] = total[fits]
                paid[taken] = offered_bps[taken]
                chosen[taken] = step[taken, offered[taken]]
        return hold(problem, due, chosen)


signal_like: Final = SignalLike()


def _full_rate(layers: BoolArray) -> tuple[IntArray, BoolArray]:
    """(rows, MAX_ENCODINGS) the highest temporal layer of each encoding, and whether there is one."""
    by_encoding = layers.reshape(-1, MAX_ENCODINGS, MAX_TEMPORAL)
    temporal = MAX_TEMPORAL - 1 - by_encoding[:, :, ::-1].argmax(axis=2)
    has_step: BoolArray = np.any(by_encoding, axis=2)
    return _ENCODINGS * MAX_TEMPORAL + temporal, has_step


def _ideal(problem: Problem, step: IntArray, has_step: BoolArray) -> IntArray:
    """(rows,) the highest encoding of the smallest height that fills the tile, else the highest, else -1.

    No size asked for is a request of the lowest here; in Signal it is a request of nothing.
    """
    heights: FloatArray = np.where(has_step, problem.layer_heights[np.arange(len(step))[:, None], step], 0.0)
    is_enough: BoolArray = has_step & (heights >= np.maximum(problem.height, 1.0)[:, None])
    enough = heights[np.arange(len(step)), is_enough.argmax(axis=1)]
    candidates: BoolArray = np.where(
        is_enough.any(axis=1, keepdims=True), has_step & (heights == enough[:, None]), has_step
    )
    ideal: IntArray = np.where(candidates, _ENCODINGS, -1).max(axis=1)
    return ideal
