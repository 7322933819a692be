from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import LocalError
from sfu.netem.link import PERFECT, LinkProfile
from sfu.netem.loss import RandomLoss
from sfu.netem.network import UDP_OVERHEAD_BYTES, Datagram, Network
from sfu.units import Instant, after_ms

START = Instant(10**9)
SERVER = ("192.0.2.1", 10_000)
ANNA = ("198.51.100.1", 50_000)
BERT = ("203.0.113.1", 60_000)
PAYLOAD = bytes(1_250 - UDP_OVERHEAD_BYTES)
"""10 ms at 1 Mbit/s."""
MEGABIT = LinkProfile(rate_bps=1_000_000)


def at_ms(offset_ms: float) -> Instant:
    return after_ms(START, offset_ms)


def network_of(**lines: tuple[LinkProfile, LinkProfile]) -> Network:
    """Server, Anna and Bert, each perfect or with the given uplink and downlink."""
    network = Network(random.Random(1))
    for name, address in (("server", SERVER), ("anna", ANNA), ("bert", BERT)):
        uplink, downlink = lines.get(name, (PERFECT, PERFECT))
        network.attach(address, uplink=uplink, downlink=downlink)
    return network


def arrivals(network: Network) -> list[tuple[Datagram, float]]:
    arrived = []
    while (at := network.next_timeout()) is not None:
        arrived += [(datagram, (at - START) / 1e6) for datagram in network.poll(at)]
    return arrived


def test_a_perfect_network_shows_no_effect() -> None:
    network = network_of()
    for number in range(50):
        network.send(at_ms(number), ANNA, SERVER, bytes((number,)))
        assert network.next_timeout() == at_ms(number)
        assert network.poll(at_ms(number)) == [(ANNA, SERVER, bytes((number,)))]
        assert network.next_timeout() is None
        assert network.poll(at_ms(number)) == []
    assert network.undeliverable == 0


def test_a_datagram_takes_both_lines() -> None:
    network = network_of(anna=(LinkProfile(delay_ms=20), PERFECT), bert=(PERFECT, LinkProfile(delay_ms=5)))
    network.send(START, ANNA, BERT, b"there")
    network.send(START, BERT, ANNA, b"back")
    network.send(START, ANNA, SERVER, b"up")
    assert arrivals(network) == [
        (Datagram(BERT, ANNA, b"back"), 0.0),
        (Datagram(ANNA, SERVER, b"up"), 20.0),
        (Datagram(ANNA, BERT, b"there"), 25.0),
    ]


def test_all_flows_to_an_endpoint_share_its_downlink() -> None:
    network = network_of(bert=(PERFECT, MEGABIT))
    for _ in range(2):
        network.send(START, ANNA, BERT, PAYLOAD)
        network.send(START, SERVER, BERT, PAYLOAD)
    assert [(datagram.source, at) for datagram, at in arrivals(network)] == [
        (ANNA, 10.0),
        (SERVER, 20.0),
        (ANNA, 30.0),
        (SERVER, 40.0),
    ]


def test_one_poll_at_the_end_gives_the_same_as_one_at_each_timeout() -> None:
    def made() -> Network:
        lossy = LinkProfile(rate_bps=2_000_000, delay_ms=10, jitter_ms=4, loss=RandomLoss(0.1))
        network = network_of(anna=(lossy, MEGABIT), bert=(lossy, lossy))
        for number in range(100):
            source, destination = (ANNA, BERT) if number % 3 else (BERT, ANNA)
            network.send(START, source, destination, bytes((number,)) * 200)
        return network

    stepwise = arrivals(made())
    assert made().poll(at_ms(60_000)) == [datagram for datagram, _ in stepwise]
    assert 50 < len(stepwise) < 95


def test_a_send_that_comes_before_a_poll_loses_no_arrival() -> None:
    network = network_of(anna=(LinkProfile(delay_ms=10), PERFECT))
    network.send(START, ANNA, SERVER, b"first")
    network.send(at_ms(25), ANNA, SERVER, b"second")
    assert network.next_timeout() == at_ms(25)
    assert [data for _, _, data in network.poll(at_ms(25))] == [b"first"]
    assert [(datagram.data, at) for datagram, at in arrivals(network)] == [(b"second", 35.0)]


@given(
    sends=st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from([ANNA, BERT, SERVER]), st.sampled_from([ANNA, BERT])),
        max_size=60,
    )
)
def test_nothing_is_made_up_and_nothing_vanishes(
    sends: list[tuple[int, tuple[str, int], tuple[str, int]]],
) -> None:
    network = network_of(anna=(MEGABIT, LinkProfile(delay_ms=3)), bert=(LinkProfile(delay_ms=1), MEGABIT))
    arrived, sent = [], []
    for number, (offset, source, destination) in enumerate(sorted(sends)):
        while (at := network.next_timeout()) is not None and at <= at_ms(offset):
            arrived += network.poll(at)
        sent.append(Datagram(source, destination, number.to_bytes(2, "big") * 300))
        network.send(at_ms(offset), *sent[-1])
    arrived += [datagram for datagram, _ in arrivals(network)]
    assert sorted(arrived) == sorted(sent)
    for pair in {(source, destination) for source, destination, _ in sent}:
        assert [d for d in arrived if d[:2] == pair] == [d for d in sent if d[:2] == pair]


def test_the_counters_of_a_line_are_its_own() -> None:
    network = network_of(anna=(LinkProfile(loss=RandomLoss(1.0)), PERFECT))
    network.send(START, ANNA, BERT, PAYLOAD)
    network.send(START, BERT, ANNA, PAYLOAD)
    assert len(arrivals(network)) == 1
    uplink, downlink = network.stats(ANNA)
    assert (uplink.sent, uplink.lost, uplink.delivered) == (1, 1, 0)
    assert (downlink.sent, downlink.lost, downlink.delivered) == (1, 0, 1)
    assert downlink.bytes_delivered == 1_250


def test_what_is_sent_to_nobody_is_counted() -> None:
    network = network_of()
    network.send(START, ANNA, ("192.0.2.99", 1), b"?")
    assert arrivals(network) == []
    assert network.undeliverable == 1


def test_nobody_can_not_send() -> None:
    with pytest.raises(LocalError, match="no endpoint"):
        network_of().send(START, ("192.0.2.99", 1), ANNA, b"!")


def test_an_address_is_taken_once() -> None:
    with pytest.raises(LocalError, match="taken"):
        network_of().attach(ANNA)
    with pytest.raises(LocalError, match="taken"):
        network_of().rebind(ANNA, BERT)


def test_who_leaves_takes_his_lines_along() -> None:
    slow = LinkProfile(delay_ms=10)
    network = network_of(anna=(slow, slow))
    network.send(START, ANNA, BERT, b"from her")
    network.send(START, BERT, ANNA, b"to her")
    assert network.poll(START) == []
    network.detach(ANNA)
    assert network.next_timeout() is None
    network.send(at_ms(1), BERT, ANNA, b"too late")
    assert arrivals(network) == []
    assert network.undeliverable == 1


def test_after_a_rebinding_the_lines_are_the_same_and_the_old_address_is_dead() -> None:
    slow = LinkProfile(delay_ms=10)
    network = network_of(anna=(slow, slow))
    moved = ("198.51.100.1", 50_001)
    network.send(START, ANNA, BERT, b"on its way")
    network.send(START, BERT, ANNA, b"to the old address")
    assert network.poll(START) == []
    network.rebind(ANNA, moved)
    network.attach(ANNA)  # somebody else gets the old address, but not what flew to it
    network.send(START, moved, BERT, b"from the new address")
    network.send(START, BERT, moved, b"to the new address")
    assert sorted(arrivals(network)) == [
        (Datagram(ANNA, BERT, b"on its way"), 10.0),
        (Datagram(moved, BERT, b"from the new address"), 10.0),
        (Datagram(BERT, moved, b"to the new address"), 10.0),
    ]
    assert network.undeliverable == 1


def test_a_line_can_change_in_mid_flight() -> None:
    network = network_of(anna=(LinkProfile(delay_ms=5), PERFECT), bert=(PERFECT, MEGABIT))
    for _ in range(3):
        network.send(START, ANNA, BERT, PAYLOAD)
    network.change(at_ms(20), BERT, downlink=LinkProfile(rate_bps=500_000))
    assert network.next_timeout() == at_ms(20)
    # The first left at 15; 5 of 10 ms of the second were done, the rest takes twice as long.
    assert [at for _, at in arrivals(network)] == [20.0, 30.0, 50.0]
    network.change(at_ms(60), BERT, uplink=MEGABIT, downlink=PERFECT)
    network.send(at_ms(60), BERT, ANNA, PAYLOAD)
    assert [at for _, at in arrivals(network)] == [70.0]
