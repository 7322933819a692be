"""What times of frames, flashes and beeps say. All in milliseconds of one clock."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PAIRING_MS: Final = 500.0
"""A flash and a beep further apart than this are not of the same second."""


def longest_gap(frames: Sequence[tuple[float, int]], until: float | None = None) -> float:
    """The longest time between two frames that follow each other; 0 where there are no two.

    Args:
        frames: time and height of each, in order.
        until: later ones don't count; None: all do.
    """
    at = [time for time, _ in frames if until is None or time <= until]
    return max((after - before for before, after in itertools.pairwise(at)), default=0.0)


def offsets(flashes: Iterable[float], beeps: Sequence[float]) -> list[float]:
    """How much later than its beep each flash was; those without a beep nearby are left out."""
    found = []
    for flash in flashes:
        beep = min(beeps, key=lambda one: abs(one - flash), default=None)
        if beep is not None and abs(flash - beep) <= PAIRING_MS:
            found.append(flash - beep)
    return found
