"""Our own mistakes, contained: each is counted, and as many are logged as somebody can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from sfu.transport.rate import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.metrics import Metrics
    from sfu.units import Instant

LOGGED_PER_S: Final = 1.0
LOGGED_AT_ONCE: Final = 20
"""Tracebacks in the log. Lower: the second mistake of a chain is not seen. Higher: a tick that fails 20 times
a second fills the disk. The counter has all of them."""

_log = structlog.get_logger()


class Failures:
    """Where supervisors bring the exceptions that they caught."""

    def __init__(self, metrics: Metrics, clock: Callable[[], Instant]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._lines = TokenBucket(LOGGED_PER_S, LOGGED_AT_ONCE)
        self._unlogged = 0

    def note(self, where: str, error: BaseException, **facts: object) -> None:
        """Count and log an exception.

        Args:
            where: from a small closed list: `turn`, `output`, `leg`, `tick`, `drain`.
            error: what was caught.
            facts: for the log; nothing that names a person.
        """
        self._metrics.failures.labels(where).inc()
        if not self._lines.take(self._clock()):
            self._unlogged += 1
            return
        _log.error("internal_failure", where=where, unlogged_before=self._unlogged, exc_info=error, **facts)
        self._unlogged = 0
