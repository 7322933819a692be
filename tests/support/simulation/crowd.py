"""Large calls over ten foci, as a mesh and as a tree: how soon everybody is served, and what crosses.

Everybody is a `SimClient`: a leg of their own at a real engine over the plane's core, with a member event, an
invite, offers, answers, subscriptions and every packet. Stood in for are the lines, the homeservers, DTLS and
SCTP; encryption is left out, and no time passes while anything is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Final

from sfu.dataplane.wire import WireProtocol
from sfu.units import Instant
from signalling.focus.cascade.settings import CascadeSettings
from tests.support.simulation.encoder import SMALL_CAMERA
from tests.support.simulation.simulation import Simulation, seconds
from tests.support.simulation.sources import Capture
from tests.support.simulation.spread import tree

if TYPE_CHECKING:
    from tests.support.simulation.client import SimClient

FOCI: Final = 10
MESH: Final = CascadeSettings(enabled=True)
TREE: Final = tree({1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 2, 7: 2, 8: 3, 9: 3}, max_hops=4)
"""Everybody's focus is in it, so it has as many trunks as a copy needs to reach all: nine."""
ORIGIN: Final = FOCI - 1
"""The focus of who publishes alone: a leaf, and so the longest ways."""
TILE: Final = (320, 180)
NOTHING: Final = Capture(has_microphone=False, camera=())


@dataclass(frozen=True, slots=True)
class Crossed:
    """What went over the lines between foci in a stretch of time."""

    total_bytes: int
    """RTP, with repairs and padding."""
    origin_bytes: int
    """The part that the focus of the first publisher sent."""
    busiest_bytes: int
    """The part of the focus that sent the most."""


class Crowd:
    """A call that many people join at once, in turn on each focus.

    Args:
        cascade: how foci connect.
        people: how many, the publishers among them.
        publishers: how many of them have a camera and a microphone; the first is on `ORIGIN`.
        seed: of the simulation.
    """

    def __init__(self, cascade: CascadeSettings, people: int, publishers: int, seed: int = 1) -> None:
        self.sim = Simulation(seed, foci=FOCI, cascade=cascade)
        self.people: list[SimClient] = []
        for number in range(people):
            capture = Capture(camera=SMALL_CAMERA) if number < publishers else NOTHING
            focus = (ORIGIN + number) % FOCI
            self.people.append(self.sim.add(f"user{number}", capture=capture, tile=TILE, on=focus))
        self.publishers = self.people[:publishers]
        for one in self.people:
            one.join()

    def unserved(self) -> int:
        """How many pairs of viewer and publisher there are of which the one has not seen the other."""
        return sum(not viewer.seen(publisher).frames for viewer, publisher in self._pairs())

    def converged_s(self) -> float | None:
        """When the last viewer saw the last publisher, after everybody joined; None: not yet."""
        firsts = [next(iter(viewer.seen(publisher).frames), None) for viewer, publisher in self._pairs()]
        return None if None in firsts else max(seconds(Instant(one.at)) for one in firsts if one is not None)

    def crossed(self, begin_s: float, end_s: float) -> Crossed:
        """What went between foci in those seconds."""
        sent = [0] * FOCI
        for one, other in permutations(range(FOCI), 2):
            meter = self.sim.meter(one, other).between(begin_s, end_s)
            sent[one] += meter.bytes_by_protocol()[WireProtocol.RTP]
        return Crossed(sum(sent), sent[ORIGIN], max(sent))

    def trunks(self) -> int:
        """Trunks that are up, as seen from both ends."""
        ends = [
            trunk["state"]
            for server in self.sim.servers
            for call in server.focus.snapshot()["calls"]
            for trunk in call["trunks"]
        ]
        return ends.count("up") // 2

    def faults(self) -> list[str]:
        """Every rule that was broken, and who was announced twice."""
        doubles = [text for one in self.people for text in one.doubles]
        warnings = [note.event for server in self.sim.servers for note in server.warnings()]
        return [*self.sim.faults(), *doubles, *warnings]

    def _pairs(self) -> list[tuple[SimClient, SimClient]]:
        return [
            (viewer, publisher)
            for publisher in self.publishers
            for viewer in self.people
            if viewer is not publisher
        ]
