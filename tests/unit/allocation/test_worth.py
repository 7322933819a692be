from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from hypothesis import given, settings

from sfu.allocation.worth import PIN_WEIGHT, SCREEN_WEIGHT, SPEAKER_WEIGHT, worths
from sfu.rows import MAX_TEMPORAL
from tests.unit.allocation.instances import problems
from tests.unit.allocation.policies.situations import AUDIO, Link, Watched, ladder, problem_of

if TYPE_CHECKING:
    from sfu.allocation.problem import Problem

FULL: Final = MAX_TEMPORAL - 1
CAMERA: Final = Watched(ladder(100, 300, 1_500))


def worth(watched: Watched, layer: int = FULL) -> float:
    return float(worths(problem_of(Link((watched,), 1.0)))[0, layer])


@settings(deadline=None)
@given(problems())
def test_more_lines_and_more_frames_are_never_worth_less_and_what_is_unusable_nothing(
    problem: Problem,
) -> None:
    found = worths(problem)
    assert (found[~problem.usable] == 0).all()
    assert (found >= 0).all()
    everything = replace(problem, usable=np.ones_like(problem.usable))
    by_encoding = worths(everything).reshape(len(found), -1, MAX_TEMPORAL)
    assert (np.diff(by_encoding, axis=1) >= -1e-6).all()
    assert (np.diff(by_encoding, axis=2) >= 0).all()


def test_the_first_lines_and_frames_are_worth_more_than_the_last() -> None:
    quarter, half, whole = (worth(CAMERA, 3 * encoding + FULL) for encoding in range(3))
    assert quarter / 180 > (half - quarter) / 180 > (whole - half) / 360
    slow, middle, fast = (worth(CAMERA, temporal) for temporal in range(3))
    assert slow / 7.5 > (middle - slow) / 7.5 > (fast - middle) / 15


def test_what_is_looked_at_weighs_more() -> None:
    usual = worth(CAMERA)
    assert worth(replace(CAMERA, is_pinned=True)) == pytest.approx(PIN_WEIGHT * usual)
    assert worth(replace(CAMERA, speaker=0)) == pytest.approx(SPEAKER_WEIGHT * usual, rel=1e-3)
    assert usual < worth(replace(CAMERA, speaker=3)) < worth(replace(CAMERA, speaker=1))
    top = 6 + FULL
    assert worth(replace(CAMERA, is_screen=True), top) == pytest.approx(SCREEN_WEIGHT * worth(CAMERA, top))
    assert worth(CAMERA, top) > worth(replace(CAMERA, height=180.0), top)


def test_what_is_out_of_sight_or_sound_is_worth_nothing() -> None:
    assert worth(replace(CAMERA, is_visible=False)) == 0
    assert worth(Watched(AUDIO, is_audio=True), 0) == 0


def test_a_screen_loses_more_by_lines_than_by_frames() -> None:
    screen = replace(CAMERA, is_screen=True)
    for of, is_more in ((screen, True), (CAMERA, False)):
        slow_but_sharp, fast_but_soft = worth(of, 6), worth(of, 3 + FULL)
        assert (slow_but_sharp > fast_but_soft) is is_more


def test_the_tile_is_what_the_picture_fits_into() -> None:
    problem = problem_of(Link((CAMERA,), 1.0))
    narrow = replace(problem, width=np.array([320.0]))
    assert worths(narrow)[0, FULL] == pytest.approx(worth(replace(CAMERA, height=180.0)))
    unknown = replace(problem, width=np.zeros(1), height=np.zeros(1))
    assert 0 < worths(unknown)[0, FULL] < worth(CAMERA)
