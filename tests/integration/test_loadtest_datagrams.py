"""A participant's socket on loopback: times are those of arrival, however late somebody looks."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from loadtest.client.datagrams import MAX_READ, DatagramEndpoint
from sfu.units import NS_PER_MS, Instant

pytestmark = pytest.mark.asyncio

MEDIA = bytes((0x80, 96)) + bytes(10)
"""The beginning of RTP."""
STUN = bytes(20)
LATE_S = 0.3


class Told(asyncio.DatagramProtocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, tuple[str, int]]] = []
        self.media: list[tuple[int, Instant]] = []
        self.lost = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.datagrams.append((data, addr))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def take(self, data: bytes, arrived_at: Instant) -> None:
        self.media.append((data[-1], arrived_at))


async def turns(count: int) -> None:
    """Let the loop look so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_looks_late_knows_when_it_came() -> None:
    told = Told()
    endpoint = DatagramEndpoint(told, "127.0.0.1", told.take)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(MEDIA, endpoint.get_extra_info("sockname"))
        sent_at = time.monotonic_ns()
        time.sleep(LATE_S)  # noqa: ASYNC251  # nobody runs meanwhile
        await turns(3)
    endpoint.close()
    ((_, arrived_at),) = told.media
    assert time.monotonic_ns() - sent_at >= LATE_S * 1000 * NS_PER_MS
    assert abs(arrived_at - sent_at) < LATE_S / 3 * 1000 * NS_PER_MS


async def test_all_that_waits_is_read_in_few_turns_and_in_order() -> None:
    told = Told()
    endpoint = DatagramEndpoint(told, "127.0.0.1", told.take)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(MAX_READ + 1):
            sender.sendto(MEDIA + bytes((number,)), endpoint.get_extra_info("sockname"))
        await turns(4)
    endpoint.close()
    assert [number for number, _ in told.media] == [*range(MAX_READ + 1)]


async def test_what_is_no_media_is_the_protocols_until_it_is_closed() -> None:
    told = Told()
    endpoint = DatagramEndpoint(told, "127.0.0.1", told.take)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        peer.sendto(STUN, endpoint.get_extra_info("sockname"))
        await turns(3)
        assert told.datagrams == [(STUN, peer.getsockname())]
        endpoint.sendto(b"answer", peer.getsockname())
        assert peer.recv(100) == b"answer"
    endpoint.close()
    endpoint.close()
    await told.lost.wait()
    assert endpoint.is_closing()
    assert endpoint.get_extra_info("sockname") is None
    endpoint.sendto(b"lost", ("127.0.0.1", 9))
