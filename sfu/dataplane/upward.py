"""What goes up: DTLS datagrams, events and answers to our checks, kept until the next `drain`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sfu.plane import Batch, PairSelected

if TYPE_CHECKING:
    from sfu.dataplane.wire import UdpAddress
    from sfu.plane import PlaneEvent
    from sfu.units import TransportId

MAX_QUEUED: Final = 64
"""DTLS datagrams of one transport that wait. Lower: a stall of Python loses handshakes and data. Higher: a
flood holds more memory, and DTLS and SCTP send again what is lost anyway."""


class Upward:
    """Three queues in order of arrival."""

    def __init__(self) -> None:
        self._datagrams: list[tuple[TransportId, bytes]] = []
        self._queued: Counter[TransportId] = Counter()
        self._events: list[PlaneEvent] = []
        self._responses: list[tuple[TransportId, UdpAddress, bytes]] = []

    @property
    def has_output(self) -> bool:
        """Whether `drain` would return something."""
        return bool(self._datagrams or self._events or self._responses)

    def pass_datagram(self, transport: TransportId, data: bytes) -> bool:
        """Queue a datagram; False where too many of this transport wait."""
        if self._queued[transport] >= MAX_QUEUED:
            return False
        self._queued[transport] += 1
        self._datagrams.append((transport, data))
        return True

    def tell(self, event: PlaneEvent) -> None:
        """Queue an event. Of a pair selected again and again one is enough: it says nothing but that."""
        if not (isinstance(event, PairSelected) and event in self._events):
            self._events.append(event)

    def pass_response(self, transport: TransportId, address: UdpAddress, data: bytes) -> None:
        """Queue an answer to a request. There are no more of them than Python has sent requests."""
        self._responses.append((transport, address, data))

    def forget(self, transport: TransportId) -> None:
        """Nobody will read this transport's datagrams, nor what answers its requests."""
        if self._queued.pop(transport, 0):
            self._datagrams = [entry for entry in self._datagrams if entry[0] != transport]
        self._responses = [entry for entry in self._responses if entry[0] != transport]

    def drain(self) -> Batch:
        """Everything since the last call."""
        batch = Batch(tuple(self._datagrams), tuple(self._events), tuple(self._responses))
        self._datagrams.clear()
        self._queued.clear()
        self._events.clear()
        self._responses.clear()
        return batch
