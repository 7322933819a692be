"""What a subscriber that can't keep up is spared, of the packets that wait for it (packet rule 7)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.streams.selector import PacketFacts


class Fate(enum.Enum):
    """What becomes of something that waits."""

    KEPT = enum.auto()
    LEFT_OUT = enum.auto()
    """Its frame is left out; those around it go on."""
    GONE = enum.auto()
    """It is behind us: what is sent next begins anew."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A verdict on all that waits of one RTP stream."""

    fates: tuple[Fate, ...]
    limit: int | None = None
    """The highest temporal layer that goes on; None: all do, but from a key frame on."""

    @property
    def needs_key_frame(self) -> bool:
        """Nothing that waits can be shown: only a key frame that is yet to come can."""
        return self.limit is None and Fate.KEPT not in self.fates


def cut(waiting: Sequence[PacketFacts | None]) -> Cut:
    """Decide on what waits, oldest first; the oldest goes.

    Args:
        waiting: facts of each packet; None for what only keeps its place. The first is a packet.
    """
    first = waiting[0]
    if first is not None and first.temporal and first.descriptor is None:
        layer = first.temporal
        return Cut(tuple(_above(facts, layer) for facts in waiting), layer - 1)
    kept_from = next((at for at, facts in enumerate(waiting) if _starts_anew(facts, first)), len(waiting))
    return Cut((Fate.GONE,) * kept_from + (Fate.KEPT,) * (len(waiting) - kept_from))


def _above(facts: PacketFacts | None, layer: int) -> Fate:
    """Without frames of a layer, those of the layers below it can be shown, and no others."""
    is_above = facts is not None and facts.temporal is not None and facts.temporal >= layer
    return Fate.LEFT_OUT if is_above else Fate.KEPT


def _starts_anew(facts: PacketFacts | None, first: PacketFacts | None) -> bool:
    """A key frame starts, other than the one that `first` is part of."""
    return facts is not None and facts.starts_key_frame and (first is None or facts.ts != first.ts)
