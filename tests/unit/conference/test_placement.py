from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.placement import least_occupied, worker_with_room


def test_where_there_is_one_worker_every_call_is_there() -> None:
    assert least_occupied([503], [2]) == 0
    assert worker_with_room(0, [503], [500], 400) == 0


def test_the_first_call_is_on_the_first_worker() -> None:
    assert least_occupied([0, 0, 0, 0], [0, 0, 0, 0]) == 0


def test_a_call_begins_where_fewest_people_are_however_many_calls_they_are_in() -> None:
    assert least_occupied([40, 6, 7], [1, 3, 1]) == 1


def test_calls_that_nobody_has_come_to_yet_do_not_begin_in_one_place() -> None:
    calls = [0, 0, 0]
    begun = []
    for _ in range(6):
        begun.append(least_occupied([0, 0, 0], calls))
        calls[begun[-1]] += 1
    assert begun == [0, 1, 2, 0, 1, 2]


@given(workers=st.integers(1, 8), sizes=st.lists(st.integers(1, 50), max_size=60))
def test_no_worker_has_more_than_one_call_above_another(workers: int, sizes: list[int]) -> None:
    """Calls that begin one after the other, each full at once, are spread as evenly as they can be."""
    participants, calls = [0] * workers, [0] * workers
    for size in sizes:
        worker = least_occupied(participants, calls)
        participants[worker] += size
        calls[worker] += 1
    assert max(participants) - min(participants) <= max(sizes, default=0)


def test_who_joins_a_call_is_where_it_began_as_long_as_there_is_room() -> None:
    assert worker_with_room(1, [0, 9, 0], [0, 9, 0], limit=10) == 1


def test_a_call_that_has_filled_its_worker_goes_on_where_most_of_it_is_already() -> None:
    assert worker_with_room(1, [3, 10, 0], [0, 10, 0], limit=10) == 2
    assert worker_with_room(1, [9, 10, 0], [2, 7, 0], limit=10) == 0
    assert worker_with_room(1, [10, 10, 0], [2, 7, 0], limit=10) == 2


def test_where_no_worker_has_room_all_are_filled_alike() -> None:
    assert worker_with_room(1, [12, 11, 10], [1, 11, 0], limit=10) == 2


@given(limit=st.integers(1, 20), legs=st.integers(0, 100), workers=st.integers(1, 5))
def test_a_large_call_fills_one_worker_after_another(limit: int, legs: int, workers: int) -> None:
    own = [0] * workers
    for _ in range(legs):
        own[worker_with_room(0, own, own, limit)] += 1
    used = [people for people in own if people]
    assert sum(people < limit for people in used) <= 1 or legs > limit * workers
    assert len(used) == min(workers, -(-legs // limit))
    assert legs <= limit * workers or max(own) - min(own) <= 1
