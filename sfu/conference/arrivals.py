"""How a leg begins: what it is told of this server, and how much it may ask for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.conference.caps import NO_CAPS, Caps, lowest
from sfu.conference.leg import Leg
from sfu.conference.publications import Publications
from sfu.conference.subscriptions import Subscriptions
from sfu.conference.turn import SetCaps
from sfu.negotiation.negotiation import Negotiation, new_credentials
from sfu.negotiation.writer import LocalDescription
from sfu.plane import AddTransport

if TYPE_CHECKING:
    import random

    from sfu.conference.ids import IdSource
    from sfu.conference.outputs import Outputs
    from sfu.conference.routes import Routes
    from sfu.config import ConferenceConfig, LimitsConfig
    from sfu.negotiation.parameters import Candidate, Fingerprint


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What legs are told of this server, and the worker of the plane that they find by it."""

    fingerprint: Fingerprint
    candidates: tuple[Candidate, ...]
    worker: int = 0


class Arrivals:
    """Of one call.

    Args:
        ids: the one of this process.
        config: how a call is run.
        limits: how much one leg may ask for.
        rng: ICE passwords come from it.
        caps: what everybody is given at most.
    """

    def __init__(
        self,
        ids: IdSource,
        config: ConferenceConfig,
        limits: LimitsConfig,
        rng: random.Random,
        caps: Caps,
    ) -> None:
        self._ids = ids
        self._config = config
        self._limits = limits
        self._rng = rng
        self._caps = lowest((caps, Caps(max_height=config.max_height)))

    def leg(self, place: LocalMedia, routes: Routes, caps: Caps, *, is_admitted: bool) -> tuple[Leg, Outputs]:
        """Begin one.

        Args:
            place: where it is to be.
            routes: those of the call.
            caps: what it is given at most, besides what everybody is.
            is_admitted: it is known to be who it says.
        """
        given = lowest((self._caps, caps))
        leg = self._ids.transport()
        credentials = new_credentials(self._rng)
        described = LocalDescription(credentials, place.fingerprint, place.candidates)
        member = Leg(
            transport=leg,
            negotiation=Negotiation(described, self._config, self._rng),
            publications=Publications(leg, self._ids, self._limits.tracks_per_leg),
            subscriptions=Subscriptions(
                leg,
                self._ids,
                routes,
                limit=self._limits.subscriptions_per_leg,
                max_height=given.max_height,
            ),
            is_admitted=is_admitted,
        )
        outputs: Outputs = [AddTransport(leg, credentials, place.worker)]
        if given != NO_CAPS:
            outputs.append(SetCaps(leg, given.max_bps or math.inf, given.max_height, given.max_videos))
        return member, outputs
