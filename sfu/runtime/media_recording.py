"""The recording of what the control is told and chooses, while somebody reads it.

A reader that is too slow loses its recording; ticks never wait for one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from sfu.errors import CapacityError, LocalError
from sfu.recording.recorder import Recorder
from sfu.recording.watched import NoTap
from sfu.runtime.clocks import monotonic_clock
from sfu.units import after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Counter

    from sfu.control import ControlUpdate
    from sfu.plane import PlaneStats
    from sfu.recording.recorder import Part
    from sfu.recording.told import Told
    from sfu.recording.watched import WatchedControl
    from sfu.rows import StructArray
    from sfu.units import Instant

MAX_WAITING: Final = 32
"""Parts of a recording that wait for its reader; the largest have some megabytes. Lower: a reader that stops
for a moment loses it. Higher: more memory."""

_log = structlog.get_logger()


class MediaRecording:
    """One recording: a `Tap`, and what its reader has not taken yet.

    Args:
        recorder: writes it.
        failures: counts mistakes of ours by where they were made.
        until: when it ends by itself; None: never.
    """

    def __init__(self, recorder: Recorder, failures: Counter, until: Instant | None) -> None:
        self._recorder = recorder
        self._failures = failures
        self._until = until
        self._parts: deque[Part] = deque()
        self._arrived = asyncio.Event()
        self.ended: str | None = None
        """Why there is no more than what waits; None: there may be."""

    def end(self, why: str) -> None:
        """Say why there is no more; only the first reason counts."""
        if self.ended is None:
            self.ended = why
            self._parts += self._recorder.take(is_last=True)
            self._arrived.set()

    async def batch(self, patience_s: float) -> list[Part] | None:
        """What has come; empty where nothing came in time, None after the end."""
        if not self._parts and self.ended is not None:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._arrived.wait()
        parts = list(self._parts)
        self._parts.clear()
        self._arrived.clear()
        return parts

    # --- a `Tap` ------------------------------------------------------------------------------------------

    def told(self, given: Told) -> None:
        """The control was told something."""
        self._note(lambda: self._recorder.told(given))

    def ticked(
        self,
        now: Instant,
        stats: PlaneStats,
        feedback: StructArray,
        update: ControlUpdate,
        *,
        is_full: bool,
    ) -> None:
        """It has advanced to now."""
        self._note(lambda: self._recorder.ticked(now, stats, feedback, update, is_full=is_full))
        if self._until is not None and now >= self._until:
            self.end("seconds")

    def allocated(self, now: Instant, decisions: StructArray) -> None:
        """It has decided everything anew between two ticks."""
        self._note(lambda: self._recorder.allocated(now, decisions))

    def failed(self) -> None:
        """A step has ended in a mistake of ours: what follows could not be replayed."""
        self.end("failed")

    def _note(self, write: Callable[[], None]) -> None:
        if self.ended is not None:
            return
        try:
            write()
        except Exception as error:  # noqa: BLE001  # a mistake in a recording must not harm what is recorded
            self._failures.labels("media_recording").inc()
            _log.error("media_recording_failed", exc_info=error)
            self.end("failed")
            return
        parts = self._recorder.take()
        if parts:
            self._parts += parts
            self._arrived.set()
        if len(self._parts) > MAX_WAITING:
            self.end("too_slow")


class MediaRecordings:
    """At most one recording at a time: it has all calls in it.

    Args:
        version: of matrix-focus.
        policy: the name of the one that decides.
        failures: counts mistakes of ours by where they were made.
        clock: monotonic now.
    """

    def __init__(
        self,
        version: str,
        policy: str,
        failures: Counter,
        *,
        clock: Callable[[], Instant] = monotonic_clock,
    ) -> None:
        self._version = version
        self._policy = policy
        self._failures = failures
        self._clock = clock
        self._control: WatchedControl | None = None
        self._open: MediaRecording | None = None

    def attach(self, control: WatchedControl) -> None:
        """From now on there is something to record."""
        self._control = control

    @contextlib.contextmanager
    def open(self, *, seconds: float | None = None, has_packets: bool = False) -> Iterator[MediaRecording]:
        """Record while inside.

        Args:
            seconds: when to end; None: with the reader.
            has_packets: also what subscribers tell of each packet.

        Raises:
            CapacityError: somebody else records.
            LocalError: there is nothing to record yet.
        """
        control = self._control
        if control is None:
            raise LocalError("the focus has not logged in yet")
        if self._open is not None:
            raise CapacityError("a recording is under way")
        recorder = Recorder(control.control, self._version, self._policy, has_packets=has_packets)
        until = None if seconds is None else after_s(self._clock(), seconds)
        self._open = control.tap = MediaRecording(recorder, self._failures, until)
        _log.info("media_recording_began", has_packets=has_packets)
        try:
            yield self._open
        finally:
            control.tap = NoTap()
            self._open = None
            _log.info("media_recording_ended")

    def close(self) -> None:
        """The focus ends: the reader is told."""
        if self._open is not None:
            self._open.end("focus_stopped")
