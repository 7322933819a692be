"""A scenario on a virtual clock: the plane sends, lines carry, subscribers report, the estimate decides."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from sfu.bwe.estimate import WISH_DTYPE
from sfu.netem.dumbbell import Dumbbell
from sfu.netem.link import LinkProfile
from sfu.netem.network import UDP_OVERHEAD_BYTES
from sfu.netem.tcp import ACKNOWLEDGEMENT_BYTES, PACKET_BYTES
from sfu.simulation.deciding import deciding
from sfu.simulation.download import Download
from sfu.simulation.media_end import Carried, MediaEnd
from sfu.simulation.recording import Recording
from sfu.simulation.scenario import START, at_s
from sfu.simulation.stand import Stand
from sfu.units import NS_PER_S, Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.control import Control
    from sfu.dataplane.wire import Transmit
    from sfu.netem.dumbbell import Arrival
    from sfu.simulation.deciding import Estimating
    from sfu.simulation.scenario import MediaFlow, Scenario
    from sfu.simulation.stand import Core

TICK_MS: Final = 50
"""Between ticks, as in a focus that runs (`sfu.runtime.tick`)."""

QUEUE_SAMPLE_MS: Final = 10
"""How often the bottleneck's queue is looked at. Lower: slower runs. Higher: a short overload goes unseen."""


class Net(Protocol):
    """What carries datagrams both ways: `sfu.netem.dumbbell.Dumbbell`, or a real line.

    Media is `Carried`; of downloads, the numbers of packets and acknowledgements go.
    """

    def attach(self, flow: int, tail: LinkProfile = ...) -> None: ...
    def send(
        self, now: Instant, flow: int, datagram: Carried | int, size_bytes: int, *, is_forward: bool
    ) -> None: ...
    def poll(self, now: Instant) -> Sequence[Arrival[Carried | int]]: ...
    def next_timeout(self) -> Instant | None: ...
    def waiting_ms(self, now: Instant, *, is_forward: bool) -> float: ...


def run(scenario: Scenario, core: Core, mind: Estimating | Control, seed: int) -> Recording:
    """Play a scenario from its beginning to its end.

    Args:
        scenario: the row.
        core: of a plane, new and in the clear.
        mind: new; of a call, what chooses layers (`sfu.simulation.deciding.mind_of`).
        seed: for everything that is drawn. The same gives the same run.
    """
    rng = random.Random(seed)  # noqa: S311  # no secrets here
    net: Net = Dumbbell(scenario.forward, scenario.backward, rng)
    playing = Run(scenario, core, mind, net, rng)
    end = at_s(scenario.duration_s)
    now = START
    while now < end:
        playing.step(now)
        now = max(now, playing.next_timeout())
    return playing.recording()


class Run:
    """A scenario that is being played; whoever has the clock calls `step` when `next_timeout` says so.

    Args:
        scenario: the row.
        core: as in `run`.
        mind: as in `run`.
        net: what lies between the plane and the subscribers.
        rng: for what publishers draw.
    """

    def __init__(
        self, scenario: Scenario, core: Core, mind: Estimating | Control, net: Net, rng: random.Random
    ) -> None:
        self._scenario = scenario
        self._core = core
        self._deciding = deciding(mind)
        self._net = net
        stand = Stand(core, START, [_encodings(flow) for flow in scenario.flows])
        if not scenario.is_call:
            stand.show_all(START)
        round_trip_ms = scenario.forward.delay_ms + scenario.backward.delay_ms
        self._ends = []
        for number, flow in enumerate(scenario.flows):
            net.attach(number, LinkProfile(delay_ms=flow.delay_ms))
            path_ms = round_trip_ms + 2 * flow.delay_ms
            self._ends.append(MediaEnd(stand, number, flow, path_ms, random.Random(rng.random())))  # noqa: S311
        self._downloads = [
            Download(number, tcp) for number, tcp in enumerate(scenario.tcp, len(scenario.flows))
        ]
        for download in self._downloads:
            net.attach(download.flow)
        self._downloaded: list[list[int]] = [[] for _ in self._downloads]
        """Bytes in all of each, at each tick."""
        self._queue: list[tuple[float, float]] = []
        self._tick_at = self._sample_at = START

    def recording(self) -> Recording:
        """All that was seen."""
        end = at_s(self._scenario.duration_s)
        return Recording(
            scenario=self._scenario,
            flows=tuple(media.recording(end) for media in self._ends),
            tcp_acknowledged=tuple(
                np.diff(np.array(acknowledged, np.float64), prepend=0.0) for acknowledged in self._downloaded
            ),
            queue_at_s=np.array([at for at, _ in self._queue]),
            queue_ms=np.array([waiting for _, waiting in self._queue]),
        )

    def next_timeout(self) -> Instant:
        """When to step next, or before if something arrives that `net` can't foresee."""
        at = min(self._tick_at, self._sample_at)
        for due_at in (
            self._net.next_timeout(),
            self._core.next_timeout(),
            *(media.next_timeout() for media in self._ends),
        ):
            if due_at is not None and due_at < at:
                at = due_at
        for download in self._downloads:
            due_at = download.next_timeout()
            if due_at is not None and due_at < at:
                at = due_at
        return at

    def step(self, now: Instant) -> None:
        """Do all that is due."""
        for arrival in self._net.poll(now):
            self._arrive(arrival)
        wanted = [demand for media in self._ends for demand in media.wants(now)]
        if wanted:
            self._core.set_targets(now, self._deciding.want(wanted))
        for media in self._ends:
            for packet in media.published(now):
                self._emit(now, self._core.handle_datagram(now, media.publisher_address, packet))
            for compound in media.reported(now):
                carried = Carried(compound, None)
                self._send(now, media.number, carried, is_forward=not media.flow.is_forward)
        for download in self._downloads:
            for number in download.poll(now):
                self._net.send(now, download.flow, number, PACKET_BYTES, is_forward=True)
        due_at = self._core.next_timeout()
        if due_at is not None and due_at <= now:
            self._emit(now, self._core.poll(now))
        if now >= self._sample_at:
            self._sample_at = after_ms(self._sample_at, QUEUE_SAMPLE_MS)
            self._queue.append(((now - START) / NS_PER_S, self._net.waiting_ms(now, is_forward=True)))
        if now >= self._tick_at:
            self._tick_at = after_ms(self._tick_at, TICK_MS)
            self._tick(now)

    def _arrive(self, arrival: Arrival[Carried | int]) -> None:
        now, flow, is_forward, datagram = arrival
        if isinstance(datagram, Carried):
            media = self._ends[flow]
            if is_forward is media.flow.is_forward:
                media.received(datagram)
            else:
                self._emit(now, self._core.handle_datagram(now, media.subscriber_address, datagram.data))
        elif is_forward:
            self._net.send(now, flow, datagram, ACKNOWLEDGEMENT_BYTES, is_forward=False)
        else:
            self._downloads[flow - len(self._ends)].acknowledged(now, datagram)

    def _emit(self, now: Instant, transmits: Iterable[Transmit]) -> None:
        """What the plane sends: up to publishers at once, down to subscribers over their lines."""
        for transmit in transmits:
            media = self._ends[Stand.flow_at(transmit.address)]
            if transmit.address == media.publisher_address:
                media.asked(now, transmit.data)
            else:
                carried = media.left(now, transmit.data)
                self._send(now, media.number, carried, is_forward=media.flow.is_forward)

    def _send(self, now: Instant, flow: int, carried: Carried, *, is_forward: bool) -> None:
        size_bytes = len(carried.data) + UDP_OVERHEAD_BYTES
        self._net.send(now, flow, carried, size_bytes, is_forward=is_forward)

    def _tick(self, now: Instant) -> None:
        feedback = self._core.feedback()
        stats = self._core.stats(now)
        wishes = np.array([media.wish(now) for media in self._ends], WISH_DTYPE)
        decided = self._deciding.tick(now, stats, feedback, wishes)
        self._core.set_pacing(now, decided.pacing)
        self._core.probe(now, decided.probes)
        self._core.set_targets(now, decided.targets)
        for media in self._ends:
            media.ticked(now, feedback, stats.transports, decided)
        for download, acknowledged in zip(self._downloads, self._downloaded, strict=True):
            acknowledged.append(download.acknowledged_bytes)


def _encodings(flow: MediaFlow) -> list[int]:
    """How many each camera of a flow sends."""
    return [len(camera.layers_bps) for camera in flow.cameras] or [1]
