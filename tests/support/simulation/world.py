"""What everybody in a simulation shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.netem.network import Network
    from tests.support.simulation.backbone import Backbone
    from tests.support.simulation.clock import VirtualClock
    from tests.support.simulation.homeserver import SimHomeserver


@dataclass(frozen=True, slots=True)
class World:
    """Time, lines and Matrix."""

    clock: VirtualClock
    network: Network
    backbone: Backbone
    """The lines between servers; `network` has those of people."""
    homeserver: SimHomeserver
