from __future__ import annotations

import random

import pytest

from loadtest.bench.cascade.hop_delay import Arrival, delays_ms

NEAR, FAR, REPAIRS = 11, 22, 33


def stream(ssrc: int, number: int, timestamp: int, late_ns: int = 0, seed: int = 7) -> list[Arrival]:
    """Forty frames at 30 a second, of unlike sizes; the same for each seed."""
    rng = random.Random(seed)
    arrivals = []
    for frame in range(40):
        for packet in range(rng.randint(1, 6)):
            at_ns = frame * 33_000_000 + packet * 100_000 + late_ns
            stamp = (timestamp + frame * 3_000) % 2**32
            arrivals.append(Arrival(at_ns, ssrc, number % 2**16, stamp, 1_000))
            number += 1
    return arrivals


@pytest.mark.parametrize("number", [0, 2**15 - 1, 2**15, 2**16 - 1])
@pytest.mark.parametrize("timestamp", [5, 2**32 - 1_000])
def test_the_same_packets_are_found_whatever_they_are_numbered(number: int, timestamp: int) -> None:
    near, far = stream(NEAR, 40_000, 90), stream(FAR, number, timestamp, late_ns=250_000)
    assert delays_ms(near, far) == [0.25] * len(near)


def test_what_only_one_of_them_has_is_left_out() -> None:
    near, far = stream(NEAR, 0, 0), stream(FAR, 500, 9, late_ns=-1_000_000)
    assert delays_ms(near[7:], far[:-5]) == [-1.0] * (len(near) - 12)


def test_of_a_packet_that_came_twice_the_first_time_counts() -> None:
    near, far = stream(NEAR, 0, 0), stream(FAR, 500, 9)
    again = [Arrival(10**10, one.ssrc, one.number, one.timestamp, one.size) for one in far[:9]]
    assert delays_ms(near, [*far, *again]) == [0.0] * len(near)


def test_only_the_largest_stream_counts() -> None:
    near, far = stream(NEAR, 0, 0), stream(FAR, 500, 9)
    repairs = [Arrival(one.at_ns, REPAIRS, one.number, one.timestamp, 20) for one in stream(REPAIRS, 0, 0)]
    assert delays_ms([*repairs, *near], [*far, *repairs]) == [0.0] * len(near)


def test_nothing_is_like_nothing() -> None:
    near = stream(NEAR, 0, 0)
    assert delays_ms(near, []) == []
    assert delays_ms([], near) == []
    assert delays_ms(near, near[:1]) == []
