"""What others sent and we did not take: all of it counted, and as much of it logged as somebody can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from sfu.transport.rate import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.metrics import Metrics
    from sfu.units import Instant

LOGGED_PER_S: Final = 1.0
LOGGED_AT_ONCE: Final = 50
"""Lines in the log. Lower: the odd message of a client under test is missed. Higher: whoever likes fills the
disk. The counter has all of them."""

_log = structlog.get_logger()


class Refusals:
    """Counts received signalling by outcome."""

    def __init__(self, metrics: Metrics, clock: Callable[[], Instant]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._lines = TokenBucket(LOGGED_PER_S, LOGGED_AT_ONCE)

    def accept(self, event_type: str, outcome: str = "read") -> None:
        """Count what was read and taken, or passed over as none of ours.

        What the focus then makes of it is another outcome, which it counts itself.
        """
        self._metrics.signalling_messages.labels("received", event_type, outcome).inc()

    def refuse(self, event_type: str, outcome: str, amount: int = 1, **facts: Any) -> None:  # noqa: ANN401
        """Count what was refused, and log why.

        Args:
            event_type: from a small closed list: it is a label.
            outcome: likewise.
            amount: how many.
            facts: for the log; nothing that names a person.
        """
        if amount == 0:
            return
        self._metrics.signalling_messages.labels("received", event_type, outcome).inc(amount)
        if self._lines.take(self._clock()):
            _log.warning("signalling_refused", type=event_type, outcome=outcome, **facts)
