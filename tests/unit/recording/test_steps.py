from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.recording.steps import Block, Run, Step, StepKind, block_of, steps_of
from sfu.recording.tables import FEEDBACK, TABLES, Rows, Table
from sfu.recording.told import DemandDropped, LegForgotten
from sfu.units import Instant, RouteId, TransportId


def rows_of(table: Table, rng: np.random.Generator, first_id: int, count: int) -> Rows:
    ids = np.zeros(count if table.ids else 0, table.id_dtype)
    for name in table.ids:
        ids[name] = first_id + np.arange(len(ids))
    data = rng.bytes(count * table.value_dtype.itemsize)
    return Rows(ids, np.frombuffer(data, table.value_dtype))


@st.composite
def some_steps(draw: st.DrawFn) -> list[Step]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = []
    for number in range(draw(st.integers(1, 6))):
        rows = {
            table.name: rows_of(table, rng, draw(st.integers(0, 1)), draw(st.integers(0, 3)))
            for table in TABLES
            if draw(st.booleans())
        }
        told = tuple(DemandDropped(RouteId(route)) for route in range(draw(st.integers(0, 2))))
        kind = draw(st.sampled_from(StepKind))
        steps.append(Step(kind, Instant(50 * number), Instant(50 * number - 1), told, rows))
    return steps


def as_values(step: Step) -> object:
    rows = {name: (one.ids.tobytes(), one.values.tobytes()) for name, one in step.rows.items()}
    return step.kind, step.now, step.stats_at, step.told, rows


@given(some_steps())
def test_what_goes_in_comes_out_to_the_bit(steps: list[Step]) -> None:
    block = msgspec.msgpack.decode(msgspec.msgpack.encode(block_of(steps)), type=Block)
    assert list(map(as_values, steps_of(block))) == list(map(as_values, steps))


def test_a_column_that_is_not_recorded_is_zero() -> None:
    rng = np.random.default_rng(0)
    for table in TABLES:
        whole = np.frombuffer(rng.bytes(3 * table.whole.itemsize), table.whole)
        again = table.whole_of(table.rows_of(whole))
        for name in table.whole.names or ():
            is_kept = name in {*table.ids, *table.values}
            assert again[name].tobytes() == (whole[name].tobytes() if is_kept else bytes(again[name].nbytes))


def test_a_step_knows_its_size() -> None:
    rows = rows_of(FEEDBACK, np.random.default_rng(0), 0, 5)
    step = Step(StepKind.TICK, Instant(0), Instant(0), (), {FEEDBACK.name: rows})
    assert step.size_bytes == 5 * FEEDBACK.value_dtype.itemsize
    assert step.whole(FEEDBACK) is not None
    assert step.whole(TABLES[0]) is None


def of(**changes: object) -> Block:
    """A block of one step with estimates of two transports, otherwise."""
    table = next(table for table in TABLES if table.name == "estimates")
    rows = {table.name: rows_of(table, np.random.default_rng(0), 0, 2)}
    told = (LegForgotten(TransportId(1)),)
    block = block_of([Step(StepKind.FULL, Instant(1), Instant(1), told, rows)])
    return msgspec.structs.replace(block, **changes)


@pytest.mark.parametrize(
    "block",
    [
        of(steps=Run(b"", b"", b"")),
        of(steps=Run(b"", bytes([2, 0, 0, 0]), bytes(18))),
        of(steps=Run(b"", bytes([1, 0, 0]), bytes(18))),
        of(steps=Run(b"", bytes([1, 0, 0, 0]), bytes(16) + b"\x09\x00")),
        of(runs={}),
        of(runs={"estimates": [Run(b"123", bytes([1, 0, 0, 0]), b"")]}),
        of(runs={"estimates": [Run(bytes(8), bytes([1, 0, 0, 0]), b"")]}),
        of(runs={"estimates": [Run(bytes(8), bytes([2, 0, 0, 0]), bytes(33))]}),
        of(runs={"estimates": [Run(bytes(8), bytes([255] * 4), bytes(34))]}),
    ],
)
def test_a_block_that_contradicts_itself_is_refused(block: Block) -> None:
    assert len(list(steps_of(of()))) == 1
    with pytest.raises(ParseError):
        list(steps_of(block))
