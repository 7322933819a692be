"""Our end of one dial of a trunk: what its leg has that a client's has not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from signalling.focus.cascade.asking import Asking

if TYPE_CHECKING:
    from sfu.conference.view import TrackIds
    from sfu.units import Rid
    from signalling.events.data_channel import TrackSubscription


@dataclass(slots=True)
class TrunkEnd:
    """Of one leg, from its invite to its end."""

    is_ringing: bool = False
    """We have dialled, and are not answered yet."""
    rejected_as: str = ""
    """The reason that the other focus gave, where it has rejected our invite."""
    announced: int = 0
    """Streams that the other focus was told of last."""
    asking: Asking = field(default_factory=Asking)
    wanted: dict[TrackIds, tuple[Rid, ...]] = field(default_factory=dict)
    """The layers that the other focus wants of each track, for people to see."""

    def asked(self, message: TrackSubscription, limit: int) -> None:
        """The other focus wants tracks, of which this many are remembered, or wants them no more."""
        for gone in message.unsubscribe:
            self.wanted.pop((gone.stream_id, gone.track_id), None)
        for one in message.subscribe:
            ids = one.stream_id, one.track_id
            if ids in self.wanted or len(self.wanted) < limit:
                self.wanted[ids] = one.layers
