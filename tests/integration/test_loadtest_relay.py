"""The relay of the browser bench does to datagrams what NATs and lost networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from loadtest.bench.relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.integration

PATIENCE_S = 20.0


@contextlib.asynccontextmanager
async def sockets() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    with contextlib.ExitStack() as stack:
        ends = []
        for _ in range(2):
            end = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            end.bind(("127.0.0.1", 0))
            end.setblocking(False)
            ends.append(end)
        yield ends[0], ends[1]


async def received(end: socket.socket) -> tuple[bytes, tuple[str, int]]:
    async with asyncio.timeout(PATIENCE_S):
        data, sender = await asyncio.get_running_loop().sock_recvfrom(end, 2048)
    return data, sender


async def test_datagrams_pass_both_ways_and_a_new_port_is_used_after_rebinding() -> None:
    async with sockets() as (client, focus), Relay(focus.getsockname()) as relay:
        client.sendto(b"one", ("127.0.0.1", relay.port))
        data, first = await received(focus)
        assert data == b"one"
        focus.sendto(b"back", first)
        assert (await received(client))[0] == b"back"

        await relay.rebind()
        client.sendto(b"two", ("127.0.0.1", relay.port))
        data, second = await received(focus)
        assert data == b"two"
        assert second != first
        focus.sendto(b"to the old port", first)
        focus.sendto(b"to the new port", second)
        assert (await received(client))[0] == b"to the new port"


async def test_nothing_passes_while_it_is_cut() -> None:
    async with sockets() as (client, focus), Relay(focus.getsockname()) as relay:
        relay.is_cut = True
        client.sendto(b"lost", ("127.0.0.1", relay.port))
        # What comes through a socket comes in order: had the first one passed, it would be first.
        await asyncio.sleep(0.05)
        relay.is_cut = False
        client.sendto(b"found", ("127.0.0.1", relay.port))
        assert (await received(focus))[0] == b"found"
