"""Whose turn it is, where not everybody can be served in one tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.allocation.rates import BoolArray
    from sfu.units import Instant

TURN_NS: Final = NS_PER_S // 20
"""Of one turn. Lower: nothing is gained between ticks. Higher: in some ticks it is the same ones' again."""

_GOLDEN: Final = (5.0**0.5 - 1.0) / 2.0
_SILVER: Final = 2.0**0.5 - 1.0
"""Another ratio: with the same one, one tick in four would always begin with the same quarter."""


def first_in_turn(count: int, now: Instant) -> int:
    """Who is first now: the golden ratio spreads turns evenly, whatever ticks are left out between."""
    return int(now // TURN_NS * _GOLDEN % 1.0 * count)


def has_turn(count: int, at_once: int, now: Instant) -> BoolArray:
    """(count,) the next so many from the first on, around the end."""
    has_it: BoolArray = (np.arange(count) - first_in_turn(count, now)) % max(count, 1) < at_once
    return has_it


def is_one_in(every: int, now: Instant) -> bool:
    """Whether this is a turn for what is done once in so many."""
    return now // TURN_NS * _SILVER % 1.0 * every < 1.0
