"""Transports with a UDP port for themselves: who dials one address twice is heard as two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from sfu.dataplane.stun import BINDING, MessageClass, StunMessage
from sfu.dataplane.wire import OwnPort
from sfu.plane import (
    AddTransport,
    Batch,
    DropReason,
    PairSelected,
    RemoveTransport,
    SelectAddress,
    SendDatagram,
    SendStun,
)
from sfu.rtp.rtcp import ReceiverReport
from sfu.units import RouteId, Ssrc, TransportId
from tests.support.plane_driver import VirtualPeer, binding_request
from tests.support.plane_media import (
    DOWN_VP8,
    Call,
    VideoSource,
    elements,
    video_route,
)

if TYPE_CHECKING:
    from tests.support.plane_driver import PlaneDriver

THERE: Final = ("198.51.100.7", 10_000)
"""The one port of another focus."""
DTLS: Final = b"\x16\xfe\xfd" + b"client hello"
QUIET_MS: Final = 101


def dialled(driver: PlaneDriver, number: int) -> VirtualPeer:
    """Somebody at that port, who is to be dialled from a port of its own."""
    peer = VirtualPeer(driver, TransportId(number), (*THERE, OwnPort(TransportId(number))))
    driver.peers[peer.address] = peer
    driver.apply(AddTransport(peer.transport, peer.credentials, own_port=True))
    return peer


@pytest.fixture
def both(driver: PlaneDriver) -> tuple[VirtualPeer, VirtualPeer]:
    """Two of them, found by checks of ours."""
    peers = dialled(driver, 2), dialled(driver, 3)
    driver.apply(*(SelectAddress(peer.transport, *THERE) for peer in peers))
    assert driver.events() == tuple(PairSelected(peer.transport) for peer in peers)
    return peers


def test_handshakes_of_two_with_one_address_reach_each_its_own(
    driver: PlaneDriver, both: tuple[VirtualPeer, VirtualPeer]
) -> None:
    for peer in both:
        data = DTLS + bytes((peer.transport,))
        driver.apply(SendDatagram(peer.transport, data))
        assert peer.datagrams == [data]
        driver.feed(peer.address, data)
        assert driver.core.drain().datagrams == ((peer.transport, data),)
    driver.feed(THERE, DTLS)  # by the port that all share
    assert driver.core.drain() == Batch((), ())
    assert driver.drops(DropReason.UNKNOWN_PEER) == 1


def test_media_of_two_with_one_address_is_told_apart_in_both_directions(call: Call) -> None:
    driver = call.driver
    here = dialled(driver, 4), dialled(driver, 5)
    for peer, route in zip(here, (RouteId(11), RouteId(12)), strict=True):
        driver.apply(SelectAddress(peer.transport, *THERE))
        peer.install()
        driver.apply(video_route(peer.transport, route))  # the same SSRC for both
        driver.aim(route, 0)
    call.low.send_frame(key=True)
    call.low.send_frame()
    assert [len(peer.take_rtp()) for peer in here] == [2, 2]
    # And what one of them asks for is asked on behalf of its route alone.
    here[1].say(ReceiverReport(Ssrc(1)))
    received = [driver.transport_row(peer.transport)["packets_received"] for peer in here]
    assert received == [0, 1]
    driver.apply(RemoveTransport(here[0].transport))
    call.low.send_frame()
    assert [len(peer.take_rtp()) for peer in here] == [0, 1]


def test_answers_come_up_for_whose_port_they_come_to(driver: PlaneDriver) -> None:
    peers = dialled(driver, 2), dialled(driver, 3)
    request = StunMessage(MessageClass.REQUEST, BINDING, b"transaction!").serialise("password")
    answer = StunMessage(MessageClass.SUCCESS, BINDING, b"transaction!").serialise("password")
    for peer in peers:
        driver.apply(SendStun(peer.transport, *THERE, request))
        assert [one.message_class for one in peer.stun] == [MessageClass.REQUEST]
    driver.feed(THERE, answer)
    assert driver.drops(DropReason.UNKNOWN_PEER) == 1
    for peer in reversed(peers):
        driver.feed(peer.address, answer)
        assert driver.core.drain().responses == ((peer.transport, THERE, answer),)
    assert driver.drops(DropReason.UNKNOWN_PEER) == 1


def test_a_check_at_a_port_that_is_not_for_whom_it_names_is_nobodys(driver: PlaneDriver) -> None:
    shared, apart = VirtualPeer.known(driver, 2), dialled(driver, 3)
    driver.peers[THERE] = other = VirtualPeer(driver, TransportId(9), THERE)
    for address, named in ((THERE, apart), (apart.address, shared)):
        driver.feed(address, binding_request(named.credentials))
    assert other.stun == apart.stun == []
    assert driver.drops(DropReason.UNKNOWN_PEER) == 2
    assert driver.core.drain() == Batch((), ())
    # By the right port both are answered.
    for peer in (shared, apart):
        peer.check()
        assert driver.events() == (PairSelected(peer.transport),)


def test_who_has_moved_is_found_again_at_its_own_port_and_at_no_other(call: Call) -> None:
    driver, peer = call.driver, dialled(call.driver, 4)
    driver.apply(SelectAddress(peer.transport, *THERE))
    peer.install()
    source = VideoSource(peer, Ssrc(30), DOWN_VP8.payload_type, elements("0"))
    source.send_frame(key=True)
    driver.core.drain()
    for address in (("198.51.100.9", 9), ("198.51.100.9", 9, OwnPort(TransportId(2)))):
        driver.advance(QUIET_MS)
        peer.move(address)
        source.send_frame()
        assert driver.events() == ()
    assert driver.drops(DropReason.UNKNOWN_PEER) == 2
    peer.move(("198.51.100.9", 9, OwnPort(peer.transport)))
    source.send_frame()
    assert driver.events() == (PairSelected(peer.transport),)


def test_who_is_removed_leaves_nothing_behind(
    driver: PlaneDriver, both: tuple[VirtualPeer, VirtualPeer]
) -> None:
    gone, other = both
    driver.apply(RemoveTransport(gone.transport))
    driver.feed(gone.address, DTLS)
    driver.feed(gone.address, binding_request(gone.credentials))
    driver.feed(other.address, DTLS)
    assert driver.core.drain().datagrams == ((other.transport, DTLS),)
    assert driver.drops(DropReason.UNKNOWN_PEER) == 1
    assert driver.drops(DropReason.STUN_UNAUTHENTICATED) == 1
