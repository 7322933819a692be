"""A native plane of several workers: calls beside one another, and calls over two of them."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest

from sfu.config import MediaConfig
from sfu.errors import LocalError
from sfu.plane import AddTransport, DropReason, RemoveTrack, RemoveTransport, StreamBound
from sfu.rows import ALL_TEMPORAL, PACING_DTYPE, PROBE_DTYPE, TARGET_DTYPE
from sfu.rtp.rtcp import Bye, Nack, Pli
from sfu.rtp.twcc import DELTA_NS, TransportFeedback
from sfu.units import RouteId, Ssrc, TrackHandle, TransportId
from tests.support.eventually import eventually
from tests.support.frame_wire import StreamPeer
from tests.support.plane_media import SINGLE, VP8, VideoSource, camera, elements, video_route
from tests.support.plane_socket import SocketPeer, event, native_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfu.plane import Plane
    from sfu.rows import StructArray

pytestmark = pytest.mark.integration

WORKERS = 2


@pytest.fixture
def plane() -> Iterator[Plane]:
    opened = native_plane(MediaConfig(host="127.0.0.1", port=0, workers=WORKERS))
    yield opened
    opened.close()


class _Call:
    """A publisher, a subscriber and a route between them, on one worker."""

    def __init__(self, plane: Plane, worker: int, publisher: SocketPeer, subscriber: SocketPeer) -> None:
        self.track, self.route = TrackHandle(100 + worker), RouteId(200 + worker)
        self.publisher, self.subscriber = publisher, subscriber
        self.source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
        plane.apply(
            [
                camera(publisher.transport, SINGLE, track=self.track),
                video_route(subscriber.transport, track=self.track, route=self.route),
            ]
        )

    @classmethod
    async def on(cls, plane: Plane, worker: int, kind: type[SocketPeer] = SocketPeer) -> Self:
        first = 1 + 2 * worker
        publisher, subscriber = [
            await kind.joined(plane, number, worker=worker) for number in (first, first + 1)
        ]
        return cls(plane, worker, publisher, subscriber)

    def close(self) -> None:
        self.publisher.close()
        self.subscriber.close()


def plane_threads() -> dict[str, str]:
    """Names of the threads of planes in this process, by number."""
    names = {path.name: (path / "comm").read_text().strip() for path in Path("/proc/self/task").iterdir()}
    return {number: name for number, name in names.items() if name.startswith("focus-plane")}


def aim(plane: Plane, *routes: RouteId) -> None:
    plane.set_targets(np.array([(route, 0, ALL_TEMPORAL) for route in routes], TARGET_DTYPE))


def _has_last(peer: SocketPeer, size: int) -> bool:
    return len(peer.rtp[-1].payload) == size


def _has_ended(peer: SocketPeer) -> bool:
    return any(isinstance(packet, Bye) for packet in peer.rtcp)


async def test_media_of_two_calls_flows_on_two_workers(plane: Plane) -> None:
    calls = [await _Call.on(plane, worker) for worker in range(WORKERS)]
    aim(plane, *(call.route for call in calls))
    for call in calls:
        call.source.send_frame(key=True, parts=3)
        bound = await event(plane, StreamBound)
        assert bound == StreamBound(call.track, 0, call.source.ssrc)
    for call in calls:
        await call.subscriber.has_received(3)
    stats = plane.stats()
    assert sorted(stats.transports["transport"].tolist()) == [1, 2, 3, 4]
    assert stats.routes["packets_sent"].tolist() == [3, 3]
    assert stats.encodings["track"].tolist() == [call.track for call in calls]
    for call in calls:
        call.close()


async def test_one_tcp_port_is_that_of_all_workers(plane: Plane) -> None:
    calls = [await _Call.on(plane, worker, StreamPeer) for worker in range(WORKERS)]
    aim(plane, *(call.route for call in calls))
    for call in calls:
        call.source.send_frame(key=True, parts=3)
        await call.subscriber.has_received(3)
    assert sorted(plane.stats().transports["transport"].tolist()) == [1, 2, 3, 4]
    for call in calls:
        call.close()


async def test_one_call_ends_and_the_other_goes_on(plane: Plane) -> None:
    gone, stays = [await _Call.on(plane, worker) for worker in range(WORKERS)]
    aim(plane, gone.route, stays.route)
    plane.apply([RemoveTransport(peer.transport) for peer in (gone.publisher, gone.subscriber)])
    stays.source.send_frame(key=True)
    await stays.subscriber.has_received(1)
    assert plane.stats().routes["route"].tolist() == [stays.route]
    gone.close()
    stays.close()


async def test_pacing_probes_and_feedback_are_each_transports_own(plane: Plane) -> None:
    calls = [await _Call.on(plane, worker) for worker in range(WORKERS)]
    paced = [(call.subscriber.transport, 10_000_000, 0, 250) for call in calls]
    plane.set_pacing(np.array(paced, PACING_DTYPE))
    probed = [(call.subscriber.transport, 1 + number, 1_000_000, 1_000) for number, call in enumerate(calls)]
    plane.probe(np.array(probed, PROBE_DTYPE))
    for call in calls:
        peer = call.subscriber
        await peer.has_received(1)
        peer.say(TransportFeedback(Ssrc(9), peer.rtp[0].ssrc, 0, ((0, 4_000 * DELTA_NS),)))
    told: list[StructArray] = []

    def count_told() -> int:
        told.append(plane.feedback())
        return sum(map(len, told))

    await eventually(lambda: count_told() == WORKERS)
    rows = np.concatenate(told)
    assert dict(zip(rows["transport"].tolist(), rows["cluster"].tolist(), strict=True)) == {2: 1, 4: 2}
    for call in calls:
        call.close()


async def test_a_peer_is_nobody_on_the_port_of_another_worker(plane: Plane) -> None:
    peer = await SocketPeer.open(plane, 1, worker=1)
    other = SocketPeer(plane, peer.transport, peer.host, worker=0)
    await other.move()
    other.send_bytes(b"\x16\xfe\xfdclient hello")
    await peer.check()
    await eventually(lambda: plane.stats().drops.get(DropReason.UNKNOWN_PEER) == 1)
    peer.close()
    other.close()


async def test_subscribers_on_other_workers_than_the_publisher_see_the_same(plane: Plane) -> None:
    call = await _Call.on(plane, 0)
    far = [await SocketPeer.joined(plane, number, worker=1) for number in (11, 12)]
    routes = [RouteId(300 + peer.transport) for peer in far]
    for peer, route in zip(far, routes, strict=True):
        plane.apply([video_route(peer.transport, track=call.track, route=route)])
    aim(plane, call.route, *routes)
    # One key frame for all, whoever is where, is asked of the publisher by its own worker.
    call.source.send_frame()
    await call.publisher.until(lambda: any(isinstance(packet, Pli) for packet in call.publisher.rtcp))
    subscribers = (call.subscriber, *far)
    for peer in subscribers:
        while not peer.rtp:  # until its worker has said what it wants
            call.source.send_frame(key=True)
            await asyncio.sleep(0.01)
    bodies = []
    for size in range(100, 120):
        sent = call.source.send_frame(key=True, parts=5, size=size) + call.source.send_frame(size=size + 50)
        bodies += [len(packet.payload) for packet in sent]
    for peer in subscribers:
        await peer.until(partial(_has_last, peer, bodies[-1]))
        numbers = [packet.sequence_number for packet in peer.rtp]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert [len(packet.payload) for packet in peer.rtp[-len(bodies) :]] == bodies
    # What a subscriber has lost comes from its own worker's mirror.
    lost, before = far[0].rtp[-3], len(far[0].rtp)
    far[0].say(Nack(Ssrc(9), lost.ssrc, (lost.sequence_number,)))
    await far[0].has_received(before + 1)
    assert far[0].rtp[-1].payload.endswith(lost.payload)
    assert plane.stats().encodings["track"].tolist() == [call.track]
    plane.apply([RemoveTrack(call.track)])
    for peer in far:
        await peer.until(partial(_has_ended, peer))
        peer.close()
    assert plane.stats().drops.get(DropReason.TRUNK_FULL, 0) == 0
    call.close()


async def test_each_lives_where_it_was_put(plane: Plane) -> None:
    one, other = [await _Call.on(plane, worker) for worker in range(WORKERS)]
    peer = other.publisher
    with pytest.raises(LocalError, match="transport 3 is there already, on worker 1"):
        plane.apply([AddTransport(peer.transport, peer.credentials, worker=0)])
    with pytest.raises(LocalError, match="transport 9 on worker 2 of 2"):
        plane.apply([AddTransport(TransportId(9), peer.credentials, worker=2)])
    one.close()
    other.close()


def test_closing_ends_all_threads_and_frees_all_ports() -> None:
    before = plane_threads()
    plane = native_plane(MediaConfig(host="127.0.0.1", port=0, workers=WORKERS))
    began = [name for number, name in plane_threads().items() if number not in before]
    assert sorted(began) == [f"focus-plane-{worker}" for worker in range(WORKERS)]
    ports = plane.ports
    plane.close()
    assert plane_threads() == before
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))


def test_all_ports_are_bound_or_none() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        first = taken.getsockname()[1] - 1
        with pytest.raises(OSError, match=rf"UDP port {first + 1}: .*in use"):
            native_plane(MediaConfig(host="127.0.0.1", port=first, tcp=False, workers=WORKERS))
    plane = native_plane(MediaConfig(host="127.0.0.1", port=first, tcp=False, workers=WORKERS))
    assert plane.ports == (first, first + 1)
    plane.close()
