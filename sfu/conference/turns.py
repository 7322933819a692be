"""For how long each speaker has been first while others spoke, so that nobody is so all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sfu.units import TransportId

TURN_MS: Final = 10_000
"""Who has been first for so long while another spoke lets others go first, and comes back when it has been so
for as long. Lower: two who talk at the same time change places often. Higher: a client that claims to speak
loudly all the time keeps the first place from those who do speak."""

YIELDS_TO: Final = 0.4
"""The score of another who counts in that. Lower: a lecture makes way for who types. Higher: it takes a loud
voice to be seen beside somebody who never stops."""


class Turns:
    """Of one call."""

    def __init__(self) -> None:
        self._spent_ms: dict[TransportId, int] = {}
        self._over: set[TransportId] = set()

    def yields(self, leg: TransportId, to: TransportId, scores: Mapping[TransportId, float]) -> bool:
        """Whether a speaker's turn is over and the other, who does speak, has some of its own left."""
        return leg in self._over and to not in self._over and scores[to] >= YIELDS_TO

    def passed(
        self, interval_ms: int, order: Sequence[TransportId], scores: Mapping[TransportId, float]
    ) -> None:
        """Some time has passed with these speakers, the first of them first."""
        is_contested = any(scores[leg] >= YIELDS_TO for leg in order[1:])
        if is_contested:
            self._spent_ms.setdefault(order[0], 0)
        for leg, spent_ms in list(self._spent_ms.items()):
            if is_contested and leg == order[0]:
                self._spent_ms[leg] = min(spent_ms + interval_ms, TURN_MS)
            else:
                self._spent_ms[leg] = spent_ms - interval_ms
            if self._spent_ms[leg] <= 0:
                self.forget(leg)
            elif self._spent_ms[leg] >= TURN_MS:
                self._over.add(leg)

    def forget(self, leg: TransportId) -> None:
        """A leg has left."""
        self._spent_ms.pop(leg, None)
        self._over.discard(leg)
