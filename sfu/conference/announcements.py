"""What everybody is told of everybody's tracks, and what follows for those who wished for them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sfu.conference.values import ViewChanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sfu.conference.agreements import Agreements
    from sfu.conference.demands import Demands
    from sfu.conference.guests import Guests
    from sfu.conference.leg import Leg
    from sfu.conference.outputs import Outputs
    from sfu.conference.speech import Speech
    from sfu.conference.values import StreamView
    from sfu.conference.view import AnnouncedTrack, Board, BoardChange, TrackIds
    from sfu.units import Instant, TransportId


class Announcements:
    """Of one call.

    Args:
        board: what is announced.
        legs: everybody in it, now and later.
        guests: people who are connected elsewhere.
        agreements: say what can be forwarded, and bring it about.
        demands: are told what will be needed from elsewhere.
        speech: is told who may speak.
    """

    def __init__(
        self,
        board: Board,
        legs: Mapping[TransportId, Leg],
        guests: Guests,
        agreements: Agreements,
        demands: Demands,
        speech: Speech,
    ) -> None:
        self._board = board
        self._legs = legs
        self._guests = guests
        self._agreements = agreements
        self._demands = demands
        self._speech = speech
        self._trunk_views: dict[TransportId, tuple[StreamView, ...]] = {}
        """As each trunk was told last: what it sees depends on more than the board."""

    def view(self, member: Leg) -> tuple[StreamView, ...]:
        """What a leg may subscribe to: the announced streams of admitted others."""
        if not member.is_trunk:
            return self._board.view_without(member.transport) if member.is_admitted else ()
        return self._board.view(partial(self._is_seen, member))

    def note(self, now: Instant, member: Leg) -> None:
        """Something of what a leg publishes, or what the guests of a trunk do, may be different."""
        if not member.is_admitted:
            return
        if not member.is_trunk:
            self._board.note(now, member.transport, member.publications.published())
            return
        self._guests.match(member.transport, member.publications)
        self.note_guests(now, self._guests.of(member.transport))

    def note_guests(self, now: Instant, guests: Iterable[TransportId]) -> None:
        """Something of what these guests publish may be different."""
        for guest in guests:
            self._board.note(now, guest, self._guests.published(guest))

    def look_again(self, now: Instant) -> None:
        """Who may see whom has changed; it is told after the delay."""
        self._board.look_again(now)

    def remove(self, now: Instant, owner: TransportId) -> Outputs:
        """A leg or a guest has left the call: others are told after the delay."""
        self._board.remove(now, owner)
        self._speech.forget(owner)
        self._trunk_views.pop(owner, None)
        return [] if self._legs else [*self._speech.announce(now, ())]

    def reconcile(self, now: Instant, member: Leg, ids: Iterable[TrackIds]) -> Outputs:
        """Begin, end or change the forwardings of these wishes of a leg; it is to be renegotiated then."""
        outputs = self._reconcile(now, member, tuple(ids))
        return [*outputs, *self._demands.news()]

    def next_timeout(self) -> Instant | None:
        """When `handle_timeout` has something to do."""
        return self._board.next_timeout()

    def handle_timeout(self, now: Instant) -> Outputs:
        """Tell what has changed, if it is time."""
        due_at = self._board.next_timeout()
        return self.flush(now) if due_at is not None and now >= due_at else []

    def flush(self, now: Instant, *, also: TransportId | None = None) -> Outputs:
        """Tell what has changed now, and this leg in any case."""
        change = self._board.flush(now)
        admitted = [member for member in self._legs.values() if member.is_admitted]
        told = tuple(
            one.transport for one in admitted if self._sees_change(one, change) or one.transport == also
        )
        # The view goes first: an offer with a track that was not listed yet is lost on clients.
        outputs: Outputs = [ViewChanged(told)] if told else []
        outputs += self._speech.announce(now, self._board.tracks)
        for member in admitted:
            touched = member.subscriptions.wished & change.tracks
            if member.is_trunk and member.transport in told:
                touched = set(member.subscriptions.wished)
            if touched:
                outputs += self._reconcile(now, member, sorted(touched))
                outputs += self._agreements.renegotiate(now, member)
        return [*outputs, *self._demands.news()]

    def _reconcile(self, now: Instant, member: Leg, ids: Sequence[TrackIds]) -> Outputs:
        # What ended a moment ago is still announced, but can't be forwarded; nor can what did not come yet.
        find = partial(self._find, member)
        outputs: Outputs = [*member.subscriptions.reconcile(ids, find, self._agreements.receives)]
        self._demands.ask(now, member, ids)
        return outputs

    def _find(self, member: Leg, ids: TrackIds) -> AnnouncedTrack | None:
        announced = self._board.find(ids)
        return announced if announced is not None and self._is_seen(member, announced.owner) else None

    def _is_seen(self, member: Leg, owner: TransportId) -> bool:
        """Whether a leg may know of an owner's tracks: a trunk never of its own guests (split horizon)."""
        if not member.is_trunk:
            return owner != member.transport
        return owner in self._legs or self._guests.may_pass(owner, member.transport)

    def _sees_change(self, member: Leg, change: BoardChange) -> bool:
        if not member.is_trunk:
            return bool(change.owners - {member.transport})
        before = self._trunk_views.get(member.transport, ())
        now = self._trunk_views[member.transport] = self.view(member)
        return now != before
