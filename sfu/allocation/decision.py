"""What was decided for each route, and why: one record per pair of subscriber and track."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.flow import picked
from sfu.allocation.problem import LAYERS
from sfu.rows import PAUSED, TARGET_DTYPE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfu.allocation.flow import Chosen, Flow
    from sfu.allocation.layout import Layout
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import IntArray
    from sfu.rows import StructArray

_NUMBERS: Final = np.arange(LAYERS, dtype=np.int8)[:, None]
"""In so few bits that a tick of thousands of rows goes through them at once."""


class Cause(enum.IntEnum):
    """Why a subscriber gets what it gets. Closed; the names are shown to people and kept in traces."""

    SIZE = 0
    """It gets what it asked for."""
    LAYER_NOT_SENT = 1
    """The encoding that would fit does not flow; the nearest that does is given."""
    CEILING = 2
    """The operator's `max_height`."""
    BUDGET = 3
    """Its link carries no more."""
    CODEC = 4
    """It can't decode what the publisher sends (a conference finds this out, never the allocator)."""
    PAUSED = 5
    """The publisher sends nothing of this track now."""
    NOT_VISIBLE = 6
    """Its tile is out of sight."""
    LAST_N = 7
    """The operator's `max_videos`: so many others come first."""
    CAP = 8
    """The operator's `max_bps`, which is less than its link carries."""
    PINNED_FIRST = 9
    """Its link carries no more, and it would be given more if nothing else were pinned."""
    SCREEN_FIRST = 10
    """Its link carries no more, and it would be given more if nothing else were a screen share."""
    SPEAKER = 11
    """Its link carries no more, and it would be given more if nobody else spoke."""
    UNHEARD = 12
    """Sound of a large call, in which enough others are louder."""

    @property
    def label(self) -> str:
        """In lower case, for people and metrics."""
        return self.name.lower()


DECISION_DTYPE: Final = np.dtype(
    [
        ("route", "<u4"),
        ("subscriber", "<u4"),
        ("track", "<u4"),
        ("is_audio", "?"),
        ("wanted_encoding", "<i1"),
        ("allowed_encoding", "<i1"),
        ("chosen_encoding", "<i1"),
        ("temporal", "<i1"),
        ("cause", "<i1"),
        ("rate_bps", "<f8"),
        ("next_rate_bps", "<f8"),
        ("budget_bps", "<f8"),
        ("best_rate_bps", "<f8"),
        ("frame_rate", "<f4"),
        ("rank", "<u2"),
        ("max_videos", "<u2"),
        ("is_unseen", "?"),
    ]
)
"""One decision. `wanted_encoding` fits the size asked for, `allowed_encoding` keeps below the ceiling too,
`chosen_encoding` is what is given (`PAUSED`: nothing), with all up to the `temporal` layer (`ALL_TEMPORAL`:
as it comes), in `frame_rate` frames a second. `rate_bps` is its cost, 0 where paused; `next_rate_bps` that of
the next step up in size or frames that flows and is allowed, 0 where there is none; `best_rate_bps` of what
would be given without a limit. `budget_bps` is what the subscriber's path has carried for a while, and never
more than the operator's cap; infinite where neither is known. `rank` is its place among the subscriber's
tracks, 0 first; `max_videos` is the operator's cap, 0: none. `is_unseen`: whatever flows, nothing is given,
because its tile is out of sight or so many others come first; of what is paused no `cause` tells it."""


def records(layout: Layout, flow: Flow, problem: Problem, chosen: Chosen) -> StructArray:
    """Write down what was chosen and why: (rows,) of `DECISION_DTYPE`, in the order of the demand.

    Args:
        layout: the demand.
        flow: what could be given.
        problem: the two as the policy had them.
        chosen: what it answered.
    """
    layer, best = chosen.layer, flow.whole
    # As bytes: numpy copies records field by field, which takes thirty times as long.
    decisions = layout.record.view(np.uint8).copy().view(DECISION_DTYPE)
    for name, values in (
        ("chosen_encoding", chosen.encoding),
        ("temporal", chosen.temporal),
        ("cause", _causes(layout, flow, problem, chosen)),
        ("budget_bps", problem.change_bps.take(problem.subscriber)),
    ):
        decisions[name] = values.take(layout.place)
    for name, columns, at in (
        ("rate_bps", flow.costs_bps, layer),
        ("next_rate_bps", flow.costs_bps, _following(flow, layer)),
        ("best_rate_bps", flow.costs_bps, best),
        ("frame_rate", flow.frame_rates, layer),
    ):
        decisions[name] = picked(columns, at).take(layout.place)
    return decisions


def _causes(layout: Layout, flow: Flow, problem: Problem, chosen: Chosen) -> NDArray[np.int8]:
    """(rows,) why: the first of these that holds."""
    layer = chosen.layer
    is_less = layer != flow.whole
    is_capped = np.isfinite(problem.change_bps) & (problem.change_bps >= layout.caps["max_bps"])
    causes = np.full(len(layer), Cause.CEILING, np.int8)
    for holds, cause in reversed(
        (
            ((chosen.encoding == layout.wanted) & (~is_less | layout.is_audio), Cause.SIZE),
            (layout.is_unheard, Cause.UNHEARD),
            (~flow.sent.any(axis=0), Cause.PAUSED),
            ((layer == PAUSED) & ~layout.is_visible, Cause.NOT_VISIBLE),
            (layout.is_beyond_last_n, Cause.LAST_N),
            (is_less & is_capped.take(problem.subscriber), Cause.CAP),
            (is_less, chosen.short),
            ((flow.best == PAUSED) & layout.is_any, Cause.CEILING),
            (flow.best != layout.allowed, Cause.LAYER_NOT_SENT),
        )
    ):
        np.copyto(causes, cause, where=holds)
    return causes


def _following(flow: Flow, layer: IntArray) -> IntArray:
    """(rows,) the lowest layer above that is offered, `PAUSED` where there is none."""
    is_above = flow.offered & (layer.astype(np.int8) < _NUMBERS)
    # The lowest has the largest distance to the end, and where there is none that is 0.
    distance = (is_above * (LAYERS - _NUMBERS)).max(axis=0)
    return np.where(distance == 0, PAUSED, LAYERS - distance).astype(np.int64)


def targets_of(decisions: StructArray) -> StructArray:
    """What `Plane.set_targets` takes: (n,) of `TARGET_DTYPE` for (n,) of `DECISION_DTYPE`."""
    targets = np.empty(len(decisions), TARGET_DTYPE)
    targets["route"] = decisions["route"]
    targets["encoding"] = decisions["chosen_encoding"]
    targets["temporal"] = decisions["temporal"]
    return targets
