"""The counters of a swarm as arrays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loadtest.fleet.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest._swarm import Stats

PARTICIPANTS = ["id", "is_full", "media_sent", "kernel_drops"]
BREAKS = ["picture_id_breaks", "tl0_breaks", "timestamp_breaks"]
STREAMS = ["participant", "ssrc", "packets_received", "packets_lost", *BREAKS]
BOUNDS = [0, 1_000_000, 2_000_000, 4_000_000]


@pytest.fixture(autouse=True)
def _native_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(PARTICIPANT_FIELDS=PARTICIPANTS, STREAM_FIELDS=STREAMS, DELAY_BOUNDS_NS=BOUNDS)
    monkeypatch.setattr("loadtest.fleet.reading.load_swarm", lambda: module)


def reading(
    participants: Sequence[Sequence[int]] = (),
    streams: Sequence[Sequence[int]] = (),
    delays: Sequence[int] = (0, 0, 0, 0),
) -> Reading:
    def data(rows: Sequence[object]) -> bytes:
        return np.array(rows, np.int64).tobytes()

    stats: Stats = {
        "participants": data(participants),
        "streams": data(streams),
        "delays": data(delays),
        "lateness_max_ns": 1_500_000,
        "full_receivers": 1,
        "lean_receivers": 3,
        "cpu_ns": sum(delays) * 1_000_000_000,
    }
    return Reading.of(stats)


def test_totals_are_sums_over_rows() -> None:
    found = reading([[0, 0, 7, 1], [1, 1, 5, 2]], [[0, 9, 10, 1, 1, 2, 3], [1, 9, 20, 2, 0, 0, 0]])
    assert (found.packets_received, found.packets_lost, found.breaks) == (30, 3, 6)
    assert (found.media_sent, found.kernel_drops) == (12, 3)
    assert (found.full_share, found.lateness_max_ms) == (0.25, 1.5)


def test_a_difference_counts_what_came_between_and_new_rows_whole() -> None:
    before = reading([[0, 0, 7, 0]], [[0, 9, 10, 4, 0, 0, 0]], [1, 0, 0, 0])
    after = reading(
        [[0, 0, 9, 0], [1, 1, 2, 0]], [[0, 9, 15, 1, 0, 0, 0], [0, 8, 3, 0, 0, 0, 0]], [1, 5, 0, 0]
    )
    window = after - before
    assert window.participants.tolist() == [(0, 0, 2, 0), (1, 1, 2, 0)]
    assert window.streams.tolist() == [(0, 9, 5, -3, 0, 0, 0), (0, 8, 3, 0, 0, 0, 0)]
    assert (window.delays.tolist(), window.cpu_s) == ([0, 5, 0, 0], 5.0)
    assert after.packets_received == 18  # a difference leaves its sides alone


def test_quantiles_are_the_bounds_of_their_buckets() -> None:
    found = reading(delays=[0, 98, 1, 1])
    assert (found.delay_ms(0.5), found.delay_ms(0.98), found.delay_ms(0.99)) == (1.0, 1.0, 2.0)
    assert found.delay_max_ms == 4.0


def test_without_packets_there_is_no_delay() -> None:
    assert reading().delay_ms(0.5) is None
    assert reading().delay_max_ms is None


def test_a_swarm_without_receivers_has_no_share() -> None:
    found = reading()
    empty = Reading(
        found.participants, found.streams, found.delays, found.delay_bounds_ns, 0, 0, found.cpu_s, 0.0
    )
    assert empty.full_share == 0
