from __future__ import annotations

import numpy as np
import pytest

from sfu.bwe.clusters import AFTERMATH_NS, HELD_PART, QUIET_NS, TIMEOUT_NS, Clusters, ProbeResults
from sfu.units import NS_PER_MS

from .arrays import SIZE, at_ms, packet, reports_of, sized

FIRST = np.zeros(1, np.int64)
NO_LOSS = np.zeros(1)
GAP_MS = 4.0
RATE = SIZE * 8_000 / GAP_MS


def clusters_of(size: int = 1) -> Clusters:
    clusters = Clusters()
    sized(clusters.table, size)
    return clusters


def probe(
    clusters: Clusters, stretch: float, *, lost: tuple[int, ...] = (), told: int = 8, inherent: float = 0.0
) -> ProbeResults:
    """Eight packets at `RATE`, which arrive `stretch` times as far apart."""
    number = int(clusters.ask(at_ms(0), FIRST, 0, np.array([8 * SIZE]))[0])
    packets = [
        packet(i * GAP_MS, None if i in lost else 20 + i * GAP_MS * (stretch - 1), seq=i, cluster=number)
        for i in range(told)
    ]
    return clusters.update(at_ms(150), reports_of(packets), np.array([inherent]))


def test_what_arrives_as_it_left_is_full() -> None:
    results = probe(clusters_of(), 1.0)
    assert results.has_ended[0]
    assert results.is_full[0]
    assert results.rate_bps[0] == pytest.approx(RATE, rel=0.01)


def test_what_was_held_up_tells_a_part_of_the_rate_at_which_it_came() -> None:
    results = probe(clusters_of(), 2.0)
    assert not results.is_full[0]
    assert results.rate_bps[0] == pytest.approx(HELD_PART * RATE / 2, rel=0.01)


def test_where_nothing_more_is_told_of_it_it_is_judged_by_what_was() -> None:
    clusters = clusters_of()
    assert not probe(clusters, 1.0, told=6).has_ended[0]
    quiet_at_ms = 150 + QUIET_NS / NS_PER_MS
    assert not clusters.update(at_ms(quiet_at_ms - 1), reports_of([]), NO_LOSS).has_ended[0]
    assert clusters.is_probing[0]
    ended = clusters.update(at_ms(quiet_at_ms), reports_of([]), NO_LOSS)
    assert ended.has_ended[0]
    assert ended.rate_bps[0] == pytest.approx(RATE, rel=0.01)
    assert not clusters.is_probing[0]


def test_where_nothing_is_told_at_all_it_is_judged_in_the_end() -> None:
    clusters = clusters_of()
    probe(clusters, 1.0, told=0)
    timeout_ms = TIMEOUT_NS / NS_PER_MS
    assert not clusters.update(at_ms(timeout_ms - 1), reports_of([]), NO_LOSS).has_ended[0]
    ended = clusters.update(at_ms(timeout_ms), reports_of([]), NO_LOSS)
    assert ended.has_ended[0]
    assert np.isnan(ended.rate_bps[0])


def test_too_little_says_nothing() -> None:
    results = probe(clusters_of(), 1.0, lost=(1, 2, 4, 5, 6))
    assert results.has_ended[0]
    assert np.isnan(results.rate_bps[0])


def test_what_is_lost_anyway_counts_as_arrived() -> None:
    assert not probe(clusters_of(), 1.0, lost=(3, 5)).is_full[0]
    assert probe(clusters_of(), 1.0, lost=(3, 5), inherent=0.25).is_full[0]


def test_the_better_of_two_counts() -> None:
    clusters = clusters_of()
    numbers = [int(clusters.ask(at_ms(0), FIRST, slot, np.array([5 * SIZE]))[0]) for slot in (0, 1)]
    assert numbers == [1, 2]
    slow = [packet(8 * i, 20, seq=i, cluster=1) for i in range(5)]
    fast = [packet(40 + 4 * i, 20, seq=5 + i, cluster=2) for i in range(5)]
    results = clusters.update(at_ms(150), reports_of([*slow, *fast]), NO_LOSS)
    assert results.rate_bps[0] == pytest.approx(RATE, rel=0.01)


def test_feedback_of_an_old_cluster_is_nobodys() -> None:
    clusters = clusters_of()
    probe(clusters, 1.0)
    clusters.ask(at_ms(200), FIRST, 0, np.array([8 * SIZE]))
    late = [packet(0, 300 + i, seq=i, cluster=1) for i in range(8)]
    assert not clusters.update(at_ms(350), reports_of(late), NO_LOSS).has_ended[0]


def test_who_was_not_asked_has_no_result() -> None:
    clusters = clusters_of(2)
    clusters.ask(at_ms(0), FIRST, 0, np.array([8 * SIZE]))
    assert clusters.is_probing.tolist() == [True, False]
    ended = clusters.update(at_ms(TIMEOUT_NS / NS_PER_MS), reports_of([], 2), np.zeros(2))
    assert ended.has_ended.tolist() == [True, False]


def test_a_probe_disturbs_while_it_is_under_way_and_a_moment_longer() -> None:
    clusters = clusters_of()
    assert not clusters.disturbs(at_ms(0))[0]
    probe(clusters, 1.0)
    assert clusters.disturbs(at_ms(150 + AFTERMATH_NS / NS_PER_MS - 1))[0]
    assert not clusters.disturbs(at_ms(150 + AFTERMATH_NS / NS_PER_MS))[0]
