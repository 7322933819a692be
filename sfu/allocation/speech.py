"""Who speaks, as allocation is told: which pictures matter more, and which sound nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.problem import NEVER_SPOKE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.allocation.rates import BoolArray, IntArray
    from sfu.rows import StructArray

UNHEARD: Final = -1
"""In place of a place: sound that need not be given now, as enough others are louder."""

SPEECH_DTYPE: Final = np.dtype([("track", "<u4"), ("place", "<i4")])
"""A track of somebody who spoke, and its place in its own call: 0 spoke last; or sound that is `UNHEARD`."""

NO_SPEECH: Final = np.zeros(0, SPEECH_DTYPE)


def speech_of(calls: Iterable[tuple[Sequence[int], Sequence[int]]]) -> StructArray:
    """(n,) of `SPEECH_DTYPE`, sorted by track.

    Args:
        calls: of each, video tracks of those who spoke, who did last first, and the sound that is not needed.
    """
    rows = [
        row
        for cameras, unheard in calls
        for row in (
            *((track, place) for place, track in enumerate(cameras)),
            *((track, UNHEARD) for track in unheard),
        )
    ]
    return np.array(sorted(rows), SPEECH_DTYPE)


def places_of(speech: StructArray, tracks: IntArray) -> tuple[IntArray, BoolArray]:
    """(tracks,) the place of each, `NEVER_SPOKE` where it has none; and which are unheard.

    Args:
        speech: (n,) of `SPEECH_DTYPE`, sorted by track.
        tracks: handles, in any order.
    """
    if not len(speech):
        return np.full(len(tracks), NEVER_SPOKE), np.zeros(len(tracks), np.bool_)
    at = np.minimum(np.searchsorted(speech["track"], tracks), len(speech) - 1)
    is_told = speech["track"][at] == tracks
    is_unheard = is_told & (speech["place"][at] == UNHEARD)
    return np.where(is_told & ~is_unheard, speech["place"][at], NEVER_SPOKE), is_unheard
