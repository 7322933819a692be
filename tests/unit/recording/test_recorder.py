"""What is written down when, and that a call pays for it only while it is recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sfu.allocation.policies.utility import utility
from sfu.control import Control
from sfu.recording import recorder
from sfu.recording.file import Beginning, Header
from sfu.recording.recorder import BLOCK_MS
from sfu.recording.replay import Replay, read_recording
from sfu.recording.steps import Step, StepKind
from sfu.recording.tables import DECISIONS, ENCODINGS, ESTIMATES, FEEDBACK, TRANSPORTS
from sfu.recording.watched import NoTap, WatchedControl
from sfu.rows import ENCODING_DTYPE, FEEDBACK_DTYPE
from sfu.units import NS_PER_MS, after_ms
from tests.unit.recording.calls import TICK_S, VERSION, Call, Tape

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import IntArray


def steps_of(tape: Tape) -> list[Step]:
    return [step for part in tape.take(is_last=True) if isinstance(part, tuple) for step in part]


def test_it_begins_as_soon_as_nothing_waits_to_be_decided() -> None:
    call = Call()
    tape = call.record()
    assert tape.take(is_last=True) == []
    call.play(1)
    header, beginning = tape.take(is_last=True)
    assert isinstance(header, Header)
    assert isinstance(beginning, Beginning)
    call.play(1)
    assert [type(part) for part in tape.take(is_last=True)] == [tuple]


def test_steps_are_of_the_kind_that_they_were() -> None:
    call = Call()
    tape = call.record()
    call.play(21)
    kinds = [step.kind for step in steps_of(tape)]
    assert {kind: kinds.count(kind) for kind in StepKind} == {
        StepKind.TICK: 18,
        StepKind.FULL: 2,
        StepKind.ALLOCATE: 3,
    }


def test_a_step_has_what_there_was() -> None:
    call = Call()
    tape = call.record()
    call.play(40)
    steps = steps_of(tape)
    for step in steps:
        is_tick = step.kind is not StepKind.ALLOCATE
        assert (ENCODINGS.name in step.rows) is is_tick
        assert (DECISIONS.name in step.rows) or step.kind is StepKind.TICK
        assert TRANSPORTS.name not in step.rows
        assert FEEDBACK.name not in step.rows
    with_estimates = [step for step in steps if ESTIMATES.name in step.rows]
    assert 0 < len(with_estimates) < len(steps)
    told = [type(one).__name__ for step in steps for one in step.told]
    assert set(told) == {
        "DemandSet",
        "DemandDropped",
        "CapsSet",
        "SpeechSet",
        "RouteChanged",
        "LegForgotten",
    }


def test_packets_are_recorded_if_they_are_asked_for() -> None:
    call = Call()
    tape = call.record(has_packets=True)
    call.play(5)
    for step in steps_of(tape):
        if step.kind is not StepKind.ALLOCATE:
            transports = step.whole(TRANSPORTS)
            assert transports is not None
            assert transports["remb_bps"].all()
            assert FEEDBACK.name in step.rows


def test_a_block_ends_in_time() -> None:
    call = Call()
    tape = call.record()
    call.play(round(2.5 * BLOCK_MS / 1_000 / TICK_S))
    blocks = [part for part in tape.take() if isinstance(part, tuple)]
    assert len(blocks) == 2
    for block in blocks:
        lasted_ms = (block[-1].now - block[0].now) / NS_PER_MS
        assert lasted_ms == pytest.approx(BLOCK_MS, abs=1_000 * TICK_S)


def test_a_block_ends_when_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "BLOCK_BYTES", 10_000)
    call = Call()
    tape = call.record()
    call.play(30)
    sizes = [sum(step.size_bytes for step in part) for part in tape.take() if isinstance(part, tuple)]
    assert len(sizes) > 2
    assert max(sizes) < 20_000


def test_while_nobody_watches_nothing_is_kept() -> None:
    call = Call()
    tape = call.record()
    call.play(3)
    call.control.tap = NoTap()
    before = len(steps_of(tape))
    call.play(10)
    assert before
    assert steps_of(tape) == []


def test_a_tap_hears_of_a_tick_that_has_failed() -> None:
    call = Call()
    tape = call.record()
    call.play(2)
    with pytest.raises(AttributeError):
        call.control.tick(0, None, None)  # type: ignore[arg-type]  # a mistake of ours
    assert tape.has_failed


def test_a_tap_hears_of_an_allocation_that_has_failed() -> None:
    def fails(_: Problem) -> IntArray:
        raise RuntimeError("a mistake of ours")

    call = Call(fails)
    tape = call.record()
    with pytest.raises(RuntimeError):
        call.control.allocate(call.now)
    assert tape.has_failed


def test_before_a_tick_there_is_nothing_to_begin_with() -> None:
    call = Call()
    assert call.control.control.memory() is None
    tape = call.record()
    call.control.allocate(call.now)
    assert tape.take(is_last=True) == []
    assert call.control.control.memory() is not None
    call.control.drop_demand(call.wishes[0].route)
    assert call.control.control.memory() is None


def test_where_nothing_happens_a_tick_is_only_what_was_counted() -> None:
    idle = WatchedControl(Control())
    idle.tap = tape = Tape(idle.control, VERSION, "utility")
    stats = replace(Call().scene.after(TICK_S).stats, encodings=np.zeros(0, ENCODING_DTYPE))
    for ms in (0, 50, 100):
        now = after_ms(stats.now, ms)
        idle.tick(now, replace(stats, now=now), np.zeros(0, FEEDBACK_DTYPE))
    data = tape.file()
    recording = read_recording([data])
    steps = list(recording.steps)
    assert [list(step.rows) for step in steps] == [[ENCODINGS.name], [ENCODINGS.name]]
    replay = Replay(recording.memory, utility)
    for step in steps:
        replay.step(step)
    assert replay.agreement.steps == 0


def test_the_same_is_told_of_a_control_as_by_itself() -> None:
    call = Call()
    call.play(30)
    assert call.control.is_stale is call.control.control.is_stale
    assert call.control.is_calm is call.control.control.is_calm
