"""How late the event loop wakes a sleeper: the first sign of a process that has too much to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.metrics import Metrics
    from sfu.units import Instant

SAMPLE_EVERY_S: Final = 0.25
"""Lower: the measuring itself wakes an idle process. Higher: a stall is seen by chance only."""


async def watch_lag(clock: Callable[[], Instant], metrics: Metrics) -> None:
    """Measure until cancelled."""
    while True:
        slept_at = clock()
        await asyncio.sleep(SAMPLE_EVERY_S)
        late_s = (clock() - slept_at) / NS_PER_S - SAMPLE_EVERY_S
        metrics.event_loop_lag_seconds.observe(max(0.0, late_s))
