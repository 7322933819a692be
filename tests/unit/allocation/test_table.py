from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.allocation.table import MAX_PIXELS, DemandTable
from sfu.rows import MAX_ENCODINGS
from sfu.units import RouteId
from tests.unit.allocation.arrays import AUDIO, VIDEO, table_of, video


def test_a_row_holds_what_was_asked() -> None:
    row = table_of([replace(VIDEO, max_height=360, screen_share=True)]).rows[0]
    assert [int(row[name]) for name in ("route", "subscriber", "track", "width", "height")] == [
        1,
        1,
        1,
        1280,
        720,
    ]
    assert [int(row[name]) for name in ("full_width", "full_height", "encodings")] == [1280, 720, 3]
    assert (int(row["max_height"]), bool(row["is_screen"]), bool(row["is_audio"])) == (360, True, False)
    assert bool(table_of([AUDIO]).rows[0]["is_audio"])


def test_sizes_and_encodings_beyond_all_reason_are_cut() -> None:
    demand = replace(VIDEO, width=10**9, height=-5, full_width=MAX_PIXELS + 1, encodings=99)
    row = table_of([demand]).rows[0]
    assert [int(row[name]) for name in ("width", "height", "full_width")] == [MAX_PIXELS, 0, MAX_PIXELS]
    assert int(row["encodings"]) == MAX_ENCODINGS
    assert int(table_of([replace(VIDEO, encodings=0)]).rows[0]["encodings"]) == 1


def test_a_repeated_demand_replaces_its_row() -> None:
    table = table_of([VIDEO, replace(VIDEO, height=90)])
    assert len(table) == 1
    assert table.rows["height"].tolist() == [90]


def test_dropping_what_is_not_there_does_nothing() -> None:
    table = table_of([VIDEO])
    table.drop(RouteId(99))
    assert len(table) == 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 200)), max_size=300))
def test_the_rows_are_those_that_were_set_and_not_dropped(steps: list[tuple[bool, int]]) -> None:
    table, expected = DemandTable(), dict[int, int]()
    for number, (is_set, route) in enumerate(steps):
        if is_set:
            table.set(video(route, height=number))
            expected[route] = number
        else:
            table.drop(RouteId(route))
            expected.pop(route, None)
    rows = table.rows
    assert dict(zip(rows["route"].tolist(), rows["height"].tolist(), strict=True)) == expected
    assert len(table) == len(expected)


def test_a_table_grows_and_shrinks_by_thousands() -> None:
    table = table_of(video(route) for route in range(1, 5_001))
    for route in range(1, 5_000):
        table.drop(RouteId(route))
    assert table.rows["route"].tolist() == [5_000]


def test_a_table_of_rows_is_the_one_they_are_of_and_goes_on_alike() -> None:
    table = table_of([video(route) for route in (3, 1, 2)])
    again = DemandTable.of(table.rows)
    for one in (table, again):
        one.drop(RouteId(3))
        one.set(video(4))
        one.set(replace(video(1), height=90))
    assert again.rows.tobytes() == table.rows.tobytes()
