from __future__ import annotations

import math

import pytest

from sfu.streams.probing import LATE_NS, MAX_CLUSTERS, MAX_WAIT_MS, Probes
from sfu.units import NS_PER_MS, Instant, after_ms

START = Instant(10**13)


def run(probes: Probes, size_bytes: int, now: Instant = START) -> list[tuple[int, int]]:
    """Send whatever is asked for; (nanoseconds after the start, cluster) of each packet."""
    sent = []
    while True:
        if probes.poll(now):
            sent.append((now - START, probes.cluster))
            probes.sent(now, size_bytes)
            continue
        at = probes.next_timeout()
        if at is None:
            return sent
        assert at > now
        now = at


def test_a_cluster_is_spaced_by_its_rate_and_ends_with_its_size() -> None:
    probes = Probes()
    assert not probes.poll(START)
    assert probes.next_timeout() is None
    probes.ask(START, 7, 4_000_000, 7_500)
    assert probes.next_timeout() == START
    assert run(probes, 1_144) == [(index * 2_288_000, 7) for index in range(7)]
    assert probes.cluster == 0


def test_clusters_run_one_after_another() -> None:
    probes = Probes()
    probes.ask(START, 1, 1_000_000, 2_000)
    probes.ask(START, 2, 2_000_000, 1_000)
    assert run(probes, 1_000) == [(0, 1), (8 * NS_PER_MS, 1), (16 * NS_PER_MS, 2)]


def test_what_leaves_meanwhile_never_makes_anything_due_sooner() -> None:
    probes = Probes()
    probes.ask(START, 1, 1_000_000, 2_000)
    probes.ask(START, 2, 2_000_000, 1_000)
    assert probes.poll(START)
    due = [probes.next_timeout() or 0]
    for size_bytes in (500, 500, 1_500, 700):
        probes.sent(START, size_bytes)
        due.append(probes.next_timeout() or 0)
    assert due == sorted(due)
    assert probes.cluster == 0
    assert not probes.poll(START)


def test_what_else_leaves_is_part_of_the_cluster() -> None:
    probes = Probes()
    probes.ask(START, 1, 1_000_000, 2_000)
    assert probes.cluster == 0
    assert probes.poll(START)
    assert probes.cluster == 1
    probes.sent(START, 500)
    assert probes.next_timeout() == START + 4 * NS_PER_MS
    probes.sent(START, 1_500)
    assert probes.cluster == 0
    probes.sent(START, 1_500)
    assert probes.next_timeout() is None


def test_a_late_timer_makes_up_for_some_of_it() -> None:
    probes = Probes()
    probes.ask(START, 1, 8_000_000, 10**6)
    assert probes.poll(START)
    probes.sent(START, 1_000)
    late = after_ms(START, 100)
    count = 0
    while probes.poll(late):
        probes.sent(late, 1_000)
        count += 1
    assert count == LATE_NS // NS_PER_MS + 1


def test_only_so_many_wait_and_the_oldest_goes() -> None:
    probes = Probes()
    for number in range(1, MAX_CLUSTERS + 3):
        probes.ask(START, number, 1_000_000, 1)
    assert [cluster for _, cluster in run(probes, 1)] == list(range(3, MAX_CLUSTERS + 3))


def test_one_that_could_not_begin_for_long_is_forgotten() -> None:
    probes = Probes()
    probes.ask(START, 1, 1_000_000, 1)
    probes.ask(after_ms(START, 1), 2, 1_000_000, 1)
    now = after_ms(START, MAX_WAIT_MS)
    assert probes.poll(now)
    assert probes.cluster == 2


@pytest.mark.parametrize("size_bytes", [0, -1])
def test_a_cluster_without_a_size_is_none(size_bytes: int) -> None:
    probes = Probes()
    probes.ask(START, 1, 1_000_000, size_bytes)
    assert not probes.poll(START)
    assert probes.next_timeout() is None


def test_no_cluster_is_faster_than_the_fastest() -> None:
    probes = Probes()
    probes.ask(START, 1, math.inf, 2_500)
    assert run(probes, 1_250) == [(0, 1), (100_000, 1)]
