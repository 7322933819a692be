"""What publishers of a swarm are told to send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.fleet.schedule import Schedule, bursts, captured, singles

if TYPE_CHECKING:
    from pathlib import Path


def test_a_burst_is_one_frame_of_equal_packets() -> None:
    assert bursts(3, 1_100, 33.0) == Schedule(((1_100, 1_100, 1_100),), 33.0)
    assert singles(160, 20.0) == Schedule(((160,),), 20.0)


def test_rates_are_averages_over_the_frames() -> None:
    schedule = Schedule(((1_000, 500), (300,)), 20.0)
    assert schedule.packets_per_s == pytest.approx(75)
    assert schedule.bits_per_s == pytest.approx(360_000)


def test_the_captured_stream_is_what_it_says() -> None:
    schedule = captured()
    assert len(schedule.frames) % 90 == 0  # key frames stay on their beat
    assert schedule.period_ms == pytest.approx(1_000 / 30)
    assert schedule.bits_per_s == pytest.approx(1_500_000, rel=0.03)
    assert max(map(max, schedule.frames)) <= 1_200
    assert min(map(min, schedule.frames)) >= 32


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"frames": 5, "period_ms": 1}', '{"frames": [["x"]], "period_ms": 1}']
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sizes.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"sizes\.json|invalid literal"):
        captured(path)
