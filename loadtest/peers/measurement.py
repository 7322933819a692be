"""One measurement: a server carries a publisher's packets to its receivers for a while.

The publisher is silent for a moment on either side of what is measured, so that every packet that was sent in
between has arrived or never will: loss is exact, and processor time belongs to these packets.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest.fleet.fleet import Fleet
from loadtest.peers.cost import RunTime
from loadtest.peers.seats import Seats
from loadtest.peers.sfu import PeerError
from loadtest.peers.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.fleet.schedule import Schedule
    from loadtest.peers.sfu import Serving, Sfu

CONNECT_PATIENCE_S: Final = 20.0
FLOWS_S: Final = 0.5
"""Media flows to who has received so much of it. Shorter: a key frame that is let through before it is known
what a path carries passes for it. Longer: hours."""
WARM_UP_S: Final = 1.0
"""Of media before what is measured. Shorter: caches and key frames are still on their way. Longer: hours."""
SETTLE_S: Final = 0.3
"""When nothing has come for so long, everything has arrived or never will. Shorter: a pause of a busy machine
passes for the end. Longer: idle time counts as cost of packets."""
SETTLE_PATIENCE_S: Final = 10.0
"""A server that is behind by more than this is not measured."""
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """What is measured."""

    schedule: Schedule
    receivers: int
    seconds: float


async def measure(sfu: Sfu, settings: TrialSettings) -> Trial:
    """Start a server, let everybody in, measure, and end it.

    Raises:
        PeerMissingError: there is no such server on this machine.
        PeerError: it refused somebody, ended, or nothing flowed.
    """
    with Fleet() as publishers, Fleet() as receivers:
        seats = Seats(publishers, receivers, settings.schedule, settings.receivers)
        # Ends before the fleets do: members of a call say goodbye.
        async with sfu.serving() as serving:
            try:
                await serving.join(seats)
            except ValueError as error:
                raise PeerError(f"{sfu.name}: {error}") from error
            rig = _Rig(sfu.name, seats)
            await rig.flow()
            return await rig.measure(serving, settings.seconds)


class _Rig:
    """The participants of one measurement once all have joined."""

    def __init__(self, name: str, seats: Seats) -> None:
        self._name = name
        self._publishers = seats.publishers
        self._receivers = seats.receivers
        self._count = seats.count
        self._packets_per_s = seats.schedule.packets_per_s

    async def flow(self) -> None:
        """Wait until media has reached everybody and gone on for a while; silent again when it returns."""
        await self._until(self._all_connected, "connected")
        self._publishers.swarm.start_media()
        await self._until(self._all_receive, "are sent media")
        await asyncio.sleep(WARM_UP_S)
        await self._silence()

    async def measure(self, serving: Serving, seconds: float) -> Trial:
        """Let media flow again, and count."""
        sent, received = self._publishers.reading(), self._receivers.reading()
        ran, began = RunTime.of(serving.pid), time.monotonic()
        self._publishers.swarm.start_media()
        await asyncio.sleep(seconds)
        await self._silence()
        run_time_ns, took_s = RunTime.of(serving.pid).since(ran), time.monotonic() - began
        sent, received = self._publishers.reading() - sent, self._receivers.reading() - received
        p50, p99 = received.delay_ms(0.5), received.delay_ms(0.99)
        if not run_time_ns or p50 is None or p99 is None:
            raise PeerError(f"{self._name}: nothing was forwarded, or its process is gone")
        streams = received.streams
        return Trial(
            seconds=took_s,
            packets_due=round(seconds * self._packets_per_s),
            packets_sent=sent.media_sent,
            packets_received=received.packets_received,
            packets_late=int(streams["late"].sum()),
            receivers=len(np.unique(streams["participant"][streams["packets_received"] > 0])),
            run_time_ns=run_time_ns,
            delay_p50_ms=p50,
            delay_p99_ms=p99,
            rig_run_time_s=sent.cpu_s + received.cpu_s,
            kernel_drops=received.kernel_drops,
            breaks=received.breaks,
            full_share=received.full_share,
            load_average=os.getloadavg()[0],
        )

    async def _silence(self) -> None:
        self._publishers.swarm.stop_media()
        deadline = time.monotonic() + SETTLE_PATIENCE_S
        before, received = -1, 0
        while received != before:
            if time.monotonic() > deadline:
                raise PeerError(
                    f"{self._name}: packets still came {SETTLE_PATIENCE_S:g} s after the last was sent"
                )
            await asyncio.sleep(SETTLE_S)
            before, received = received, self._receivers.reading().packets_received

    def _all_connected(self) -> int:
        sending = self._publishers.reading().participants["is_connected"].sum()
        return int(self._receivers.reading().participants["is_connected"].sum()) if sending else 0

    def _all_receive(self) -> int:
        streams = self._receivers.reading().streams
        flows = streams["packets_received"] >= FLOWS_S * self._packets_per_s
        return len(np.unique(streams["participant"][flows]))

    async def _until(self, count: Callable[[], int], what: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_PATIENCE_S):
                # The swarm tells of nothing but by its counters.
                while count() < self._count:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            text = f"{self._name}: {count()} of {self._count} {what} within {CONNECT_PATIENCE_S:g} s"
            raise PeerError(text) from error
