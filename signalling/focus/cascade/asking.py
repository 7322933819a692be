"""What a trunk is asked for: the newest of many demands, at a pace that the other focus can bear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signalling.events.data_channel import SubscribedTrack, TrackRef, TrackSubscription
from signalling.focus.allowance import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.conference.values import Wish
    from sfu.conference.view import TrackIds
    from sfu.units import Instant

MAX_PER_S: Final = 5
"""Subscriptions in any second. Lower: a picture that somebody wants is asked for later. Higher: where many
people come at once, more messages say what one could."""
MAX_TRACKS: Final = 200
"""Tracks in one of them: with ids of any length it is still one that can be read. Lower: a large call takes
more messages. Higher: it is refused as too long."""


class Asking:
    """Of one leg. Demands are incremental and are never lost: they are said together when it is time."""

    def __init__(self) -> None:
        self._wanted: dict[TrackIds, Wish] = {}
        self._said: dict[TrackIds, Wish] = {}
        self._window = Window(MAX_PER_S)

    @property
    def wanted(self) -> Iterable[Wish]:
        """Everything that is wanted now."""
        return self._wanted.values()

    def demand(self, wanted: Sequence[Wish], unwanted: Sequence[TrackIds]) -> None:
        """Others are wanted, or wanted otherwise; these not any more."""
        for ids in unwanted:
            self._wanted.pop(ids, None)
        self._wanted |= {(one.stream_id, one.track_id): one for one in wanted}

    def begin_anew(self) -> None:
        """The other focus may not have heard what was said."""
        self._said = {}

    def poll(self, now: Instant) -> list[TrackSubscription]:
        """What is to be said now."""
        said: list[TrackSubscription] = []
        while self._differs() and self._window.take(now):
            gone = [ids for ids in self._said if ids not in self._wanted][:MAX_TRACKS]
            new = {ids: one for ids, one in self._wanted.items() if self._said.get(ids) != one}
            told = dict(list(new.items())[: MAX_TRACKS - len(gone)])
            for ids in gone:
                del self._said[ids]
            self._said |= told
            said.append(
                TrackSubscription(
                    tuple(_subscribed(one) for one in told.values()), tuple(TrackRef(*ids) for ids in gone)
                )
            )
        return said

    def next_timeout(self) -> Instant | None:
        """When `poll` has something to say that had to wait."""
        return self._window.free_at() if self._differs() else None

    def _differs(self) -> bool:
        return self._said != self._wanted


def _subscribed(wish: Wish) -> SubscribedTrack:
    return SubscribedTrack(
        wish.stream_id,
        wish.track_id,
        wish.width,
        wish.height,
        is_pinned=wish.is_pinned,
        is_visible=wish.is_visible,
        layers=wish.layers,
    )
