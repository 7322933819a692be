"""What a control is told and does in, frames of a recording out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.recording.file import COLUMNS, Beginning, Header, beginning_of, written
from sfu.recording.steps import Step, StepKind, block_of
from sfu.recording.tables import DECISIONS, ENCODINGS, ESTIMATES, FEEDBACK, TRANSPORTS
from sfu.units import Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.control import Control, ControlUpdate
    from sfu.plane import PlaneStats
    from sfu.recording.tables import Table
    from sfu.recording.told import Told
    from sfu.rows import StructArray

BLOCK_MS: Final = 2_000
"""Steps of so much time go into a block. Lower: each block begins anew, and the file is larger. Higher: more
is missing at the end of a file that was cut off."""

BLOCK_BYTES: Final = 1 << 20
"""Or so much of arrays. Lower: the same. Higher: a block takes longer to compress, and more memory waits."""

TOLD_BYTES: Final = 64
"""What one thing that was told is taken to be, so that a block of nothing else ends, too."""

Part = Header | Beginning | tuple[Step, ...]
"""Steps become a block; that takes time, and is done where there is some."""


def encoded(part: Part) -> bytes:
    """A part as it stands in a file."""
    return written(block_of(part) if isinstance(part, tuple) else part)


class Recorder:
    """Writes down what it is told; `take` has it.

    A recording begins with the next tick: after it, nothing waits to be decided.

    Args:
        control: who is watched.
        version: of matrix-focus.
        policy: its name.
        has_packets: also what subscribers tell of each packet.
    """

    def __init__(self, control: Control, version: str, policy: str, *, has_packets: bool = False) -> None:
        self._control = control
        self._header = Header(version, policy, COLUMNS)
        self._has_packets = has_packets
        self._ready: list[Part] = []
        self._has_begun = False
        self._told: list[Told] = []
        self._steps: list[Step] = []
        self._size_bytes = 0
        self._estimates: StructArray | None = None
        """The newest that was recorded; as long as it is this one, nobody has looked at paths."""
        self._stats_at = Instant(0)

    def take(self, *, is_last: bool = False) -> list[Part]:
        """What is complete; where it is the last time, all."""
        if is_last:
            self._seal()
        ready, self._ready = self._ready, []
        return ready

    def told(self, given: Told) -> None:
        """The control was told something."""
        if self._has_begun:
            self._told.append(given)
            self._size_bytes += TOLD_BYTES

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
        if not self._has_begun:
            self._begin(stats.now)
            return
        tables: list[tuple[Table, StructArray]] = [(ENCODINGS, stats.encodings)]
        if update.estimates is not self._estimates:
            self._estimates = update.estimates
            tables.append((ESTIMATES, update.estimates))
        if update.targets is not None:
            tables.append((DECISIONS, update.decisions))
        if self._has_packets:
            tables += [(TRANSPORTS, stats.transports), (FEEDBACK, feedback)]
        self._stats_at = stats.now
        self._add(StepKind.FULL if is_full else StepKind.TICK, now, tables)

    def allocated(self, now: Instant, decisions: StructArray) -> None:
        """It has decided everything anew between two ticks."""
        if self._has_begun:
            self._add(StepKind.ALLOCATE, now, [(DECISIONS, decisions)])

    # --- within -------------------------------------------------------------------------------------------

    def _begin(self, stats_at: Instant) -> None:
        memory = self._control.memory()
        assert memory is not None, "a tick leaves nothing to be decided"  # noqa: S101
        self._has_begun = True
        self._estimates, self._stats_at = self._control.estimates, stats_at
        self._ready += [self._header, beginning_of(memory)]

    def _add(self, kind: StepKind, now: Instant, tables: Iterable[tuple[Table, StructArray]]) -> None:
        rows = {table.name: table.rows_of(whole) for table, whole in tables}
        step = Step(kind, now, self._stats_at, tuple(self._told), rows)
        self._told.clear()
        self._steps.append(step)
        self._size_bytes += step.size_bytes
        if self._size_bytes >= BLOCK_BYTES or now >= after_ms(self._steps[0].now, BLOCK_MS):
            self._seal()

    def _seal(self) -> None:
        if self._steps:
            self._ready.append(tuple(self._steps))
        self._steps.clear()
        self._size_bytes = 0
