"""What everybody is told of everybody's tracks, and what follows for those who wished for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.conference.values import ViewChanged
from sfu.conference.view import Board

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.conference.agreements import Agreements
    from sfu.conference.leg import Leg
    from sfu.conference.outputs import Outputs
    from sfu.conference.speech import Speech
    from sfu.conference.values import StreamView
    from sfu.conference.view import AnnouncedTrack, TrackIds
    from sfu.units import Instant, TransportId


class Announcements:
    """Of one call.

    Args:
        delay_ms: changes are told together after so long.
        legs: everybody in it, now and later.
        agreements: say what can be forwarded, and bring it about.
        speech: is told who may speak.
    """

    def __init__(
        self, delay_ms: int, legs: Mapping[TransportId, Leg], agreements: Agreements, speech: Speech
    ) -> None:
        self.board = Board(delay_ms)
        self._legs = legs
        self._agreements = agreements
        self._speech = speech

    def view(self, member: Leg) -> tuple[StreamView, ...]:
        """What a leg may subscribe to: the announced streams of admitted others."""
        return self.board.view_without(member.transport) if member.is_admitted else ()

    def note(self, now: Instant, member: Leg) -> None:
        """Something of what a leg publishes may be different."""
        if member.is_admitted:
            self.board.note(now, member.transport, member.publications.published())

    def remove(self, now: Instant, leg: TransportId) -> Outputs:
        """A leg has left the call: others are told after the delay."""
        self.board.remove(now, leg)
        self._speech.forget(leg)
        return [] if self._legs else [*self._speech.announce(now, ())]

    def reconcile(self, member: Leg, ids: Iterable[TrackIds]) -> Outputs:
        """Begin, end or change the forwardings of these wishes of a leg; it is to be renegotiated then."""
        return [*member.subscriptions.reconcile(ids, self._find)]

    def next_timeout(self) -> Instant | None:
        """When `handle_timeout` has something to do."""
        return self.board.next_timeout()

    def handle_timeout(self, now: Instant) -> Outputs:
        """Tell what has changed, if it is time."""
        due_at = self.board.next_timeout()
        return self.flush(now) if due_at is not None and now >= due_at else []

    def flush(self, now: Instant, *, also: TransportId | None = None) -> Outputs:
        """Tell what has changed now, and this leg in any case."""
        change = self.board.flush(now)
        admitted = [member for member in self._legs.values() if member.is_admitted]
        told = tuple(
            one.transport for one in admitted if one.transport == also or change.owners - {one.transport}
        )
        # The view goes first: an offer with a track that was not listed yet is lost on clients.
        outputs: Outputs = [ViewChanged(told)] if told else []
        outputs += self._speech.announce(now, self.board.tracks)
        for member in admitted:
            touched = member.subscriptions.wished & change.tracks
            if touched:
                outputs += self.reconcile(member, sorted(touched))
                outputs += self._agreements.renegotiate(now, member)
        return outputs

    def _find(self, ids: TrackIds) -> AnnouncedTrack | None:
        # What ended a moment ago is still announced, but can't be forwarded.
        announced = self.board.find(ids)
        return announced if announced is not None and self._agreements.receives(announced.track) else None
