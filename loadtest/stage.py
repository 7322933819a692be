"""Where people watch a run: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from rich.live import Live
from rich.text import Text

from loadtest.live_table import View, render

if TYPE_CHECKING:
    from rich.console import Console

LINE_INTERVAL_S: Final = 5.0
"""Between two lines where there is no terminal. Longer: one wonders. Shorter: logs fill."""


class Stage:
    """Shows the state of a run; without a terminal, when somebody comes or goes, and now and then.

    Args:
        console: where results go; the live table too, where it is a terminal.
        notes: where progress goes otherwise.
    """

    def __init__(self, console: Console, notes: Console) -> None:
        self.console = console
        self._notes = notes
        self._live: Live | None = None
        self._line_at = 0.0
        self._present = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, text: str) -> None:
        """Tell what is going on."""
        # A live table and lines of another stream would overwrite each other.
        (self._notes if self._live is None else self.console).print(Text(text), soft_wrap=True)

    def show(self, view: View) -> None:
        """Show what there is to see now."""
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, auto_refresh=False)
                self._live.start()
            width, height = self.console.size
            self._live.update(render(view, width, height), refresh=True)
        elif view.present != self._present or time.monotonic() >= self._line_at:
            self._present = view.present
            self._line_at = time.monotonic() + LINE_INTERVAL_S
            self._notes.print(Text(view.headline()))

    def close(self) -> None:
        """Leave the table as it is and go on below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None
