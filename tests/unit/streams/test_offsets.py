from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.streams.offsets import MAX_GAP, MAX_RANGES, OffsetMap

WRAPS = (0, 2**15 - 1, 2**15, 2**16 - 1)


@given(start=st.sampled_from(WRAPS), keep=st.lists(st.booleans(), max_size=300))
def test_what_is_dropped_leaves_no_gap(start: int, keep: list[bool]) -> None:
    numbers = OffsetMap(7)
    out: list[int | None] = []
    for number, kept in enumerate(keep, start):
        if kept:
            out.append(numbers.forward(number))
        else:
            numbers.drop(number)
    assert out == list(range(7, 7 + sum(keep)))
    assert numbers.next_out == 7 + sum(keep)


@given(
    start=st.sampled_from(WRAPS),
    fates=st.lists(st.sampled_from(("forward", "drop", "late")), min_size=1, max_size=120),
)
def test_what_is_late_fills_exactly_its_own_gap(start: int, fates: list[str]) -> None:
    numbers = OffsetMap(100)
    sent: list[int] = []
    first = numbers.forward(start)
    assert first == 100
    sent.append(first)
    for number, fate in enumerate(fates, start + 1):
        if fate == "forward":
            out = numbers.forward(number)
            assert out is not None
            sent.append(out)
        elif fate == "drop":
            numbers.drop(number)
    for number, fate in enumerate(fates, start + 1):
        if fate == "late":
            out = numbers.forward(number)
            assert out is not None
            sent.append(out)
    assert sorted(sent) == list(range(100, 100 + 1 + sum(fate != "drop" for fate in fates)))


@given(start=st.sampled_from(WRAPS), keep=st.lists(st.booleans(), max_size=60), tail=st.integers(0, 60))
def test_what_was_dropped_never_comes_back(start: int, keep: list[bool], tail: int) -> None:
    numbers = OffsetMap(0)
    for number, kept in enumerate(keep, start):
        if kept:
            numbers.forward(number)
        else:
            numbers.drop(number)
    for number in range(start + len(keep), start + len(keep) + tail):
        numbers.forward(number)
    for number, kept in enumerate(keep, start):
        assert (numbers.forward(number) is not None) == kept


def test_the_same_number_is_the_same_again() -> None:
    numbers = OffsetMap(5)
    assert [numbers.forward(n) for n in (10, 12, 10, 12)] == [5, 7, 5, 7]


def test_dropping_what_has_passed_changes_nothing() -> None:
    numbers = OffsetMap(5)
    numbers.forward(10)
    numbers.forward(12)
    numbers.drop(10)
    numbers.drop(11)
    assert [numbers.forward(n) for n in (10, 11, 12, 13)] == [5, 6, 7, 8]


def test_without_a_first_number_they_stay_as_they_are() -> None:
    numbers = OffsetMap()
    assert numbers.next_out is None
    numbers.drop(39)
    numbers.rebase()
    assert numbers.next_out is None
    assert numbers.forward(40) == 40
    assert numbers.next_out == 41


def test_a_first_number_that_is_dropped_takes_none() -> None:
    numbers = OffsetMap(100)
    numbers.drop(5)
    assert numbers.forward(6) == 100
    assert numbers.forward(5) is None


def test_rebasing_continues_the_numbers_and_shuts_out_what_was_before() -> None:
    numbers = OffsetMap(100)
    numbers.forward(10)
    numbers.rebase()
    assert numbers.forward(5000) == 101
    assert numbers.forward(4999) is None
    numbers.rebase()
    assert numbers.forward(3) == 102


def test_a_loss_too_long_to_repair_closes_up() -> None:
    numbers = OffsetMap(100)
    numbers.forward(0)
    assert numbers.forward(MAX_GAP + 1) == 100 + MAX_GAP + 1
    assert numbers.forward(2 * MAX_GAP + 3) == 100 + MAX_GAP + 2
    assert numbers.forward(2 * MAX_GAP + 2) is None


def test_a_drop_after_a_loss_too_long_to_repair_closes_up_too() -> None:
    numbers = OffsetMap(100)
    numbers.forward(0)
    numbers.drop(MAX_GAP + 2)
    assert numbers.forward(MAX_GAP + 3) == 101


def test_ranges_are_bounded_and_what_is_older_is_refused() -> None:
    numbers = OffsetMap(0)
    for number in range(0, 4 * MAX_RANGES, 2):
        numbers.forward(number)
        numbers.drop(number + 1)
    assert numbers.forward(0) is None
    assert numbers.forward(4 * MAX_RANGES - 2) == 2 * MAX_RANGES - 1
    assert numbers.forward(4 * MAX_RANGES) == 2 * MAX_RANGES
    assert len(numbers._starts) == MAX_RANGES
    assert len(numbers._offsets) == MAX_RANGES


def test_dropping_goes_on_where_only_one_range_is_left() -> None:
    numbers = OffsetMap(0)
    numbers.drop(0)
    for number in range(1, 10 * MAX_RANGES):
        numbers.drop(number)
    assert numbers.forward(10 * MAX_RANGES) == 0
    assert len(numbers._starts) == 2
