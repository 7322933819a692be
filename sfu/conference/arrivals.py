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
from sfu.negotiation.role import Role
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
        """Begin somebody's.

        Args:
            place: where it is to be.
            routes: those of the call.
            caps: what it is given at most, besides what everybody is.
            is_admitted: it is known to be who it says.
        """
        given = lowest((self._caps, caps))
        leg, outputs = self._begin(place, routes, given.max_height)
        leg.is_admitted = is_admitted
        if given != NO_CAPS:
            max_bps = given.max_bps or math.inf
            outputs.append(SetCaps(leg.transport, max_bps, given.max_height, given.max_videos))
        return leg, outputs

    def trunk(self, place: LocalMedia, routes: Routes, *, dials: bool) -> tuple[Leg, Outputs]:
        """Begin one to another focus, which is known to be who it says; nobody's ceilings are for it.

        It may publish as many tracks as a leg may receive: those here receive them.

        Args:
            place: where it is to be.
            routes: those of the call.
            dials: we call it.
        """
        role = Role.CALLER if dials else Role.CALLEE
        trunk, outputs = self._begin(place, routes, 0, role, is_trunk=True)
        # Its guests are described apart, and nothing is taken for a client's only stream.
        trunk.publications.describe(())
        return trunk, outputs

    def _begin(
        self,
        place: LocalMedia,
        routes: Routes,
        max_height: int,
        role: Role = Role.CALLEE,
        *,
        is_trunk: bool = False,
    ) -> tuple[Leg, Outputs]:
        limits = self._limits
        leg = self._ids.transport()
        credentials = new_credentials(self._rng)
        is_dialled = role is Role.CALLER
        # Who dials is found by the checks that it sends, from a port that nobody knows before.
        candidates = () if is_dialled else place.candidates
        described = LocalDescription(credentials, place.fingerprint, candidates)
        begun = Leg(
            transport=leg,
            negotiation=Negotiation(described, self._config, self._rng, role),
            publications=Publications(
                leg, self._ids, limits.subscriptions_per_leg if is_trunk else limits.tracks_per_leg
            ),
            subscriptions=Subscriptions(
                leg,
                self._ids,
                routes,
                limit=limits.subscriptions_per_leg,
                max_height=max_height,
                is_trunk=is_trunk,
            ),
            credentials=credentials,
            is_admitted=True,
            is_trunk=is_trunk,
            is_dialled=is_dialled,
        )
        return begun, [AddTransport(leg, credentials, place.worker, own_port=is_dialled)]
