from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.units import NS_PER_S, Instant, after_ms, after_s
from signalling.focus.allowance import MAX_NAMES, Allowances, Window

NOW = Instant(7)


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    allowances = Allowances(2.0, burst=3.0)
    assert [allowances.take(NOW, "a") for _ in range(4)] == [True, True, True, False]
    assert not allowances.take(after_ms(NOW, 499), "a")
    assert allowances.take(after_ms(NOW, 501), "a")
    assert not allowances.take(after_ms(NOW, 502), "a")


def test_names_do_not_use_up_one_anothers_allowance() -> None:
    allowances = Allowances(1.0, burst=1.0)
    assert allowances.take(NOW, "a")
    assert not allowances.take(NOW, "a")
    assert allowances.take(NOW, "b")


def test_a_rate_below_one_still_lets_one_through() -> None:
    allowances = Allowances(0.1, burst=0.1)
    assert allowances.take(NOW, "a")
    assert not allowances.take(after_s(NOW, 9), "a")
    assert allowances.take(after_s(NOW, 11), "a")


def test_the_names_remembered_are_bounded_and_the_oldest_goes_first() -> None:
    allowances = Allowances(1.0, burst=1.0)
    assert allowances.take(NOW, "first")
    for number in range(MAX_NAMES - 1):
        allowances.take(NOW, number)
    assert not allowances.take(NOW, "first")  # seen again, so the oldest no more
    allowances.take(NOW, "one more")
    assert not allowances.take(NOW, "first")
    assert allowances.take(NOW, 0)


@given(st.lists(st.integers(0, 3_000), max_size=60))
def test_a_window_never_lets_more_than_its_limit_through_in_a_second(gaps_ms: list[int]) -> None:
    window = Window(5)
    now = NOW
    taken: list[Instant] = []
    for gap_ms in gaps_ms:
        now = after_ms(now, gap_ms)
        free_at = window.free_at()
        is_taken = window.take(now)
        assert is_taken == (free_at is None or now >= free_at)
        if is_taken:
            taken.append(now)
            assert len([at for at in taken if now - at < NS_PER_S]) <= 5
