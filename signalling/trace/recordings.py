"""The recordings that are under way: turns go in, lines wait for whoever asked for them.

A reader that is too slow loses its recording; the engine never waits for one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import structlog

from sfu.errors import CapacityError, LocalError
from sfu.runtime.clocks import monotonic_clock, wall_clock
from sfu.units import after_s
from signalling.trace.lines import End, written
from signalling.trace.recorder import Recorder
from signalling.trace.traced import NoTap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client import Counter

    from sfu.units import Instant, WallTime
    from signalling.config import Config
    from signalling.focus.surroundings import Surroundings
    from signalling.trace.lines import Header, Line
    from signalling.trace.subject import Subject
    from signalling.trace.traced import Traced

MAX_RECORDINGS: Final = 8
"""At once. Lower: two who look for something get in each other's way. Higher: each costs every turn."""
MAX_QUEUED_BYTES: Final = 16 << 20
"""That wait for one reader. Lower: a burst of joins ends a recording of everybody. Higher: more memory."""

_log = structlog.get_logger()


class OpenRecording:
    """One recording and its reader.

    Args:
        recorder: writes it.
        until: when it ends by itself; None: never.
    """

    def __init__(self, recorder: Recorder, until: Instant | None) -> None:
        self.recorder = recorder
        self.until = until
        self._queue: deque[str] = deque()
        self._queued_bytes = 0
        self._arrived = asyncio.Event()
        self.is_ended = False

    def put(self, lines: Iterable[Header | Line]) -> None:
        """Queue lines; where there is no room for them, the recording has ended."""
        for line in lines:
            if self.is_ended:
                return
            text = f"{written(line)}\n"
            if self._queued_bytes + len(text) > MAX_QUEUED_BYTES:
                self.end("too_slow")
                return
            self._append(text)

    def end(self, why: str) -> None:
        """Say why there is no more; only the first reason counts."""
        if not self.is_ended:
            self.is_ended = True
            self._append(f"{written(End(why))}\n")

    async def batch(self, patience_s: float) -> str | None:
        """What has been queued, as text; empty where nothing came in time, None after the end."""
        if not self._queue and self.is_ended:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._arrived.wait()
        text = "".join(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        self._arrived.clear()
        return text

    def _append(self, text: str) -> None:
        self._queue.append(text)
        self._queued_bytes += len(text)
        self._arrived.set()


class Recordings:
    """All recordings of one focus; a `Tap` of its engine while there are any.

    Args:
        config: of the focus.
        version: of matrix-focus.
        failures: counts mistakes of ours by where they were made.
        clock: monotonic now.
        wall_clock: now, as Matrix counts.
    """

    def __init__(
        self,
        config: Config,
        version: str,
        failures: Counter,
        *,
        clock: Callable[[], Instant] = monotonic_clock,
        wall_clock: Callable[[], WallTime] = wall_clock,
    ) -> None:
        self._config = config
        self._version = version
        self._failures = failures
        self._clock = clock
        self._wall_clock = wall_clock
        self._watched: tuple[Traced, Surroundings, tuple[str, str]] | None = None
        self._open: list[OpenRecording] = []

    def attach(self, traced: Traced, surroundings: Surroundings, identity: tuple[str, str]) -> None:
        """From now on there is a focus to record."""
        self._watched = traced, surroundings, identity

    @contextlib.contextmanager
    def open(self, subject: Subject, seconds: float | None = None) -> Iterator[OpenRecording]:
        """Record while inside.

        Args:
            subject: whose signalling.
            seconds: when to end; None: with the leg, or with the reader.

        Raises:
            CapacityError: there are too many.
            LocalError: there is no focus yet.
        """
        if self._watched is None:
            raise LocalError("the focus has not logged in yet")
        if len(self._open) >= MAX_RECORDINGS:
            raise CapacityError(f"{len(self._open)} recordings are under way")
        traced, surroundings, identity = self._watched
        now, config = self._clock(), self._config
        recorder = Recorder(subject, identity, surroundings, self._version)
        recording = OpenRecording(recorder, None if seconds is None else after_s(now, seconds))
        recording.put(recorder.begin(now, self._wall_clock(), config.calls, config.conference, config.limits))
        self._open.append(recording)
        traced.tap = self
        _log.info("trace_began", recordings=len(self._open))
        try:
            yield recording
        finally:
            self._open.remove(recording)
            if not self._open:
                traced.tap = NoTap()
            _log.info("trace_ended", recordings=len(self._open))

    def close(self) -> None:
        """The focus ends: all readers are told."""
        for recording in self._open:
            recording.end("focus_stopped")

    # --- a `Tap` ------------------------------------------------------------------------------------------

    def turn(self, now: Instant, given: Any, outputs: Sequence[Any]) -> None:  # noqa: ANN401
        """A turn was taken."""
        for recording in self._open:
            if not recording.is_ended:
                self._write(recording, lambda one: one.recorder.turn(now, given, outputs))
                self._end_in_time(now, recording)

    def failed(self, now: Instant, given: Any, error: Exception) -> None:  # noqa: ANN401
        """A turn ended in a mistake of ours."""
        for recording in self._open:
            self._write(recording, lambda one: one.recorder.failed(now, given, error))

    def _write(self, recording: OpenRecording, lines: Callable[[OpenRecording], Iterable[Line]]) -> None:
        try:
            recording.put(lines(recording))
        except Exception as error:  # noqa: BLE001  # a mistake in a recording must not harm what is recorded
            self._failures.labels("trace").inc()
            _log.error("trace_failed", exc_info=error)
            recording.end("failed")

    def _end_in_time(self, now: Instant, recording: OpenRecording) -> None:
        if recording.until is not None and now >= recording.until:
            recording.end("seconds")
        elif recording.recorder.is_over(now):
            recording.end("leg_ended")
