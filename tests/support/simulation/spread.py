"""Calls over several foci, and what everybody in them must see whatever a test is about."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Final

from signalling.focus.cascade.settings import BranchRule, CascadeSettings, RelayRule
from tests.support.simulation.backbone import BETWEEN_SITES
from tests.support.simulation.label import Source
from tests.support.simulation.simulation import Simulation, seconds
from tests.support.simulation.sites import site_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sfu.config import SfuConfig
    from sfu.netem.link import LinkProfile
    from tests.support.simulation.client import SimClient
    from tests.support.simulation.meter import Meter, Piece

NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank")


def spread(
    foci: int,
    people: int = 0,
    *,
    seed: int = 1,
    config: SfuConfig | None = None,
    cascade: CascadeSettings | Sequence[CascadeSettings] | None = None,
    between: LinkProfile = BETWEEN_SITES,
    is_traced: bool = False,
) -> Simulation:
    """A call of people, as many as there are foci if not said otherwise, in turn on each."""
    sim = Simulation(seed, config=config, foci=foci, cascade=cascade, between=between, is_traced=is_traced)
    for number, name in enumerate(NAMES[: people or foci]):
        sim.join(name, on=number % foci)
    return sim


def tree(parents: Mapping[int, int], max_hops: int) -> CascadeSettings:
    """Foci that are connected as a tree: the number of each, and that of its parent."""
    foci = {number: site_of(number).focus for number in {*parents, *parents.values()}}
    return CascadeSettings(
        enabled=True,
        max_hops=max_hops,
        relays=tuple(
            RelayRule(foci[number].user_id, foci[number].device_id)
            for number in sorted(set(parents.values()))
        ),
        tree=tuple(
            BranchRule(
                foci[number].user_id,
                foci[number].device_id,
                foci[parent].user_id,
                foci[parent].device_id,
            )
            for number, parent in parents.items()
        ),
    )


def pairs(sim: Simulation) -> Iterable[tuple[SimClient, SimClient]]:
    """Everybody with everybody else in their room."""
    return (pair for pair in permutations(sim.clients.values(), 2) if pair[0].room == pair[1].room)


def picture(viewer: SimClient, publisher: SimClient, begin_s: float, end_s: float) -> int:
    return len(viewer.seen(publisher).between(begin_s, end_s).frames)


def sound(viewer: SimClient, publisher: SimClient, begin_s: float, end_s: float) -> int:
    return len(viewer.seen(publisher, Source.MICROPHONE).between(begin_s, end_s).sounds)


def first_picture_s(viewer: SimClient, publisher: SimClient, since_s: float = 0.0) -> float:
    """When the first picture was shown since then."""
    return next(at for frame in viewer.seen(publisher).frames if (at := seconds(frame.at)) >= since_s)


def meters(sim: Simulation) -> list[tuple[int, Meter]]:
    """Every direction of every line, with the focus that it comes from."""
    numbers = range(len(sim.servers))
    return [(source, sim.meter(source, there)) for source, there in permutations(numbers, 2)]


def states(sim: Simulation) -> list[list[str]]:
    """How far the trunks of each focus are."""
    return [
        [trunk["state"] for call in server.focus.snapshot()["calls"] for trunk in call["trunks"]]
        for server in sim.servers
    ]


def assert_everybody_is_seen(sim: Simulation, begin_s: float, end_s: float) -> None:
    """In those seconds each hears all others without a gap, and sees as much as cameras give."""
    length_s = end_s - begin_s
    for viewer, publisher in pairs(sim):
        whose = f"{viewer.user_id} of {publisher.user_id}"
        assert viewer.announced(publisher) == {Source.MICROPHONE, Source.CAMERA}, whose
        assert picture(viewer, publisher, begin_s, end_s) >= 18 * length_s, whose
        assert sound(viewer, publisher, begin_s, end_s) >= 49 * length_s, whose
        assert viewer.seen(publisher).between(begin_s, end_s).longest_freeze_ms < 150, whose
    assert_nothing_is_wrong(sim)


def assert_nothing_is_wrong(sim: Simulation) -> None:
    """No rule is broken, nobody is there twice, and between foci nothing comes twice or back."""
    assert sim.faults() == []
    assert [one.doubles for one in sim.clients.values() if one.doubles] == []
    for server in sim.servers:
        assert server.warnings() == []
    for source, meter in meters(sim):
        own = {one.number for one in sim.clients.values() if one.focus == sim.servers[source].site.focus}
        assert meter.senders <= own
        assert meter.duplicates == 0


def duplicates(sim: Simulation) -> int:
    """Pieces of media that came to a focus more than once, by whichever lines, or came back to it."""
    return sum(_duplicates(sim, focus) for focus in range(len(sim.servers)))


def _duplicates(sim: Simulation, focus: int) -> int:
    own = {one.number for one in sim.clients.values() if one.focus == sim.servers[focus].site.focus}
    seen: set[Piece] = set()
    found = 0
    for other in range(len(sim.servers)):
        crossings = [] if other == focus else sim.meter(other, focus).crossings
        for piece in (one.piece for one in crossings if not one.is_repair):
            if piece is not None:
                found += piece in seen or piece.layer.sender in own
                seen.add(piece)
    return found
