from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.netem.link import Link, LinkProfile
from sfu.netem.policer import Policer, TokenBucket
from sfu.units import NS_PER_S, Instant, after_ms

START = Instant(10**9)
MEGABIT = Policer(1_000_000, 10_000)


@given(
    sizes=st.lists(st.integers(1, 1_500), min_size=1, max_size=80),
    gaps_ns=st.lists(st.integers(0, 30_000_000), min_size=80, max_size=80),
)
def test_a_policer_passes_its_rate_and_one_burst_at_most(sizes: list[int], gaps_ns: list[int]) -> None:
    bucket, now, passed = TokenBucket(MEGABIT), START, 0
    for size, gap_ns in zip(sizes, gaps_ns, strict=False):
        now = Instant(now + gap_ns)
        passed += size * bucket.admits(now, size)
        allowed = 8 * MEGABIT.burst_bytes * NS_PER_S + MEGABIT.rate_bps * (now - START)
        assert 8 * passed * NS_PER_S <= allowed


def test_what_comes_at_the_rate_passes() -> None:
    bucket = TokenBucket(Policer(1_000_000, 1_250))
    assert all(bucket.admits(after_ms(START, 10 * number), 1_250) for number in range(100))


def test_a_burst_passes_up_to_its_size_and_again_after_a_pause() -> None:
    bucket = TokenBucket(MEGABIT)
    assert [bucket.admits(START, 1_000) for _ in range(12)] == [True] * 10 + [False] * 2
    later = after_ms(START, 1_000)
    assert [bucket.admits(later, 1_000) for _ in range(12)] == [True] * 10 + [False] * 2


def test_a_policed_link_drops_without_delay_and_counts_it() -> None:
    link: Link[int] = Link(LinkProfile(policer=MEGABIT), random.Random(1))
    for number in range(15):
        link.send(START, number, 1_000)
    assert link.poll(START) == list(range(10))
    assert link.stats().policed == 5
    assert link.stats().delivered == 10
    assert link.waiting_ms(START) == 0


@pytest.mark.parametrize(("rate_bps", "burst_bytes"), [(0, 1_000), (1_000, 0)])
def test_a_policer_that_passes_nothing_is_refused(rate_bps: int, burst_bytes: int) -> None:
    with pytest.raises(ValueError, match="policer"):
        Policer(rate_bps, burst_bytes)
