"""One participant's connection, or one to another focus, as the conference knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.conference.leg_stats import StatsRequest
    from sfu.conference.publications import Publications
    from sfu.conference.subscriptions import Subscriptions
    from sfu.negotiation.negotiation import Negotiation, NegotiationOutput
    from sfu.plane import Credentials
    from sfu.units import Instant, TransportId


@dataclass(slots=True)
class Leg:
    """What it negotiates, publishes and receives."""

    transport: TransportId
    negotiation: Negotiation
    publications: Publications
    subscriptions: Subscriptions
    credentials: Credentials
    """Ours, of ICE: the newest."""
    is_admitted: bool
    is_trunk: bool = False
    """It leads to another focus: what it publishes is its guests'."""
    channel_is_ready: bool = False
    has_dtls: bool = False
    """DTLS was told to start."""
    is_dialled: bool = False
    """We have called, and look for the far side ourselves."""
    dialled: tuple[Credentials, Credentials] | None = None
    """Ours and theirs, by which we look for it."""
    stats: StatsRequest | None = None
    """Figures that its client asked for."""
    _sent_keys: tuple[int, ...] = field(default=())

    def renegotiate(self, now: Instant) -> list[NegotiationOutput]:
        """Offer what is wanted now, if that differs from what was wanted before.

        Offers wait for the data channel: it is the way that they go.
        """
        if not self.channel_is_ready:
            return []
        negotiation = self.negotiation
        tracks = self.subscriptions.send_tracks(
            negotiation.parameters, is_stable=negotiation.next_timeout() is None
        )
        keys = tuple(track.key for track in tracks)
        if keys == self._sent_keys:
            return []
        self._sent_keys = keys
        return negotiation.set_send_tracks(now, tracks)
