from __future__ import annotations

import asyncio

import pytest

from sfu.transport.native_ice import MAX_INBOX, NativeIce
from tests.support.virtual_time import virtually


@virtually
async def test_datagrams_are_taken_in_order() -> None:
    ice = NativeIce(lambda data: None)
    assert ice.feed(b"one")
    assert ice.feed(b"two")
    assert [await ice._recv(), await ice._recv()] == [b"one", b"two"]


@virtually
async def test_a_receiver_waits_for_a_datagram() -> None:
    ice = NativeIce(lambda data: None)
    async with asyncio.TaskGroup() as group:
        received = group.create_task(ice._recv())
        await asyncio.sleep(1)
        assert not received.done()
        ice.feed(b"late")
    assert received.result() == b"late"


@virtually
async def test_a_receiver_that_gave_up_leaves_the_datagram_for_the_next() -> None:
    ice = NativeIce(lambda data: None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await ice._recv()
    ice.feed(b"later")
    assert await ice._recv() == b"later"


@virtually
async def test_a_full_inbox_drops_the_newest() -> None:
    ice = NativeIce(lambda data: None)
    taken = [ice.feed(bytes([number])) for number in range(MAX_INBOX + 3)]
    assert taken == [True] * MAX_INBOX + [False] * 3
    assert await ice._recv() == b"\x00"
    assert ice.feed(b"room again")


def test_an_empty_datagram_is_none() -> None:
    assert not NativeIce(lambda data: None).feed(b"")


@virtually
async def test_readable_does_not_take_what_it_waits_for() -> None:
    ice = NativeIce(lambda data: None)
    ice.feed(b"hello")
    await ice.readable()
    assert await ice._recv() == b"hello"


@virtually
async def test_what_is_sent_goes_to_the_plane_until_it_is_closed() -> None:
    sent: list[bytes] = []
    ice = NativeIce(sent.append)
    assert ice.state == "connected"
    await ice._send(b"one")
    ice.close()
    assert ice.state == "closed"
    with pytest.raises(ConnectionError):
        ice.send(b"two")
    assert sent == [b"one"]


@virtually
async def test_closing_wakes_the_receiver_and_drops_what_waits() -> None:
    ice = NativeIce(lambda data: None)

    async def receive() -> None:
        with pytest.raises(ConnectionError):
            await ice._recv()

    async with asyncio.TaskGroup() as group:
        group.create_task(receive())
        await asyncio.sleep(1)
        ice.close()
    assert not ice.feed(b"too late")
    with pytest.raises(ConnectionError):
        await ice._recv()
