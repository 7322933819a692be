"""A whole call: a network, a homeserver, a focus and people, all on one virtual clock."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Final

from sfu.config import SfuConfig
from sfu.netem.link import LinkProfile
from sfu.netem.network import Network
from sfu.units import Instant, after_s
from signalling.focus.settings import CallSettings
from tests.support.simulation.client import SimClient
from tests.support.simulation.clock import START, VirtualClock
from tests.support.simulation.homeserver import SimHomeserver
from tests.support.simulation.server import SERVER_ADDRESS, SimServer
from tests.support.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.client.negotiation import LegNumbers
    from sfu.netem.network import Address, Datagram
    from signalling.focus.caps import CapRule
    from tests.support.simulation.sources import Capture
    from tests.support.simulation.wishes import Tile

GOOD: Final = LinkProfile(delay_ms=15)
"""A line without faults, some way from the focus."""


class Simulation:
    """One call from its first second.

    Args:
        seed: everything that is drawn comes from it.
        config: of the media server.
        settings: of calls.
        caps: ceilings for some.
        is_traced: whether every datagram that arrives goes into `trace`.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        config: SfuConfig | None = None,
        settings: CallSettings | None = None,
        caps: Sequence[CapRule] = (),
        is_traced: bool = False,
    ) -> None:
        self._seed = seed
        self.network = Network(self._rng("network"))
        self.clock = VirtualClock(self.network)
        self.homeserver = SimHomeserver(self.clock)
        self._world = World(self.clock, self.network, self.homeserver)
        self.server = SimServer(
            self._world,
            config or SfuConfig(),
            settings or CallSettings(),
            self._rng("server"),
            caps,
        )
        self.clients: dict[str, SimClient] = {}
        self._by_address: dict[Address, SimClient] = {}
        self._numbers: dict[str, int] = {}
        self._trace = hashlib.sha256() if is_traced else None
        self.clock.deliver = self._deliver
        self.homeserver.begin()

    def __getitem__(self, name: str) -> SimClient:
        return self.clients[name]

    @property
    def now_s(self) -> float:
        """Seconds since the clock began."""
        return (self.clock.now - START) / 1e9

    @property
    def trace(self) -> str:
        """A hash of all datagrams that arrived, with their times and addresses."""
        assert self._trace is not None, "not traced"
        return self._trace.hexdigest()

    def add(
        self,
        name: str,
        *,
        up: LinkProfile = GOOD,
        down: LinkProfile = GOOD,
        capture: Capture | None = None,
        tile: Tile | None = (640, 360),
        numbers: LegNumbers | None = None,
    ) -> SimClient:
        """Somebody who may join; they are at home, and not in the call."""
        number = len(self.clients) + 1
        options = {} if numbers is None else {"numbers": numbers}
        client = SimClient(
            name,
            number,
            self._world,
            self._rng(name),
            self._numbers,
            capture=capture,
            tile=tile,
            **options,
        )
        self.clients[name] = client
        self._numbers[client.user_id] = number
        self.network.attach(client.address, uplink=up, downlink=down)
        return client

    def join(self, *names: str) -> list[SimClient]:
        """People on good lines, who join at once."""
        clients = [self.add(name) for name in names]
        for client in clients:
            client.join()
        return clients

    def change_line(
        self, client: SimClient, *, up: LinkProfile | None = None, down: LinkProfile | None = None
    ) -> None:
        """Make somebody's line another one."""
        self.network.change(self.clock.now, client.address, uplink=up, downlink=down)

    def run_s(self, duration_s: float) -> None:
        """Let so many seconds pass."""
        self.clock.run_until(after_s(self.clock.now, duration_s))

    def run_until_s(self, end_s: float) -> None:
        """Let time pass until so many seconds after the clock began."""
        self.clock.run_until(after_s(START, end_s))

    def at_s(self, moment_s: float, action: Callable[[], None]) -> None:
        """Do something so many seconds after the clock began."""
        self.clock.call_at(after_s(START, moment_s), action)

    def faults(self) -> list[str]:
        """Every rule that was broken by the focus, whoever noticed."""
        found = [fault for client in self.clients.values() for fault in client.faults()]
        found += [f"plane: {text}" for text in self.server.watch.violations]
        return found + [f"schemas: {text}" for text in self.server.spoken.faults]

    def _deliver(self, datagrams: list[Datagram]) -> None:
        if self._trace is not None:
            for one in datagrams:
                head = f"{self.clock.now} {one.source} {one.destination} "
                self._trace.update(head.encode() + one.data)
        upward = [one for one in datagrams if one.destination == SERVER_ADDRESS]
        if upward:
            self.server.receive(upward)
        if len(upward) == len(datagrams):
            return
        for one in datagrams:
            client = self._by_address.get(one.destination)
            if client is None or client.address != one.destination:  # somebody is new or has moved
                self._by_address = {client.address: client for client in self.clients.values()}
                client = self._by_address.get(one.destination)
            if client is not None:
                client.receive(one.source, one.data)

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")


def seconds(instant: Instant) -> float:
    """Seconds since the clock began."""
    return (instant - START) / 1e9
