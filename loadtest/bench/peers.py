"""`loadtest bench peers`: what a focus's forwarding costs beside other media servers', on the same packets.

One publisher and real-DTLS receivers of the swarm in every measurement, AES-GCM, everything on loopback.
Servers take turns within a round, in another order in each, so that a machine that gets slower meanwhile
favours none.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from loadtest.bench.comparison import Comparison, Result
from loadtest.fleet.schedule import Schedule, bursts, captured, singles
from loadtest.peers.focus import Focus
from loadtest.peers.janus import Janus
from loadtest.peers.measurement import TrialSettings, measure
from loadtest.peers.mediasoup import Mediasoup
from loadtest.peers.pion import Pion
from loadtest.peers.sfu import PeerError, PeerMissingError
from sfu.figures import Figures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from loadtest.peers.sfu import Sfu
    from loadtest.stage import Stage

PACKETS_PER_S: Final = 1_000
"""Of the publisher, in every workload, so that they differ in one thing only. Faster: the two cores of a
small machine are not enough for the dearest server and the receivers. Slower: idle work outweighs packets."""
PACKET_BYTES: Final = 1_100
BURST: Final = 8
"""Packets that leave together, as those of a video frame do."""
OURS: Final = "focus"
PEERS: Final = ("mediasoup", "mediasoup_lean", "janus", "janus_default", "pion")
"""`mediasoup` does what it does with browsers, `mediasoup_lean` no congestion control; `janus` has two event
loops, `janus_default` what Debian ships: a thread for each participant."""


@dataclass(frozen=True, slots=True)
class PeersBenchSettings:
    """How much is measured."""

    rounds: int = 4
    receivers: int = 20
    seconds: float = 4.0
    """Of media in each measurement."""
    sfus: tuple[str, ...] = (OURS, *PEERS)
    logs: Path | None = None


def workloads() -> dict[str, Schedule]:
    """What is sent, by name."""
    camera = captured()
    # More of its frames a second than it made, for the same packets a second as the others.
    camera = replace(camera, period_ms=camera.period_ms * camera.packets_per_s / PACKETS_PER_S)
    return {
        "burst8": bursts(BURST, PACKET_BYTES, 1_000 * BURST / PACKETS_PER_S),
        "real_sizes": camera,
        "single": singles(PACKET_BYTES, 1_000 / PACKETS_PER_S),
    }


async def bench_peers(settings: PeersBenchSettings, stage: Stage) -> Figures:
    """Measure.

    What went wrong with one server stands among the figures' faults; the others are measured all the same.

    Raises:
        SwarmMissingError: the swarm was not built.
        HomeserverError: the homeserver could not be installed or started.
        FocusProcessError: the focus could not be started.
    """
    async with _sfus(settings, stage) as (sfus, focus):
        bench = _Bench(settings, stage, sfus)
        await bench.run()
        plane = None if focus is None else await focus.plane()
    comparison = Comparison(bench.results, list(workloads()), OURS, PEERS)
    stage.console.print(comparison.table())
    about: dict[str, object] = {
        "receivers": settings.receivers,
        "seconds": settings.seconds,
        "packets_per_s": PACKETS_PER_S,
        "packet_bytes": PACKET_BYTES,
        "missing": bench.missing,
        "sfus": comparison.content(),
    }
    return Figures(
        comparison.ratios(),
        {"trials": comparison.raw()},
        settings.rounds,
        plane,
        about,
        digits=3,
        faults=tuple(bench.faults),
    )


class _Bench:
    """The rounds."""

    def __init__(self, settings: PeersBenchSettings, stage: Stage, sfus: Sequence[Sfu]) -> None:
        self.results: list[Result] = []
        self.faults: list[str] = []
        self.missing: dict[str, str] = {}
        """Servers that are not on this machine, and why."""
        self._settings = settings
        self._stage = stage
        self._sfus = list(sfus)

    async def run(self) -> None:
        for number in range(self._settings.rounds):
            for workload, schedule in workloads().items():
                trial = TrialSettings(schedule, self._settings.receivers, self._settings.seconds)
                for sfu in self._turns(number):
                    await self._measure(number, workload, sfu, trial)

    def _turns(self, number: int) -> list[Sfu]:
        present = [sfu for sfu in self._sfus if sfu.name not in self.missing]
        first = number % max(len(present), 1)
        return present[first:] + present[:first]

    async def _measure(self, number: int, workload: str, sfu: Sfu, settings: TrialSettings) -> None:
        where = f"round {number + 1}, {workload}, {sfu.name}"
        try:
            trial = await measure(sfu, settings)
        except PeerMissingError as error:
            self.missing[sfu.name] = str(error)
            self._stage.say(f"{sfu.name} is left out: {error}")
            return
        except PeerError as error:
            self.faults.append(f"{where}: {error}")
            self._stage.say(self.faults[-1])
            return
        self.results.append(Result(number, workload, sfu.name, trial))
        self.faults += [f"{where}: {fault}" for fault in trial.faults(settings.receivers)]
        self._stage.say(
            f"{where}: {trial.us_per_packet:.2f} µs, {trial.delay_p50_ms:.2f}/{trial.delay_p99_ms:.2f} ms,"
            f" loss {trial.loss(settings.receivers):.3%}, load {trial.load_average:.1f}"
        )


@contextlib.asynccontextmanager
async def _sfus(settings: PeersBenchSettings, stage: Stage) -> AsyncIterator[tuple[list[Sfu], Focus | None]]:
    """The servers that were asked for, and the focus once more where it is among them."""
    peers: dict[str, Sfu] = {
        sfu.name: sfu for sfu in (Mediasoup(), Mediasoup(is_lean=True), Janus(event_loops=2), Janus(), Pion())
    }
    async with contextlib.AsyncExitStack() as stack:
        focus = None
        if OURS in settings.sfus:
            ours = Focus.at_work(stage, settings.receivers, settings.logs)
            focus = await stack.enter_async_context(ours)
            peers[OURS] = focus
        yield [peers[name] for name in settings.sfus], focus
