"""What other foci say of the layers that they were asked for, and whom of those who look on it concerns.

A picture that comes from another focus goes over two connections. Where the first of them brings less than is
wanted of it, what the second carries is no reason: the other focus withholds it, and says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.conference.forwarding import ANY
from sfu.conference.values import Hop, Reason
from sfu.units import NO_RID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sfu.conference.demands import Demands
    from sfu.conference.guests import Guests, GuestTrack
    from sfu.conference.outcomes import Outcome
    from sfu.conference.turn import SetDemand
    from sfu.conference.values import FarDecision, Wish
    from sfu.conference.view import AnnouncedTrack, Board, TrackIds
    from sfu.units import Rid, TrackHandle, TransportId

SHORT: Final = (Reason.BUDGET, Reason.CAP, Reason.PINNED_FIRST, Reason.SCREEN_FIRST, Reason.SPEAKER)
"""The connection carries no more, or may not."""

WITHHOLDING: Final = frozenset({*SHORT, Reason.CODEC, Reason.REFUSED, Reason.FULL, Reason.HOP})
"""Reasons of another focus that are its connection to us, or one before it. Whatever else it says is about
the sender, and what is found of the sender here is told."""


class Hops:
    """Of one call.

    Args:
        guests: of the call; what is said of their tracks is kept with them.
        demands: what was asked for.
        board: how tracks are called here.
    """

    def __init__(self, guests: Guests, demands: Demands, board: Board) -> None:
        self._guests = guests
        self._demands = demands
        self._board = board
        self._changed: dict[TrackHandle, None] = {}

    @property
    def is_stale(self) -> bool:
        """Something else was said than before."""
        return bool(self._changed)

    def take(self, trunk: TransportId, said: Iterable[FarDecision]) -> None:
        """Another focus explains itself: all that it says of a track replaces what it has said of it before.

        Args:
            trunk: by which.
            said: of tracks as they are announced there; what is not announced is ignored.
        """
        by_ids: dict[TrackIds, list[FarDecision]] = {}
        for one in said:
            by_ids.setdefault((one.stream_id, one.track_id), []).append(one)
        for track in self._guests.tracks_of(trunk):
            told = by_ids.get(track.ids)
            if told is not None:
                kept = tuple(told[: len(track.rids) + 1])
                if kept != track.far:
                    track.far = kept
                    self._changed[track.handle] = None

    def changed(self) -> set[TrackIds]:
        """The tracks of which something else was said since this was asked last, as they are called here."""
        changed, self._changed = self._changed, {}
        found = set()
        for handle in changed:
            track = self._guests.tracks.get(handle)
            if track is not None:
                announced = self._board.announced(track.guest).get(track.published().key)
                if announced is not None:
                    found.add(announced.ids)
        return found

    def limiting(
        self, announced: AnnouncedTrack, demand: SetDemand | None, outcome: Outcome | None
    ) -> Hop | None:
        """The connection that keeps somebody from more of a track; None: none does.

        Args:
            announced: the track.
            demand: what is wanted of it; None: it can't be forwarded yet.
            outcome: what was decided; None: nothing.
        """
        track = self._guests.tracks.get(announced.track)
        if track is None:
            return None
        trunk = self._guests.trunk_of(track.guest)
        if trunk is None:
            return Hop(track.guest, None)
        asked = self._demands.asked(trunk, track.handle)
        if asked is None:
            return None
        for rid in _missing(track, asked, demand, outcome):
            for one in track.far:
                if one.rid in (None, rid) and one.reason in WITHHOLDING:
                    return Hop(track.guest, one.reason, one.limit)
        return None


def _missing(
    track: GuestTrack, asked: Wish, demand: SetDemand | None, outcome: Outcome | None
) -> Iterator[Rid]:
    """The layers that were asked for and would be given if they came, the next step first."""
    rids = track.rids or (NO_RID,)
    lowest, highest = 0, len(rids) - 1
    if demand is not None and outcome is not None:
        highest = outcome.allowed
        if outcome.chosen == highest:
            return
        is_next = demand.only == ANY and outcome.chosen < highest
        lowest = outcome.chosen + 1 if is_next else highest
    for rid in rids[lowest : highest + 1]:
        if not asked.layers or rid in asked.layers:
            yield rid
