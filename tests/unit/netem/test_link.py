from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import LocalError
from sfu.netem.link import MAX_QUEUE_BYTES, PERFECT, Link, LinkProfile, LinkStats, RateStep
from sfu.netem.loss import BurstLoss, RandomLoss
from sfu.units import Instant, after_ms

START = Instant(10**9)
MEGABIT = LinkProfile(rate_bps=1_000_000)
"""A datagram of 1,250 bytes takes 10 ms."""
SIZE = 1_250


def link_of(profile: LinkProfile, seed: int = 1) -> Link[int]:
    return Link(profile, random.Random(seed))


def at_ms(offset_ms: float) -> Instant:
    return after_ms(START, offset_ms)


def arrivals(link: Link[int]) -> list[tuple[int, float]]:
    """All that is under way as (datagram, arrival in ms), found by following the timeouts."""
    arrived = []
    while (at := link.next_timeout()) is not None:
        arrived += [(datagram, (at - START) / 1e6) for datagram in link.poll(at)]
    return arrived


def sent_together(profile: LinkProfile, count: int, *, seed: int = 1) -> Link[int]:
    link = link_of(profile, seed)
    for number in range(count):
        link.send(START, number, SIZE)
    return link


def sent_spaced(profile: LinkProfile, count: int, *, seed: int = 1) -> list[tuple[int, float]]:
    """One datagram each ms."""
    link, arrived = link_of(profile, seed), []
    for number in range(count):
        link.send(at_ms(number), number, SIZE)
        arrived += [(datagram, float(number)) for datagram in link.poll(at_ms(number))]
    return arrived + arrivals(link)


def test_a_perfect_link_shows_no_effect() -> None:
    rng = random.Random(1)
    before = rng.getstate()
    link: Link[int] = Link(PERFECT, rng)
    for number in range(100):
        link.send(at_ms(number), number, SIZE)
        assert link.next_timeout() == at_ms(number)
        assert link.poll(at_ms(number)) == [number]
        assert link.next_timeout() is None
    assert link.stats() == LinkStats(100, 100, 0, 0, 0, 100 * SIZE)
    assert rng.getstate() == before


def test_a_delay_is_the_same_for_all() -> None:
    assert sent_spaced(LinkProfile(delay_ms=30), 50) == [(number, number + 30.0) for number in range(50)]


def test_nothing_arrives_before_its_time() -> None:
    link = link_of(LinkProfile(delay_ms=30))
    link.send(START, 7, SIZE)
    assert link.poll(Instant(at_ms(30) - 1)) == []
    assert link.poll(at_ms(30)) == [7]


def test_a_rate_spaces_what_was_sent_together() -> None:
    link = sent_together(replace(MEGABIT, delay_ms=5), 4)
    assert arrivals(link) == [(0, 15.0), (1, 25.0), (2, 35.0), (3, 45.0)]


def test_a_rate_does_not_delay_what_comes_slower() -> None:
    link = link_of(MEGABIT)
    for number in range(5):
        link.send(at_ms(20 * number), number, SIZE)
        assert link.poll(at_ms(20 * number + 10)) == [number]


@given(sizes=st.lists(st.integers(1, 1_500), min_size=1, max_size=60), rate=st.integers(10_000, 10**9))
def test_a_link_never_carries_more_than_its_rate(sizes: list[int], rate: int) -> None:
    link = link_of(LinkProfile(rate_bps=rate))
    for number, size in enumerate(sizes):
        link.send(START, number, size)
    through = 0
    while (at := link.next_timeout()) is not None:
        for number in link.poll(at):
            through += 8 * sizes[number]
            assert through * 10**9 <= rate * (at - START)
            # And no less, but for a ns of rounding for each.
            assert rate * (at - START - number - 1) < through * 10**9
    assert link.stats().bytes_delivered == sum(sizes)


def test_a_queue_in_ms_drops_at_its_tail() -> None:
    link = sent_together(replace(MEGABIT, queue_ms=50), 10)
    assert [datagram for datagram, _ in arrivals(link)] == [0, 1, 2, 3, 4]
    assert link.stats() == LinkStats(10, 5, 0, 5, 0, 5 * SIZE)


def test_a_queue_in_bytes_drops_at_its_tail() -> None:
    link = sent_together(replace(MEGABIT, queue_bytes=3 * SIZE), 10)
    assert [datagram for datagram, _ in arrivals(link)] == [0, 1, 2]


def test_the_smaller_queue_holds() -> None:
    both = replace(MEGABIT, queue_bytes=3 * SIZE, queue_ms=20)
    assert len(arrivals(sent_together(both, 10))) == 2
    assert len(arrivals(sent_together(replace(both, queue_ms=90), 10))) == 3


def test_an_empty_queue_takes_any_datagram() -> None:
    assert arrivals(sent_together(replace(MEGABIT, queue_ms=0), 3)) == [(0, 10.0)]


def test_a_queue_takes_again_what_it_has_drained() -> None:
    link = sent_together(replace(MEGABIT, queue_ms=20), 5)
    link.send(at_ms(10), 9, SIZE)
    assert [datagram for datagram, _ in arrivals(link)] == [0, 1, 9]


def test_a_queue_without_a_limit_ends_somewhere() -> None:
    link = link_of(LinkProfile(rate_bps=0))
    fitting = MAX_QUEUE_BYTES // 65_536
    for number in range(fitting + 3):
        link.send(START, number, 65_536)
    assert link.stats().queue_drops == 3


def test_random_loss_loses_its_share() -> None:
    link = sent_together(LinkProfile(loss=RandomLoss(0.1)), 5_000)
    arrived = arrivals(link)
    stats = link.stats()
    assert stats.lost / stats.sent == pytest.approx(0.1, abs=0.015)
    assert stats.lost + stats.delivered == stats.sent
    assert [datagram for datagram, _ in arrived] == sorted(datagram for datagram, _ in arrived)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    profile = LinkProfile(
        rate_bps=20_000_000, delay_ms=20, jitter_ms=8, loss=BurstLoss(0.02, 0.3), reorder=0.05
    )
    assert sent_spaced(profile, 500, seed=5) == sent_spaced(profile, 500, seed=5)
    assert sent_spaced(profile, 500, seed=5) != sent_spaced(profile, 500, seed=6)


def test_what_is_lost_has_used_its_share_of_the_rate() -> None:
    link = sent_together(replace(MEGABIT, loss=RandomLoss(0.5)), 200)
    arrived = arrivals(link)
    assert 60 < len(arrived) < 140
    assert all(at == 10.0 * (datagram + 1) for datagram, at in arrived)


def test_jitter_varies_the_delay_and_keeps_the_order() -> None:
    arrived = sent_spaced(LinkProfile(delay_ms=20, jitter_ms=10), 500)
    assert [datagram for datagram, _ in arrived] == list(range(500))
    delays = [at - datagram for datagram, at in arrived]
    assert min(delays) >= 20
    assert max(delays) <= 30
    assert max(delays) - min(delays) > 5


def test_reordering_lets_some_be_overtaken() -> None:
    arrived = sent_spaced(LinkProfile(delay_ms=20, reorder=0.1, reorder_ms=5), 500)
    late = [datagram for datagram, at in arrived if at - datagram > 20]
    assert 25 < len(late) < 80
    assert all(at - datagram == 25 for datagram, at in arrived if datagram in late)
    assert [datagram for datagram, _ in arrived] != list(range(500))
    assert [datagram for datagram, _ in arrived if datagram not in late] == sorted(
        set(range(500)) - set(late)
    )


def test_a_rate_step_takes_effect_within_a_datagram() -> None:
    steps = (RateStep(at_ms(5), 500_000), RateStep(at_ms(25), 1_000_000))
    # 0: 5 ms at full rate, then 5 ms' worth in 10 ms. 1: 10 ms at half rate, then 5 ms. 2: full rate.
    link = sent_together(replace(MEGABIT, rate_steps=steps), 3)
    assert arrivals(link) == [(0, 15.0), (1, 30.0), (2, 40.0)]


def test_an_outage_holds_the_queue_until_it_ends() -> None:
    steps = (RateStep(at_ms(15), 0), RateStep(at_ms(1_015), 1_000_000))
    link = sent_together(replace(MEGABIT, rate_steps=steps, queue_ms=30), 3)
    link.send(at_ms(100), 3, SIZE)
    link.send(at_ms(100), 4, SIZE)
    assert link.poll(at_ms(100)) == [0]
    assert arrivals(link) == [(1, 1_020.0), (2, 1_030.0), (3, 1_040.0)]
    assert link.stats().queue_drops == 1


def test_an_outage_without_an_end_wakes_nobody() -> None:
    link = link_of(LinkProfile(rate_bps=0))
    link.send(START, 1, SIZE)
    assert link.next_timeout() is None
    assert link.poll(at_ms(10_000)) == []


def test_a_limit_that_goes_lets_the_queue_go() -> None:
    link = sent_together(replace(MEGABIT, rate_steps=(RateStep(at_ms(12), None),)), 3)
    assert arrivals(link) == [(0, 10.0), (1, 12.0), (2, 12.0)]
    link.send(at_ms(20), 3, SIZE)
    assert arrivals(link) == [(3, 20.0)]


def test_what_was_not_polled_in_time_is_due_now() -> None:
    link = sent_together(MEGABIT, 2)
    link.send(at_ms(50), 2, SIZE)
    assert link.next_timeout() == at_ms(50)
    assert link.poll(at_ms(50)) == [0, 1]


def test_steps_of_the_past_count_for_the_first_datagram() -> None:
    steps = (RateStep(Instant(0), 100_000), RateStep(Instant(5), 1_000_000))
    assert arrivals(sent_together(LinkProfile(rate_steps=steps), 2)) == [(0, 10.0), (1, 20.0)]


def test_a_line_that_changes_goes_on_with_what_waits() -> None:
    link = sent_together(MEGABIT, 2)
    link.change(at_ms(5), LinkProfile(rate_bps=500_000, delay_ms=7))
    assert arrivals(link) == [(0, 22.0), (1, 42.0)]


def test_a_line_that_becomes_perfect_delivers_at_once() -> None:
    link = sent_together(MEGABIT, 2)
    link.change(at_ms(5), PERFECT)
    assert link.next_timeout() == at_ms(5)
    link.send(at_ms(5), 2, SIZE)
    assert link.poll(at_ms(5)) == [0, 1, 2]


def test_a_change_takes_the_step_of_the_past_that_holds_now() -> None:
    link = sent_together(MEGABIT, 1)
    steps = (RateStep(START, None), RateStep(at_ms(2), 500_000), RateStep(at_ms(9), 1_000_000))
    link.change(at_ms(5), LinkProfile(rate_steps=steps))
    assert arrivals(link) == [(0, 12.0)]


def test_a_change_of_an_idle_line_is_silent() -> None:
    link = link_of(MEGABIT)
    link.change(START, LinkProfile(delay_ms=3))
    assert link.next_timeout() is None
    link.send(START, 1, SIZE)
    assert arrivals(link) == [(1, 3.0)]


def test_time_does_not_go_back() -> None:
    link = link_of(MEGABIT)
    link.send(at_ms(5), 1, SIZE)
    with pytest.raises(LocalError, match="after"):
        link.poll(START)


@pytest.mark.parametrize(
    "values",
    [
        {"rate_bps": -1},
        {"rate_steps": (RateStep(START, -1),)},
        {"rate_steps": (RateStep(at_ms(1), 1), RateStep(START, 1))},
        {"delay_ms": -1.0},
        {"jitter_ms": -1.0},
        {"queue_ms": -1.0},
        {"queue_bytes": -1},
        {"reorder": 1.5},
        {"reorder_ms": -1.0},
    ],
)
def test_a_line_that_can_not_be_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"rate|zero|probability"):
        LinkProfile(**values)  # type: ignore[arg-type]  # one key of any type each


def test_what_waits_is_told_at_the_present_rate() -> None:
    outage = RateStep(at_ms(30), 0)
    link = sent_together(replace(MEGABIT, rate_steps=(RateStep(at_ms(10), 500_000), outage)), 4)
    assert link.waiting_ms(START) == 40
    assert link.waiting_ms(at_ms(10)) == 60
    assert link.waiting_ms(at_ms(20)) == 50
    assert link.waiting_ms(at_ms(30)) == float("inf")


def test_nothing_waits_where_nothing_limits() -> None:
    assert sent_together(PERFECT, 4).waiting_ms(START) == 0
