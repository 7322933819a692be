"""The twin's TCP port: whose connections stay, and whose make room."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from sfu.dataplane.tcp import MAX_UNPROVEN_S, TcpServer, TcpUser
from sfu.units import Instant, after_s
from tests.support.eventually import eventually
from tests.support.frame_wire import FrameWire
from tests.support.plane_socket import loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from sfu.dataplane.udp import Arrived
    from sfu.dataplane.wire import Address, TcpAddress

pytestmark = pytest.mark.integration


def time_now() -> Instant:
    return Instant(time.monotonic_ns())


class Port:
    """A server of two connections at most, what has come to it, and which addresses are somebody's."""

    def __init__(self) -> None:
        self.came: list[tuple[Address, bytes]] = []
        self.proven: set[Address] = set()
        self.gone: list[Address] = []
        user = TcpUser(self._take, self.proven.__contains__, self.gone.append)
        self.server = TcpServer(loopback(), asyncio.get_running_loop(), user, max_connections=2)

    def _take(self, datagrams: Iterable[Arrived]) -> None:
        self.came += [(one.address, one.data) for one in datagrams]

    async def connect(self) -> tuple[FrameWire, TcpAddress]:
        """A client that has said something, and its address."""
        assert self.server.port is not None
        wire = await FrameWire.open("127.0.0.1", self.server.port, lambda datagram: None)
        before = len(self.came)
        wire.sendto(b"here")
        await eventually(lambda: len(self.came) > before)
        return wire, cast("TcpAddress", self.came[-1][0])


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    opened = Port()
    yield opened
    opened.server.close()


async def test_each_connection_is_an_address_of_its_own_for_ever(port: Port) -> None:
    (first, one), (second, other) = await port.connect(), await port.connect()
    assert one[:2] == first.get_extra_info("sockname")
    assert (len(one), one[2:], other[2:]) == (3, (0,), (1,))
    second.close()
    await eventually(lambda: port.gone == [other])
    third, last = await port.connect()
    assert last[2:] == (2,)
    assert len(other) == 3
    assert not port.server.send(other, b"nobody is there")
    first.close()
    third.close()


async def test_a_connection_that_stays_nobodys_is_closed(port: Port) -> None:
    (first, one), (second, other) = await port.connect(), await port.connect()
    port.proven.add(one)
    now = time_now()
    port.server.poll(now)
    assert port.gone == []
    port.server.poll(after_s(now, MAX_UNPROVEN_S))
    assert port.gone == [other]
    await second.closed.wait()
    # Who is proven no more has as long as who has just come.
    port.proven.clear()
    port.server.poll(after_s(now, 2 * MAX_UNPROVEN_S - 1))
    assert len(port.server) == 1
    port.server.poll(after_s(now, 2 * MAX_UNPROVEN_S))
    assert port.gone == [other, one]
    first.close()


async def test_who_comes_last_takes_the_place_of_the_oldest_that_is_nobodys(port: Port) -> None:
    (first, one), (second, other) = await port.connect(), await port.connect()
    port.proven.add(one)
    third, last = await port.connect()
    assert port.gone == [other]
    port.proven.add(last)
    assert port.server.port is not None
    refused = await FrameWire.open("127.0.0.1", port.server.port, lambda datagram: None)
    await refused.closed.wait()
    assert len(port.server) == 2
    for wire in (first, second, third):
        wire.close()


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Nobody can open anything meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_where_no_descriptor_is_left_it_accepts_again_later(port: Port) -> None:
    assert port.server.port is not None
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        with no_descriptor_left():
            await loop.sock_connect(client, ("127.0.0.1", port.server.port))
            await eventually(lambda: port.server.is_paused)
        assert len(port.server) == 0
        port.server.poll(time_now())
        await eventually(lambda: len(port.server) == 1)
