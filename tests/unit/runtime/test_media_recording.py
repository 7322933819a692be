"""A recording that is under way: its reader, its ends, and that what is recorded pays for none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest

from sfu.errors import CapacityError, LocalError
from sfu.metrics import Metrics
from sfu.recording.file import Beginning, Header
from sfu.recording.watched import NoTap
from sfu.runtime import media_recording
from sfu.runtime.media_recording import MediaRecordings
from sfu.units import Instant
from tests.unit.recording.calls import TICK_S, VERSION, Call

if TYPE_CHECKING:
    from sfu.runtime.media_recording import MediaRecording


class Watched:
    """A call that can be recorded."""

    def __init__(self) -> None:
        self.call = Call()
        self.metrics = Metrics()
        self.recordings = MediaRecordings(
            VERSION, "utility", self.metrics.failures, clock=lambda: self.call.now
        )
        self.recordings.attach(self.call.control)


async def read(recording: MediaRecording) -> list[str]:
    """The kinds of what has come."""
    return [type(part).__name__ for part in await recording.batch(0.0) or ()]


async def test_parts_come_as_ticks_go_by() -> None:
    watched = Watched()
    with watched.recordings.open() as recording:
        assert await read(recording) == []
        watched.call.play(1)
        parts = await recording.batch(0.0)
        assert parts is not None
        header, beginning = parts
        assert isinstance(header, Header)
        assert (header.version, header.policy) == (VERSION, "utility")
        assert isinstance(beginning, Beginning)
        watched.call.play(25)
        assert await read(recording) == ["tuple"]


async def test_it_ends_when_its_time_is_over_with_all_that_there_was() -> None:
    watched = Watched()
    with watched.recordings.open(seconds=3 * TICK_S) as recording:
        watched.call.play(10)
        assert recording.ended == "seconds"
        assert await read(recording) == ["Header", "Beginning", "tuple"]
        assert await recording.batch(0.0) is None


async def test_there_is_one_at_a_time_and_the_tap_only_while_there_is() -> None:
    watched = Watched()
    taps: list[object] = [watched.call.control.tap]
    for _ in range(2):
        with watched.recordings.open():
            taps.append(watched.call.control.tap)
            with pytest.raises(CapacityError), watched.recordings.open():
                pass
    taps.append(watched.call.control.tap)
    assert [type(one).__name__ for one in taps] == ["NoTap", "MediaRecording", "MediaRecording", "NoTap"]


def test_before_there_is_a_focus_there_is_nothing_to_record() -> None:
    recordings = MediaRecordings(VERSION, "utility", Metrics().failures)
    with pytest.raises(LocalError), recordings.open():
        pass


async def test_a_reader_that_is_too_slow_loses_its_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_recording, "MAX_WAITING", 3)
    watched = Watched()
    with watched.recordings.open() as recording:
        watched.call.play(150)
        assert recording.ended == "too_slow"
        waiting = len(await read(recording))
        watched.call.play(50)
        assert waiting <= 5
        assert await recording.batch(0.0) is None


async def test_when_the_focus_ends_the_reader_is_told() -> None:
    watched = Watched()
    watched.recordings.close()
    with watched.recordings.open() as recording:
        watched.recordings.close()
        assert recording.ended == "focus_stopped"


async def test_a_tick_that_fails_ends_it_for_what_follows_could_not_be_replayed() -> None:
    watched = Watched()
    with watched.recordings.open() as recording:
        watched.call.play(2)
        with pytest.raises(AttributeError):
            watched.call.control.tick(Instant(0), None, None)  # type: ignore[arg-type]  # a mistake of ours
        assert recording.ended == "failed"


async def test_a_mistake_in_a_recording_harms_nothing_but_the_recording() -> None:
    watched = Watched()
    with watched.recordings.open() as recording:
        watched.call.play(2)
        recording.allocated(watched.call.now, None)  # type: ignore[arg-type]  # a mistake of ours
        watched.call.play(50)
        assert recording.ended == "failed"
    watched.call.play(1)
    assert isinstance(watched.call.control.tap, NoTap)
    assert b'where="media_recording"' in generate_latest(watched.metrics.registry)
