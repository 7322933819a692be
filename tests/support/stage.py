"""A runtime on virtual time, between a scripted engine and a plane without a network."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from sfu.config import SfuConfig
from sfu.metrics import Metrics
from sfu.runtime.runtime import Runtime
from sfu.transport.certificate import Certificate
from sfu.units import Instant, WallTime
from tests.support.fake_plane import FakePlane
from tests.support.scripted_engine import ScriptedEngine
from tests.support.virtual_time import clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WALL = WallTime(1_700_000_000_000)
CERTIFICATE = Certificate.generate()


class Stage:
    """Everything around a runtime. `lost_ns` is time that somebody wasted without sleeping."""

    def __init__(self) -> None:
        self.lost_ns = 0
        self.plane = FakePlane(self.clock)
        self.engine = ScriptedEngine()
        self.metrics = Metrics()
        self.performed: list[Any] = []
        self.runtime = Runtime(
            self.engine,
            self.plane,
            CERTIFICATE,
            SfuConfig(),
            self.metrics,
            self.perform,
            clock=self.clock,
            wall_clock=lambda: WALL,
        )

    def clock(self) -> Instant:
        return Instant(clock() + self.lost_ns)

    def perform(self, output: Any) -> None:  # noqa: ANN401  # any dialect's
        self.performed.append(output)
        if isinstance(output, Exception):
            raise output

    def counted(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def failures(self, where: str) -> float:
        return self.counted("focus_internal_failures_total", where=where)


@contextlib.asynccontextmanager
async def on_stage() -> AsyncIterator[Stage]:
    """While inside, the runtime runs."""
    stage = Stage()
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(stage.runtime.run())
            yield stage
            task.cancel()
    finally:
        stage.plane.close()
