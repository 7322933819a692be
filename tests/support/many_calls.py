"""What a tick of a focus with many calls costs Python: `python -m tests.support.many_calls 1000 [speaking]`.

Calls of two, each of whom receives the other. The plane's counters are made up: packets flow everywhere,
nobody's layers change, and who speaks does so in half of all ticks. Times are of the processor.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sfu.allocation.allocate import allocate
from sfu.allocation.rates import EncodingRates
from sfu.allocation.table import DemandTable
from sfu.conference.turn import MediaReport, SetDemand
from sfu.metrics import Metrics
from sfu.plane import PlaneStats, SetRoute, SetTrack
from sfu.rows import ALL_TEMPORAL, ENCODING_DTYPE, MAX_ENCODINGS, ROUTE_DTYPE, TRANSPORT_DTYPE, StructArray
from sfu.units import Kind
from tests.unit.focus.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

SETTLING_TICKS: Final = 60
TICKS: Final = 140
TICK_MS: Final = 50
FULL_TICKS: Final = 20
"""Of these one allocates and counts."""
VOICE_DBOV: Final = 30
SILENCE_DBOV: Final = 127


class ManyCalls:
    """Everybody has joined, and receives the other one's camera and voice."""

    def __init__(self, calls: int) -> None:
        self.stage = Stage()
        self.demand = DemandTable()
        for number in range(calls):
            names = f"a{number}", f"b{number}"
            for name in names:
                client = self.stage.client(name, conf_id=f"call-{number}")
                self.stage.enter(client, room=f"!{number}:example.org")
                self.stage.invite(client)
                self.stage.connect(client)
        self.stage.pass_ms(1_000)
        for one, other in zip(self.stage.clients[::2], self.stage.clients[1::2], strict=True):
            for viewer, seen in ((one, other), (other, one)):
                stream = f"{seen.name}-stream"
                self.stage.subscribe(viewer, (stream, f"{seen.name}-video"), (stream, f"{seen.name}-audio"))
        self.stage.pass_ms(1_000)
        for output in self.stage.outputs:
            if isinstance(output, SetDemand):
                self.demand.set(output)
        self._encodings, self.is_audio = self._published()
        self._routes = self._set()
        self._rng = np.random.default_rng(1)

    def count(self, *, is_speaking: bool) -> PlaneStats:
        """The counters of the next tick."""
        now = self.stage.now
        self._encodings, self._routes = self._encodings.copy(), self._routes.copy()
        self._encodings["bytes_received"] += self._rng.integers(100, 5_000, len(self._encodings), np.uint64)
        self._encodings["last_received_at"] = now
        if is_speaking:
            speaks = self.is_audio & (self._rng.random(len(self.is_audio)) < 0.5)
            self._encodings["audio_level"] = np.where(speaks, VOICE_DBOV, SILENCE_DBOV)
        self._routes["packets_sent"] += np.uint64(3)
        transports = np.zeros(len(self.stage.clients), TRANSPORT_DTYPE)
        transports["transport"] = [client.leg for client in self.stage.clients]
        return PlaneStats(now, transports, self._encodings, self._routes, {})

    def flow(self, decisions: StructArray) -> None:
        """Let what was decided be what flows."""
        chosen = dict(zip(decisions["route"].tolist(), decisions["chosen_encoding"].tolist(), strict=True))
        self._routes["encoding"] = [chosen[route] for route in self._routes["route"].tolist()]

    def _published(self) -> tuple[StructArray, Any]:
        tracks = {one.track: one.kind for one in self.stage.outputs if isinstance(one, SetTrack)}
        rows = [
            (track, encoding, kind is Kind.AUDIO)
            for track, kind in tracks.items()
            for encoding in range(1 if kind is Kind.AUDIO else MAX_ENCODINGS)
        ]
        encodings = np.zeros(len(rows), ENCODING_DTYPE)
        encodings["track"], encodings["encoding"] = [row[0] for row in rows], [row[1] for row in rows]
        encodings["audio_level"] = SILENCE_DBOV
        return encodings, np.array([row[2] for row in rows])

    def _set(self) -> StructArray:
        routes = {one.route: one for one in self.stage.outputs if isinstance(one, SetRoute)}
        rows = np.zeros(len(routes), ROUTE_DTYPE)
        rows["route"] = list(routes)
        rows["track"] = [route.track for route in routes.values()]
        rows["transport"] = [route.transport for route in routes.values()]
        rows["temporal"] = ALL_TEMPORAL
        return rows


def measure(calls: int, *, is_speaking: bool) -> dict[str, float]:
    """Median microseconds of each part of a tick."""
    many, rates, metrics = ManyCalls(calls), EncodingRates(), Metrics()
    taken: dict[str, list[float]] = {}
    decisions = allocate(many.demand, rates)

    def timed(part: str, step: Callable[[], Any]) -> Any:  # noqa: ANN401  # whatever it returns
        began_ns = time.thread_time_ns()
        result = step()
        taken.setdefault(part, []).append((time.thread_time_ns() - began_ns) / 1_000)
        return result

    for tick in range(SETTLING_TICKS + TICKS):
        if tick == SETTLING_TICKS:
            taken.clear()
        many.stage.pass_ms(TICK_MS)
        now, wall, focus = many.stage.now, many.stage.wall, many.stage.focus
        stats = many.count(is_speaking=is_speaking)
        timed("rates", partial(rates.update, stats))
        if tick % FULL_TICKS == 0:
            decisions = timed("allocation, each second", partial(allocate, many.demand, rates))
            timed("metrics, each second", partial(metrics.publish, stats))
            many.flow(decisions)
        timed("turn", partial(focus.handle, now, wall, MediaReport(stats, decisions)))
    timed("snapshot, when asked", many.stage.focus.snapshot)
    return {part: statistics.median(times) for part, times in taken.items()}


if __name__ == "__main__":
    for name, microseconds in measure(int(sys.argv[1]), is_speaking="speaking" in sys.argv).items():
        print(f"{name:24} {microseconds:10,.0f} µs")  # noqa: T201  # its result
