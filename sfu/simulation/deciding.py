"""Who makes something of a run's counters and feedback: an estimate that sources follow, or a focus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from sfu.allocation.decision import DECISION_DTYPE
from sfu.allocation.policies.utility import utility
from sfu.bwe.estimators import Estimators
from sfu.control import Control
from sfu.rows import TARGET_DTYPE
from sfu.units import Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.allocation.problem import Policy
    from sfu.bwe.estimate import BweUpdate
    from sfu.conference.turn import SetDemand
    from sfu.plane import PlaneStats
    from sfu.rows import StructArray
    from sfu.simulation.scenario import Scenario

FULL_MS: Final = 1_000
"""So often all is decided anew although nothing has changed, as in a focus that runs (`sfu.runtime.tick`)."""

NO_DECISIONS: Final = np.zeros(0, DECISION_DTYPE)
NO_TARGETS: Final = np.zeros(0, TARGET_DTYPE)


class Estimating(Protocol):
    """What estimates for all transports at once (`sfu.bwe`)."""

    def update(
        self, now: Instant, feedback: StructArray, transports: StructArray, wishes: StructArray
    ) -> BweUpdate:
        """What is known now; called every tick."""
        ...


@dataclass(frozen=True, slots=True)
class Decided:
    """What comes of a tick."""

    estimates: StructArray
    """(transports,) of `ESTIMATE_DTYPE`."""
    decisions: StructArray
    """(routes,) of `DECISION_DTYPE`; of sources that follow the estimate, none."""
    targets: StructArray
    """(n,) of `TARGET_DTYPE`; those not named stay."""
    pacing: StructArray
    """(n,) of `PACING_DTYPE`."""
    probes: StructArray
    """(n,) of `PROBE_DTYPE`."""


class Deciding(Protocol):
    """What a run asks each tick."""

    def want(self, demands: Iterable[SetDemand]) -> StructArray:
        """Somebody subscribes: (n,) of `TARGET_DTYPE` at once."""
        ...

    def tick(self, now: Instant, stats: PlaneStats, feedback: StructArray, wishes: StructArray) -> Decided:
        """Advance to now.

        Args:
            now: time.
            stats: the plane's counters.
            feedback: (n,) of `FEEDBACK_DTYPE`, all since the last tick.
            wishes: (n,) of `WISH_DTYPE`, of sources that follow the estimate.
        """
        ...


class Followed:
    """Sources follow the estimate: there is nothing to choose.

    Args:
        estimators: new.
    """

    def __init__(self, estimators: Estimating) -> None:
        self._estimators = estimators

    def want(self, demands: Iterable[SetDemand]) -> StructArray:
        """What is sent is shown."""
        del demands
        return NO_TARGETS

    def tick(self, now: Instant, stats: PlaneStats, feedback: StructArray, wishes: StructArray) -> Decided:
        """Estimate."""
        update = self._estimators.update(now, feedback, stats.transports, wishes)
        return Decided(update.estimates, NO_DECISIONS, NO_TARGETS, update.pacing, update.probes)


class Allocated:
    """Layers are chosen as in a focus that runs.

    Args:
        control: new.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._full_at = Instant(0)

    def want(self, demands: Iterable[SetDemand]) -> StructArray:
        """Allocate with it."""
        for demand in demands:
            self._control.set_demand(demand)
        return self._control.allocate()

    def tick(self, now: Instant, stats: PlaneStats, feedback: StructArray, wishes: StructArray) -> Decided:
        """Estimate and allocate; what is wished comes of what is allocated."""
        del wishes
        is_full = now >= self._full_at
        if is_full:
            self._full_at = after_ms(now, FULL_MS)
        update = self._control.tick(now, stats, feedback, is_full=is_full)
        targets = NO_TARGETS if update.targets is None else update.targets
        return Decided(update.estimates, update.decisions, targets, update.pacing, update.probes)


def mind_of(scenario: Scenario, policy: Policy = utility) -> Estimating | Control:
    """New, what a scenario is played with; the policy matters to a call."""
    return Control(policy) if scenario.is_call else Estimators()


def deciding(mind: Estimating | Control) -> Deciding:
    """What a run asks each tick, by what it was given."""
    return Allocated(mind) if isinstance(mind, Control) else Followed(mind)
