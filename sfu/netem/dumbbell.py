"""Many flows through one bottleneck each way, behind which each has a line of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from sfu.errors import LocalError
from sfu.netem.link import PERFECT, Link, LinkProfile, LinkStats
from sfu.units import Instant, earliest

if TYPE_CHECKING:
    import random

_T = TypeVar("_T")


class Arrival(NamedTuple, Generic[_T]):
    """What came out at an end."""

    at: Instant
    flow: int
    is_forward: bool
    datagram: _T


class Dumbbell(Generic[_T]):
    """The usual topology of tests of congestion control (RFC 8867 section 4).

    Args:
        forward: the bottleneck one way.
        backward: and the other.
        rng: for loss and jitter.
    """

    def __init__(self, forward: LinkProfile, backward: LinkProfile, rng: random.Random) -> None:
        self._rng = rng
        self._bottlenecks: dict[bool, Link[tuple[int, int, _T]]] = {
            True: Link(forward, rng),
            False: Link(backward, rng),
        }
        self._tails: dict[tuple[int, bool], Link[_T]] = {}
        """Of those that are not perfect."""
        self._flows: set[int] = set()
        self._next_event: Instant | None = None
        self._arrived: list[Arrival[_T]] = []

    def attach(self, flow: int, tail: LinkProfile = PERFECT) -> None:
        """Join a flow, whose datagrams pass its tail after the bottleneck, each way.

        Raises:
            LocalError: the number is taken.
        """
        if flow in self._flows:
            raise LocalError(f"flow {flow} is there")
        self._flows.add(flow)
        if tail != PERFECT:
            for is_forward in (True, False):
                self._tails[flow, is_forward] = Link(tail, self._rng)

    def send(self, now: Instant, flow: int, datagram: _T, size_bytes: int, *, is_forward: bool) -> None:
        """Put a datagram in front of a bottleneck.

        Args:
            now: not before any earlier instant.
            flow: whose tail it passes afterwards.
            datagram: handed out by `poll` as it is.
            size_bytes: on the wire, headers included.
            is_forward: which way.
        """
        self._run(now)
        bottleneck = self._bottlenecks[is_forward]
        bottleneck.send(now, (flow, size_bytes, datagram), size_bytes)
        self._next_event = earliest(self._next_event, bottleneck.next_timeout())

    def poll(self, now: Instant) -> list[Arrival[_T]]:
        """What has arrived, in order of arrival."""
        self._run(now)
        arrived, self._arrived = self._arrived, []
        return arrived

    def next_timeout(self) -> Instant | None:
        """When to poll next; None while nothing is under way. `poll` may have nothing to say then."""
        if self._arrived:
            return self._arrived[0].at
        return self._next_event

    def waiting_ms(self, now: Instant, *, is_forward: bool) -> float:
        """How long a datagram would wait that is put in front of a bottleneck now."""
        self._run(now)
        return self._bottlenecks[is_forward].waiting_ms(now)

    def stats(self, *, is_forward: bool) -> LinkStats:
        """Counters of a bottleneck."""
        return self._bottlenecks[is_forward].stats()

    def _run(self, now: Instant) -> None:
        """Carry everything on up to `now`, event by event, so that tails see their datagrams by time."""
        while (at := self._next_event) is not None and at <= now:
            for is_forward, bottleneck in self._bottlenecks.items():
                for flow, size_bytes, datagram in bottleneck.poll(at):
                    self._pass_on(Arrival(at, flow, is_forward, datagram), size_bytes)
            for (flow, is_forward), tail in self._tails.items():
                self._arrived += [Arrival(at, flow, is_forward, datagram) for datagram in tail.poll(at)]
            bottlenecks, tails = self._bottlenecks.values(), self._tails.values()
            self._next_event = earliest(
                *(link.next_timeout() for link in bottlenecks), *(link.next_timeout() for link in tails)
            )

    def _pass_on(self, arrival: Arrival[_T], size_bytes: int) -> None:
        tail = self._tails.get((arrival.flow, arrival.is_forward))
        if tail is None:
            self._arrived.append(arrival)
        else:
            tail.send(arrival.at, arrival.datagram, size_bytes)
