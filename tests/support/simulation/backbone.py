"""The lines between servers: one for each direction of each pair, metered at its far end.

They join hosts: whatever the ports at both ends, it is one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.netem.link import Link, LinkProfile
from sfu.netem.loss import RandomLoss
from sfu.netem.network import UDP_OVERHEAD_BYTES, Datagram
from tests.support.simulation.meter import Meter

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from sfu.netem.network import Address
    from sfu.units import Instant
    from tests.support.simulation.clock import VirtualClock

BETWEEN_SITES: Final = LinkProfile(delay_ms=10)
"""A line without faults, from one site to another."""
CUT: Final = LinkProfile(loss=RandomLoss(1.0))
"""Nothing comes through, and nothing waits."""


class _Line:
    """One direction."""

    def __init__(self, profile: LinkProfile, rng: random.Random) -> None:
        self.link: Link[Datagram] = Link(profile, rng)
        self.meter = Meter()
        self.planned_at: Instant | None = None
        """The appointment that counts; others are stale."""


class Backbone:
    """All lines between servers.

    Args:
        clock: when things arrive.
        rng: for loss and jitter.
    """

    def __init__(self, clock: VirtualClock, rng: random.Random) -> None:
        self.deliver: Callable[[list[Datagram]], None] = lambda _: None
        self._clock = clock
        self._rng = rng
        self._lines: dict[tuple[str, str], _Line] = {}
        self._profiles: dict[frozenset[str], LinkProfile] = {}

    def connect(self, one: Address, other: Address, profile: LinkProfile = BETWEEN_SITES) -> None:
        """Lay a line, the same in both directions."""
        self._profiles[frozenset((one[0], other[0]))] = profile
        for way in _ways(one, other):
            self._lines[way] = _Line(profile, self._rng)

    def change(self, one: Address, other: Address, profile: LinkProfile) -> None:
        """Make a line another one; what is on its way arrives."""
        self._profiles[frozenset((one[0], other[0]))] = profile
        self._become(one, other, profile)

    def cut(self, one: Address, other: Address) -> None:
        """Let nothing through until `heal`."""
        self._become(one, other, CUT)

    def heal(self, one: Address, other: Address) -> None:
        """Make a line what it was before it was cut."""
        self._become(one, other, self._profiles[frozenset((one[0], other[0]))])

    def leads(self, source: Address, destination: Address) -> bool:
        """Whether there is a line."""
        return (source[0], destination[0]) in self._lines

    def meter(self, source: Address, destination: Address) -> Meter:
        """What has come through in one direction."""
        return self._lines[source[0], destination[0]].meter

    def send(self, source: Address, destination: Address, data: bytes) -> None:
        """Put a datagram on a line."""
        line, now = self._lines[source[0], destination[0]], self._clock.now
        line.link.send(now, Datagram(source, destination, data), len(data) + UDP_OVERHEAD_BYTES)
        self._plan(line)

    def _become(self, one: Address, other: Address, profile: LinkProfile) -> None:
        for way in _ways(one, other):
            line = self._lines[way]
            line.link.change(self._clock.now, profile)
            self._plan(line)

    def _plan(self, line: _Line) -> None:
        due_at = line.link.next_timeout()
        if due_at is not None and (line.planned_at is None or due_at < line.planned_at):
            line.planned_at = due_at
            self._clock.call_at(due_at, lambda: self._arrive(line, due_at))

    def _arrive(self, line: _Line, planned_at: Instant) -> None:
        if line.planned_at != planned_at:
            return
        line.planned_at = None
        now = self._clock.now
        arrived = line.link.poll(now)
        self._plan(line)
        for one in arrived:
            line.meter.take(now, one.data)
        if arrived:
            self.deliver(arrived)


def _ways(one: Address, other: Address) -> tuple[tuple[str, str], tuple[str, str]]:
    """Both directions between two hosts."""
    return (one[0], other[0]), (other[0], one[0])
