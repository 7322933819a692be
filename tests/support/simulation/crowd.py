"""Large calls over ten foci, as a mesh and as a tree: how soon everybody is served, and what crosses.

Everybody is a `SimClient`: a leg of their own at a real engine over the plane's core, with a member event, an
invite, offers, answers, subscriptions and every packet. Stood in for are the lines, the homeservers, DTLS and
SCTP; encryption is left out, and no time passes while anything is computed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Final

from sfu.dataplane.wire import WireProtocol
from sfu.figures import Figures
from sfu.units import Instant
from signalling.focus.cascade.settings import CascadeSettings
from tests.support.simulation.encoder import SMALL_CAMERA
from tests.support.simulation.simulation import Simulation, seconds
from tests.support.simulation.sources import Capture
from tests.support.simulation.spread import duplicates, tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.simulation.client import SimClient

FOCI: Final = 10
MESH: Final = CascadeSettings(enabled=True)
TREE: Final = tree({1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 2, 7: 2, 8: 3, 9: 3}, max_hops=4)
"""Everybody's focus is in it, so it has as many trunks as a copy needs to reach all: nine."""
ORIGIN: Final = FOCI - 1
"""The focus of who publishes alone: a leaf, and so the longest ways."""
MAX_FAULTS: Final = 10
CONVERGED_S: Final = 3.0
"""From where on bytes are counted: everybody has what they want by then."""
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

    def run(self, seconds: float) -> None:
        """Let the call be that long."""
        self.sim.run_until_s(seconds)

    def trunks(self) -> int:
        """Trunks that are up, as seen from both ends."""
        ends = [
            trunk["state"]
            for server in self.sim.servers
            for call in server.focus.snapshot()["calls"]
            for trunk in call["trunks"]
        ]
        return ends.count("up") // 2

    def duplicates(self) -> int:
        """Pieces of media that came to a focus more than once, by whichever lines, or came back to it."""
        return duplicates(self.sim)

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


def measure(
    *,
    people: int,
    mesh_people: int,
    seconds: float,
    seed: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> Figures:
    """Simulate three calls: many publishers in a mesh, and one publisher in a mesh and in a tree.

    Args:
        people: of each call with one publisher.
        mesh_people: of the call in which one person on each focus publishes.
        seconds: how long each call is.
        seed: of the simulations.
        tell: hears how far it is.
    """
    calls: dict[str, tuple[CascadeSettings, int, int]] = {
        "mesh": (MESH, mesh_people, FOCI),
        "mesh_of_one": (MESH, people, 1),
        "tree_of_one": (TREE, people, 1),
    }
    seen: dict[str, _Seen] = {}
    for name, (cascade, number, publishers) in calls.items():
        crowd = Crowd(cascade, number, publishers, seed)
        crowd.run(seconds)
        seen[name] = _Seen.of(crowd, seconds)
        tell(f"{name}: {number} people, {publishers} publish: {seen[name]}")
    mesh, flat, tall = seen.values()
    return Figures(
        values={
            "mesh10_converge_s": mesh.converged_s,
            "mesh10_duplicates": mesh.duplicates,
            "mesh10_of_one_converge_s": flat.converged_s,
            "tree10_converge_s": tall.converged_s,
            "tree10_duplicates": tall.duplicates + flat.duplicates,
            "tree10_bytes_ratio": tall.crossed.total_bytes / max(flat.crossed.total_bytes, 1),
            "tree10_origin_bytes_ratio": tall.crossed.origin_bytes / max(flat.crossed.origin_bytes, 1),
            "tree10_busiest_bytes_ratio": tall.crossed.busiest_bytes / max(flat.crossed.busiest_bytes, 1),
            "mesh10_trunks": flat.trunks,
            "tree10_trunks": tall.trunks,
        },
        raw={name: one.content() for name, one in seen.items()},
        rounds=1,
        plane="native core, simulated",
        about={"people": people, "mesh_people": mesh_people, "seconds": seconds, "seed": seed},
        digits=3,
        faults=tuple(f"{name}: {text}" for name, one in seen.items() for text in one.faults),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What came of one call."""

    converged_s: float | None
    unserved: int
    duplicates: int
    trunks: int
    crossed: Crossed
    faults: tuple[str, ...]

    @classmethod
    def of(cls, crowd: Crowd, seconds: float) -> _Seen:
        unserved = crowd.unserved()
        faults = crowd.faults()[:MAX_FAULTS]
        if unserved:
            faults.append(f"{unserved} pairs of viewer and publisher without a picture")
        crossed = crowd.crossed(CONVERGED_S, seconds)
        return cls(crowd.converged_s(), unserved, crowd.duplicates(), crowd.trunks(), crossed, tuple(faults))

    def content(self) -> dict[str, object]:
        return asdict(self)
