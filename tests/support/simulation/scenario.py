"""Scenarios as rows: who is in the call over which lines, what happens, and what must be seen of it.

Each row names an effect. Its control is the same row without the cause, where the effect must not be seen: on
lines without faults, or without the script.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loadtest.client.negotiation import LIKE_CHROMIUM, LegNumbers
from sfu.config import SfuConfig
from signalling.focus.settings import CallSettings
from tests.support.simulation.simulation import GOOD, Simulation
from tests.support.simulation.sources import Capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.netem.link import LinkProfile
    from tests.support.simulation.wishes import Tile


class Cause(enum.Enum):
    """What a scenario's effect comes from, and its control does without."""

    LINES = enum.auto()
    SCRIPT = enum.auto()


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in the call."""

    name: str
    up: LinkProfile = GOOD
    down: LinkProfile = GOOD
    joins_at_s: float = 0.0
    capture: Capture = field(default_factory=Capture)
    tile: Tile | None = (640, 360)
    numbers: LegNumbers = LIKE_CHROMIUM
    obeys_layers: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens so many seconds after the clock began."""

    at_s: float
    action: Callable[[Simulation], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row."""

    title: str
    members: tuple[Member, ...]
    shows: Callable[[Simulation], bool]
    """The effect: seen in the scenario, not in its control."""
    expect: Callable[[Simulation], None] = lambda _: None
    """What must hold beside that, in the scenario."""
    seconds: float = 5.0
    script: tuple[Step, ...] = ()
    cause: Cause = Cause.LINES
    config: SfuConfig = field(default_factory=SfuConfig)
    settings: CallSettings = field(default_factory=CallSettings)

    def __str__(self) -> str:
        return self.title

    def play(self, seed: int = 1, *, is_traced: bool = False) -> Simulation:
        """The call as it stands after the last second."""
        simulation = Simulation(seed, config=self.config, settings=self.settings, is_traced=is_traced)
        for member in self.members:
            client = simulation.add(
                member.name,
                up=member.up,
                down=member.down,
                capture=member.capture,
                tile=member.tile,
                numbers=member.numbers,
            )
            client.obeys_layers = member.obeys_layers
            simulation.at_s(member.joins_at_s, client.join)
        for step in self.script:
            simulation.at_s(step.at_s, _bound(step, simulation))
        simulation.run_until_s(self.seconds)
        return simulation

    def control(self) -> Scenario:
        """The same without the cause."""
        if self.cause is Cause.SCRIPT:
            return replace(self, script=())
        return replace(self, members=tuple(replace(member, up=GOOD, down=GOOD) for member in self.members))


def _bound(step: Step, simulation: Simulation) -> Callable[[], None]:
    return lambda: step.action(simulation)
