from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.units import Instant, after_s
from signalling.focus.ordering import (
    MAX_EARLY,
    MAX_EARLY_PER_USER,
    MAX_EARLY_TOTAL,
    MAX_HELD,
    EarlyMessages,
    Ordering,
)

NOW = Instant(5)
GAP_S = 5.0


def test_a_message_without_a_number_is_in_order_at_once() -> None:
    ordering: Ordering[str] = Ordering(GAP_S)
    assert ordering.push(NOW, 3, "later") == []
    assert ordering.push(NOW, None, "now") == ["now"]


def test_what_comes_before_its_turn_waits_for_what_is_missing() -> None:
    ordering: Ordering[str] = Ordering(GAP_S, 1)
    assert ordering.push(NOW, 3, "c") == []
    assert ordering.push(NOW, 2, "b") == []
    assert ordering.push(NOW, 1, "a") == ["a", "b", "c"]
    assert ordering.next_timeout() is None


def test_a_number_that_was_here_before_is_told_apart() -> None:
    ordering: Ordering[str] = Ordering(GAP_S)
    assert ordering.push(NOW, 0, "a") == ["a"]
    assert ordering.push(NOW, 0, "a") is None
    assert ordering.push(NOW, 2, "c") == []
    assert ordering.push(NOW, 2, "c") is None


def test_what_never_comes_is_given_up() -> None:
    ordering: Ordering[str] = Ordering(GAP_S)
    ordering.push(NOW, 5, "b")
    ordering.push(NOW, 2, "a")
    due_at = after_s(NOW, GAP_S)
    assert ordering.next_timeout() == due_at
    assert ordering.handle_timeout(Instant(due_at - 1)) == []
    assert ordering.handle_timeout(due_at) == ["a", "b"]
    assert ordering.next_timeout() is None
    assert ordering.handle_timeout(after_s(due_at, 60)) == []
    assert ordering.push(due_at, 4, "too late") is None
    assert ordering.push(due_at, 6, "c") == ["c"]


def test_the_next_gap_is_waited_for_as_long_as_the_first() -> None:
    ordering: Ordering[str] = Ordering(GAP_S)
    ordering.push(NOW, 1, "b")
    ordering.push(NOW, 3, "d")
    later = after_s(NOW, 3)
    assert ordering.push(later, 0, "a") == ["a", "b"]
    assert ordering.next_timeout() == after_s(later, GAP_S)


def test_a_gap_is_not_waited_for_longer_because_more_comes_after_it() -> None:
    ordering: Ordering[str] = Ordering(GAP_S)
    ordering.push(NOW, 1, "b")
    ordering.push(after_s(NOW, 3), 2, "c")
    assert ordering.next_timeout() == after_s(NOW, GAP_S)


def test_too_many_held_back_end_the_waiting() -> None:
    ordering: Ordering[int] = Ordering(GAP_S)
    for seq in range(1, MAX_HELD + 1):
        assert ordering.push(NOW, seq, seq) == []
    released = ordering.push(NOW, MAX_HELD + 1, MAX_HELD + 1)
    assert released == list(range(1, MAX_HELD + 2))
    assert ordering.push(NOW, MAX_HELD + 2, 0) == [0]


@given(st.permutations(range(40)))
def test_any_order_of_arrival_becomes_the_order_of_sending(arrival: list[int]) -> None:
    ordering: Ordering[int] = Ordering(GAP_S)
    heard: list[int] = []
    for seq in arrival:
        released = ordering.push(NOW, seq, seq)
        assert released is not None
        heard += released
    assert heard == list(range(40))


@given(st.lists(st.integers(0, 2**53), max_size=100), st.integers(0, 10))
def test_nothing_is_heard_twice_and_nothing_backwards(seqs: list[int], first: int) -> None:
    ordering: Ordering[int] = Ordering(GAP_S, first)
    heard: list[int] = []
    now = NOW
    for seq in seqs:
        heard += ordering.push(now, seq, seq) or []
        now = after_s(now, 2)
        heard += ordering.handle_timeout(now)
    heard += ordering.handle_timeout(after_s(now, GAP_S))
    assert heard == sorted(set(heard))
    assert set(heard) <= set(seqs)


def test_early_messages_are_kept_by_dial_in_order_of_arrival() -> None:
    early: EarlyMessages[str, str] = EarlyMessages(GAP_S)
    for key, item in (("x", "1"), ("y", "2"), ("x", "3")):
        assert early.keep(NOW, "@a:x", key, item)
    assert early.take("x") == ["1", "3"]
    assert early.take("x") == []
    assert early.handle_timeout(after_s(NOW, GAP_S)) == ["2"]
    assert early.next_timeout() is None


def test_early_messages_wait_no_longer_than_their_first() -> None:
    early: EarlyMessages[str, str] = EarlyMessages(GAP_S)
    early.keep(NOW, "@a:x", "x", "1")
    early.keep(after_s(NOW, 4), "@a:x", "x", "2")
    assert early.next_timeout() == after_s(NOW, GAP_S)
    assert early.handle_timeout(after_s(NOW, 4)) == []
    assert early.handle_timeout(after_s(NOW, GAP_S)) == ["1", "2"]


def test_early_messages_of_one_dial_are_bounded() -> None:
    early: EarlyMessages[str, int] = EarlyMessages(GAP_S)
    assert all(early.keep(NOW, "@a:x", "x", number) for number in range(MAX_EARLY))
    assert not early.keep(NOW, "@a:x", "x", 0)
    assert len(early.take("x")) == MAX_EARLY
    assert early.keep(NOW, "@a:x", "x", 0)


def test_early_messages_of_one_user_are_bounded() -> None:
    early: EarlyMessages[int, int] = EarlyMessages(GAP_S)
    assert all(early.keep(NOW, "@a:x", key, 0) for key in range(MAX_EARLY_PER_USER))
    assert not early.keep(NOW, "@a:x", -1, 0)
    assert early.keep(NOW, "@b:x", -1, 0)
    assert early.take(0) == [0]
    assert early.keep(NOW, "@a:x", -2, 0)


def test_early_messages_of_everybody_are_bounded() -> None:
    early: EarlyMessages[int, int] = EarlyMessages(GAP_S)
    assert all(early.keep(NOW, f"@{key}:x", key, 0) for key in range(MAX_EARLY_TOTAL))
    assert not early.keep(NOW, "@a:x", -1, 0)
    early.handle_timeout(after_s(NOW, GAP_S))
    assert early.keep(NOW, "@a:x", -1, 0)
