"""What could be given, and the densest of it: a knapsack of choices for every subscriber at once.

Each row is given one of its layers or none. Greedy by density (worth per bit) is as good as it gets with many
rows: what is left over is less than one step. `densest_first` is the same as taking, again and again, the
step up of any row that has the most worth per bit and still fits; but it finds the price at which all that is
worth it just fits, by bisection, for all subscribers at once. So more budget never gives less: at the first
step that one budget allows and a smaller one does not, that step is worth more than all that the smaller one
still takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.flow import picked
from sfu.allocation.problem import LAYERS
from sfu.rows import PAUSED

if TYPE_CHECKING:
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray
    from sfu.allocation.worth import ShortArray

PRICES: Final = 9
"""Bisections of the price. Lower: steps of nearly the same density are taken in the order of rows. Higher:
time."""

NEARLY_FREE: Final = 1e-15
"""A price that decides only between layers of the same worth."""

LEAST_STEP_BPS: Final = 1_000.0
"""What a step is taken to cost at least: one that costs nothing, or gives back, comes first all the same.
Lower: such steps set the scale of prices. Higher: budget is left unused."""

SETTLE: Final = 3
"""Of these, so many before the rows that are settled are put aside. Lower: time goes into putting aside.
Higher: into asking again what has been answered."""

CHEAPEST: Final = 1e-4
"""The lowest price, as a part of the highest density of a subscriber. What is worth less per bit comes last,
in the order of rows."""

PASSES: Final = 4
"""How many steps that do not fit may be passed over. Lower: budget is left over behind a large step. Higher:
time."""

WORTHLESS: Final = 1e-9
"""Worth that is not bought: the rounding of sums."""

UNUSABLE_BPS: Final = 1e15
"""In place of the cost of what is not to be had: of infinite ones no differences can be taken."""

SAFE: Final = 1.0 - 1e-6
"""Part of a budget that is spent, or the rounding of costs might exceed it."""

_NOTHING: Final = LAYERS
"""Where nothing stands among options: the last, which `PAUSED` is the index of as well."""

_LAYER_BITS: Final = np.int32(15)
"""The lowest bits of a gain carry its layer while the largest is looked for: numpy's maximum is ten times as
fast as its argmax, and a gain need not be exact to one part of 2**19."""
_NUMBERS: Final = np.arange(LAYERS + 1, dtype=np.int32)[:, None]


@dataclass(frozen=True, slots=True)
class Options:
    """Rows sorted by subscriber, and in there by rank. Layers come first: numpy is faster along rows.

    Behind the layers stands nothing, which is worth and costs 0.
    """

    worths: ShortArray
    """(LAYERS + 1, rows) above what the row is worth without; 0 or less: of no use."""
    costs_bps: ShortArray
    """(LAYERS + 1, rows) above what the row takes without; `UNUSABLE_BPS` and more: not to be had."""
    subscriber: IntArray
    """(rows,) from 0 on, none left out."""
    starts: IntArray
    """(subscribers,) the first row of each."""

    @classmethod
    def of(cls, worths: ShortArray, costs_bps: ShortArray, subscriber: IntArray, starts: IntArray) -> Options:
        """(LAYERS, rows) of layers, and nothing."""
        nothing = np.zeros((1, len(subscriber)), np.float32)
        return cls(
            np.concatenate((worths, nothing)), np.concatenate((costs_bps, nothing)), subscriber, starts
        )

    def costs_of(self, layer: IntArray) -> ShortArray:
        """(rows,) cost of a layer each; 0 where it is `PAUSED`."""
        return picked(self.costs_bps, layer)

    def worths_of(self, layer: IntArray) -> ShortArray:
        """(rows,) worth of a layer each; 0 where it is `PAUSED`."""
        return picked(self.worths, layer)

    def highest(self) -> IntArray:
        """(rows,) the layer of the most worth, of equal ones the cheapest; `PAUSED`: it has none."""
        layer = _worth_their_price(self, np.full(len(self.starts), NEARLY_FREE))
        return np.where(layer == _NOTHING, PAUSED, layer)

    def totals(self, values: ShortArray) -> FloatArray:
        """(subscribers,) sums over rows."""
        sums: FloatArray = np.add.reduceat(values.astype(np.float64), self.starts)
        return sums

    def any_of(self, flags: BoolArray) -> BoolArray:
        """(subscribers,) whether a row of it is marked."""
        found: BoolArray = np.logical_or.reduceat(flags, self.starts)
        return found

    def some_of(self, rows: IntArray) -> tuple[Options, IntArray]:
        """Only these rows, in order.

        Returns:
            Them, and which subscribers are left: these are numbered anew.
        """
        subscriber, starts = numbered(self.subscriber[rows])
        # Unlike an index, `take` leaves each layer's rows side by side.
        worths, costs = self.worths.take(rows, axis=1), self.costs_bps.take(rows, axis=1)
        return Options(worths, costs, subscriber, starts), self.subscriber[rows[starts]]

    def beyond(self, layer: IntArray) -> Options:
        """The same with something given: worths and costs are what comes on top. Nothing is no step."""
        worths, costs = self.worths - self.worths_of(layer), self.costs_bps - self.costs_of(layer)
        worths[_NOTHING] = costs[_NOTHING] = 0.0
        return Options(worths, costs, self.subscriber, self.starts)


def numbered(subscriber: IntArray) -> tuple[IntArray, IntArray]:
    """Sorted numbers, renumbered from 0 without holes, and where each begins."""
    is_first = np.empty(len(subscriber), np.bool_)
    is_first[:1] = True
    np.not_equal(subscriber[1:], subscriber[:-1], out=is_first[1:])
    return np.cumsum(is_first) - 1, np.flatnonzero(is_first)


def densest_first(
    options: Options, layer: IntArray, budget_bps: FloatArray, passes: int = PASSES
) -> IntArray:
    """Improve a choice as far as a budget allows, steps of the highest worth per bit first.

    Args:
        options: of all rows.
        layer: (rows,) where to begin. Where that does not fit the budget it is left as it is.
        budget_bps: (subscribers,).
        passes: one more than the steps that do not fit and are passed over.

    Returns:
        (rows,) layers or `PAUSED`.
    """
    layer = layer.copy()
    rows = np.arange(len(layer))
    extra = options.beyond(layer)
    # A higher layer that costs less gives nothing back: sums then stay on the safe side.
    np.maximum(extra.costs_bps[:LAYERS], LEAST_STEP_BPS, out=extra.costs_bps[:LAYERS])
    left_bps = SAFE * budget_bps - options.totals(options.costs_of(layer))
    for _ in range(passes):
        is_useful = extra.costs_bps[:LAYERS] <= left_bps.take(extra.subscriber)
        is_useful &= extra.worths[:LAYERS] > WORTHLESS
        active = np.flatnonzero(is_useful.any(axis=0))
        if not len(active):
            break
        rows = rows[active]
        extra, subscribers = extra.some_of(active)
        extra.costs_bps[:LAYERS] += ~is_useful.take(active, axis=1) * np.float32(UNUSABLE_BPS)
        left_bps = left_bps[subscribers]
        step = _down_to_what_does_not_fit(extra, left_bps)
        left_bps = left_bps - extra.totals(extra.costs_of(step))
        extra = extra.beyond(step)
        layer[rows] = np.where(step == _NOTHING, layer[rows], step)
    return layer


def _down_to_what_does_not_fit(options: Options, budget_bps: FloatArray) -> IntArray:
    """(rows,) all steps in the order of their density, up to the first that does not fit; else nothing."""
    densities = (options.worths[:LAYERS] / options.costs_bps[:LAYERS]).max(axis=0)
    dear = np.maximum.reduceat(densities, options.starts)
    cheap = dear * CHEAPEST
    nothing = np.full(len(options.subscriber), _NOTHING)
    return _between(options, budget_bps, (nothing, _worth_their_price(options, cheap)), (dear, cheap), PRICES)


def _between(
    options: Options,
    budget_bps: FloatArray,
    choices: tuple[IntArray, IntArray],
    prices: tuple[FloatArray, FloatArray],
    rounds: int,
) -> IntArray:
    """Between few steps, which fit, at a dear price, and many at a cheap one: the densest that fit."""
    few, many = choices
    dear, cheap = prices
    for _ in range(SETTLE):
        price = np.sqrt(dear * cheap)
        layer = _worth_their_price(options, price)
        fits = options.totals(options.costs_of(layer)) <= budget_bps
        row_fits = fits.take(options.subscriber)
        few, many = np.where(row_fits, layer, few), np.where(row_fits, many, layer)
        dear, cheap = np.where(fits, price, dear), np.where(fits, cheap, price)
    cost_bps = options.costs_of(few)
    left_bps = budget_bps - options.totals(cost_bps)
    rows = np.flatnonzero(few != many)
    if not len(rows):
        return few
    if rounds <= SETTLE:
        return _in_order(options, few, many, left_bps)
    # What both prices buy is settled; the search goes on among the rest.
    rest, subscribers = options.some_of(rows)
    few[rows] = _between(
        rest,
        left_bps[subscribers] + rest.totals(cost_bps[rows]),
        (few[rows], many[rows]),
        (dear[subscribers], cheap[subscribers]),
        rounds - SETTLE,
    )
    return few


def _in_order(options: Options, few: IntArray, many: IntArray, left_bps: FloatArray) -> IntArray:
    """Of the steps from `few` to `many`, whose prices are nearly the same, the densest that fit."""
    rows = np.flatnonzero(few != many)
    extra_bps = (options.costs_of(many) - options.costs_of(few))[rows]
    extra_bps = np.maximum(extra_bps, 1.0)
    density = (options.worths_of(many) - options.worths_of(few))[rows] / extra_bps
    subscriber, starts = numbered(options.subscriber[rows])
    order = np.lexsort((-density, subscriber))
    running = np.cumsum(extra_bps[order], dtype=np.float64)
    spent = running - (running - extra_bps[order])[starts][subscriber[order]]
    granted = rows[order[spent <= left_bps[options.subscriber[rows[order]]]]]
    layer = few.copy()
    layer[granted] = many[granted]
    return layer


def _worth_their_price(options: Options, price: FloatArray) -> IntArray:
    """(rows,) the layer of the highest worth when bits cost `price`, nothing where none is worth its own."""
    gain = options.costs_bps * price.astype(np.float32).take(options.subscriber)
    np.subtract(options.worths, gain, out=gain)
    # Of floats from 0 on, the integers of the same bits have the same order; below 0 they are below 0, too.
    bits = gain.view(np.int32)
    bits &= ~_LAYER_BITS
    bits |= _NUMBERS
    # Of equal gains the last has it: nothing, where there is none.
    best: IntArray = (bits.max(axis=0) & _LAYER_BITS).astype(np.int64)
    return best
