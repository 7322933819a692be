from __future__ import annotations

import random

import pytest

from sfu.errors import LocalError
from sfu.netem.dumbbell import Dumbbell
from sfu.netem.link import LinkProfile
from sfu.units import Instant, after_ms

START = Instant(10**9)
SIZE = 1_250
MEGABIT = LinkProfile(rate_bps=1_000_000, delay_ms=5)
"""A datagram of 1,250 bytes takes 10 ms, and then 5."""
FREE = LinkProfile(delay_ms=5)


def dumbbell(forward: LinkProfile = MEGABIT, backward: LinkProfile = FREE) -> Dumbbell[str]:
    net: Dumbbell[str] = Dumbbell(forward, backward, random.Random(1))
    net.attach(0)
    net.attach(1, LinkProfile(delay_ms=20))
    return net


def arrivals(net: Dumbbell[str]) -> list[tuple[float, int, bool, str]]:
    """All that is under way, by following the timeouts."""
    arrived = []
    while (at := net.next_timeout()) is not None:
        arrived += [((one.at - START) / 1e6, *one[1:]) for one in net.poll(at)]
    return arrived


def test_flows_wait_for_one_another_in_front_of_the_bottleneck() -> None:
    net = dumbbell()
    for number in range(4):
        net.send(START, number % 2, str(number), SIZE, is_forward=True)
    assert arrivals(net) == [
        (15.0, 0, True, "0"),
        (35.0, 0, True, "2"),
        (45.0, 1, True, "1"),
        (65.0, 1, True, "3"),
    ]


def test_each_way_has_a_bottleneck_of_its_own() -> None:
    net = dumbbell()
    net.send(START, 0, "forth", SIZE, is_forward=True)
    net.send(START, 0, "back", SIZE, is_forward=False)
    assert arrivals(net) == [(5.0, 0, False, "back"), (15.0, 0, True, "forth")]


def test_a_tail_delays_both_ways_of_its_flow_only() -> None:
    net = dumbbell(FREE)
    for flow in (0, 1):
        net.send(START, flow, "forth", SIZE, is_forward=True)
        net.send(START, flow, "back", SIZE, is_forward=False)
    assert {(at, flow) for at, flow, _, _ in arrivals(net)} == {(5.0, 0), (25.0, 1)}


def test_what_waits_is_told_without_what_flies() -> None:
    net = dumbbell()
    for number in range(4):
        net.send(START, 0, str(number), SIZE, is_forward=True)
    assert net.waiting_ms(START, is_forward=True) == 40
    assert net.waiting_ms(after_ms(START, 25), is_forward=True) == 15
    assert net.waiting_ms(after_ms(START, 41), is_forward=True) == 0
    assert net.waiting_ms(after_ms(START, 41), is_forward=False) == 0
    assert net.stats(is_forward=True).sent == 4


def test_late_polling_tells_when_things_came() -> None:
    net = dumbbell()
    net.send(START, 0, "a", SIZE, is_forward=True)
    net.send(START, 1, "b", SIZE, is_forward=True)
    late = after_ms(START, 500)
    assert [(one.at - START) / 1e6 for one in net.poll(late)] == [15.0, 45.0]
    assert net.next_timeout() is None


def test_a_sender_after_a_late_poll_finds_the_queue_as_it_is_then() -> None:
    net = dumbbell()
    net.send(START, 0, "a", SIZE, is_forward=True)
    net.send(after_ms(START, 100), 0, "b", SIZE, is_forward=True)
    assert arrivals(net) == [(15.0, 0, True, "a"), (115.0, 0, True, "b")]


def test_a_flow_joins_once() -> None:
    with pytest.raises(LocalError, match="flow 1"):
        dumbbell().attach(1)
