from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.streams.debt import MAX_DEBT_MS, MAX_RATE_BPS, MIN_RATE_BPS, Debt, whole_rate
from sfu.units import NS_PER_MS, NS_PER_S, Instant

START = Instant(10**13)
AHEAD_NS, BEHIND_NS = 4 * NS_PER_MS, NS_PER_MS


def debt(rate_bps: float) -> Debt:
    made = Debt(AHEAD_NS, BEHIND_NS)
    made.set_rate(START, rate_bps)
    return made


def departures(of: Debt, sizes: list[int], late_ns: int = 0) -> list[int]:
    """Nanoseconds after the start at which packets leave that are there from the start on."""
    now, left = START, []
    for size in sizes:
        if not of.admits(now, size):
            now = Instant(of.admits_at(size) + late_ns)
        assert of.admits(now, size)
        of.charge(now, size)
        left.append(now - START)
    return left


def test_without_a_rate_nothing_is_owed() -> None:
    free = Debt(AHEAD_NS, BEHIND_NS)
    for _ in range(1_000):
        assert free.admits(START, 1_500)
        free.charge(START, 1_500)
    assert free.admits_at(1_500) <= START


@pytest.mark.parametrize(
    ("rate_bps", "expected_us"),
    [
        (math.inf, [0, 0, 0, 0, 0, 0]),
        (10_000_000, [0, 0, 0, 0, 0, 280]),
        (2_000_000, [0, 3_400, 7_800, 12_200]),
        (300_000, [0, 28_333, 57_667, 87_000]),
    ],
)
def test_packets_leave_as_the_design_says(rate_bps: float, expected_us: list[int]) -> None:
    left = departures(debt(rate_bps), [1_100] * len(expected_us))
    assert [round(at / 1_000) for at in left] == expected_us


@given(
    rate_bps=st.integers(MIN_RATE_BPS, 10**9),
    sizes=st.lists(st.integers(1, 1_400), max_size=60),
    waits_us=st.lists(st.integers(0, 30_000), max_size=60),
)
def test_no_interval_has_more_than_the_rate_and_five_ms_of_it_or_a_packet(
    rate_bps: int, sizes: list[int], waits_us: list[int]
) -> None:
    paced, now = debt(rate_bps), START
    left: list[tuple[int, int]] = []
    for index, size in enumerate(sizes):
        now = Instant(now + 1_000 * (waits_us[index] if index < len(waits_us) else 0))
        if not paced.admits(now, size):
            now = max(now, paced.admits_at(size))
        paced.charge(now, size)
        left.append((now, size))
    for first in range(len(left)):
        total = 0
        for at, size in left[first:]:
            total += size
            elapsed_ns = at - left[first][0]
            largest = max(sizes)
            burst_bits = max(rate_bps * (AHEAD_NS + BEHIND_NS) // NS_PER_S, largest * 8)
            burst_bits += rate_bps * BEHIND_NS // NS_PER_S
            assert total * 8 <= rate_bps * elapsed_ns // NS_PER_S + burst_bits + 8


@given(rate_bps=st.integers(MIN_RATE_BPS, 10**8), size=st.integers(100, 1_400))
def test_one_instant_has_five_ms_of_the_rate_or_one_packet(rate_bps: int, size: int) -> None:
    paced, sent = debt(rate_bps), 0
    while paced.admits(START, size):
        paced.charge(START, size)
        sent += 1
    assert sent == 1 or sent * size * 8 <= rate_bps * 5 // 1_000


@given(rate_bps=st.integers(MIN_RATE_BPS, 10**9), late_ns=st.integers(0, BEHIND_NS))
def test_timers_that_are_late_by_a_millisecond_cost_nothing_of_the_rate(rate_bps: int, late_ns: int) -> None:
    sizes = [1_100] * 200
    in_time, late = departures(debt(rate_bps), sizes), departures(debt(rate_bps), sizes, late_ns)
    assert late[-1] <= in_time[-1] + late_ns


def test_what_is_sent_without_being_admitted_is_owed_but_not_for_ever() -> None:
    paced = debt(1_000_000)
    paced.charge(START, 12_500)
    assert paced.admits_at(1_250) == START + 99 * NS_PER_MS
    for _ in range(100):
        paced.charge(START, 12_500)
    assert paced.paid_at == START + MAX_DEBT_MS * NS_PER_MS


def test_another_rate_leaves_as_many_bytes_owed() -> None:
    paced = debt(1_000_000)
    paced.charge(START, 2_500)
    assert paced.paid_at == START + 19 * NS_PER_MS
    paced.set_rate(START, 2_000_000)
    assert paced.paid_at == START + 9_500_000
    paced.set_rate(START, 3_000_000)
    assert paced.paid_at == START + 6_333_334
    paced.set_rate(START, MIN_RATE_BPS)
    assert paced.paid_at == START + MAX_DEBT_MS * NS_PER_MS
    paced.set_rate(START, math.inf)
    assert paced.paid_at == START


def test_what_is_paid_stays_paid_at_any_rate() -> None:
    paced = debt(1_000_000)
    paced.charge(START, 1_250)
    later = Instant(START + NS_PER_S)
    paced.set_rate(later, 50_000)
    assert paced.admits(later, 1_400)


def test_a_beginning_owes_nothing_and_has_nothing_in_advance() -> None:
    paced = Debt(0, BEHIND_NS)
    paced.set_rate(START, 8_000_000)
    paced.begin(START)
    assert paced.admits(START, 0)
    paced.charge(START, 1_000)
    assert paced.admits_at(0) == START + NS_PER_MS


@pytest.mark.parametrize(
    ("rate_bps", "whole"),
    [
        (math.nan, MIN_RATE_BPS),
        (-math.inf, MIN_RATE_BPS),
        (0.0, MIN_RATE_BPS),
        (MIN_RATE_BPS - 0.5, MIN_RATE_BPS),
        (1_234_567.9, 1_234_567),
        (MAX_RATE_BPS - 1, MAX_RATE_BPS - 1),
        (MAX_RATE_BPS, None),
        (math.inf, None),
    ],
)
def test_rates_are_whole_and_not_below_the_least(rate_bps: float, whole: int | None) -> None:
    assert whole_rate(rate_bps) == whole
