from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.placement import least_occupied


def test_where_there_is_one_worker_every_call_is_there() -> None:
    assert least_occupied(1, [(0, 500), (0, 3)]) == 0


def test_the_first_call_is_on_the_first_worker() -> None:
    assert least_occupied(4, []) == 0


def test_a_call_begins_where_fewest_people_are_however_many_calls_they_are_in() -> None:
    assert least_occupied(3, [(0, 40), (1, 2), (1, 2), (1, 2), (2, 7)]) == 1


def test_calls_that_nobody_has_come_to_yet_do_not_begin_in_one_place() -> None:
    begun: list[tuple[int, int]] = []
    for _ in range(6):
        begun.append((least_occupied(3, begun), 0))
    assert [worker for worker, _ in begun] == [0, 1, 2, 0, 1, 2]


@given(workers=st.integers(1, 8), sizes=st.lists(st.integers(1, 50), max_size=60))
def test_no_worker_has_more_than_one_call_above_another(workers: int, sizes: list[int]) -> None:
    """Calls that begin one after the other, each full at once, are spread as evenly as they can be."""
    begun: list[tuple[int, int]] = []
    for size in sizes:
        begun.append((least_occupied(workers, begun), size))
    loads = [sum(size for worker, size in begun if worker == number) for number in range(workers)]
    assert max(loads) - min(loads) <= max(sizes, default=0)
