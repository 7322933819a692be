"""The native plane: its core in Rust, its sockets on threads that never wait for Python."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.dataplane import _native
from sfu.dataplane.native_core import batch, stats
from sfu.rows import FEEDBACK_DTYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.config import MediaConfig
    from sfu.plane import Batch, PlaneOperation, PlaneStats
    from sfu.rows import StructArray

_SEED_BYTES: Final = 32


class NativePlane:
    """Implements `sfu.plane.Plane`.

    Args:
        config: of the sockets.

    Raises:
        OSError: an address can't be bound.
    """

    name: Final = "native"

    def __init__(self, config: MediaConfig) -> None:
        self._plane = _native.Plane(config, os.urandom(_SEED_BYTES))

    @property
    def port(self) -> int:
        """The UDP port that was bound; of several, the first worker's."""
        return self.ports[0]

    @property
    def ports(self) -> tuple[int, ...]:
        """The UDP port of each worker."""
        return tuple(self._plane.ports)

    @property
    def tcp_port(self) -> int | None:
        """The TCP port that was bound, of all workers; None: none."""
        return self._plane.tcp_port

    @property
    def failures(self) -> int:
        """Panics that a datagram or a timer ended in: mistakes of ours, contained."""
        return self._plane.failures

    def apply(self, operations: Sequence[PlaneOperation]) -> None:
        """Carry out operations in order.

        Raises:
            LocalError: an operation contradicts an earlier one.
        """
        self._plane.apply(operations)

    def set_targets(self, targets: StructArray) -> None:
        """Layer choices, (n,) of `TARGET_DTYPE`; routes not named keep theirs."""
        self._plane.set_targets(targets.tobytes())

    def set_pacing(self, pacing: StructArray) -> None:
        """How transports are sent to, (n,) of `PACING_DTYPE`; transports not named keep theirs."""
        self._plane.set_pacing(pacing.tobytes())

    def probe(self, probes: StructArray) -> None:
        """Measure what paths carry, (n,) of `PROBE_DTYPE`; a transport's probes run one by one."""
        self._plane.probe(probes.tobytes())

    def feedback(self) -> StructArray:
        """What subscribers have said of packets since the last call, (n,) of `FEEDBACK_DTYPE`."""
        return np.frombuffer(self._plane.feedback(), FEEDBACK_DTYPE)

    def drain(self) -> Batch:
        """Everything that came up since the last call."""
        return batch(self._plane.drain())

    def stats(self) -> PlaneStats:
        """All counters now."""
        return stats(self._plane.stats())

    def fileno(self) -> int:
        """An eventfd that is readable while `drain` would return something."""
        return self._plane.fileno()

    def close(self) -> None:
        """Stop and release the sockets."""
        self._plane.close()
