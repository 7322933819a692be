"""What comes up from the plane, taken whenever its eventfd says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.plane import Batch, Plane
    from sfu.runtime.failures import Failures

RETRY_S: Final = 0.1
"""Pause after a drain that failed: the eventfd may still be readable, and the loop must do other things."""


class PlaneDrain:
    """Reads the plane while it is open.

    Args:
        plane: to drain.
        take: takes each batch.
        failures: where mistakes of the plane and of `take` go.
    """

    def __init__(self, plane: Plane, take: Callable[[Batch], None], failures: Failures) -> None:
        self._plane = plane
        self._take = take
        self._failures = failures
        self._loop: asyncio.AbstractEventLoop | None = None
        self._retry: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether batches are taken now."""
        return self._loop is not None

    def open(self) -> None:
        """Begin, or go on; harmless when open."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._plane.fileno(), self._read)

    def close(self) -> None:
        """Stop: what comes up waits in the plane, which drops what is too much; harmless when closed."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._loop is not None:
            self._loop.remove_reader(self._plane.fileno())
            self._loop = None

    def _read(self) -> None:
        try:
            self._take(self._plane.drain())
        except Exception as error:  # noqa: BLE001  # nothing above this would be told of it
            self._failures.note("drain", error)
            self.close()
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self.open)
