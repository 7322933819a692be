"""A UDP relay in front of several foci, which counts what they send each other, and can cut it.

Each focus tells everybody an address that is not its own but a door of the relay, by
`media.advertised_addresses`; so whoever dials it, focus or participant, comes through that door. Foci have
loopback addresses of their own (Linux has all of 127.0.0.0/8), which tell them from participants and from
each other. Participants' datagrams are passed on and not counted.

On a thread of its own: what a busy event loop does late would be charged to the foci. It takes the
interpreter's lock all the same, so no delay is measured through it.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from loadtest.bench.cascade.sockets import MAX_DATAGRAM, udp
from loadtest.bench.cascade.traffic import Count, Traffic

if TYPE_CHECKING:
    from types import TracebackType

    from loadtest.bench.cascade.sockets import Address
    from loadtest.bench.cascade.traffic import Way

BATCH: Final = 64
"""Datagrams taken from one socket before the others have their turn."""


def focus_host(number: int) -> str:
    """The address that focus `number`, counted from 1, is bound to."""
    return f"127.0.1.{number}"


def door_host(number: int) -> str:
    """The address that it tells everybody."""
    return f"127.0.2.{number}"


def media_settings(number: int) -> dict[str, Any]:
    """What the `[media]` of focus `number` must say."""
    return {"host": focus_host(number), "advertised_addresses": [door_host(number)]}


@dataclass(slots=True)
class _Near:
    """Where a focus is found: what comes here is for it."""

    number: int
    port: int
    socket: socket.socket
    guests: dict[Address, _Far]
    """Whoever came here, and the socket that speaks to the focus for them."""


@dataclass(slots=True)
class _Far:
    """What comes here is from a focus, for one who came through its door."""

    door: _Near
    guest: Address
    caller: int | None
    """The number of the focus that came; None: a participant."""
    socket: socket.socket


class TrunkRelay:
    """Use as `with TrunkRelay(ports) as relay:` while the foci run.

    Args:
        ports: of each focus by its number, counted from 1.
    """

    def __init__(self, ports: dict[int, int]) -> None:
        self._ports = ports
        self._numbers = {focus_host(number): number for number in ports}
        self._lock = threading.Lock()
        self._counts: defaultdict[Way, Count] = defaultdict(Count)
        self._is_cut = False
        self._selector = selectors.DefaultSelector()
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="trunk-relay", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._stopped, selectors.EVENT_READ)
        for number, port in self._ports.items():
            door = _Near(number, port, udp(door_host(number), port), {})
            self._selector.register(door.socket, selectors.EVENT_READ, door)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # sockets, all of them
        self._selector.close()

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes between foci; participants don't notice."""
        return self._is_cut

    @is_cut.setter
    def is_cut(self, is_cut: bool) -> None:
        self._is_cut = is_cut

    def reading(self) -> dict[Way, Traffic]:
        """What passed between foci until now, by direction."""
        with self._lock:
            return defaultdict(Traffic, {way: count.reading() for way, count in self._counts.items()})

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                side: _Near | _Far | None = key.data
                if side is None:
                    return
                self._take(side)

    def _take(self, side: _Near | _Far) -> None:
        for _ in range(BATCH):
            try:
                datagram, sender = side.socket.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # a focus is not there, and the kernel tells of an earlier datagram
            if isinstance(side, _Near):
                far = side.guests.get(sender) or self._let_in(side, sender)
                self._pass(datagram, far.caller, side.number, far.socket, None)
            else:
                self._pass(datagram, side.door.number, side.caller, side.door.socket, side.guest)

    def _pass(
        self, datagram: bytes, origin: int | None, goal: int | None, out: socket.socket, to: Address | None
    ) -> None:
        if origin is not None and goal is not None:
            with self._lock:
                count = self._counts[origin, goal]
                if self._is_cut:
                    count.drop()
                    return
                count.add(datagram)
        # A full buffer loses a datagram, as networks do; so does a focus that is not there.
        with contextlib.suppress(BlockingIOError, ConnectionError):
            if to is None:
                out.send(datagram)
            else:
                out.sendto(datagram, to)

    def _let_in(self, door: _Near, guest: Address) -> _Far:
        out = udp()
        out.connect((focus_host(door.number), door.port))
        far = door.guests[guest] = _Far(door, guest, self._numbers.get(guest[0]), out)
        self._selector.register(out, selectors.EVENT_READ, far)
        return far
