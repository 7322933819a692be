"""An engine that notes what it is told and answers from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfu.conference.turn import MediaReport
from sfu.plane import AddTransport, Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.units import Instant, TransportId, WallTime


def nothing(given: object) -> Sequence[Any]:
    return ()


class ScriptedEngine:
    """Meets `sfu.conference.turn.Engine`. `answer` says what each input leads to, and may raise."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        """Everything but reports, in order."""
        self.reports: list[MediaReport] = []
        self.times: list[tuple[Instant, WallTime]] = []
        self.answer: Callable[[Any], Sequence[Any]] = nothing
        self.due_at: Instant | None = None
        self.at_timeout: Callable[[], Sequence[Any]] = lambda: ()
        self.timeouts: list[Instant] = []
        self.before_next_timeout: Callable[[], None] = lambda: None

    def handle(self, now: Instant, wall: WallTime, given: Any) -> Sequence[Any]:  # noqa: ANN401  # any dialect's
        self.times.append((now, wall))
        if isinstance(given, MediaReport):
            self.reports.append(given)
        else:
            self.told.append(given)
        return self.answer(given)

    def handle_timeout(self, now: Instant, wall: WallTime) -> Sequence[Any]:
        self.timeouts.append(now)
        return self.at_timeout()

    def next_timeout(self) -> Instant | None:
        self.before_next_timeout()
        return self.due_at


def add_transport(leg: TransportId) -> AddTransport:
    return AddTransport(leg, Credentials("ufrag", "password"))
