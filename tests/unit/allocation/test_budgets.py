from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sfu.allocation.budgets import BUDGET_DTYPE, CAPS_DTYPE, NO_BUDGETS, NO_CAPS, lowest, rows_of

INFINITY = float("inf")


def caps(*rows: tuple[int, float, int, int]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    return np.array(list(rows), CAPS_DTYPE)


def test_of_several_caps_each_number_is_the_lowest_and_0_is_none() -> None:
    found = lowest(caps((7, 2e6, 0, 9), (3, INFINITY, 720, 0), (7, INFINITY, 1080, 4), (7, 3e6, 0, 0)))
    assert found.tolist() == [(3, INFINITY, 720, 0), (7, 2e6, 1080, 4)]
    assert len(lowest(NO_CAPS)) == 0


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1e9), st.integers(0, 65_535), st.integers(0, 65_535)))
)
def test_no_cap_is_ever_exceeded(rows: list[tuple[int, float, int, int]]) -> None:
    by_transport = {int(row["transport"]): row for row in lowest(caps(*rows))}
    assert set(by_transport) == {transport for transport, *_ in rows}
    for transport, max_bps, max_height, max_videos in rows:
        found = by_transport[transport]
        assert found["max_bps"] <= max_bps
        assert not max_height or 0 < found["max_height"] <= max_height
        assert not max_videos or 0 < found["max_videos"] <= max_videos


def test_who_was_given_nothing_has_what_is_otherwise() -> None:
    given = np.array([(9, 1e6, 5e5), (2, 3e6, 3e6)], BUDGET_DTYPE)
    found = rows_of(np.array([1, 2, 9, 12]), given, (INFINITY, INFINITY))
    assert found.tolist() == [(1, INFINITY, INFINITY), (2, 3e6, 3e6), (9, 1e6, 5e5), (12, INFINITY, INFINITY)]
    assert rows_of(np.array([1]), NO_BUDGETS, (INFINITY, 1.0)).tolist() == [(1, INFINITY, 1.0)]
