"""One tick's choice as arrays: what every policy is given, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from sfu.rows import MAX_ENCODINGS, MAX_TEMPORAL

if TYPE_CHECKING:
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray
    from sfu.units import Instant

LAYERS: Final = MAX_ENCODINGS * MAX_TEMPORAL
"""Columns of a layer array. A layer's index is `encoding * MAX_TEMPORAL + temporal`: all steps of frame rate
of the lowest encoding, then those of the next."""

NEVER: Final = -(2**62)
"""In `previous_at`: nothing was decided about the row before."""

NEVER_SPOKE: Final = 1 << 16
"""In `speaker`: silent so far."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One tick's choice for all subscribers of all calls. Rows may stand in any order.

    Arrays are (rows,) unless said otherwise.
    """

    now: Instant
    subscriber: IntArray
    """Index into the budgets."""
    track: IntArray
    """The same number in every tick."""
    rank: IntArray
    """Lower goes first among a subscriber's rows; unique there."""
    is_audio: BoolArray
    """Audio comes before all video, whatever the budget. Its only layer is 0."""
    is_screen: BoolArray
    is_pinned: BoolArray
    is_visible: BoolArray
    speaker: IntArray
    """0: who speaks, or spoke last; 1: who spoke before; `NEVER_SPOKE`."""
    width: FloatArray
    """The tile's, in pixels; 0: no size was asked for."""
    height: FloatArray
    layer_widths: FloatArray
    """(rows, LAYERS) pixels; the same for all temporal layers of an encoding."""
    layer_heights: FloatArray
    frame_rates: FloatArray
    """(rows, LAYERS) frames a second with the temporal layers below included."""
    costs_bps: FloatArray
    """(rows, LAYERS) measured, with the temporal layers below included; above 0."""
    usable: BoolArray
    """(rows, LAYERS) layers that flow, that the subscriber may have and none larger than it can use."""
    previous: IntArray
    """The layer given in the tick before, `PAUSED` where it was none; it need not be usable any more."""
    previous_at: IntArray
    """The `Instant` since when `previous` is given, or `NEVER`."""
    changed: BoolArray
    """The row is new, or `usable` or `is_visible` are not what they were in the tick before."""
    lowered_at: IntArray
    """The `Instant` when a lower encoding was last given although the one before was usable, or `NEVER`."""
    keep_bps: FloatArray
    """(subscribers,) what the path carries now, which all that is given must fit; infinite: not known."""
    change_bps: FloatArray
    """(subscribers,) what it has carried for a while: where a layer is another than before, all that is given
    must fit this. Never above `keep_bps`."""
    reordered: BoolArray
    """(subscribers,) pins, sizes or the order of speech are not what they were in the tick before."""
    decided_at: IntArray
    """(subscribers,) the `Instant` when the policy last decided anew (see `Paced`), or `NEVER`."""
    decided_bps: FloatArray
    """(subscribers,) `keep_bps` then."""


class Policy(Protocol):
    """Chooses a layer for every row: a usable one, or `PAUSED`. Audio is given always."""

    def __call__(self, problem: Problem, /) -> IntArray:
        """(rows,) index of the layer, `PAUSED` where nothing is sent."""
        ...


@runtime_checkable
class Paced(Policy, Protocol):
    """A policy that lets its decisions stand for a while, whatever the budget does meanwhile."""

    def due(self, problem: Problem, /) -> BoolArray:
        """(subscribers,) for whom it decides anew now; for the others it answers what they have."""
        ...
