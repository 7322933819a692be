"""One run from the first join to the verdict, with an audience."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from loadtest.crowd import Crowd
    from loadtest.ending import Ending
    from loadtest.judge import Verdict
    from loadtest.stage import Stage

REFRESH_S: Final = 0.5
"""Between two looks. Shorter: livelier, and drawing costs the processor that media needs."""
_NOTHING: Final = contextlib.nullcontext()


async def perform(
    crowd: Crowd,
    stage: Stage,
    ending: Ending,
    seconds: float | None,
    beside: AbstractAsyncContextManager[object] = _NOTHING,
) -> tuple[Verdict, float]:
    """Join, stay and leave.

    Args:
        crowd: who takes part.
        stage: is shown the call while it lasts.
        ending: ends the call before its time.
        seconds: to stay after the last one has joined; None: until `ending`, or until nobody is left.
        beside: is entered before the first one joins, and left while everybody is still there.

    Returns:
        The verdict and how long everybody stayed.
    """
    ending.be_polite()
    async with crowd, beside, asyncio.TaskGroup() as group:
        joining = group.create_task(crowd.join())
        joined_at: float | None = None
        while not ending.asked.is_set():
            stage.show(crowd.view())
            if joining.done() and joined_at is None:
                joined_at = time.monotonic()
            pause_s = REFRESH_S
            if joined_at is not None and seconds is not None:
                pause_s = min(pause_s, joined_at + seconds - time.monotonic())
            if pause_s <= 0 or (joining.done() and crowd.is_empty):
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await ending.asked.wait()
        joining.cancel()
        verdict = crowd.judge()
        stage.close()
    return verdict, 0.0 if joined_at is None else time.monotonic() - joined_at
