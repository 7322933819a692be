"""A run of `sfu.simulation` over a real line of this machine's kernel: a veth pair whose one end has a `tbf`.

    python -m tests.support.real_line SECONDS [TARGET_BPS]

plays one media flow in a network namespace of its own (`tests.support.namespace.inside`), in real time, and
prints JSON: what is measured of it. The plane's core, the estimate (or a fixed target) and the peers are the
simulation's; what lies between them is the kernel's, and when packets come is the kernel's word.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sfu.bwe.estimators import Estimators
from sfu.netem.dumbbell import Arrival
from sfu.netem.link import PERFECT, LinkProfile
from sfu.netem.network import UDP_OVERHEAD_BYTES
from sfu.simulation.cores import native_core
from sfu.simulation.measures import loss, use
from sfu.simulation.run import Run
from sfu.simulation.scenario import START, Bound, Control, Effect, Scenario
from sfu.units import NS_PER_S, Instant
from tests.support.fixed_target import FixedTarget
from tests.support.other_network import FAR, NEAR, Direction, other_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfu.simulation.deciding import Estimating
    from sfu.simulation.media_end import Carried
    from sfu.simulation.recording import Recording

RATE_BPS: Final = 3_000_000
QUEUE_MS: Final = 300
NEAR_END, FAR_END = (NEAR, 40_001), (FAR, 40_002)
BURST_BYTES: Final = 1_200
"""Of the bucket: one packet of ours, so that packets leave one by one as in a simulation."""
ETHERNET_BYTES: Final = 14
"""What the qdisc counts of a packet beside what a simulation does."""
_TIMESTAMPNS: Final = getattr(socket, "SO_TIMESTAMPNS", 35)
_STAMP: Final = struct.Struct("@ll")


def scenario_of(duration_s: float) -> Scenario:
    """A subscriber behind a line of 3 Mbit/s without delay."""
    return Scenario(
        name="real_line",
        about="A subscriber behind a line of this machine's kernel.",
        duration_s=duration_s,
        forward=LinkProfile(rate_bps=RATE_BPS, queue_ms=QUEUE_MS),
        backward=PERFECT,
        figures=(),
        effect=Effect(lambda recording: use(recording, 0, duration_s), Bound(high=1)),
        control=Control(forward=PERFECT),
    )


def measured(recording: Recording, begin_s: float, *, is_real: bool) -> dict[str, float]:
    """What a real line and a simulated one are compared by, from `begin_s` on.

    A packet has waited up to when its first bit leaves. That is when a token bucket lets it pass, but a
    simulated line hands it over after its last one.
    """
    end_s = recording.scenario.duration_s - 1
    packets = recording.flows[0].packets
    packets = packets[(packets["sent_at_s"] >= begin_s) & (packets["sent_at_s"] < end_s)]
    waited_s = packets["arrived_at_s"] - packets["sent_at_s"]
    if not is_real:
        waited_s = waited_s - 8 * (packets["size_bytes"] + UDP_OVERHEAD_BYTES) / RATE_BPS
    return {
        "use": use(recording, begin_s, end_s),
        "queue_p95_ms": float(np.nanpercentile(waited_s - np.nanmin(waited_s), 95)) * 1_000,
        "loss": loss(recording, 0, begin_s, end_s),
    }


class RealLine:
    """Two sockets, and the kernel between them; what `sfu.simulation.run.Net` is."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._ends = {True: near, False: far}
        """By the direction in which they send."""
        self._under_way: dict[bool, deque[Carried]] = {True: deque(), False: deque()}
        self._began_at_ns = time.time_ns()

    @property
    def now(self) -> Instant:
        """Time, as the simulation counts it."""
        return Instant(START + time.time_ns() - self._began_at_ns)

    def wait(self, until: Instant) -> None:
        """Until then, or until something comes."""
        timeout_s = max(0, until - self.now) / NS_PER_S
        select.select(list(self._ends.values()), [], [], timeout_s)

    def attach(self, flow: int, tail: LinkProfile = PERFECT) -> None:
        """There is one flow, and nothing behind the line."""
        assert (flow, tail) == (0, PERFECT)

    def send(
        self, now: Instant, flow: int, datagram: Carried | int, size_bytes: int, *, is_forward: bool
    ) -> None:
        """Give a datagram to the kernel."""
        del now, flow, size_bytes
        assert not isinstance(datagram, int)
        self._under_way[is_forward].append(datagram)
        self._ends[is_forward].sendto(datagram.data, FAR_END if is_forward else NEAR_END)

    def poll(self, now: Instant) -> list[Arrival[Carried | int]]:
        """What has come, with the kernel's stamps."""
        del now
        arrived: list[Arrival[Carried | int]] = []
        for is_forward, end in ((True, self._ends[False]), (False, self._ends[True])):
            with contextlib.suppress(BlockingIOError):
                while True:
                    data, ancillary, _, _ = end.recvmsg(2_048, 64)
                    seconds, nanoseconds = _STAMP.unpack(ancillary[0][2])
                    at = Instant(START + seconds * NS_PER_S + nanoseconds - self._began_at_ns)
                    arrived.append(Arrival(at, 0, is_forward, self._match(data, is_forward=is_forward)))
        return sorted(arrived, key=lambda arrival: arrival.at)

    def next_timeout(self) -> None:
        """Nobody knows: `wait` notices."""

    def waiting_ms(self, now: Instant, *, is_forward: bool) -> float:
        """The kernel does not tell."""
        del now, is_forward
        return 0.0

    def _match(self, data: bytes, *, is_forward: bool) -> Carried:
        """Which datagram this is: a line drops some, and changes no order."""
        under_way = self._under_way[is_forward]
        while True:
            carried = under_way.popleft()
            if carried.data == data:
                return carried


@contextlib.contextmanager
def line() -> Iterator[RealLine]:
    """A line from this network namespace to another one."""
    with other_network() as network:
        packet_share = (1_128 + ETHERNET_BYTES) / 1_128
        network.limit(
            Direction.THERE,
            RATE_BPS * packet_share,
            queue_bytes=round(QUEUE_MS * RATE_BPS * packet_share / 8_000),
            burst_bytes=BURST_BYTES,
        )
        with _socket(NEAR_END) as near, network.open_socket(socket.SOCK_DGRAM, FAR_END) as far:
            yield RealLine(*(_stamped(end) for end in (near, far)))


def _socket(address: tuple[str, int]) -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.setblocking(False)
    end.bind(address)
    return end


def _stamped(end: socket.socket) -> socket.socket:
    """The same socket, which tells when packets came."""
    end.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
    return end


def play(scenario: Scenario, real: RealLine, estimators: Estimating) -> Recording:
    """In real time."""
    run = Run(scenario, native_core(), estimators, real, random.Random(1))
    end = Instant(START + round(scenario.duration_s * NS_PER_S))
    while (now := real.now) < end:
        run.step(now)
        real.wait(run.next_timeout())
    return run.recording()


def main(arguments: list[str]) -> dict[str, Any]:
    """Play, and measure from a third of the time on."""
    duration_s = float(arguments[0])
    estimators = FixedTarget(float(arguments[1])) if len(arguments) > 1 else Estimators()
    with line() as real:
        return measured(play(scenario_of(duration_s), real, estimators), duration_s / 3, is_real=True)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1:])) + "\n")
