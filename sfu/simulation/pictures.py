"""What can be said in a number of the pictures of a call. Rows of scenarios name these functions.

A picture is a camera of the first flow, by its number, unless all are asked about. Times are as those of
`measures`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from sfu.rows import MAX_TEMPORAL, PAUSED
from sfu.simulation.measures import rate_bps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfu.simulation.recording import PictureRecording, Recording


def mean_rate_bps(recording: Recording, begin_s: float, end_s: float) -> float:
    """What arrived of a flow, on average over all."""
    flows = range(len(recording.flows))
    return sum(rate_bps(recording, flow, begin_s, end_s) for flow in flows) / len(flows)


def seen_after_s(recording: Recording, picture: int, since_s: float = 0.0) -> float:
    """How long it takes until a picture is whole, after it was subscribed to and after `since_s`."""
    one = recording.flows[0].pictures[picture]
    begin_s = max(since_s, one.wanted_at_s)
    seen_at = one.whole_at_s[one.whole_at_s >= begin_s]
    return float(seen_at[0] - begin_s) if len(seen_at) else math.inf


def all_seen_after_s(recording: Recording) -> float:
    """The same, until the last of all pictures of all flows is."""
    return max(
        float(one.whole_at_s[0]) - one.wanted_at_s if len(one.whole_at_s) else math.inf
        for flow in recording.flows
        for one in flow.pictures
    )


def given_after_s(recording: Recording, picture: int, encoding: int, since_s: float) -> float:
    """How long after `since_s` a picture is given in an encoding, or a higher one; infinite: never."""
    at_s = recording.flows[0].ticks["at_s"]
    given = _encodings(recording.flows[0].pictures[picture].layers) >= encoding
    reached = at_s[given & (at_s >= since_s)]
    return float(reached[0] - since_s) if len(reached) else math.inf


def shown_share(recording: Recording, begin_s: float, end_s: float) -> float:
    """In what part of the time a picture is given, in whatever encoding: the mean over all."""
    return float(np.mean([(layers != PAUSED).mean() for layers in _inside(recording, begin_s, end_s)]))


def switches_per_min(recording: Recording, begin_s: float, end_s: float) -> float:
    """Changes of encoding that a subscriber sees in a minute, pauses included and frame rates not."""
    changes = sum(
        int((np.diff(_encodings(layers)) != 0).sum()) for layers in _inside(recording, begin_s, end_s)
    )
    return changes / len(recording.flows) / (end_s - begin_s) * 60


def freeze_s(recording: Recording, begin_s: float, end_s: float) -> float:
    """The longest time for which a picture that was given stood still."""
    longest = 0.0
    for flow in recording.flows:
        at_s = flow.ticks["at_s"]
        for one in flow.pictures:
            longest = max(longest, _freeze_s(one, at_s, begin_s, end_s))
    return longest


def uplink_audio_loss(recording: Recording) -> float:
    """What of the sound that publishers sent never reached the plane."""
    published = sum(flow.audio_published for flow in recording.flows)
    return sum(flow.audio_lost_before for flow in recording.flows) / published


def _freeze_s(one: PictureRecording, at_s: NDArray[np.float64], begin_s: float, end_s: float) -> float:
    """The longest gap between two moments at which a picture was whole; pauses are none."""
    whole = one.whole_at_s[(one.whole_at_s >= begin_s) & (one.whole_at_s < end_s)]
    gaps = [
        float(after - before)
        for before, after in pairwise(whole)
        if after - before > 0.1 and (one.layers[(at_s > before) & (at_s < after)] != PAUSED).all()
    ]
    return max(gaps, default=0.0)


def _inside(recording: Recording, begin_s: float, end_s: float) -> list[NDArray[np.int64]]:
    """Layers of each picture of each flow, in a span."""
    found = []
    for flow in recording.flows:
        at_s = flow.ticks["at_s"]
        inside = (at_s >= begin_s) & (at_s < end_s)
        found += [one.layers[inside] for one in flow.pictures]
    return found


def _encodings(layers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Encodings of layers; `PAUSED` stays."""
    return np.floor_divide(layers, MAX_TEMPORAL)
