"""An estimate that knows one number: what stands in for `sfu.bwe.estimators.Estimators`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sfu.bwe.estimate import ESTIMATE_DTYPE, BweUpdate, EstimateState
from sfu.rows import PACING_DTYPE, PROBE_DTYPE

if TYPE_CHECKING:
    from sfu.rows import StructArray
    from sfu.units import Instant

PACING_FACTOR = 2.0
QUEUE_LIMIT_MS = 250


class FixedTarget:
    """Tells everybody the same target, paces to twice of it, and keeps what it was told."""

    def __init__(self, target_bps: float) -> None:
        self.target_bps = target_bps
        self.feedback: list[StructArray] = []
        self.wishes: list[StructArray] = []
        self.probes: list[tuple[int, int, float, int]] = []
        """To be asked for at the next update: rows of `PROBE_DTYPE`."""

    def update(
        self, now: Instant, feedback: StructArray, transports: StructArray, wishes: StructArray
    ) -> BweUpdate:
        """The same always."""
        del now, transports
        self.feedback.append(feedback)
        self.wishes.append(wishes)
        estimates = np.zeros(len(wishes), ESTIMATE_DTYPE)
        estimates["transport"] = wishes["transport"]
        estimates["target_bps"] = estimates["stable_bps"] = self.target_bps
        estimates["acked_bps"] = math.nan
        estimates["state"] = EstimateState.NORMAL
        rate_bps = PACING_FACTOR * self.target_bps
        pacing = np.array([(one, rate_bps, 0, QUEUE_LIMIT_MS) for one in wishes["transport"]], PACING_DTYPE)
        probes, self.probes = np.array(self.probes, PROBE_DTYPE), []
        return BweUpdate(estimates, pacing, probes)
