"""An event loop whose time passes only while everybody sleeps: a minute of timers in a millisecond."""

from __future__ import annotations

import asyncio
import functools
import selectors
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from sfu.units import NS_PER_S, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
P = ParamSpec("P")

START_S = 1_000.0


class _SkippingSelector(selectors.DefaultSelector):
    """Instead of waiting for files until a timer is due, it puts the clock there."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits and nobody will ever wake")
            self.now_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """asyncio on a virtual clock. Files that are ready are served first; nothing may run in a thread."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now_s


def clock() -> Instant:
    """Virtual now, for whoever is given a clock."""
    return Instant(round(asyncio.get_running_loop().time() * NS_PER_S))


def virtually(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a coroutine function a test that runs on virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtually(test(*args, **kwargs))

    return run


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine to its end."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
