"""Which layer for whom, measured: how long a tick takes, how good it is, and how other policies do.

- `tick_10k_ms`: one core's time for 10,000 pairs of subscriber and track, decision records included, in a
  scene that goes on (`allocation_scene`). Median; the first tick, in which everything is new, and the 95th
  percentile are with the raw values.
- `tick_500_ms_p95`: one core's time for all of a tick in a focus of 500 subscribers who are sent 200 packets
  a second each (`allocation_tick`): their feedback is read, counters and feedback drained, paths estimated,
  layers allocated, and the plane told. Not there where the native plane was not built. Its parts are with the
  raw values.
- `utility_mean`, `utility_worst`: what ours is worth as a part of the exact optimum, over seeded instances of
  one subscriber with up to six tracks of up to nine layers.
- `utility`, `switches_per_min`, `over_link` by policy, on the same scenes for all: what is given as a part of
  what would be given without a limit, and nothing where more is given than the link carries in truth, for
  then all of it is late; layers that a subscriber sees change in a minute; the part of time in which the link
  was exceeded.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from sfu.allocation.allocate import Allocator
from sfu.allocation.policies.utility import utility
from sfu.allocation.problem import NEVER, Paced
from sfu.allocation.rates import EncodingRates
from sfu.allocation.worth import worths
from sfu.figures import percentile
from sfu.rows import MAX_TEMPORAL, PAUSED
from sfu.runtime.policies import POLICIES
from signalling.cli.bench.allocation_exact import MAX_ROWS, optimum
from signalling.cli.bench.allocation_instances import problem, tracks
from signalling.cli.bench.allocation_scene import Scene
from signalling.cli.bench.allocation_tick import tick_times as whole_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.allocation.problem import Policy, Problem
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray

TICK_S: Final = 0.05
LARGE: Final = (12, 21)
"""Rooms and members of the scene that is timed: 10,206 pairs."""
TIMED_TICKS: Final = 200
SKIPPED_TICKS: Final = 5
"""In the beginning, when everything is new."""

INSTANCES: Final = 1_000

SMALL: Final = (4, 10)
"""Rooms and members of the scenes on which policies are compared."""
COMPARED_S: Final = 120.0
COMPARED_TICK_S: Final = 0.2
"""Longer than a tick in service, for the time that it takes."""


class Measurement(NamedTuple):
    """What comes of a measurement."""

    values: dict[str, float | None]
    by_policy: dict[str, dict[str, float]]
    """Key, then policy."""
    raw: dict[str, object]


class Outcome(NamedTuple):
    """How one policy did in one scene."""

    utility: float
    switches_per_min: float
    size_switches_per_min: float
    """Without those of frame rate alone."""
    over_link: float


def measure(rounds: int, say: Callable[[str], None]) -> Measurement:
    """Measure everything.

    Args:
        rounds: scenes that policies are compared on.
        say: takes a line about what goes on.
    """
    say("time of a tick")
    ticks_ms = tick_times()
    say("time of a whole tick")
    whole = whole_tick_times()
    say("against the exact optimum")
    parts = parts_of_optimum(INSTANCES)
    outcomes: dict[str, list[Outcome]] = {}
    for name, policy in POLICIES.items():
        say(f"policy {name}")
        outcomes[name] = [compared(policy, seed) for seed in range(rounds)]
    later = ticks_ms[SKIPPED_TICKS:]
    return Measurement(
        {
            "tick_10k_ms": statistics.median(later),
            "tick_500_ms_p95": percentile(whole["whole"], 95) if whole else None,
            "utility_mean": statistics.fmean(parts),
            "utility_worst": min(parts),
        },
        {
            key: {
                name: round(statistics.fmean(getattr(one, key) for one in some), 4)
                for name, some in outcomes.items()
            }
            for key in Outcome._fields
        },
        {
            "tick_10k_first_ms": ticks_ms[0],
            "tick_10k_p95_ms": percentile(later, 95),
            "tick_10k_ms": ticks_ms,
            **{f"tick_500_{part}": values for part, values in whole.items()},
            "utility_parts_lowest": sorted(parts)[:20],
            "by_policy": {name: [one._asdict() for one in some] for name, some in outcomes.items()},
        },
    )


def tick_times() -> list[float]:
    """Milliseconds of this thread for each tick of the large scene, the first one first."""
    scene, rates, allocator = Scene(0, *LARGE), EncodingRates(), Allocator()
    times = []
    for _ in range(TIMED_TICKS):
        moment = scene.after(TICK_S)
        rates.update(moment.stats)
        began = time.thread_time()
        allocator.decide(scene.demand, rates, moment.budgets, speech=moment.speech)
        times.append((time.thread_time() - began) * 1_000)
    return times


def whole_tick_times() -> dict[str, list[float]]:
    """The parts of a whole tick, by name; nothing where the native plane was not built."""
    try:
        times = whole_ticks()
    except ImportError:
        return {}
    return {part: list(map(float, values)) for part, values in times._asdict().items()}


def parts_of_optimum(count: int) -> list[float]:
    """What ours is worth in seeded instances, as a part of the exact optimum of each."""
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(count):
        rows = int(rng.integers(1, MAX_ROWS + 1))
        asked = problem(rng, tracks(rng, rows), np.arange(rows), np.zeros(rows, np.int64))
        worth = worths(asked)
        best = optimum(worth, asked.costs_bps, float(asked.change_bps[0]))
        parts.append(float(_given(worth, utility(asked)).sum()) / best)
    return parts


def compared(
    policy: Policy, seed: int, size: tuple[int, int] = SMALL, seconds: float = COMPARED_S
) -> Outcome:
    """Let a policy decide a whole scene of so many rooms and members."""
    scene, rates, watched = Scene(seed, *size), EncodingRates(), _Watched(policy)
    allocator = Allocator(watched)
    for _ in range(round(seconds / COMPARED_TICK_S)):
        moment = scene.after(COMPARED_TICK_S)
        rates.update(moment.stats)
        allocator.decide(scene.demand, rates, moment.budgets, speech=moment.speech)
        watched.note(moment.capacity_bps)
    minutes = seconds / 60 * scene.subscribers
    return Outcome(
        watched.given / watched.wished,
        watched.switches / minutes,
        watched.size_switches / minutes,
        watched.over_link / watched.noted,
    )


class _Watched:
    """A policy and what came of it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._last: tuple[Problem, IntArray]
        self._is_first = True
        self.given = self.wished = 0.0
        self.switches = self.size_switches = self.over_link = self.noted = 0

    def __call__(self, asked: Problem, /) -> IntArray:
        layer = self._policy(asked)
        # The allocator asks again what would be otherwise, with nothing given before: that is no decision.
        if self._is_first or (asked.previous_at != NEVER).any():
            self._last, self._is_first = (asked, layer), False
        return layer

    def due(self, asked: Problem, /) -> BoolArray:
        if isinstance(self._policy, Paced):
            return self._policy.due(asked)
        return np.ones(len(asked.keep_bps), np.bool_)

    def note(self, capacity_bps: FloatArray) -> None:
        """Count the decision that was made last."""
        asked, layer = self._last
        worth = worths(asked)
        count = len(asked.keep_bps)
        best = np.bincount(asked.subscriber, worth.max(axis=1), count)
        given = np.bincount(asked.subscriber, _given(worth, layer), count)
        sent_bps = np.bincount(asked.subscriber, _given(asked.costs_bps, layer), count)
        fits = sent_bps <= capacity_bps
        self.given += float((given / best * fits).sum())
        self.wished += count
        is_old = asked.previous_at != NEVER
        self.switches += int((is_old & (layer != asked.previous)).sum())
        self.size_switches += int((is_old & (_encoding(layer) != _encoding(asked.previous))).sum())
        self.over_link += int((~fits).sum())
        self.noted += count


def _given(values: FloatArray, layer: IntArray) -> FloatArray:
    """(rows,) the value of the layer that is given, 0 where it is none."""
    return np.where(layer == PAUSED, 0.0, values[np.arange(len(layer)), np.maximum(layer, 0)])


def _encoding(layer: IntArray) -> IntArray:
    return np.floor_divide(layer, MAX_TEMPORAL)
