"""One timer of the event loop that is set again and again, mostly for when it is set already."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.units import Instant

LEAST_DELAY_S: Final = 0.001
"""uvloop counts milliseconds: a shorter delay would be a spin."""


class Alarm:
    """Rings once for each instant. A loop that waits for this or an arrival needs no timer for each wait.

    Args:
        clock: monotonic now.
        ring: is called when the time has come, up to a millisecond early.
    """

    def __init__(self, clock: Callable[[], Instant], ring: Callable[[], object]) -> None:
        self._clock = clock
        self._ring = ring
        self._at: Instant | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: Instant | None) -> None:
        """Ring then, and not when it was to ring before; None: not at all."""
        if at == self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._at = at
        if at is not None:
            delay_s = max(LEAST_DELAY_S, (at - self._clock()) / NS_PER_S)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._rings)

    def _rings(self) -> None:
        self._at = self._timer = None
        self._ring()
