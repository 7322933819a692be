"""What is said of guests, and what follows for those who look on and for the trunks that are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.conference.announcements import Announcements
    from sfu.conference.demands import Demands
    from sfu.conference.guests import Guests
    from sfu.conference.leg import Leg
    from sfu.conference.outputs import Outputs
    from sfu.conference.values import GuestDescription
    from sfu.units import Instant, TrackHandle, TransportId


class Visits:
    """Of one call.

    Args:
        guests: who is there.
        announcements: tell of them.
        demands: ask for what they publish.
    """

    def __init__(self, guests: Guests, announcements: Announcements, demands: Demands) -> None:
        self._guests = guests
        self._announcements = announcements
        self._demands = demands

    def described(self, now: Instant, trunk: Leg, guests: Sequence[GuestDescription]) -> Outputs:
        """A trunk has described its guests, all of them; who is in it no more has left."""
        known = set(self._guests.tracks)
        change = self._guests.describe(trunk.transport, guests, trunk.publications)
        self._announcements.note(now, trunk)
        if change.is_relayed_otherwise:
            self._announcements.look_again(now)
        return self._changed(now, known, change.left)

    def ended(self, now: Instant, keys: Iterable[str]) -> Outputs:
        """These have left, whatever their trunks say; those that are not there are ignored."""
        known = set(self._guests.tracks)
        left = [guest for key in keys if (guest := self._guests.find(key)) is not None]
        for guest in left:
            self._guests.remove(guest)
        return self._changed(now, known, left)

    def interrupted(self, now: Instant, trunk: TransportId) -> None:
        """A trunk is gone: its guests stay, and nothing comes of them until another trunk brings it."""
        guests = self._guests.of(trunk)
        self._guests.lose(trunk)
        self._announcements.note_guests(now, guests)
        self._demands.lose(trunk)

    def _changed(self, now: Instant, known: set[TrackHandle], left: Iterable[TransportId]) -> Outputs:
        outputs: Outputs = []
        for guest in left:
            outputs += self._announcements.remove(now, guest)
        self._demands.described(sorted(known | self._guests.tracks.keys()))
        return [*outputs, *self._demands.news()]
