from __future__ import annotations

from loadtest.bench.timing import longest_gap, offsets


def test_the_longest_gap_is_between_two_frames_that_follow_each_other() -> None:
    frames = [(0.0, 180), (50.0, 180), (190.0, 720), (240.0, 720)]
    assert longest_gap(frames) == 140.0


def test_a_gap_that_ends_too_late_does_not_count() -> None:
    frames = [(0.0, 180), (50.0, 180), (190.0, 720)]
    assert longest_gap(frames, until=100.0) == 50.0


def test_one_frame_has_no_gap() -> None:
    assert longest_gap([(7.0, 180)]) == 0.0
    assert longest_gap([]) == 0.0


def test_a_flash_is_compared_with_the_nearest_beep_on_either_side() -> None:
    assert offsets([1_010.0, 1_970.0], [1_000.0, 2_000.0]) == [10.0, -30.0]


def test_a_flash_without_a_beep_is_left_out() -> None:
    assert offsets([1_000.0, 5_000.0], [1_002.0]) == [-2.0]
    assert offsets([1_000.0], []) == []
