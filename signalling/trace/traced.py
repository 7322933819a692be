"""An engine that can be watched. While nobody watches, a turn costs one call more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.conference.turn import Engine
    from sfu.units import Instant, WallTime


class Tap(Protocol):
    """Is told of turns, after they were taken. It must not raise, and not wait."""

    def turn(self, now: Instant, given: Any, outputs: Sequence[Any]) -> None:  # noqa: ANN401  # of whatever dialect
        """A turn was taken; `given` is None for one of timers."""
        ...

    def failed(self, now: Instant, given: Any, error: Exception) -> None:  # noqa: ANN401
        """A turn ended in a mistake of ours."""
        ...


class NoTap:
    """Nobody watches."""

    def turn(self, now: Instant, given: Any, outputs: Sequence[Any]) -> None:  # noqa: ANN401
        """Nothing."""

    def failed(self, now: Instant, given: Any, error: Exception) -> None:  # noqa: ANN401
        """Nothing."""


class Traced:
    """An `Engine` around another one, which tells its `tap` of every turn.

    Args:
        engine: does the work.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.tap: Tap = NoTap()

    def handle(self, now: Instant, wall: WallTime, given: Any) -> Sequence[Any]:  # noqa: ANN401
        """Take one input."""
        try:
            outputs = self._engine.handle(now, wall, given)
        except Exception as error:
            self.tap.failed(now, given, error)
            raise
        self.tap.turn(now, given, outputs)
        return outputs

    def handle_timeout(self, now: Instant, wall: WallTime) -> Sequence[Any]:
        """Do what is due."""
        try:
            outputs = self._engine.handle_timeout(now, wall)
        except Exception as error:
            self.tap.failed(now, None, error)
            raise
        self.tap.turn(now, None, outputs)
        return outputs

    def next_timeout(self) -> Instant | None:
        """When something is due."""
        return self._engine.next_timeout()
