"""What stands in for DTLS and SCTP delivers everything, once and in order, over any network."""

from __future__ import annotations

import random
from typing import Final

import pytest

from sfu.netem.link import LinkProfile
from sfu.netem.loss import RandomLoss
from sfu.netem.network import Datagram, Network
from sfu.units import after_s
from tests.support.simulation.association import Association, Role, State
from tests.support.simulation.clock import VirtualClock

CLIENT: Final = ("198.51.100.1", 1)
SERVER: Final = ("192.0.2.1", 2)


class Pair:
    """Two ends on one network."""

    def __init__(self, line: LinkProfile) -> None:
        self.network = Network(random.Random(3))
        self.clock = VirtualClock(self.network)
        self.network.attach(CLIENT, uplink=line, downlink=line)
        self.network.attach(SERVER)
        self.received: list[str] = []
        self.connected: list[Role] = []
        self.closed: list[Role] = []
        self.ends = {
            CLIENT: self._end(Role.CLIENT, CLIENT, SERVER),
            SERVER: self._end(Role.SERVER, SERVER, CLIENT),
        }
        self.clock.deliver = self._deliver
        self._poll()

    def run_s(self, duration_s: float) -> None:
        self.clock.run_until(after_s(self.clock.now, duration_s))

    def _end(self, role: Role, here: tuple[str, int], there: tuple[str, int]) -> Association:
        return Association(
            role,
            send=lambda data: self.network.send(self.clock.now, here, there, data),
            connected=lambda: self.connected.append(role),
            received=self.received.append,
            closed=lambda: self.closed.append(role),
        )

    def _deliver(self, datagrams: list[Datagram]) -> None:
        for one in datagrams:
            self.ends[one.destination].receive(self.clock.now, one.data)

    def _poll(self) -> None:
        for end in self.ends.values():
            end.poll(self.clock.now)
        self.clock.call_after_ms(20, self._poll)


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_messages_of_any_length_arrive_once_and_in_order(loss: float) -> None:
    pair = Pair(LinkProfile(delay_ms=20, jitter_ms=5, loss=RandomLoss(loss), reorder=loss))
    for end in pair.ends.values():
        end.start(pair.clock.now)
    texts = ["", "short", "long " * 2_000, *(f"number {index}" for index in range(60))]
    for text in texts:
        pair.ends[CLIENT].say(pair.clock.now, text)
    pair.run_s(30)
    assert sorted(pair.connected, key=str) == [Role.CLIENT, Role.SERVER]
    assert pair.received == texts


def test_nothing_happens_before_the_client_begins() -> None:
    pair = Pair(LinkProfile(delay_ms=20))
    pair.ends[SERVER].start(pair.clock.now)
    pair.ends[CLIENT].say(pair.clock.now, "too early")
    pair.run_s(5)
    assert pair.connected == []
    assert pair.received == []


def test_goodbye_is_heard_and_nothing_comes_after_it() -> None:
    pair = Pair(LinkProfile(delay_ms=20))
    for end in pair.ends.values():
        end.start(pair.clock.now)
    pair.run_s(1)
    pair.ends[SERVER].close()
    pair.run_s(1)
    pair.ends[CLIENT].say(pair.clock.now, "anybody there?")
    pair.run_s(1)
    assert pair.closed == [Role.CLIENT]
    assert pair.ends[CLIENT].state is State.CLOSED
    assert pair.received == []
