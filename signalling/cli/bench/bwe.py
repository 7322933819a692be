"""`focus bench bwe`: what the estimate makes of paths that are simulated, and what it should."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.table import Table
from rich.text import Text

from sfu.simulation.calls import CALLS
from sfu.simulation.cores import native_core, reference_core
from sfu.simulation.deciding import mind_of
from sfu.simulation.figures import SCENARIOS
from sfu.simulation.measures import audio_hurt
from sfu.simulation.rfc8867 import CASES
from sfu.simulation.run import run
from sfu.simulation.scenario import Bound, Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.simulation.recording import Recording
    from sfu.simulation.scenario import Scenario
    from sfu.simulation.stand import Core

ALL: Final = {scenario.name: scenario for scenario in (*SCENARIOS, *CALLS, *CASES)}
"""By name."""

_AUDIO_HURT: Final = Figure("audio_hurt_packets", audio_hurt, Bound(high=0))


class Outcome(NamedTuple):
    """What was measured."""

    plane: str
    values: dict[str, float | None]
    """Medians over the rounds; None where there is none, as of a time at which something never came."""
    raw: dict[str, list[float | None]]
    goals: dict[str, Bound]
    faults: list[str]
    """Scenarios that did not show their effect, or controls that did."""
    recordings: list[Recording]
    """Of the first round, controls apart."""


def measure(scenarios: Sequence[Scenario], rounds: int, say: Callable[[str], None]) -> Outcome:
    """Play scenarios, each so many times with other random numbers, and their controls once."""
    plane, make_core = _plane()
    raw: dict[str, list[float]] = {}
    faults: list[str] = []
    recordings: list[Recording] = []
    hurt = [0.0] * rounds
    for scenario in scenarios:
        say(scenario.name)
        for seed in range(rounds):
            recording = run(scenario, make_core(), mind_of(scenario), seed)
            for figure in scenario.figures:
                raw.setdefault(figure.key, []).append(figure.measure(recording))
            hurt[seed] += audio_hurt(recording)
            if not scenario.effect.is_seen(recording):
                faults.append(f"{scenario.name}, seed {seed}: does not show its effect")
            if not seed:
                recordings.append(recording)
        control = scenario.as_control()
        if scenario.effect.is_seen(run(control, make_core(), mind_of(control), 0)):
            faults.append(f"{scenario.name}: its control shows the effect")
    raw[_AUDIO_HURT.key] = hurt
    figures = (*(figure for scenario in scenarios for figure in scenario.figures), _AUDIO_HURT)
    return Outcome(
        plane,
        {key: _finite(statistics.median(values)) for key, values in raw.items()},
        {key: [_finite(value) for value in values] for key, values in raw.items()},
        {figure.key: figure.goal for figure in figures if figure.goal is not None},
        faults,
        recordings,
    )


def table(outcome: Outcome) -> Table:
    """The figures beside their goals."""
    shown = Table("figure", "median", "lowest", "highest", "goal", "", box=None, pad_edge=False)
    for column in shown.columns[1:4]:
        column.justify = "right"
    for key, value in outcome.values.items():
        seen = [one for one in outcome.raw[key] if one is not None]
        goal = outcome.goals.get(key)
        met = Text("")
        if goal is not None:
            holds = value is not None and goal.holds(value)
            met = Text("met" if holds else "missed", style="green" if holds else "red")
        numbers = (value, min(seen, default=None), max(seen, default=None))
        shown.add_row(key, *(_number(number) for number in numbers), _words(goal), met)
    return shown


def _plane() -> tuple[str, Callable[[], Core]]:
    """The plane that calls run on where it can be had, and its name."""
    try:
        native_core()
    except ImportError:
        return "reference", reference_core
    return "native", native_core


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _words(goal: Bound | None) -> str:
    if goal is None:
        return ""
    if math.isinf(goal.low):
        return f"≤ {goal.high:g}"
    return f"≥ {goal.low:g}" if math.isinf(goal.high) else f"{goal.low:g} - {goal.high:g}"
