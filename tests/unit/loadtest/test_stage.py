from __future__ import annotations

import io

from rich.console import Console

from loadtest.live_table import Cell, Person, View
from loadtest.stage import Stage


def view(seconds: float, *, bob: bool = True) -> View:
    people = (Person("alice", has_joined=True, trouble=None), Person("bob", has_joined=bob, trouble=None))
    cell = Cell("f", 15.0, 50.0, 0, 0)
    return View(seconds, people, {(0, 1): cell, (1, 0): cell})


class Audience:
    """A stage, and what is seen of it."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.results, self.notes = io.StringIO(), io.StringIO()
        console = Console(file=self.results, force_terminal=is_terminal, width=100, height=30)
        self.stage = Stage(console, Console(file=self.notes, width=100))


def test_a_terminal_gets_a_table_that_is_drawn_over() -> None:
    audience = Audience(is_terminal=True)
    with audience.stage as stage:
        stage.show(view(1))
        stage.show(view(2))
        stage.say("clearing up")
    text = audience.results.getvalue()
    assert "1 s · 2/2 in the call" in text
    assert "2 s · 2/2 in the call" in text
    assert "\x1b[1A" in text  # one line up: drawn over the first one
    assert "clearing up" in text
    assert audience.notes.getvalue() == ""


def test_what_is_said_after_the_table_stands_below_it() -> None:
    audience = Audience(is_terminal=True)
    with audience.stage as stage:
        stage.show(view(1))
        stage.close()
        stage.say("clearing up")
    assert audience.notes.getvalue() == "clearing up\n"


def test_elsewhere_a_line_tells_who_comes_and_results_stay_clean() -> None:
    audience = Audience(is_terminal=False)
    with audience.stage as stage:
        stage.say("joining")
        stage.show(view(1, bob=False))
        stage.show(view(2, bob=False))
        stage.show(view(3))
        stage.show(view(4))
    assert audience.notes.getvalue().splitlines() == [
        "joining",
        "1 s · 1/2 in the call · video 2/2 · sound 2/2 pairs",
        "3 s · 2/2 in the call · video 2/2 · sound 2/2 pairs",
    ]
    assert audience.results.getvalue() == ""


def test_a_long_note_is_one_line_for_whoever_searches_a_log() -> None:
    audience = Audience(is_terminal=False)
    audience.stage.say("word " * 100)
    assert len(audience.notes.getvalue().splitlines()) == 1
