"""What rounds of measurements of several servers say about one of them."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadtest.peers.trial import Trial


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement: which round, what was sent, who carried it."""

    round: int
    workload: str
    sfu: str
    trial: Trial


@dataclass(frozen=True, slots=True)
class Spread:
    """The values of several rounds in short."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value at least."""
        return cls(statistics.median(values), min(values), max(values))

    def content(self, digits: int) -> dict[str, float]:
        """As it stands in the JSON file."""
        return {name: round(value, digits) for name, value in asdict(self).items()}


class Comparison:
    """Servers side by side.

    Args:
        results: in any order; a measurement that failed is left out.
        workloads: in the order they are shown in.
        ours: the server that is compared with the others.
        peers: the others, in the order they are shown in.
    """

    def __init__(
        self, results: Iterable[Result], workloads: Sequence[str], ours: str, peers: Sequence[str]
    ) -> None:
        self._results = list(results)
        self._workloads = workloads
        self._ours = ours
        self._peers = peers

    def ratios(self) -> dict[str, float | None]:
        """Our cost over that of each peer; None where either was never measured.

        The median of the rounds' ratios: what disturbs a whole round disturbs both alike.
        """
        return {
            f"{workload}_vs_{peer}": spread.median if spread is not None else None
            for workload in self._workloads
            for peer in self._peers
            for spread in (self.ratio(workload, peer),)
        }

    def ratio(self, workload: str, peer: str) -> Spread | None:
        """Our cost over that of a peer, round by round."""
        ours = {result.round: result.trial for result in self._of(workload, self._ours)}
        values = [
            ours[result.round].us_per_packet / result.trial.us_per_packet
            for result in self._of(workload, peer)
            if result.round in ours
        ]
        return Spread.of(values) if values else None

    def cost(self, workload: str, sfu: str) -> Spread | None:
        """Processor microseconds per packet that arrived."""
        return self._spread(workload, sfu, lambda trial: trial.us_per_packet)

    def content(self) -> dict[str, object]:
        """Every server's own figures by workload, as they stand in the JSON file."""
        return {
            workload: {sfu: self._content(workload, sfu) for sfu in (self._ours, *self._peers)}
            for workload in self._workloads
        }

    def raw(self) -> list[dict[str, object]]:
        """Every measurement."""
        return [
            {
                "round": result.round,
                "workload": result.workload,
                "sfu": result.sfu,
                "us_per_packet": round(result.trial.us_per_packet, 3),
                **asdict(result.trial),
            }
            for result in self._results
        ]

    def table(self) -> Table:
        """For people: cost and forwarding delay of whoever was measured."""
        table = Table("packets", "server", "µs/packet", "min-max", "p50 ms", "p99 ms", box=None)
        for workload in self._workloads:
            for sfu in (self._ours, *self._peers):
                cost = self.cost(workload, sfu)
                p50 = self._spread(workload, sfu, lambda trial: trial.delay_p50_ms)
                p99 = self._spread(workload, sfu, lambda trial: trial.delay_p99_ms)
                if cost is not None and p50 is not None and p99 is not None:
                    spread = f"{cost.low:.2f}-{cost.high:.2f}"
                    delays = f"{p50.median:.2f}", f"{p99.median:.2f}"
                    table.add_row(workload, sfu, f"{cost.median:.2f}", spread, *delays)
        return table

    def _content(self, workload: str, sfu: str) -> dict[str, object] | None:
        cost = self.cost(workload, sfu)
        p50 = self._spread(workload, sfu, lambda trial: trial.delay_p50_ms)
        p99 = self._spread(workload, sfu, lambda trial: trial.delay_p99_ms)
        if cost is None or p50 is None or p99 is None:
            return None
        against = self.ratio(workload, sfu) if sfu != self._ours else None
        return {
            "us_per_packet": cost.content(3),
            "delay_p50_ms": p50.content(3),
            "delay_p99_ms": p99.content(3),
            **({} if against is None else {"ratio": against.content(3)}),
        }

    def _spread(self, workload: str, sfu: str, value: Callable[[Trial], float]) -> Spread | None:
        values = [value(result.trial) for result in self._of(workload, sfu)]
        return Spread.of(values) if values else None

    def _of(self, workload: str, sfu: str) -> list[Result]:
        return [r for r in self._results if (r.workload, r.sfu) == (workload, sfu)]
