from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.allocation.wanted import below_ceiling, encoding_size, full_sizes, scales, wanted_encodings
from tests.unit.allocation.arrays import AUDIO, VIDEO, table_of

if TYPE_CHECKING:
    from sfu.conference.turn import SetDemand

LOW, MEDIUM, HIGH = 0, 1, 2


def wanted(demand: SetDemand) -> int:
    return int(wanted_encodings(table_of([demand]).rows)[0])


@pytest.mark.parametrize(
    ("full", "tile", "expected"),
    [
        ((1280, 720), (640, 480), MEDIUM),
        ((1280, 720), (320, 240), LOW),
        ((1920, 1080), (320, 240), LOW),
        ((1920, 1080), (1900, 1000), HIGH),
        ((1280, 720), (640, 360), MEDIUM),
        ((1280, 720), (320, 180), LOW),
        ((1280, 720), (1280, 720), HIGH),
        ((1280, 720), (4000, 3000), HIGH),
        ((1280, 720), (1, 1), LOW),
        ((720, 1280), (360, 640), MEDIUM),
        ((720, 1280), (640, 350), LOW),
    ],
)
def test_the_smallest_encoding_that_fills_the_tile_is_wanted(
    full: tuple[int, int], tile: tuple[int, int], expected: int
) -> None:
    demand = replace(VIDEO, width=tile[0], height=tile[1], full_width=full[0], full_height=full[1])
    assert wanted(demand) == expected


@pytest.mark.parametrize(("height", "expected"), [(198, LOW), (199, MEDIUM), (396, MEDIUM), (397, HIGH)])
def test_a_picture_is_scaled_up_by_no_more_than_a_tenth(height: int, expected: int) -> None:
    assert wanted(replace(VIDEO, width=0, height=height)) == expected


def test_no_size_wants_the_lowest_and_one_side_is_size_enough() -> None:
    assert wanted(replace(VIDEO, width=0, height=0)) == LOW
    assert wanted(replace(VIDEO, width=640, height=0)) == MEDIUM


def test_a_track_of_fewer_encodings_has_no_more_to_want() -> None:
    assert wanted(replace(VIDEO, encodings=1)) == LOW
    assert wanted(replace(VIDEO, encodings=2)) == MEDIUM
    assert wanted(replace(VIDEO, encodings=2, width=640, height=360)) == LOW


def test_the_encodings_of_a_screen_share_are_closer_together() -> None:
    screen = replace(VIDEO, full_width=1920, full_height=1080, screen_share=True)
    assert wanted(replace(screen, width=1280, height=720)) == MEDIUM
    assert wanted(replace(screen, width=640, height=360)) == LOW
    assert wanted(replace(screen, width=1280, height=720, screen_share=False)) == HIGH


def test_sizes_that_nobody_told_are_assumed() -> None:
    rows = table_of(
        [
            replace(VIDEO, full_width=0, full_height=0),
            replace(VIDEO, route=AUDIO.route, full_width=0, full_height=0, screen_share=True),
        ]
    ).rows
    assert [one.tolist() for one in full_sizes(rows)] == [[1280, 1920], [720, 1080]]
    rows = table_of([replace(VIDEO, full_width=0), replace(VIDEO, route=AUDIO.route, full_height=0)]).rows
    assert [one.tolist() for one in full_sizes(rows)] == [[1280, 1280], [720, 720]]


def test_audio_wants_its_only_encoding() -> None:
    assert wanted(AUDIO) == 0


@pytest.mark.parametrize(
    ("ceiling", "expected"),
    [
        (0, [True, True, True]),
        (720, [True, True, True]),
        (719, [True, True, False]),
        (360, [True, True, False]),
    ],
)
def test_a_ceiling_takes_the_encodings_above_it(ceiling: int, expected: list[bool]) -> None:
    assert below_ceiling(table_of([replace(VIDEO, max_height=ceiling)]).rows)[0].tolist() == expected


def test_the_lowest_encoding_is_below_every_ceiling() -> None:
    assert below_ceiling(table_of([replace(VIDEO, max_height=90)]).rows)[0].tolist() == [True, False, False]
    single = replace(VIDEO, max_height=90, encodings=1)
    assert below_ceiling(table_of([single]).rows)[0].tolist() == [True, False, False]


@settings(deadline=None)
@given(st.integers(0, 4_000), st.integers(0, 4_000), st.integers(0, 4_000), st.integers(0, 4_000))
def test_a_larger_tile_never_wants_less(width: int, height: int, full_width: int, full_height: int) -> None:
    small = replace(VIDEO, width=width, height=height, full_width=full_width, full_height=full_height)
    large = replace(small, width=width * 2, height=height * 2)
    assert wanted(small) <= wanted(large)


@given(
    st.tuples(st.integers(0, 4_000), st.integers(0, 4_000)),
    st.integers(1, 3).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1))),
    st.booleans(),
)
def test_the_size_of_one_encoding_is_that_of_the_arrays(
    full: tuple[int, int], counted: tuple[int, int], is_screen: bool
) -> None:
    encodings, encoding = counted
    demand = replace(
        VIDEO, full_width=full[0], full_height=full[1], encodings=encodings, screen_share=is_screen
    )
    rows = table_of([demand]).rows
    width, height = full_sizes(rows)
    part = scales(rows)[0, encoding]
    assert encoding_size(encoding, demand) == (round(width[0] * part), round(height[0] * part))
