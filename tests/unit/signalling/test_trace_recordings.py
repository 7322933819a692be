"""Recordings that are under way: their readers, their ends, and that the engine pays for none of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sfu.errors import CapacityError, LocalError
from sfu.metrics import Metrics
from sfu.units import Instant, WallTime, after_s
from signalling.config import Config
from signalling.focus.turn import LegsRestored
from signalling.trace import recordings
from signalling.trace.recordings import MAX_RECORDINGS, Recordings
from signalling.trace.subject import Subject
from signalling.trace.traced import NoTap, Traced
from tests.unit.focus.stage import FOCUS_DEVICE, FOCUS_USER, Stage

if TYPE_CHECKING:
    from signalling.trace.recordings import OpenRecording

ALICE = Subject("@alice:example.org")


class Watched:
    """A stage whose engine can be recorded."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.metrics = Metrics()
        self.traced = Traced(self.stage.focus)
        self.recordings = Recordings(
            Config(),
            "1.2.3",
            self.metrics.failures,
            clock=lambda: self.stage.now,
            wall_clock=lambda: WallTime(0),
        )
        self.recordings.attach(self.traced, self.stage.focus.surroundings, (FOCUS_USER, FOCUS_DEVICE))
        self.stage.focus = self.traced  # type: ignore[assignment]  # the same, watched


async def read(recording: OpenRecording) -> list[dict[str, Any]]:
    """What has been queued."""
    text = await recording.batch(0.01)
    return [json.loads(line) for line in (text or "").splitlines()]


async def test_lines_come_as_turns_are_taken() -> None:
    watched = Watched()
    with watched.recordings.open(ALICE) as recording:
        assert [one.get("trace") for one in await read(recording)] == [1]
        watched.stage.join("alice")
        assert "m.call.invite" in [one["type"] for one in await read(recording)]
        assert await recording.batch(0.0) == ""


async def test_the_tap_is_there_only_while_something_is_recorded() -> None:
    watched = Watched()
    taps: list[object] = [watched.traced.tap]
    with watched.recordings.open(ALICE), watched.recordings.open(ALICE):
        taps.append(watched.traced.tap)
    taps.append(watched.traced.tap)
    assert [type(one) for one in taps] == [NoTap, Recordings, NoTap]


async def test_there_are_not_more_than_so_many() -> None:
    watched = Watched()
    opened = [watched.recordings.open(ALICE) for _ in range(MAX_RECORDINGS)]
    for one in opened:
        one.__enter__()
    with pytest.raises(CapacityError), watched.recordings.open(ALICE):
        pass
    opened.pop().__exit__(None, None, None)
    with watched.recordings.open(ALICE):
        pass
    for one in opened:
        one.__exit__(None, None, None)


async def test_without_a_focus_nothing_is_recorded() -> None:
    bare = Recordings(Config(), "1.2.3", Metrics().failures)
    with pytest.raises(LocalError), bare.open(ALICE):
        pass


async def test_a_slow_reader_loses_the_recording_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    monkeypatch.setattr(recordings, "MAX_QUEUED_BYTES", 6_000)
    with watched.recordings.open(ALICE) as recording:
        watched.stage.join("alice")
        lines = await read(recording)
        assert lines[-1] == {"end": "too_slow"}
        assert sum("end" in one for one in lines) == 1
        watched.stage.join("bob")
        assert await recording.batch(0.0) is None
    # Nobody waited for the reader.
    assert watched.stage.clients[0].leg is not None


async def test_it_ends_in_time_or_with_the_leg() -> None:
    watched = Watched()
    with watched.recordings.open(ALICE, seconds=5.0) as short, watched.recordings.open(ALICE) as long:
        alice = watched.stage.join("alice")
        watched.stage.pass_ms(11_000)  # a ping is a turn
        assert (await read(short))[-1] == {"end": "seconds"}
        assert "end" not in (await read(long))[-1]
        watched.stage.state(*(), complete=True)
        watched.stage.join("bob")
        watched.stage.pass_ms(20_000)
        assert (await read(long))[-1] == {"end": "leg_ended"}
        assert alice.leg is not None


async def test_all_end_with_the_focus() -> None:
    watched = Watched()
    with watched.recordings.open(ALICE) as recording:
        watched.recordings.close()
        watched.recordings.close()
        assert (await read(recording))[-1] == {"end": "focus_stopped"}
        assert await recording.batch(0.0) is None


async def test_a_mistake_in_a_recording_ends_it_and_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    with watched.recordings.open(ALICE) as broken, watched.recordings.open(ALICE) as sound:
        monkeypatch.setattr(broken.recorder, "_surroundings", None)
        watched.stage.join("alice")
        assert (await read(broken))[-1] == {"end": "failed"}
        assert "m.call.invite" in [one.get("type") for one in await read(sound)]
    assert watched.metrics.failures.labels("trace")._value.get() == 1


def test_a_turn_that_fails_is_told_and_fails_all_the_same() -> None:
    told: list[tuple[object, Exception]] = []

    class Failing:
        def handle(self, now: Instant, wall: WallTime, given: Any) -> list[Any]:  # noqa: ANN401
            raise ValueError(given)

        def handle_timeout(self, now: Instant, wall: WallTime) -> list[Any]:
            raise ValueError("timeout")

        def next_timeout(self) -> Instant | None:
            return after_s(Instant(0), 1.0)

    class Watching(NoTap):
        def failed(self, now: Instant, given: Any, error: Exception) -> None:  # noqa: ANN401
            told.append((given, error))

    traced = Traced(Failing())
    traced.tap = Watching()
    with pytest.raises(ValueError, match="x"):
        traced.handle(Instant(0), WallTime(0), "x")
    with pytest.raises(ValueError, match="timeout"):
        traced.handle_timeout(Instant(0), WallTime(0))
    assert [(given, str(error)) for given, error in told] == [("x", "x"), (None, "timeout")]
    assert traced.next_timeout() == after_s(Instant(0), 1.0)


def test_a_traced_engine_does_what_the_engine_does() -> None:
    plain, watched = Stage(), Watched().stage
    assert plain.give(LegsRestored(())) == watched.give(LegsRestored(()))
    assert [type(one) for one in _joined(plain)] == [type(one) for one in _joined(watched)]


def _joined(stage: Stage) -> list[Any]:
    stage.join("alice")
    return stage.outputs
