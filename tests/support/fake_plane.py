"""A plane without a network: it keeps what it is told, and brings up what a test gives it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sfu.plane import Batch, DropReason, PlaneStats, SendDatagram
from sfu.rows import ENCODING_DTYPE, FEEDBACK_DTYPE, ROUTE_DTYPE, TRANSPORT_DTYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.plane import PlaneEvent, PlaneOperation
    from sfu.rows import StructArray
    from sfu.units import Instant, TransportId


T = TypeVar("T")


class FakePlane:
    """Meets `sfu.plane.Plane`. Where `refuses` raises, the operation and the rest of its batch are lost."""

    name = "fake"
    port = 10_000
    ports: tuple[int, ...] = (10_000,)
    tcp_port = None
    failures = 0

    def __init__(self, clock: Callable[[], Instant]) -> None:
        self.operations: list[PlaneOperation] = []
        self.batches: list[tuple[PlaneOperation, ...]] = []
        self.targets: list[StructArray] = []
        self.pacing: list[StructArray] = []
        self.probes: list[StructArray] = []
        self.encodings = np.zeros(0, ENCODING_DTYPE)
        self.transports = np.zeros(0, TRANSPORT_DTYPE)
        self.told: list[StructArray] = []
        """Feedback that nobody has taken."""
        self.refuses: Callable[[PlaneOperation], None] = lambda operation: None
        self.send: Callable[[TransportId, bytes], None] = lambda transport, data: None
        self.before_stats: Callable[[], None] = lambda: None
        self.before_drain: Callable[[], None] = lambda: None
        self._clock = clock
        self._datagrams: list[tuple[TransportId, bytes]] = []
        self._events: list[PlaneEvent] = []
        self._responses: list[tuple[TransportId, tuple[str, int], bytes]] = []
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK)

    def bring(self, *events: PlaneEvent) -> None:
        """Let events come up."""
        self._events += events
        os.eventfd_write(self._eventfd, 1)

    def bring_datagram(self, transport: TransportId, data: bytes) -> None:
        """Let a DTLS datagram come up."""
        self._datagrams.append((transport, data))
        os.eventfd_write(self._eventfd, 1)

    def bring_response(self, transport: TransportId, address: tuple[str, int], data: bytes) -> None:
        """Let what answers a check come up."""
        self._responses.append((transport, address, data))
        os.eventfd_write(self._eventfd, 1)

    @property
    def waiting(self) -> int:
        """What nobody has drained."""
        return len(self._events) + len(self._datagrams) + len(self._responses)

    def of(self, kind: type[T]) -> list[T]:
        """Operations of a kind."""
        return [one for one in self.operations if isinstance(one, kind)]

    # --- the contract -------------------------------------------------------------------------------------

    def apply(self, operations: Sequence[PlaneOperation]) -> None:
        self.batches.append(tuple(operations))
        for one in operations:
            self.refuses(one)
            self.operations.append(one)
            if isinstance(one, SendDatagram):
                self.send(one.transport, one.data)

    def set_targets(self, targets: StructArray) -> None:
        self.targets.append(targets)

    def set_pacing(self, pacing: StructArray) -> None:
        self.pacing.append(pacing)

    def probe(self, probes: StructArray) -> None:
        self.probes.append(probes)

    def feedback(self) -> StructArray:
        told, self.told = self.told, []
        return np.concatenate(told) if told else np.zeros(0, FEEDBACK_DTYPE)

    def drain(self) -> Batch:
        self.before_drain()
        if self.waiting:
            os.eventfd_read(self._eventfd)
        batch = Batch(tuple(self._datagrams), tuple(self._events), tuple(self._responses))
        self._datagrams, self._events, self._responses = [], [], []
        return batch

    def stats(self) -> PlaneStats:
        self.before_stats()
        return PlaneStats(
            now=self._clock(),
            transports=self.transports.copy(),
            encodings=self.encodings.copy(),
            routes=np.zeros(0, ROUTE_DTYPE),
            drops=dict.fromkeys(DropReason, 0),
        )

    def fileno(self) -> int:
        return self._eventfd

    def close(self) -> None:
        os.close(self._eventfd)
