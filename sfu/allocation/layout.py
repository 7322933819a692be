"""Who wants what, laid out for policies: all that does not depend on what flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sfu.allocation.budgets import rows_of
from sfu.allocation.decision import DECISION_DTYPE
from sfu.allocation.speech import places_of
from sfu.allocation.wanted import below_ceiling, full_sizes, scales, wanted_encodings
from sfu.rows import MAX_ENCODINGS, MAX_TEMPORAL

if TYPE_CHECKING:
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray
    from sfu.rows import StructArray


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows in order of subscriber and rank, arrays (rows,) unless said otherwise; encodings come first."""

    rows: StructArray
    """Of `DEMAND_DTYPE`."""
    place: IntArray
    """For each row of the demand, which row here it is."""
    record: StructArray
    """(rows,) of `DECISION_DTYPE`, in the order of the demand, with what can be said so far."""
    transports: IntArray
    """(subscribers,) sorted."""
    subscriber: IntArray
    """Index into `transports`."""
    rank: IntArray
    """Among its subscriber's rows, from 0 on: who is pinned, screen shares, who spoke last, the others."""
    speaker: IntArray
    track: IntArray
    is_audio: BoolArray
    is_screen: BoolArray
    is_pinned: BoolArray
    is_visible: BoolArray
    width: FloatArray
    height: FloatArray
    is_any: BoolArray
    """The row is not for one encoding only."""
    wanted: IntArray
    """The encoding that fits the tile, or the only one that the row is for."""
    allowed: IntArray
    """The same below the ceiling."""
    permitted: BoolArray
    """(MAX_ENCODINGS, rows) whether an encoding exists, and keeps below the ceiling; of a row that is for one
    encoding only, whether it is that one."""
    is_unheard: BoolArray
    """Sound that is not needed now."""
    is_beyond_last_n: BoolArray
    """So many other pictures come first that this is none of those that the operator gives."""
    is_unseen: BoolArray
    """A picture that is so, or whose tile is out of sight: nothing of it is given."""
    widths: FloatArray
    """(LAYERS, rows)."""
    heights: FloatArray
    """(LAYERS, rows)."""
    caps: StructArray
    """(subscribers,) of `CAPS_DTYPE`."""


def layout_of(demand: StructArray, speech: StructArray, caps: StructArray) -> Layout:
    """Lay out a demand.

    Args:
        demand: (rows,) of `DEMAND_DTYPE`; it is copied.
        speech: (n,) of `SPEECH_DTYPE`, sorted by track; tracks that are not in it never spoke.
        caps: (n,) of `CAPS_DTYPE`, each transport once.
    """
    speaker, is_unheard = places_of(speech, demand["track"])
    order = np.lexsort(
        (demand["route"], speaker, ~demand["is_screen"], ~demand["is_pinned"], demand["subscriber"])
    )
    rows, speaker = demand[order], speaker[order]
    is_first = np.diff(rows["subscriber"].astype(np.int64), prepend=-1) != 0
    starts, subscriber = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    transports = rows["subscriber"][starts].astype(np.int64)
    given = rows_of(transports, caps, (np.inf, 0, 0))
    rows["max_height"] = _lower(rows["max_height"], given["max_height"][subscriber])
    is_audio, is_visible = rows["is_audio"].copy(), rows["is_visible"].copy()
    is_picture = ~is_audio & is_visible
    pictures = np.cumsum(is_picture)
    before = pictures - is_picture
    max_videos = given["max_videos"][subscriber]
    # What is for one encoding only has no tile, and whoever looks at it beyond has a ceiling of their own.
    only = rows["only"].astype(np.int64)
    is_any = only < 0
    permitted = np.where(is_any[:, None], below_ceiling(rows), np.arange(MAX_ENCODINGS) == only[:, None])
    wanted = np.where(is_any, wanted_encodings(rows), only)
    width, height = full_sizes(rows)
    allowed = np.where(is_any, np.minimum(wanted, permitted.sum(axis=1) - 1), only)
    rank = np.arange(len(rows)) - starts[subscriber]
    is_beyond_last_n = is_picture & (max_videos > 0) & (before - before[starts][subscriber] >= max_videos)
    is_unseen = (~is_audio & ~is_visible) | is_beyond_last_n
    place = np.argsort(order)
    record = np.zeros(len(rows), DECISION_DTYPE)
    for name in ("route", "subscriber", "track", "is_audio"):
        record[name] = demand[name]
    for name, values in (
        ("wanted_encoding", wanted),
        ("allowed_encoding", allowed),
        ("rank", rank),
        ("max_videos", max_videos),
        ("is_unseen", is_unseen),
    ):
        record[name] = values[place]
    parts = np.repeat(scales(rows).T, MAX_TEMPORAL, axis=0) * ~is_audio
    return Layout(
        rows=rows,
        place=place,
        record=record,
        transports=transports,
        subscriber=subscriber,
        rank=rank,
        speaker=speaker,
        track=rows["track"].astype(np.int64),
        is_audio=is_audio,
        is_screen=rows["is_screen"].copy(),
        is_pinned=rows["is_pinned"].copy(),
        is_visible=is_visible,
        width=rows["width"].astype(np.float64),
        height=rows["height"].astype(np.float64),
        is_any=is_any,
        wanted=wanted,
        allowed=allowed,
        permitted=np.ascontiguousarray(permitted.T),
        is_unheard=is_unheard[order] & is_audio,
        is_beyond_last_n=is_beyond_last_n,
        is_unseen=is_unseen,
        widths=width * parts,
        heights=height * parts,
        caps=given,
    )


def _lower(one: IntArray, other: IntArray) -> IntArray:
    """The lower of two ceilings, where 0 is none."""
    return np.where(one == 0, other, np.where(other == 0, one, np.minimum(one, other)))
