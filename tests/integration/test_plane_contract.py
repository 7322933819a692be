"""The contract of `sfu.plane.Plane` over real sockets and real keys, on every plane."""

from __future__ import annotations

import math
import select
import socket
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sfu.config import MediaConfig
from sfu.dataplane.reference import ReferencePlane
from sfu.dataplane.srtp import NullSrtp
from sfu.dataplane.stun import BINDING, Attribute, MessageClass, StunMessage, xor_address
from sfu.dataplane.udp import UdpSocket
from sfu.errors import LocalError
from sfu.plane import (
    AddTransport,
    Credentials,
    DropReason,
    InstallSrtp,
    PairSelected,
    SelectAddress,
    SendDatagram,
    SendStun,
    StreamBound,
)
from sfu.rows import ALL_TEMPORAL, LOST, PACING_DTYPE, PROBE_DTYPE, TARGET_DTYPE
from sfu.rtp.rtcp import Nack, Pli, ReceiverReport, SenderReport
from sfu.rtp.twcc import DELTA_NS, TransportFeedback
from sfu.streams.resend import decapsulate
from sfu.units import NS_PER_MS, Ssrc, TransportId
from tests.support.eventually import eventually
from tests.support.plane_driver import PROFILE, binding_request
from tests.support.plane_media import (
    CAMERA,
    QHF,
    RTX_SSRC,
    SINGLE,
    VIDEO,
    VIDEO_SSRC,
    VP8,
    VideoSource,
    camera,
    elements,
    repair_of,
    video_route,
)
from tests.support.plane_socket import (
    PATIENCE_S,
    PLANES,
    SocketPeer,
    event,
    is_open,
    is_readable,
    loopback,
    readable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sfu.dataplane.srtp import SrtpSession
    from sfu.plane import Plane, SrtpProfile
    from sfu.rows import StructArray
    from sfu.units import RouteId

pytestmark = pytest.mark.integration

DTLS = b"\x16\xfe\xfd" + b"client hello"


@pytest.fixture(params=PLANES)
def make(request: pytest.FixtureRequest) -> Callable[[MediaConfig], Plane]:
    return PLANES[request.param]


@pytest.fixture
async def plane(make: Callable[[MediaConfig], Plane]) -> AsyncIterator[Plane]:
    opened = make(loopback())
    yield opened
    opened.close()


def aim(plane: Plane, route: RouteId, encoding: int) -> None:
    plane.set_targets(np.array([(route, encoding, ALL_TEMPORAL)], TARGET_DTYPE))


def pace(
    plane: Plane,
    peer: SocketPeer,
    rate_bps: float,
    *,
    padding_bps: float = 0,
    queue_limit_ms: float = 250,
) -> None:
    plane.set_pacing(np.array([(peer.transport, rate_bps, padding_bps, queue_limit_ms)], PACING_DTYPE))


async def responses(plane: Plane) -> tuple[tuple[TransportId, tuple[str, int], bytes], ...]:
    """Wait for answers to our checks; all else is forgotten."""
    while True:
        await readable(plane)
        if told := plane.drain().responses:
            return told


async def simulcast(plane: Plane) -> tuple[SocketPeer, SocketPeer, list[VideoSource]]:
    """A publisher of a camera in three encodings, a subscriber, and the streams."""
    publisher, subscriber = await SocketPeer.joined(plane, 1), await SocketPeer.joined(plane, 2)
    plane.apply([camera(publisher.transport), video_route(subscriber.transport)])
    sources = [
        VideoSource(publisher, Ssrc(10 + number), VP8.payload_type, elements("0", rid))
        for number, rid in enumerate(QHF)
    ]
    return publisher, subscriber, sources


async def test_a_check_is_answered_and_the_eventfd_says_that_a_pair_was_selected(plane: Plane) -> None:
    assert plane.port > 0
    peer = await SocketPeer.open(plane, 1)
    assert not is_readable(plane)
    answer = await peer.check()
    assert answer.attribute(Attribute.XOR_MAPPED_ADDRESS) == xor_address(peer.address, answer.transaction_id)
    await readable(plane)
    assert is_readable(plane)
    assert plane.drain().events == (PairSelected(peer.transport),)
    assert not is_readable(plane)
    peer.close()


async def test_the_eventfd_is_readable_again_for_what_comes_after_a_drain(plane: Plane) -> None:
    peer = await SocketPeer.joined(plane, 1)
    plane.drain()
    for number in range(3):
        peer.send_bytes(DTLS + bytes((number,)))
        await readable(plane)
        assert plane.drain().datagrams == ((peer.transport, DTLS + bytes((number,))),)
        assert not is_readable(plane)
    peer.close()


async def test_datagrams_go_down_on_the_selected_pair(plane: Plane) -> None:
    peer = await SocketPeer.joined(plane, 1)
    plane.apply([SendDatagram(peer.transport, DTLS)])
    await peer.until(lambda: peer.datagrams == [DTLS])
    peer.close()


async def test_media_flows_from_one_to_another_and_switches_without_a_gap(plane: Plane) -> None:
    publisher, subscriber, (low, middle, _) = await simulcast(plane)
    aim(plane, VIDEO, 0)
    low.send_frame(key=True, parts=3)
    middle.send_frame(key=True, parts=3)
    low.report()
    middle.report()
    assert await event(plane, StreamBound) == StreamBound(CAMERA, 0, low.ssrc)
    await subscriber.until(lambda: len(subscriber.rtp) == 3)
    aim(plane, VIDEO, 1)
    await publisher.until(lambda: any(isinstance(packet, Pli) for packet in publisher.rtcp))
    low.send_frame(parts=2)
    middle.send_frame(key=True, parts=4)
    low.send_frame()
    middle.send_frame()
    await subscriber.until(lambda: len(subscriber.rtp) == 10)
    numbers = [packet.sequence_number for packet in subscriber.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    rows = plane.stats().routes
    assert (rows["encoding"].tolist(), rows["switches"].tolist()) == ([1], [1])
    publisher.close()
    subscriber.close()


async def test_what_is_lost_is_repaired_on_both_sides(plane: Plane) -> None:
    publisher, subscriber, (low, _, _) = await simulcast(plane)
    aim(plane, VIDEO, 0)
    low.send_frame(key=True)
    (lost,) = low.frame()
    low.send_frame()
    await publisher.until(lambda: any(isinstance(packet, Nack) for packet in publisher.rtcp))
    (asked,) = [packet for packet in publisher.rtcp if isinstance(packet, Nack)][:1]
    assert (asked.media_ssrc, asked.sequence_numbers) == (low.ssrc, (lost.sequence_number,))
    publisher.send(repair_of(lost, Ssrc(1_010), 1, QHF[0]))
    await subscriber.until(lambda: len(subscriber.rtp) == 3)
    first = subscriber.rtp[0]
    subscriber.say(Nack(Ssrc(9), VIDEO_SSRC, (first.sequence_number,)))
    await subscriber.until(lambda: subscriber.rtp[-1].ssrc == RTX_SSRC)
    assert decapsulate(subscriber.rtp[-1].payload) == (first.sequence_number, first.payload)
    publisher.close()
    subscriber.close()


async def test_without_rtx_the_same_bytes_come_again(plane: Plane) -> None:
    publisher, subscriber = await SocketPeer.joined(plane, 1), await SocketPeer.joined(plane, 2)
    plane.apply([camera(publisher.transport, SINGLE), video_route(subscriber.transport, rtx_ssrc=None)])
    aim(plane, VIDEO, 0)
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    source.send_frame(key=True)
    await subscriber.until(lambda: len(subscriber.rtp) == 1)
    subscriber.say(Nack(Ssrc(9), VIDEO_SSRC, (subscriber.rtp[0].sequence_number,)))
    await subscriber.until(lambda: len(subscriber.encrypted) == 2)
    assert subscriber.encrypted[0] == subscriber.encrypted[1]
    publisher.close()
    subscriber.close()


async def test_a_frame_leaves_at_the_rate_that_python_sets(plane: Plane) -> None:
    publisher, subscriber, (low, _, _) = await simulcast(plane)
    aim(plane, VIDEO, 0)
    low.send_frame(key=True)
    await subscriber.until(lambda: len(subscriber.rtp) == 1)
    pace(plane, subscriber, 1_000_000)
    start = subscriber.now
    low.send_frame(parts=9, size=1_000)
    await subscriber.until(lambda: len(subscriber.rtp) == 10)
    # Eight packets of 1,046 bytes and more that were owed by the ninth, and 1 ms of that in advance.
    assert subscriber.now - start >= (8 * 8.36 - 1) * NS_PER_MS
    numbers = [packet.sequence_number for packet in subscriber.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    row = plane.stats().transports[1]
    assert (row["transport"], row["queue_packets"], row["queue_ms"]) == (subscriber.transport, 0, 0)
    publisher.close()
    subscriber.close()


async def test_who_is_too_slow_is_spared_video_until_a_key_frame(plane: Plane) -> None:
    publisher, subscriber, (low, _, _) = await simulcast(plane)
    aim(plane, VIDEO, 0)
    low.send_frame(key=True)
    await subscriber.until(lambda: len(subscriber.rtp) == 1)
    publisher.rtcp.clear()
    pace(plane, subscriber, 100_000, queue_limit_ms=50)
    low.send_frame(parts=9, size=1_000)
    await publisher.until(lambda: any(isinstance(one, Pli) for one in publisher.rtcp))
    dropped = plane.stats().drops[DropReason.SLOW_RECEIVER]
    assert dropped + len(subscriber.rtp) == 1 + 9
    pace(plane, subscriber, math.inf)
    low.send_frame()
    low.send_frame(key=True)
    before = len(subscriber.rtp)
    await subscriber.until(lambda: len(subscriber.rtp) > before)
    numbers = [packet.sequence_number for packet in subscriber.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + before + 1))
    assert plane.stats().drops[DropReason.SLOW_RECEIVER] == dropped + 1
    publisher.close()
    subscriber.close()


async def test_a_probe_is_sent_and_what_the_subscriber_says_of_it_comes_up(plane: Plane) -> None:
    publisher, subscriber, _ = await simulcast(plane)
    plane.probe(np.array([(subscriber.transport, 3, 1_000_000, 2_900)], PROBE_DTYPE))
    await subscriber.until(lambda: len(subscriber.rtp) == 10)
    assert {packet.ssrc for packet in subscriber.rtp} == {RTX_SSRC}
    assert len(plane.feedback()) == 0
    arrivals = tuple((number, 4_000 * DELTA_NS) for number in range(9))
    subscriber.say(TransportFeedback(Ssrc(9), RTX_SSRC, 0, (*arrivals, (9, None))))
    told: list[StructArray] = []

    def count_told() -> int:
        told.append(plane.feedback())
        return sum(map(len, told))

    await eventually(lambda: count_told() == 10)
    rows = np.concatenate(told)
    assert rows["seq"].tolist() == list(range(10))
    assert set(rows["cluster"].tolist()) == {3}
    assert (rows["arrived_at"] == LOST).tolist() == [False] * 9 + [True]
    assert rows["size_bytes"].tolist() == [len(data) for data in subscriber.encrypted]
    assert rows["sent_at"][-1] - rows["sent_at"][0] >= 15 * NS_PER_MS
    assert plane.stats().transports["padding_bytes_sent"].tolist() == [0, rows["size_bytes"].sum()]
    publisher.close()
    subscriber.close()


async def test_padding_comes_while_nothing_else_does(plane: Plane) -> None:
    publisher, subscriber, _ = await simulcast(plane)
    pace(plane, subscriber, math.inf, padding_bps=500_000)
    await subscriber.until(lambda: len(subscriber.rtp) >= 20)
    assert all(packet.padding_bytes for packet in subscriber.rtp)
    pace(plane, subscriber, math.inf)
    publisher.close()
    subscriber.close()


async def test_reports_come_by_timers_alone(plane: Plane) -> None:
    publisher, subscriber, (low, _, _) = await simulcast(plane)
    aim(plane, VIDEO, 0)
    low.send_frame(key=True)
    low.report()
    await publisher.until(lambda: any(isinstance(one, ReceiverReport) for one in publisher.rtcp))
    await subscriber.until(lambda: any(isinstance(one, SenderReport) for one in subscriber.rtcp))
    publisher.close()
    subscriber.close()


async def test_arrival_times_are_those_of_the_kernel(plane: Plane) -> None:
    publisher, subscriber, (low, _, _) = await simulcast(plane)
    low.send_frame(key=True)
    time.sleep(0.1)  # noqa: ASYNC251  # the loop stalls, and with it a plane in Python
    low.send_frame()

    def arrivals() -> list[int]:
        told = [one.arrivals for one in publisher.rtcp if isinstance(one, TransportFeedback)]
        return [at for feedback in told for _, at in feedback if at is not None]

    await publisher.until(lambda: len(arrivals()) == 2)
    first, second = arrivals()
    assert second - first >= 90 * NS_PER_MS
    publisher.close()
    subscriber.close()


async def test_media_follows_a_client_whose_address_changes(plane: Plane) -> None:
    publisher, subscriber, (low, _, _) = await simulcast(plane)
    aim(plane, VIDEO, 0)
    low.send_frame(key=True)
    await subscriber.until(lambda: len(subscriber.rtp) == 1)
    plane.drain()
    await subscriber.move()
    await subscriber.check()
    assert await event(plane, PairSelected) == PairSelected(subscriber.transport)
    low.send_frame()
    await subscriber.until(lambda: len(subscriber.rtp) == 2)
    publisher.close()
    subscriber.close()


async def test_a_check_of_ours_leaves_from_the_planes_port_and_its_answer_comes_up(plane: Plane) -> None:
    peer = await SocketPeer.open(plane, 1)  # hears nothing but that port
    request = StunMessage(MessageClass.REQUEST, BINDING, b"transaction!").serialise("password")
    plane.apply([SendStun(peer.transport, *peer.address, request)])
    await peer.until(lambda: len(peer.stun) == 1)
    assert not is_readable(plane)
    answer = StunMessage(MessageClass.SUCCESS, BINDING, peer.stun[0].transaction_id).serialise("password")
    for _ in range(2):
        peer.send_bytes(answer)
    assert await responses(plane) == ((peer.transport, peer.address, answer),)
    await eventually(lambda: plane.stats().drops[DropReason.UNKNOWN_PEER] == 1)
    plane.apply([SelectAddress(peer.transport, *peer.address), SendDatagram(peer.transport, DTLS)])
    await peer.until(lambda: peer.datagrams == [DTLS])
    assert await event(plane, PairSelected) == PairSelected(peer.transport)
    with pytest.raises(LocalError, match="not numeric"):
        plane.apply([SelectAddress(peer.transport, "localhost", peer.address[1])])
    peer.close()


async def test_one_plane_dials_another(make: Callable[[MediaConfig], Plane]) -> None:
    """Neither checks by itself: what the dialling side asks is made above it."""
    caller, callee = make(loopback()), make(loopback())
    theirs = Credentials("theirs", "a password of the callee")
    ours, there = TransportId(1), TransportId(2)
    callee.apply([AddTransport(there, theirs)])
    caller.apply([AddTransport(ours, Credentials("ours", "a password of the caller"))])
    address = ("127.0.0.1", callee.port)
    caller.apply([SendStun(ours, *address, binding_request(theirs))])
    ((transport, where, answer),) = await responses(caller)
    assert (transport, where) == (ours, address)
    message = StunMessage.parse(answer)
    assert message.message_class is MessageClass.SUCCESS
    assert message.is_signed_with(theirs.password)
    mapped = xor_address(("127.0.0.1", caller.port), message.transaction_id)
    assert message.attribute(Attribute.XOR_MAPPED_ADDRESS) == mapped
    assert await event(callee, PairSelected) == PairSelected(there)
    caller.apply([SelectAddress(ours, *address)])
    assert await event(caller, PairSelected) == PairSelected(ours)
    for sender, receiver, leg, other in ((caller, callee, ours, there), (callee, caller, there, ours)):
        sender.apply([SendDatagram(leg, DTLS)])
        await readable(receiver)
        assert receiver.drain().datagrams == ((other, DTLS),)
    caller.close()
    callee.close()


async def test_strangers_and_garbage_are_counted_and_harmless(plane: Plane) -> None:
    publisher, subscriber, (low, _, _) = await simulcast(plane)
    stranger = await SocketPeer.open(plane, 3)
    aim(plane, VIDEO, 0)
    for data in (b"\x80\x60" + bytes(40), DTLS, b"", b"\xff" * 1_600, bytes(20)):
        stranger.send_bytes(data)
        publisher.send_bytes(data)
    low.send_frame(key=True)
    await subscriber.until(lambda: len(subscriber.rtp) == 1)
    drops = plane.stats().drops
    for reason in (
        DropReason.UNKNOWN_PEER,
        DropReason.SRTP_AUTHENTICATION,
        DropReason.TOO_LARGE,
        DropReason.STUN_MALFORMED,
    ):
        assert drops[reason] >= 1, reason
    for peer in (publisher, subscriber, stranger):
        peer.close()


async def test_one_port_takes_both_families(make: Callable[[MediaConfig], Plane]) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    plane = make(loopback("::"))
    try:
        publisher = await SocketPeer.joined(plane, 1, "127.0.0.1")
        subscriber = await SocketPeer.joined(plane, 2, "::1")
        for peer in (publisher, subscriber):
            answer = peer.stun[0]
            assert answer.attribute(Attribute.XOR_MAPPED_ADDRESS) == xor_address(
                peer.address, answer.transaction_id
            )
        plane.apply([camera(publisher.transport, SINGLE), video_route(subscriber.transport)])
        aim(plane, VIDEO, 0)
        VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0")).send_frame(key=True)
        await subscriber.until(lambda: len(subscriber.rtp) == 1)
        # And checks of ours go to both.
        for peer in (publisher, subscriber):
            before = len(peer.stun)
            request = binding_request(peer.credentials)
            plane.apply([SendStun(peer.transport, *peer.address, request)])
            await peer.until(lambda peer=peer, before=before: len(peer.stun) > before)  # type: ignore[misc]
            said = StunMessage(MessageClass.ERROR, BINDING, peer.stun[-1].transaction_id).serialise()
            peer.send_bytes(said)
            assert await responses(plane) == ((peer.transport, peer.address, said),)
        publisher.close()
        subscriber.close()
    finally:
        plane.close()


async def test_what_can_not_be_sent_is_counted(plane: Plane) -> None:
    peer = await SocketPeer.joined(plane, 1)
    plane.apply([SendDatagram(peer.transport, bytes(70_000)), SendDatagram(peer.transport, DTLS)])
    await peer.until(lambda: peer.datagrams == [DTLS])
    assert plane.stats().drops[DropReason.SEND_BLOCKED] == 1
    # A check to a family that the socket does not have.
    plane.apply([SendStun(peer.transport, "2001:db8::1", 9, binding_request(peer.credentials))])
    await eventually(lambda: plane.stats().drops[DropReason.SEND_BLOCKED] == 2)
    peer.close()


async def test_a_contradiction_is_raised_and_the_plane_goes_on(plane: Plane) -> None:
    peer = await SocketPeer.joined(plane, 1)
    with pytest.raises(LocalError):
        plane.apply([AddTransport(peer.transport, peer.credentials)])
    await peer.check()
    peer.close()


async def test_each_worker_has_a_port_and_what_is_for_another_is_a_contradiction(plane: Plane) -> None:
    assert plane.ports == (plane.port,)
    with pytest.raises(LocalError, match="transport 1 on worker 1 of 1"):
        plane.apply([AddTransport(TransportId(1), Credentials("ufrag", "password"), worker=1)])
    peer = await SocketPeer.joined(plane, 1)
    peer.close()


async def test_a_port_that_is_taken_can_not_be_opened_and_closing_frees_it(
    make: Callable[[MediaConfig], Plane],
) -> None:
    plane = make(loopback())
    port, eventfd = plane.port, plane.fileno()
    # The TCP port of this number may be anybody's.
    same = MediaConfig(host="127.0.0.1", port=port, tcp=False)
    with pytest.raises(OSError, match="in use"):
        make(same)
    plane.close()
    assert not is_open(eventfd)
    again = make(same)
    assert again.port == port
    again.close()


class _Faulty(NullSrtp):
    """Cryptography with a mistake of ours in it."""

    def unprotect(self, data: bytes) -> bytes | DropReason:
        raise ZeroDivisionError


async def test_a_mistake_of_ours_ends_with_the_datagram_it_came_from() -> None:
    def srtp(profile: SrtpProfile, receive_key: bytes, send_key: bytes) -> SrtpSession:
        return _Faulty(profile, receive_key, send_key)

    plane = ReferencePlane(loopback(), srtp=srtp)
    peer = await SocketPeer.open(plane, 1)
    await peer.check()
    plane.apply([InstallSrtp(peer.transport, PROFILE, b"", b"")])
    for _ in range(3):
        peer.send_bytes(b"\x80\x60" + bytes(30))
    await peer.check()
    assert plane.failures == 3
    peer.close()
    plane.close()


def test_a_socket_says_what_the_system_does_not_take() -> None:
    opened = UdpSocket(loopback())
    assert not opened.send(("255.255.255.255", 9), b"no broadcast here")
    assert opened.send(("127.0.0.1", opened.port), b"to itself")
    assert select.select([opened.fileno()], [], [], PATIENCE_S)[0]
    arrived = opened.receive()
    assert (arrived[0].address, arrived[0].data) == (("127.0.0.1", opened.port), b"to itself")
    assert abs(arrived[0].at - time.monotonic_ns()) < 5_000 * NS_PER_MS
    opened.close()
