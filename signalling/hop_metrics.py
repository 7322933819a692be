"""Metrics of the trunks to other foci that are read at each scrape rather than counted as they happen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from signalling.focus.cascade.hops import STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sfu.metrics import Metrics

_DIRECTIONS: Final = ("received", "sent")


class HopMetrics:
    """Publishes what a snapshot says of trunks.

    Bytes are counted by leg: what a trunk carried between the last scrape and its end is not seen.

    Args:
        metrics: where it goes.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._carried: dict[tuple[int, str], int] = {}
        """Bytes by leg and direction that are in the metrics."""

    def publish(self, trunks: Sequence[Mapping[str, Any]]) -> None:
        """Bring the metrics up to these trunks, of all calls."""
        states = Counter(trunk["state"] for trunk in trunks)
        for state in STATES.values():
            self._metrics.trunks.labels(state).set(states[state])
        self._metrics.guests.set(sum(len(trunk["guests"]) for trunk in trunks))
        before = self._carried
        self._carried = {
            (trunk["leg"], direction): trunk[f"bytes_{direction}"]
            for trunk in trunks
            if trunk["leg"] is not None
            for direction in _DIRECTIONS
        }
        for direction in _DIRECTIONS:
            self._metrics.trunk_bytes.labels(direction).inc(
                sum(
                    max(0, size - before.get((leg, way), 0))
                    for (leg, way), size in self._carried.items()
                    if way == direction
                )
            )
