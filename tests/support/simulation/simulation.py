"""Whole calls: a network, homeservers, one focus or several, and people, all on one virtual clock."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Final

from sfu.config import SfuConfig
from sfu.netem.link import LinkProfile
from sfu.netem.network import Network
from sfu.units import Instant, after_s
from signalling.focus.cascade.settings import CascadeSettings
from signalling.focus.settings import CallSettings
from tests.support.simulation.backbone import BETWEEN_SITES, Backbone
from tests.support.simulation.client import SimClient
from tests.support.simulation.clock import START, VirtualClock
from tests.support.simulation.homeserver import FIRST_ROOM, Room, SimHomeserver
from tests.support.simulation.meter import Meter
from tests.support.simulation.server import SimServer
from tests.support.simulation.sites import site_of
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
    """One call from its first second, or one in each of several rooms.

    Args:
        seed: everything that is drawn comes from it.
        config: of the media server.
        settings: of calls.
        caps: ceilings for some.
        foci: how many there are, each with a homeserver of its own.
        cascade: how they connect to each other, and whether; where they differ one for each focus.
        between: what lines from each server to each other are like.
        rooms: where calls are.
        is_traced: whether every datagram that arrives goes into `trace`.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        config: SfuConfig | None = None,
        settings: CallSettings | None = None,
        caps: Sequence[CapRule] = (),
        foci: int = 1,
        cascade: CascadeSettings | Sequence[CascadeSettings] | None = None,
        between: LinkProfile = BETWEEN_SITES,
        rooms: Sequence[Room] = (FIRST_ROOM,),
        is_traced: bool = False,
    ) -> None:
        self._seed = seed
        self.network = Network(self._rng("network"))
        self.clock = VirtualClock(self.network)
        self.homeserver = SimHomeserver(self.clock, rooms=rooms)
        self.backbone = Backbone(self.clock, self._rng("backbone"))
        self._world = World(self.clock, self.network, self.backbone, self.homeserver)
        self._options = config or SfuConfig(), settings or CallSettings(), caps
        if cascade is None or isinstance(cascade, CascadeSettings):
            cascade = [cascade or CascadeSettings()] * foci
        self._cascade = cascade
        self._past: list[SimServer] = []
        """Servers that have ended."""
        self.servers = [self._begin_server(number) for number in range(foci)]
        for number, server in enumerate(self.servers):
            for other in self.servers[:number]:
                self.backbone.connect(other.address, server.address, between)
        self.clients: dict[str, SimClient] = {}
        self._by_address: dict[Address, SimClient] = {}
        self._uplinks: dict[Address, Meter] = {}
        """Of those people whose uplink is counted."""
        self._numbers: dict[str, int] = {}
        self._trace = hashlib.sha256() if is_traced else None
        self.clock.deliver = self.backbone.deliver = self._deliver
        self.homeserver.begin()

    def __getitem__(self, name: str) -> SimClient:
        return self.clients[name]

    @property
    def server(self) -> SimServer:
        """The focus, or the first of several."""
        return self.servers[0]

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
        on: int = 0,
        room: Room = FIRST_ROOM,
    ) -> SimClient:
        """Somebody who may join; they are at home, and not in the call. `on` is the number of their focus."""
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
            site=site_of(on),
            room=room,
            **options,
        )
        self.clients[name] = client
        self._numbers[client.user_id] = number
        self.network.attach(client.address, uplink=up, downlink=down)
        return client

    def join(self, *names: str, on: int = 0, room: Room = FIRST_ROOM) -> list[SimClient]:
        """People on good lines, who join at once."""
        clients = [self.add(name, on=on, room=room) for name in names]
        for client in clients:
            client.join()
        return clients

    def change_line(
        self, client: SimClient, *, up: LinkProfile | None = None, down: LinkProfile | None = None
    ) -> None:
        """Make somebody's line another one."""
        self.network.change(self.clock.now, client.address, uplink=up, downlink=down)

    # --- between foci -------------------------------------------------------------------------------------

    def meter(self, source: int, destination: int) -> Meter:
        """What has come from one focus to another."""
        return self.backbone.meter(self.servers[source].address, self.servers[destination].address)

    def count_uplink(self, client: SimClient) -> Meter:
        """What comes from somebody, from now on."""
        return self._uplinks.setdefault(client.address, Meter())

    def cut(self, one: int, other: int) -> None:
        """Let nothing through between two foci."""
        self.backbone.cut(self.servers[one].address, self.servers[other].address)

    def heal(self, one: int, other: int) -> None:
        """Let everything through again."""
        self.backbone.heal(self.servers[one].address, self.servers[other].address)

    def end_server(self, number: int, *, warned: bool = False) -> None:
        """Kill a focus, or ask it to end."""
        self.servers[number].end(warned=warned)

    def restart_server(self, number: int) -> None:
        """A focus that has ended comes again, with what it has kept."""
        ended = self.servers[number]
        self._past.append(ended)
        self.servers[number] = self._begin_server(number)
        self.servers[number].restore(ended.record.kept)

    # --- time ---------------------------------------------------------------------------------------------

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
        for server in (*self._past, *self.servers):
            found += [f"plane: {text}" for text in server.watch.violations]
            found += [f"schemas: {text}" for text in server.spoken.faults]
        return found

    def _begin_server(self, number: int) -> SimServer:
        config, settings, caps = self._options
        name = "server" if not number else f"server{number}"
        if self._past:
            name = f"{name}/{len(self._past)}"
        return SimServer(
            self._world, config, settings, self._rng(name), caps, site_of(number), self._cascade[number]
        )

    def _deliver(self, datagrams: list[Datagram]) -> None:
        if self._trace is not None:
            for one in datagrams:
                head = f"{self.clock.now} {one.source} {one.destination} "
                self._trace.update(head.encode() + one.data)
        if self._uplinks:
            for one in datagrams:
                if one.source in self._uplinks:
                    self._uplinks[one.source].take(self.clock.now, one.data)
        upward = 0
        for server in self.servers:
            arrived = [one for one in datagrams if one.destination[0] == server.address[0]]
            upward += len(arrived)
            if arrived:
                server.receive(arrived)
        if upward == len(datagrams):
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
