"""SIGINT and SIGTERM as a wish to end, so that nothing is left behind."""

from __future__ import annotations

import asyncio
import signal
from typing import Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Takes the two signals while entered.

    The first one cancels the task that entered, or after `be_polite` only sets `asked`. All later ones are
    ignored, to the end of the process: what is being cleaned up then must not be interrupted.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.signal: signal.Signals | None = None
        """The one that came."""
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._ask, number)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            if self.asked.is_set():
                signal.signal(number, signal.SIG_IGN)

    def be_polite(self) -> None:
        """From now on whoever waits looks at `asked` by themselves."""
        self._task = None

    def _ask(self, number: signal.Signals) -> None:
        if self.asked.is_set():
            return
        self.signal = number
        self.asked.set()
        if self._task is not None:
            self._task.cancel()
