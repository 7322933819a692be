"""Endpoints joined by their access lines, on one virtual clock."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple

from sfu.errors import LocalError
from sfu.netem.link import PERFECT, Link, LinkProfile, LinkStats
from sfu.units import Instant

if TYPE_CHECKING:
    import random

UDP_OVERHEAD_BYTES: Final = 28
"""IPv4 and UDP headers, which use the rate of a line as well."""

Address = tuple[str, int]


class Datagram(NamedTuple):
    """What travels."""

    source: Address
    destination: Address
    data: bytes


class Network:
    """A core without limits; each endpoint hangs on it by an uplink and a downlink of its own.

    All flows of an endpoint share its two lines, as members of a call share the line at home. A virtual clock
    goes from `next_timeout` to `next_timeout`, and `poll` says who receives what then:

        while (at := earliest(network.next_timeout(), core.next_timeout())) is not None:
            for source, destination, data in network.poll(at):
                ...
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._endpoints: dict[Address, _Endpoint] = {}
        self._agenda: list[tuple[Instant, int, _Endpoint, bool]] = []
        self._entries = 0
        self._arrived: list[Datagram] = []
        self._now = Instant(0)
        self.undeliverable = 0
        """Datagrams to an address that is (no longer) there."""

    def attach(
        self, address: Address, *, uplink: LinkProfile = PERFECT, downlink: LinkProfile = PERFECT
    ) -> None:
        """Join an endpoint.

        Raises:
            LocalError: the address is taken.
        """
        if address in self._endpoints:
            raise LocalError(f"{address} is taken")
        self._endpoints[address] = _Endpoint(Link(uplink, self._rng), Link(downlink, self._rng))

    def detach(self, address: Address) -> None:
        """Take an endpoint away, with all that is on its lines."""
        endpoint = self._endpoint(address)
        endpoint.attached = False
        del self._endpoints[address]

    def rebind(self, address: Address, new_address: Address) -> None:
        """The same lines under another address, as after a NAT rebinding; what flies to the old one is lost.

        Raises:
            LocalError: there is nobody, or the new address is taken.
        """
        endpoint = self._endpoint(address)
        if new_address in self._endpoints:
            raise LocalError(f"{new_address} is taken")
        del self._endpoints[address]
        self._endpoints[new_address] = endpoint

    def change(
        self,
        now: Instant,
        address: Address,
        *,
        uplink: LinkProfile | None = None,
        downlink: LinkProfile | None = None,
    ) -> None:
        """Make lines of an endpoint other than they were; None keeps one as it is."""
        endpoint = self._endpoint(address)
        self._run(now)
        for up, profile in ((True, uplink), (False, downlink)):
            if profile is not None:
                endpoint.link(up=up).change(now, profile)
                self._plan(endpoint, up=up)

    def send(self, now: Instant, source: Address, destination: Address, data: bytes) -> None:
        """Put a datagram on the uplink of its source.

        Raises:
            LocalError: there is no endpoint of that address.
        """
        endpoint = self._endpoint(source)
        self._run(now)
        endpoint.uplink.send(now, Datagram(source, destination, data), len(data) + UDP_OVERHEAD_BYTES)
        self._plan(endpoint, up=True)

    def poll(self, now: Instant) -> list[Datagram]:
        """What has arrived up to `now`, in order of arrival."""
        self._run(now)
        arrived, self._arrived = self._arrived, []
        return arrived

    def next_timeout(self) -> Instant | None:
        """When to poll next; None while nothing is under way. `poll` may have nothing to say then."""
        return self._now if self._arrived else self._next_event()

    def stats(self, address: Address) -> tuple[LinkStats, LinkStats]:
        """Counters of an endpoint's uplink and downlink."""
        endpoint = self._endpoint(address)
        return endpoint.uplink.stats(), endpoint.downlink.stats()

    def _endpoint(self, address: Address) -> _Endpoint:
        endpoint = self._endpoints.get(address)
        if endpoint is None:
            raise LocalError(f"no endpoint at {address}")
        return endpoint

    def _run(self, now: Instant) -> None:
        """Carry everything on up to `now`, event by event, so that lines see their datagrams by time."""
        while (at := self._next_event()) is not None and at <= now:
            _, _, endpoint, up = heappop(self._agenda)
            endpoint.planned[up] = None
            for datagram in endpoint.link(up=up).poll(at):
                self._pass_on(at, endpoint, datagram, up=up)
            self._plan(endpoint, up=up)
        self._now = now

    def _next_event(self) -> Instant | None:
        while self._agenda:
            at, _, endpoint, up = self._agenda[0]
            if endpoint.planned[up] == at and endpoint.attached:
                return at
            heappop(self._agenda)
        return None

    def _pass_on(self, at: Instant, endpoint: _Endpoint, datagram: Datagram, *, up: bool) -> None:
        receiver = self._endpoints.get(datagram.destination)
        if receiver is None or not (up or receiver is endpoint):
            self.undeliverable += 1
        elif up:
            receiver.downlink.send(at, datagram, len(datagram.data) + UDP_OVERHEAD_BYTES)
            self._plan(receiver, up=False)
        else:
            self._arrived.append(datagram)

    def _plan(self, endpoint: _Endpoint, *, up: bool) -> None:
        """Note when a line next wants to be polled, if that is before what is noted already."""
        at, planned = endpoint.link(up=up).next_timeout(), endpoint.planned[up]
        if at is not None and (planned is None or at < planned):
            endpoint.planned[up] = at
            self._entries += 1
            heappush(self._agenda, (at, self._entries, endpoint, up))


class _Endpoint:
    def __init__(self, uplink: Link[Datagram], downlink: Link[Datagram]) -> None:
        self.uplink = uplink
        self.downlink = downlink
        self.planned: dict[bool, Instant | None] = {True: None, False: None}
        """Per line, up or not: the agenda's entry that counts; others are stale."""
        self.attached = True

    def link(self, *, up: bool) -> Link[Datagram]:
        return self.uplink if up else self.downlink
