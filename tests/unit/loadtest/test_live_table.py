from __future__ import annotations

import io

import pytest
from rich.console import Console

from loadtest.live_table import Cell, Person, View, render, short_names

GOOD = Cell("f", 15.0, 50.0, 0, 0)


def call(count: int, *others: tuple[int, int, Cell], trouble: str | None = None) -> View:
    people = tuple(
        Person(f"user{n}", has_joined=True, trouble=trouble if n == 0 else None) for n in range(count)
    )
    cells = {(row, column): GOOD for row in range(count) for column in range(count) if row != column}
    return View(12.0, people, cells | {(row, column): cell for row, column, cell in others})


def drawn(view: View, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    with console.capture() as captured:
        console.print(render(view, width, height))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize(("count", "width"), [(3, 80), (4, 80), (8, 160), (5, 80), (120, 80), (120, 160)])
def test_no_drawing_is_wider_or_higher_than_the_terminal(count: int, width: int) -> None:
    lines = drawn(call(count, trouble="did not join: " + "x" * 300), width)
    assert max(map(len, lines)) <= width
    assert len(lines) < 24


@pytest.mark.parametrize(("count", "width"), [(4, 80), (8, 160)])
def test_a_small_call_is_a_matrix_of_who_receives_whom(count: int, width: int) -> None:
    lines = drawn(call(count, (1, 0, Cell("q", 7.4, 50.0, 3, 0))), width)
    pairs = f"{count * (count - 1)}/{count * (count - 1)}"
    assert lines[0] == f"12 s · {count}/{count} in the call · video {pairs} · sound {pairs} pairs"
    assert "from user0" in lines[1]
    (row,) = [line for line in lines if line.startswith("user1 ")]
    assert row.split("   ")[0].strip() == "user1"
    assert "♪ q 7 fps 3!" in row
    assert row.count("♪ f 15 fps") == count - 2


def test_what_does_not_flow_is_said() -> None:
    lines = drawn(call(3, (2, 0, Cell("f", 0.0, 0.0, 0, 0)), (2, 1, Cell("f", 15.0, 50.0, 0, 4))))
    (row,) = [line for line in lines if line.startswith("user2 ")]
    assert "- no video" in row
    assert "4 WRONG" in row
    assert "video 5/6 · sound 5/6 pairs" in lines[0]


def test_a_call_too_wide_for_the_terminal_is_one_line_a_receiver() -> None:
    lines = drawn(call(6, (3, 0, Cell("q", 15.0, 50.0, 2, 0)), (3, 1, Cell("q", 0.0, 50.0, 0, 0))))
    (row,) = [line for line in lines if line.startswith("user3 ")]
    assert row.split() == ["user3", "4/5", "f", "3,", "q", "1", "15", "5/5", "2", "0"]


def test_of_a_large_call_the_worst_receivers_are_shown() -> None:
    lines = drawn(call(100, (77, 5, Cell(None, 0.0, 0.0, 0, 0)), (42, 5, Cell("f", 15.0, 50.0, 0, 1))))
    first, second = lines[3:5]
    assert first.startswith("user42 ")  # a wrong frame is worse than none
    assert second.startswith("user77 ")
    assert lines[-1] == "and 81 more, 81 of them receive everything"


def test_those_in_trouble_are_named_with_the_reason() -> None:
    view = call(3, trouble="did not join: rejected")
    assert "2/3 in the call" in view.headline()
    assert drawn(view)[-1] == "user0: did not join: rejected"


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["loadtest-a1-1", "loadtest-a1-12"], ["1", "12"]),
        (["loadtest-a1-1", "loadtest-b2-1"], ["a1-1", "b2-1"]),
        (["alice", "bob"], ["alice", "bob"]),
        (["a-b"], ["a-b"]),
        (["x-1", "y-1", "x-2"], ["x-1", "y-1", "x-2"]),
    ],
)
def test_names_lose_what_all_of_them_begin_with(names: list[str], short: list[str]) -> None:
    assert short_names(names) == short
