from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.units import Instant
from signalling.focus.agenda import Agenda


def test_what_is_due_stays_due_until_it_is_set_anew() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.set("b", Instant(2))
    agenda.set("a", Instant(1))
    agenda.set("c", Instant(9))
    assert agenda.due(Instant(2)) == agenda.due(Instant(2)) == ["a", "b"]
    agenda.set("a", None)
    agenda.set("b", Instant(7))
    assert agenda.due(Instant(2)) == []
    assert agenda.next_timeout() == 7


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 20)), max_size=80))
def test_the_next_is_always_the_first_of_all(steps: list[tuple[int, int | None]]) -> None:
    agenda: Agenda[int] = Agenda()
    known: dict[int, int] = {}
    for key, at in steps:
        agenda.set(key, None if at is None else Instant(at))
        known.pop(key, None)
        if at is not None:
            known[key] = at
        assert agenda.next_timeout() == min(known.values(), default=None)
        assert set(agenda.due(Instant(10))) == {key for key, due in known.items() if due <= 10}


def test_setting_the_same_time_again_and_again_takes_no_room_for_ever() -> None:
    agenda: Agenda[str] = Agenda()
    for turn in range(10_000):
        agenda.set("a", Instant(turn % 2))
    assert len(agenda._heap) < 100
    assert agenda.next_timeout() == 1


def test_clearing_away_what_is_no_longer_true_keeps_what_is() -> None:
    agenda: Agenda[int] = Agenda()
    for turn in range(4):
        for key in range(100):
            agenda.set(key, Instant(10_000 * turn + 1_000 - key))
    assert len(agenda._heap) < 300
    for key in reversed(range(100)):
        assert agenda.next_timeout() == 30_000 + 1_000 - key
        agenda.set(key, None)
    assert agenda.next_timeout() is None
