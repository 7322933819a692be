"""Steps of a control, as they were recorded, and blocks of them as they stand in a file."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from sfu.errors import ParseError
from sfu.recording.columns import packed, unpacked
from sfu.recording.tables import TABLES, Rows
from sfu.recording.told import Told  # noqa: TC001  # msgspec reads it
from sfu.units import Instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sfu.recording.tables import Table
    from sfu.rows import StructArray


class StepKind(enum.IntEnum):
    """What a control did."""

    TICK = 0
    FULL = 1
    """A tick that decides anew although nothing seems to have changed."""
    ALLOCATE = 2
    """It decided anew between two ticks, by what it had counted before."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step."""

    kind: StepKind
    now: Instant
    stats_at: Instant
    """When the plane counted."""
    told: tuple[Told, ...]
    """Before it, in order."""
    rows: Mapping[str, Rows]
    """By table, those that there were."""

    @property
    def size_bytes(self) -> int:
        """Of its arrays."""
        return sum(one.ids.nbytes + one.values.nbytes for one in self.rows.values())

    def whole(self, table: Table) -> StructArray | None:
        """(rows,) of the table's whole dtype; None: it had none."""
        rows = self.rows.get(table.name)
        return None if rows is None else table.whole_of(rows)


class Run(msgspec.Struct, array_like=True, frozen=True):
    """One table's rows of some steps that have the same ids."""

    ids: bytes
    counts: bytes
    """(steps,) rows of each, as `<u4`."""
    columns: bytes


class Block(msgspec.Struct, tag="block", array_like=True, frozen=True):
    """Some steps, one after the other."""

    steps: Run
    """Of `STEP_DTYPE`."""
    told: list[tuple[int, Told]]
    """Before which step, and what."""
    runs: dict[str, list[Run]]
    """By table, in the order of the steps that have rows of it."""


STEP_DTYPE: Final = np.dtype([("now", "<i8"), ("stats_at", "<i8"), ("kind", "u1"), ("has", "u1")])
"""`has`: a bit for each of `TABLES`."""

_COUNT: Final = np.dtype("<u4")
_NO_IDS: Final = np.zeros(0, np.dtype([]))


def block_of(steps: Sequence[Step]) -> Block:
    """Put steps, at least one, together."""
    clock = np.array([(step.now, step.stats_at, step.kind, _has(step)) for step in steps], STEP_DTYPE)
    return Block(
        steps=_run(_NO_IDS, [clock]),
        told=[(number, told) for number, step in enumerate(steps) for told in step.told],
        runs={table.name: list(_runs(steps, table)) for table in TABLES},
    )


def steps_of(block: Block) -> Iterator[Step]:
    """Take them apart again.

    Raises:
        ParseError: it is no block that was made by `block_of`.
    """
    clock = [values for _, values in _rows_of(block.steps, _NO_IDS.dtype, STEP_DTYPE)]
    if len(clock) != 1 or (clock[0]["kind"] > max(StepKind)).any():
        raise ParseError("not_a_recording", "steps of unknown kinds")
    waiting = {table.name: _table_rows(block.runs.get(table.name, []), table) for table in TABLES}
    told: dict[int, list[Told]] = {}
    for number, one in block.told:
        told.setdefault(number, []).append(one)
    for number, row in enumerate(clock[0]):
        rows = {}
        for bit, table in enumerate(TABLES):
            if int(row["has"]) >> bit & 1:
                found = next(waiting[table.name], None)
                if found is None:
                    raise ParseError("not_a_recording", f"{table.name} of a step are missing")
                rows[table.name] = found
        yield Step(
            StepKind(int(row["kind"])),
            Instant(int(row["now"])),
            Instant(int(row["stats_at"])),
            tuple(told.get(number, ())),
            rows,
        )


def _has(step: Step) -> int:
    return sum(1 << bit for bit, table in enumerate(TABLES) if table.name in step.rows)


def _runs(steps: Sequence[Step], table: Table) -> Iterator[Run]:
    ids, together = None, []
    for step in steps:
        rows = step.rows.get(table.name)
        if rows is None:
            continue
        if ids is not None and rows.ids.tobytes() != ids.tobytes():
            yield _run(ids, together)
            together = []
        ids = rows.ids
        together.append(rows.values)
    if ids is not None:
        yield _run(ids, together)


def _run(ids: StructArray, together: Sequence[StructArray]) -> Run:
    """Where rows have ids, differences are from step to step, else from row to row."""
    counts = np.array([len(values) for values in together], _COUNT)
    joined = np.concatenate(together)
    columns = [joined[name] for name in joined.dtype.names or ()]
    if len(ids):
        columns = [column.reshape(len(together), -1) for column in columns]
    return Run(ids.tobytes(), counts.tobytes(), packed(columns))


def _table_rows(runs: Sequence[Run], table: Table) -> Iterator[Rows]:
    for run in runs:
        for ids, values in _rows_of(run, table.id_dtype, table.value_dtype):
            yield Rows(ids, values)


def _rows_of(
    run: Run, id_dtype: np.dtype[Any], value_dtype: np.dtype[Any]
) -> Iterator[tuple[StructArray, StructArray]]:
    if len(run.counts) % _COUNT.itemsize or (id_dtype.itemsize and len(run.ids) % id_dtype.itemsize):
        raise ParseError("not_a_recording", "a piece of a number")
    counts = np.frombuffer(run.counts, _COUNT).astype(np.int64)
    ids = np.frombuffer(run.ids, id_dtype) if id_dtype.itemsize else _NO_IDS
    total = int(counts.sum())
    if len(ids) and (counts != len(ids)).any():
        raise ParseError("not_a_recording", f"{total} rows of {len(ids)} ids")
    names = value_dtype.names or ()
    steps = len(counts) if len(ids) else total
    kinds = [value_dtype[name] for name in names]
    rows = [(len(ids), *kind.shape) if len(ids) else kind.shape for kind in kinds]
    columns = unpacked(
        run.columns, [(kind.base, (steps, *shape)) for kind, shape in zip(kinds, rows, strict=True)]
    )
    joined = np.zeros(total, value_dtype)
    for name, kind, column in zip(names, kinds, columns, strict=True):
        joined[name] = column.reshape(total, *kind.shape)
    at = 0
    for count in counts:
        yield ids, joined[at : at + count]
        at += count
