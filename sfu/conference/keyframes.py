"""When a publisher is asked for a key frame: a route can begin with nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.plane import RequestKeyframe
from sfu.units import NS_PER_MS, TrackHandle

if TYPE_CHECKING:
    from sfu.plane import StructArray
    from sfu.units import Instant

REPEAT_MS: Final = 500
"""A key frame that has not come is asked for again after this long. Lower: on a path with a round trip of
this length the encoder makes two where one would do. Higher: a lost request is a longer black picture."""


class KeyframeRequests:
    """Asks for the key frames that routes wait for, at once and again while they don't come."""

    def __init__(self) -> None:
        self._asked_at: dict[tuple[int, int], Instant] = {}

    def keyframes_wanted(
        self, now: Instant, routes: StructArray, decisions: StructArray
    ) -> list[RequestKeyframe]:
        """The requests that are due, by track and encoding.

        A route waits while the encoding chosen for it is not the one that flows: it switches layers, or it is
        new. A newcomer to an encoding that flows to others waits as well.

        Args:
            now: this tick.
            routes: (n,) of `ROUTE_DTYPE`, what the plane sends.
            decisions: (m,) of `DECISION_DTYPE`; those of routes that the plane does not have are left out.
        """
        waiting = _waiting(routes, decisions)
        due = [pair for pair in waiting if self._is_due(now, pair)]
        self._asked_at = {pair: at for pair in waiting if (at := self._asked_at.get(pair)) is not None}
        self._asked_at.update(dict.fromkeys(due, now))
        return [RequestKeyframe(TrackHandle(track), encoding) for track, encoding in due]

    def _is_due(self, now: Instant, pair: tuple[int, int]) -> bool:
        asked_at = self._asked_at.get(pair)
        return asked_at is None or now - asked_at >= REPEAT_MS * NS_PER_MS


def _waiting(routes: StructArray, decisions: StructArray) -> list[tuple[int, int]]:
    video = decisions[~decisions["is_audio"] & (decisions["chosen_encoding"] >= 0)]
    _, at_route, at_decision = np.intersect1d(
        routes["route"], video["route"], assume_unique=True, return_indices=True
    )
    chosen = video["chosen_encoding"][at_decision]
    is_waiting = routes["encoding"][at_route] != chosen
    tracks = video["track"][at_decision][is_waiting].tolist()
    return sorted(set(zip(tracks, chosen[is_waiting].tolist(), strict=True)))
