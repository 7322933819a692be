"""Transports with a UDP port for themselves, over real sockets: two between the same two planes."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from sfu.plane import (
    AddTransport,
    Credentials,
    DropReason,
    EncodingSpec,
    InstallSrtp,
    PairSelected,
    PortRefused,
    RemoveTransport,
    SelectAddress,
    SendDatagram,
    SendStun,
)
from sfu.rows import ALL_TEMPORAL, TARGET_DTYPE
from sfu.units import NO_RID, RouteId, Ssrc, TrackHandle, TransportId
from tests.support.eventually import eventually
from tests.support.plane_driver import KEY_BYTES, PROFILE, binding_request
from tests.support.plane_media import (
    DOWN_EXTENSIONS,
    DOWN_VP8,
    RTX_SSRC,
    SINGLE,
    VIDEO_SSRC,
    VP8,
    VideoSource,
    camera,
    elements,
    video_route,
)
from tests.support.plane_socket import PLANES, SocketPeer, event, loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sfu.config import MediaConfig
    from sfu.plane import Plane

pytestmark = pytest.mark.integration

TRUNKS: Final = (TransportId(1), TransportId(2))
"""Their ids on either plane."""
DTLS: Final = b"\x16\xfe\xfd" + b"client hello"


@pytest.fixture(params=PLANES)
def make(request: pytest.FixtureRequest) -> Callable[[MediaConfig], Plane]:
    return PLANES[request.param]


def credentials(trunk: TransportId, side: str) -> Credentials:
    return Credentials(f"{side}{trunk:04}", f"password-of-{side}-{trunk:04}")


async def connect(caller: Plane, callee: Plane, trunk: TransportId) -> None:
    """Dial, as who is above both planes would, with keys."""
    there = ("127.0.0.1", callee.port)
    callee.apply([AddTransport(trunk, credentials(trunk, "callee"))])
    caller.apply(
        [
            AddTransport(trunk, credentials(trunk, "caller"), own_port=True),
            SendStun(trunk, *there, binding_request(credentials(trunk, "callee"))),
        ]
    )
    assert await event(callee, PairSelected) == PairSelected(trunk)
    caller.apply([SelectAddress(trunk, *there)])
    assert await event(caller, PairSelected) == PairSelected(trunk)
    keys = [bytes((trunk, direction)) * (KEY_BYTES // 2) for direction in (1, 2)]
    caller.apply([InstallSrtp(trunk, PROFILE, *keys)])
    callee.apply([InstallSrtp(trunk, PROFILE, *reversed(keys))])


async def pass_pictures(sender: Plane, receiver: Plane, trunk: TransportId, first: int) -> list[bytes]:
    """Somebody's picture goes over a trunk to somebody: what came, and that it is what was sent."""
    publisher = await SocketPeer.joined(sender, first)
    subscriber = await SocketPeer.joined(receiver, first + 1)
    track, route = TrackHandle(first), RouteId(first)
    sender.apply(
        [
            camera(publisher.transport, SINGLE, track=track),
            video_route(trunk, route, track=track),  # the same SSRC on all of them
        ]
    )
    encodings = (EncodingSpec(NO_RID, VIDEO_SSRC, RTX_SSRC),)
    relayed = camera(trunk, encodings, track=track, mid="7", formats=(DOWN_VP8,), extensions=DOWN_EXTENSIONS)
    receiver.apply([relayed, video_route(subscriber.transport, route, track=track, formats=(VP8,))])
    for plane in (sender, receiver):
        plane.set_targets(np.array([(route, 0, ALL_TEMPORAL)], TARGET_DTYPE))
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    sent = source.send_frame(key=True, parts=3) + source.send_frame()
    await subscriber.has_received(len(sent))
    came = [packet.payload[-40:] for packet in subscriber.rtp]
    assert came == [packet.payload[-40:] for packet in sent]
    publisher.close()
    subscriber.close()
    return came


async def test_media_of_two_calls_between_the_same_planes_arrives_each_where_it_belongs(
    make: Callable[[MediaConfig], Plane],
) -> None:
    planes = make(loopback()), make(loopback())
    with contextlib.ExitStack() as stack:
        for plane in planes:
            stack.callback(plane.close)
        caller, callee = planes
        for trunk in TRUNKS:
            await connect(caller, callee, trunk)
        # And one that the other side dials, to the same two ports.
        third = TransportId(3)
        await connect(callee, caller, third)
        number = 10
        for trunk in (*TRUNKS, third):
            for sender, receiver in (planes, planes[::-1]):
                await pass_pictures(sender, receiver, trunk, number)
                number += 2
        for plane in planes:
            drops = plane.stats().drops
            assert not drops.get(DropReason.UNKNOWN_PEER)
            assert not drops.get(DropReason.SRTP_AUTHENTICATION)


async def test_a_port_goes_with_its_transport_after_what_was_said_last(
    make: Callable[[MediaConfig], Plane],
) -> None:
    plane = make(loopback())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        there.settimeout(5)
        add = AddTransport(TRUNKS[0], credentials(TRUNKS[0], "ours"), own_port=True)
        select = SelectAddress(TRUNKS[0], *there.getsockname())
        plane.apply([add, select, SendDatagram(TRUNKS[0], DTLS), RemoveTransport(TRUNKS[0])])
        data, port = there.recvfrom(100)
        assert data == DTLS
        assert port[1] != plane.port
        await eventually(lambda: is_free(port))
        # With the plane go those that are left.
        plane.apply([replace(add, transport=TRUNKS[1]), replace(select, transport=TRUNKS[1])])
        plane.apply([SendDatagram(TRUNKS[1], DTLS)])
        _, port = there.recvfrom(100)
        assert not is_free(port)
        plane.close()
        assert is_free(port)


async def test_where_no_port_can_be_had_that_is_told_and_the_plane_goes_on(
    make: Callable[[MediaConfig], Plane],
) -> None:
    plane = make(loopback())
    peer = await SocketPeer.joined(plane, 9)
    plane.drain()
    refused = AddTransport(TRUNKS[0], credentials(TRUNKS[0], "ours"), own_port=True)
    select = SelectAddress(TRUNKS[0], "127.0.0.1", 9)
    with no_descriptor_left():
        plane.apply([refused, select, SendDatagram(TRUNKS[0], DTLS)])
    assert await event(plane, PortRefused) == PortRefused(TRUNKS[0])
    await eventually(lambda: plane.stats().drops[DropReason.SEND_BLOCKED] == 1)
    plane.apply([RemoveTransport(TRUNKS[0]), SendDatagram(peer.transport, DTLS)])
    await peer.until(lambda: peer.datagrams == [DTLS])
    peer.close()
    plane.close()


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """The process can open nothing more for a while."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, limits[1]))
    filler = []
    try:
        with contextlib.suppress(OSError):
            while True:
                filler.append(os.eventfd(0))
        yield
    finally:
        for descriptor in filler:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def is_free(address: tuple[str, int]) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        try:
            other.bind(address)
        except OSError:
            return False
    return True
