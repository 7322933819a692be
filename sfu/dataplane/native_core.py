"""The native plane's core without its socket, with the methods of `sfu.dataplane.core.PlaneCore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.dataplane import _native
from sfu.dataplane.wire import OwnPort, Transmit, own_port_of
from sfu.plane import (
    Batch,
    ConsentLost,
    DropReason,
    PairSelected,
    PlaneStats,
    PortRefused,
    StreamBound,
    StreamEnded,
)
from sfu.rows import ENCODING_DTYPE, FEEDBACK_DTYPE, ROUTE_DTYPE, TRANSPORT_DTYPE
from sfu.units import Instant, TransportId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.config import MediaConfig
    from sfu.dataplane.wire import Address
    from sfu.plane import PlaneEvent, PlaneOperation
    from sfu.rows import StructArray

_EVENTS: Final = {
    "PairSelected": PairSelected,
    "ConsentLost": ConsentLost,
    "PortRefused": PortRefused,
    "StreamBound": StreamBound,
    "StreamEnded": StreamEnded,
}


class NativeCore:
    """All transports, tracks and routes of one plane, in Rust.

    Args:
        config: of the media socket. Each worker has a core; what they say to each other is heard at once.
        seed: 32 bytes; the same make a call repeat itself.
        is_encrypted: as negotiated; False: packets are in the clear, for calls on a virtual clock.
    """

    def __init__(self, config: MediaConfig, seed: bytes, *, is_encrypted: bool = True) -> None:
        self._core = _native.Core(
            config.consent_timeout_s, config.packet_cache_bytes, config.workers, seed, is_encrypted
        )

    @property
    def has_output(self) -> bool:
        """Whether `drain` would return something."""
        return self._core.has_output

    def apply(self, now: Instant, operations: Sequence[PlaneOperation]) -> list[Transmit]:
        """Carry out operations in order; what to send.

        Raises:
            LocalError: an operation contradicts an earlier one; those behind it are not carried out.
        """
        return _transmits(self._core.apply(now, operations))

    def set_targets(self, now: Instant, targets: StructArray) -> None:
        """Layer choices, (n,) of `TARGET_DTYPE`; routes not named keep theirs."""
        self._core.set_targets(now, targets.tobytes())

    def set_pacing(self, now: Instant, pacing: StructArray) -> None:
        """How transports are sent to, (n,) of `PACING_DTYPE`; transports not named keep theirs."""
        self._core.set_pacing(now, pacing.tobytes())

    def probe(self, now: Instant, probes: StructArray) -> None:
        """Measure what paths carry, (n,) of `PROBE_DTYPE`; a transport's probes run one by one."""
        self._core.probe(now, probes.tobytes())

    def feedback(self) -> StructArray:
        """What subscribers have said of packets since the last call, (n,) of `FEEDBACK_DTYPE`."""
        return np.frombuffer(self._core.feedback(), FEEDBACK_DTYPE)

    def handle_datagram(
        self, now: Instant, address: Address, data: bytes, worker: int | None = None
    ) -> list[Transmit]:
        """Take a datagram from a worker's UDP socket, or from a transport's; what to send of it.

        Where the worker is not said, it is the one that the peer was told of, as far as can be told.
        """
        host, port = address[:2]
        own_port = own_port_of(address)
        own = None if own_port is None else own_port.transport
        return _transmits(self._core.handle_datagram(now, (host, port, own), data, worker))

    def stall(self, now: Instant, worker: int, *, is_stalled: bool) -> list[Transmit]:
        """A worker hears nothing of the others for a while, or hears them again; what to send of that."""
        return _transmits(self._core.stall(now, worker, is_stalled))

    def poll(self, now: Instant) -> list[Transmit]:
        """Do what is due; what to send."""
        return _transmits(self._core.poll(now))

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to do."""
        at = self._core.next_timeout()
        return None if at is None else Instant(at)

    def drain(self) -> Batch:
        """Everything that came up since the last call."""
        return batch(self._core.drain())

    def stats(self, now: Instant) -> PlaneStats:
        """All counters now."""
        return stats(self._core.stats(now))


def batch(raw: _native.RawBatch) -> Batch:
    """What came up, as values of the contract."""
    datagrams, events, responses = raw
    return Batch(
        tuple((TransportId(transport), data) for transport, data in datagrams),
        tuple(_event(name, numbers) for name, *numbers in events),
        tuple((TransportId(transport), (host, port), data) for transport, host, port, data in responses),
    )


def stats(raw: _native.RawStats) -> PlaneStats:
    """Counters, as arrays of the contract."""
    now, transports, encodings, routes, drops = raw
    return PlaneStats(
        Instant(now),
        np.frombuffer(transports, TRANSPORT_DTYPE),
        np.frombuffer(encodings, ENCODING_DTYPE),
        np.frombuffer(routes, ROUTE_DTYPE),
        {DropReason(name): packets for name, packets in drops.items()},
    )


def _event(name: str, numbers: list[int]) -> PlaneEvent:
    event: PlaneEvent = _EVENTS[name](*numbers)
    return event


def _transmits(raw: list[_native.RawTransmit]) -> list[Transmit]:
    return [
        Transmit((host, port) if own is None else (host, port, OwnPort(TransportId(own))), data)
        for host, port, own, data in raw
    ]
