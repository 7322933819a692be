"""What was recorded happens again: to the same policy exactly, to another one differently."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sfu.errors import ParseError
from sfu.recording.file import MAGIC, End, Header, written
from sfu.recording.replay import Replay, read_recording
from sfu.recording.steps import StepKind
from sfu.recording.tables import ENCODINGS, ESTIMATES, TABLES, Rows
from sfu.recording.told import DemandSet
from sfu.runtime.policies import POLICIES
from sfu.units import RouteId
from tests.unit.recording.calls import TICK_S, Call

if TYPE_CHECKING:
    from sfu.recording.steps import Step


def recorded(ticks_before: int, ticks: int, policy: str = "utility") -> bytes:
    call = Call(POLICIES[policy])
    call.play(ticks_before)
    tape = call.record()
    call.play(ticks)
    return tape.file()


def replayed(data: bytes, policy: str, *steps: Step) -> Replay:
    recording = read_recording([data])
    replay = Replay(recording.memory, POLICIES[policy])
    for step in steps or recording.steps:
        replay.step(step)
    return replay


@pytest.mark.parametrize(("policy", "ticks_before"), [("utility", 0), *((policy, 17) for policy in POLICIES)])
def test_the_policy_it_was_recorded_with_decides_the_same_again(policy: str, ticks_before: int) -> None:
    agreement = replayed(recorded(ticks_before, 30, policy), policy).agreement
    assert agreement.decisions > 300
    assert (agreement.different, agreement.different_steps) == (0, 0)
    assert agreement.first_at_s is None
    assert agreement.seconds == pytest.approx(30 * TICK_S, abs=1.0)


def test_a_replay_decides_as_the_call_did_to_the_last_number() -> None:
    call = Call()
    call.play(10)
    tape = call.record()
    call.play(20)
    replay = replayed(tape.file(), "utility")
    assert replay.decisions.tobytes() == call.control.control.decisions.tobytes()


def test_another_policy_decides_otherwise_and_it_is_counted() -> None:
    agreement = replayed(recorded(10, 20), "signal_like").agreement
    assert 0 < agreement.different < agreement.decisions
    assert 0 < agreement.different_steps <= agreement.steps
    assert agreement.first_at_s is not None


@pytest.mark.parametrize("what", ["estimates", "encodings", "told"])
def test_every_kind_of_number_has_a_say(what: str) -> None:
    data = recorded(10, 20)
    steps = [changed(step, what) for step in read_recording([data]).steps]
    assert replayed(data, "utility", *steps).agreement.different > 0


def changed(step: Step, what: str) -> Step:
    """The same with narrower paths, with fewer bytes, or without what was told."""
    if what == "told":
        return replace(step, told=tuple(one for one in step.told if not isinstance(one, DemandSet)))
    rows = step.rows.get(what)
    if rows is None:
        return step
    values = rows.values.copy()
    for name in {"estimates": ("target_bps", "stable_bps"), "encodings": ("bytes_received",)}[what]:
        values[name] //= 3
    return replace(step, rows={**step.rows, what: Rows(rows.ids, values)})


def test_an_estimate_holds_until_the_next_one() -> None:
    steps = list(read_recording([recorded(10, 20)]).steps)
    assert any(ESTIMATES.name in step.rows for step in steps)
    assert not any(ESTIMATES.name in step.rows for step in steps if ENCODINGS.name not in step.rows)


def test_paths_are_estimated_again_of_what_was_told_of_packets() -> None:
    call = Call()
    tape = call.record(has_packets=True)
    call.play(40)
    recording = read_recording([tape.file()])
    replay = Replay(recording.memory, POLICIES["utility"], is_estimating=True)
    for step in recording.steps:
        replay.step(step)
    assert replay.agreement.targets > 30
    assert replay.agreement.targets_off == 0.0


def test_estimates_of_other_paths_are_not_compared() -> None:
    call = Call()
    tape = call.record(has_packets=True)
    call.play(20)
    recording = read_recording([tape.file()])
    replay = Replay(recording.memory, POLICIES["utility"], is_estimating=True)
    for step in recording.steps:
        rows = step.rows.get(ESTIMATES.name)
        fewer = {} if rows is None else {ESTIMATES.name: Rows(rows.ids[1:], rows.values[1:])}
        replay.step(replace(step, rows={**step.rows, **fewer}))
    assert replay.agreement.targets == 0


def test_one_that_was_cut_off_is_replayed_as_far_as_it_goes() -> None:
    data = recorded(10, 30)
    end = len(written(End("test")))
    whole, cut = replayed(data, "utility").agreement, replayed(data[: -end - 1], "utility").agreement
    assert 0 < cut.decisions < whole.decisions
    assert replayed(data[:-end], "utility").agreement == whole
    assert cut.different == 0


def test_estimating_needs_packets_and_says_how_far_it_is_off() -> None:
    recording = read_recording([recorded(0, 15)])
    with pytest.raises(ParseError, match="packets"):
        Replay(recording.memory, POLICIES["utility"], is_estimating=True).step(next(recording.steps))
    call = Call()
    tape = call.record(has_packets=True)
    call.play(20)
    recording = read_recording([tape.file()])
    replay = Replay(recording.memory, POLICIES["utility"], is_estimating=True)
    for step in recording.steps:
        replay.step(changed(step, "estimates"))
    assert replay.agreement.targets_off > 1.0


def test_what_cannot_have_happened_is_no_recording() -> None:
    data = recorded(0, 20)
    recording = read_recording([data])
    memory = replace(recording.memory, past_rows=recording.memory.past_rows.copy())
    memory.past_rows["encoding"] = 100
    decided = next(step for step in recording.steps if step.kind is StepKind.FULL)
    with pytest.raises(ParseError, match="contradicts"):
        Replay(memory, POLICIES["utility"]).step(decided)


def test_a_recording_has_a_beginning_and_only_one() -> None:
    header = written(Header("1", "utility", read_recording([recorded(0, 12)]).header.columns))
    for data in (MAGIC, MAGIC + header, MAGIC + header + written(End("stopped"))):
        with pytest.raises(ParseError):
            read_recording([data])
    data = recorded(0, 20)
    frames = data.removeprefix(MAGIC)
    size = int.from_bytes(frames[:4], "little")
    beginning = frames[4 + size :][: 4 + int.from_bytes(frames[4 + size :][:4], "little")]
    twice = MAGIC + frames[: 4 + size] + beginning + beginning
    with pytest.raises(ParseError, match="twice"):
        list(read_recording([twice]).steps)


def test_nothing_in_it_names_anybody() -> None:
    """Every column is a number of the process, a counter, a rate or a time."""
    names = {name for table in TABLES for name in (*table.ids, *table.values)}
    assert not {name for name in names if "ssrc" in name or "address" in name or "port" in name.split("_")}
    step = next(iter(read_recording([recorded(0, 20)]).steps))
    for rows in step.rows.values():
        for part in (rows.ids, rows.values):
            assert all(np.issubdtype(part.dtype[name].base, np.number) for name in part.dtype.names or ())
    assert DemandSet.__struct_fields__[0] == "route"
    assert isinstance(RouteId(1), int)
