"""The contract of `sfu.plane.Plane` for peers without UDP (RFC 6544), on every plane."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from sfu.config import MediaConfig
from sfu.dataplane.frames import MAX_QUEUED_BYTES
from sfu.dataplane.stun import Attribute, xor_address
from sfu.plane import DropReason, PairSelected, SendDatagram
from sfu.rows import ALL_TEMPORAL, TARGET_DTYPE
from sfu.rtp.rtcp import Nack, Pli
from sfu.streams.resend import decapsulate
from sfu.units import Ssrc
from tests.support.eventually import eventually
from tests.support.frame_wire import StreamPeer
from tests.support.plane_media import (
    AUDIO,
    AUDIO_SSRC,
    OPUS,
    RTX_SSRC,
    SINGLE,
    VIDEO,
    VIDEO_SSRC,
    VP8,
    Source,
    VideoSource,
    audio_route,
    camera,
    elements,
    microphone,
    video_route,
)
from tests.support.plane_socket import PATIENCE_S, PLANES, SocketPeer, event, loopback, readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sfu.plane import Plane

pytestmark = pytest.mark.integration

FLIGHT: Final = b"\x16\xfe\xfd" + bytes(1_197)
"""As large as a DTLS datagram gets."""
KERNEL_BYTES: Final = 512 << 10
"""More than the kernel holds of a connection on both ends: each asked for little, and it doubles that."""


@pytest.fixture(params=PLANES)
def make(request: pytest.FixtureRequest) -> Callable[[MediaConfig], Plane]:
    return PLANES[request.param]


@pytest.fixture
async def plane(make: Callable[[MediaConfig], Plane]) -> AsyncIterator[Plane]:
    opened = make(loopback())
    yield opened
    opened.close()


def sources(publisher: SocketPeer) -> tuple[VideoSource, Source]:
    video = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    return video, Source(publisher, Ssrc(20), OPUS.payload_type, elements("1"))


async def call(plane: Plane, kind: type[SocketPeer]) -> tuple[SocketPeer, StreamPeer]:
    """A publisher of sound and picture, and a subscriber without UDP."""
    publisher, subscriber = await kind.joined(plane, 1), await StreamPeer.joined(plane, 2)
    plane.apply(
        [
            camera(publisher.transport, SINGLE),
            microphone(publisher.transport),
            video_route(subscriber.transport),
            audio_route(subscriber.transport),
        ]
    )
    plane.set_targets(np.array([(VIDEO, 0, ALL_TEMPORAL), (AUDIO, 0, ALL_TEMPORAL)], TARGET_DTYPE))
    return publisher, subscriber


def numbers_of(peer: SocketPeer, ssrc: Ssrc) -> list[int]:
    return [packet.sequence_number for packet in peer.rtp if packet.ssrc == ssrc]


def drops(plane: Plane, reason: DropReason) -> int:
    return plane.stats().drops.get(reason, 0)


async def test_checks_and_handshakes_pass_both_ways(plane: Plane) -> None:
    peer = await StreamPeer.open(plane, 1)
    answer = await peer.check()
    assert answer.attribute(Attribute.XOR_MAPPED_ADDRESS) == xor_address(peer.address, answer.transaction_id)
    await readable(plane)
    assert plane.drain().events == (PairSelected(peer.transport),)
    peer.send_bytes(FLIGHT)
    await readable(plane)
    assert plane.drain().datagrams == ((peer.transport, FLIGHT),)
    plane.apply([SendDatagram(peer.transport, FLIGHT), SendDatagram(peer.transport, FLIGHT[:60])])
    await peer.until(lambda: peer.datagrams == [FLIGHT, FLIGHT[:60]])
    peer.close()


@pytest.mark.parametrize("kind", [SocketPeer, StreamPeer])
async def test_media_passes_and_is_repaired(plane: Plane, kind: type[SocketPeer]) -> None:
    publisher, subscriber = await call(plane, kind)
    video, voice = sources(publisher)
    video.send_frame(key=True, parts=30, size=1_100)
    voice.send(voice.packet(b"sound"))
    await subscriber.until(lambda: len(subscriber.rtp) == 31)
    numbers = numbers_of(subscriber, VIDEO_SSRC)
    assert numbers == list(range(numbers[0], numbers[0] + 30))
    subscriber.say(Nack(Ssrc(9), VIDEO_SSRC, (numbers[3],)), Pli(Ssrc(9), VIDEO_SSRC))
    await subscriber.until(lambda: subscriber.rtp[-1].ssrc == RTX_SSRC)
    assert decapsulate(subscriber.rtp[-1].payload)[0] == numbers[3]
    await publisher.until(lambda: any(isinstance(packet, Pli) for packet in publisher.rtcp))
    publisher.close()
    subscriber.close()


async def test_who_does_not_read_loses_video_keeps_sound_and_costs_no_memory(plane: Plane) -> None:
    publisher, subscriber = await call(plane, StreamPeer)
    video, voice = sources(publisher)
    subscriber.stream.pause()
    sent = 0
    while drops(plane, DropReason.SEND_BLOCKED) < 500:
        assert sent < 20_000, "it takes all that is sent"
        video.send_frame(key=sent == 0, parts=50, size=1_100)
        sent += 50
        await asyncio.sleep(0)
    spoken = [voice.packet(bytes((number,)) * 120) for number in range(50)]
    voice.send(*spoken)
    await eventually(lambda: plane.stats().routes["packets_sent"].tolist() == [sent, len(spoken)])
    blocked = drops(plane, DropReason.SEND_BLOCKED)
    subscriber.stream.resume()
    await subscriber.until(lambda: len(subscriber.rtp) == sent + len(spoken) - blocked)
    heard = [packet.payload for packet in subscriber.rtp if packet.ssrc == AUDIO_SSRC]
    assert heard == [packet.payload for packet in spoken]
    kept = sum(map(len, subscriber.encrypted))
    assert kept < MAX_QUEUED_BYTES + KERNEL_BYTES
    # And it goes on as if nothing had been.
    before = len(subscriber.rtp)
    video.send_frame(parts=5, size=1_100)
    await subscriber.until(lambda: len(subscriber.rtp) >= before + 5)
    publisher.close()
    subscriber.close()


async def test_who_connects_again_goes_on_there(plane: Plane) -> None:
    publisher, subscriber = await call(plane, SocketPeer)
    video, _ = sources(publisher)
    video.send_frame(key=True)
    await subscriber.until(lambda: len(subscriber.rtp) == 1)
    plane.drain()
    subscriber.close()

    def is_nowhere() -> bool:
        plane.apply([SendDatagram(subscriber.transport, FLIGHT)])
        return drops(plane, DropReason.NO_SELECTED_PAIR) > 0

    await eventually(is_nowhere)
    await subscriber.move()
    await subscriber.check()
    assert await event(plane, PairSelected) == PairSelected(subscriber.transport)
    video.send_frame(key=True)
    await subscriber.until(lambda: len(subscriber.rtp) == 2)
    publisher.close()
    subscriber.close()


async def test_media_goes_where_the_peer_nominated_last(plane: Plane) -> None:
    peer = await StreamPeer.open(plane, 1)
    await peer.check()
    other = SocketPeer(plane, peer.transport, peer.host)
    await other.move()
    await other.check()
    plane.apply([SendDatagram(peer.transport, FLIGHT)])
    await other.until(lambda: other.datagrams == [FLIGHT])
    await peer.check()
    plane.apply([SendDatagram(peer.transport, FLIGHT)])
    await peer.until(lambda: peer.datagrams == [FLIGHT])
    other.close()
    peer.close()


async def test_what_is_no_frame_ends_the_connection(plane: Plane) -> None:
    peer = await StreamPeer.open(plane, 1)
    await peer.check()
    peer.stream.write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        await peer.stream.closed.wait()


async def test_one_port_takes_connections_of_both_families(make: Callable[[MediaConfig], Plane]) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    plane = make(loopback("::"))
    for number, host in enumerate(("127.0.0.1", "::1")):
        peer = await StreamPeer.open(plane, number, host)
        answer = await peer.check()
        assert answer.attribute(Attribute.XOR_MAPPED_ADDRESS) == xor_address(
            peer.address, answer.transaction_id
        )
        peer.close()
    plane.close()


async def test_a_port_of_tcp_that_is_taken_can_not_be_opened_and_takes_no_other_away(
    make: Callable[[MediaConfig], Plane],
) -> None:
    plane = make(loopback())
    tcp_port = plane.tcp_port
    assert tcp_port is not None
    # A port that is free over UDP, and stays so.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(OSError, match="in use"):
        make(MediaConfig(host="127.0.0.1", port=port, tcp_port=tcp_port))
    plane.close()
    again = make(MediaConfig(host="127.0.0.1", port=port, tcp_port=tcp_port))
    assert (again.port, again.tcp_port) == (port, tcp_port)
    again.close()


async def test_tcp_has_the_number_of_udp_unless_it_is_told_another_and_may_be_off(
    make: Callable[[MediaConfig], Plane],
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plane = make(MediaConfig(host="127.0.0.1", port=port))
    assert plane.tcp_port == port
    plane.close()
    plane = make(MediaConfig(host="127.0.0.1", port=0, tcp=False))
    assert plane.tcp_port is None
    plane.close()
