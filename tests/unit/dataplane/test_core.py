"""The plane as a whole: who is let in, what goes up, what happens when Python stalls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sfu.dataplane.core import MAX_STRAYS_PER_S
from sfu.dataplane.srtp import LibSrtp
from sfu.dataplane.stun import Attribute, StunMessage, xor_address
from sfu.dataplane.transport import QUIET_MS
from sfu.dataplane.upward import MAX_QUEUED
from sfu.dataplane.wire import MAX_DATAGRAM_BYTES
from sfu.plane import (
    TARGETS_STALE_MS,
    ConsentLost,
    Credentials,
    DropReason,
    PairSelected,
    RemoveTransport,
    SendDatagram,
    SetCredentials,
)
from sfu.rows import PAUSED
from sfu.rtp.rtcp import Nack, ReceiverReport
from sfu.units import RouteId, Ssrc
from tests.support.plane_driver import CORES, PlaneDriver, VirtualPeer, binding_request
from tests.support.plane_media import RTX_SSRC, SIMULCAST, VIDEO, VIDEO_SSRC, Call, camera

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.config import MediaConfig
    from sfu.dataplane.srtp import SrtpFactory
    from tests.support.plane_driver import Core

DTLS = b"\x16\xfe\xfd" + b"client hello"
STRANGER = ("203.0.113.5", 9)
ELSEWHERE = ("198.51.100.8", 1_234)


def test_a_check_is_answered_with_the_address_it_came_from(driver: PlaneDriver) -> None:
    peer = VirtualPeer.known(driver, 1)
    answer = peer.check()
    assert answer.attribute(Attribute.XOR_MAPPED_ADDRESS) == xor_address(peer.address, answer.transaction_id)
    assert answer.is_signed_with(peer.credentials.password)
    assert driver.core.drain().events == (PairSelected(peer.transport),)


@pytest.mark.parametrize(
    "data", [DTLS, b"\x80\x60" + bytes(20), b"\x80\xc8" + bytes(20), b"\x50turn", b"\xff"]
)
def test_who_did_not_authenticate_is_not_heard(driver: PlaneDriver, data: bytes) -> None:
    VirtualPeer.joined(driver, 1)
    driver.core.drain()
    driver.feed(STRANGER, data)
    assert not driver.core.has_output
    assert driver.drops(DropReason.UNKNOWN_PEER) == 1


def test_dtls_goes_up_and_down_by_a_pair_that_was_checked(driver: PlaneDriver) -> None:
    peer = VirtualPeer.known(driver, 1)
    peer.check(nominate=False)
    driver.feed(peer.address, DTLS)
    assert driver.core.has_output
    assert driver.core.drain().datagrams == ((peer.transport, DTLS),)
    assert not driver.core.has_output
    # Browsers begin the handshake before they nominate.
    driver.apply(SendDatagram(peer.transport, DTLS))
    assert peer.datagrams == [DTLS]
    peer.check()
    driver.apply(SendDatagram(peer.transport, DTLS))
    assert peer.datagrams == [DTLS, DTLS]
    assert driver.drops(DropReason.NO_SELECTED_PAIR) == 0


def test_a_handshake_goes_to_the_newest_address_that_was_checked_and_to_no_other(driver: PlaneDriver) -> None:
    peer = VirtualPeer.known(driver, 1)
    driver.apply(SendDatagram(peer.transport, DTLS))
    assert driver.drops(DropReason.NO_SELECTED_PAIR) == 1
    peer.check(nominate=False)
    peer.move(ELSEWHERE)
    peer.check(nominate=False)
    driver.apply(SendDatagram(peer.transport, DTLS))
    assert peer.datagrams == [DTLS]
    assert driver.lost == []


def test_datagrams_that_wait_are_bounded_per_transport(driver: PlaneDriver) -> None:
    loud, quiet = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    for _ in range(MAX_QUEUED + 3):
        driver.feed(loud.address, DTLS)
    driver.feed(quiet.address, DTLS)
    assert driver.drops(DropReason.DTLS_QUEUE_FULL) == 3
    datagrams = driver.core.drain().datagrams
    assert len(datagrams) == MAX_QUEUED + 1
    assert datagrams[-1] == (quiet.transport, DTLS)
    driver.feed(loud.address, DTLS)
    assert len(driver.core.drain().datagrams) == 1


def test_what_is_no_protocol_of_ours_is_counted(driver: PlaneDriver) -> None:
    peer = VirtualPeer.joined(driver, 1)
    for data in (b"\x50turn", b"\xff", b""):
        driver.feed(peer.address, data)
    assert driver.drops(DropReason.UNKNOWN_PROTOCOL) == 3


def test_datagrams_that_are_too_long_are_not_looked_at(driver: PlaneDriver) -> None:
    peer = VirtualPeer.joined(driver, 1)
    driver.feed(peer.address, DTLS[:1] + bytes(MAX_DATAGRAM_BYTES))
    assert driver.drops(DropReason.TOO_LARGE) == 1
    assert driver.core.drain().datagrams == ()


def test_media_follows_a_peer_that_moves(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.events()
    call.subscriber.move(("198.51.100.1", 77))
    call.low.send_frame()
    assert len(call.video()) == 1
    call.subscriber.check()
    call.low.send_frame()
    assert len(call.video()) == 1
    assert call.driver.events() == (PairSelected(call.subscriber.transport),)
    # A publisher that moves goes on as well.
    call.publisher.move(("198.51.100.2", 78))
    call.publisher.check()
    call.low.send_frame()
    assert len(call.video()) == 1


def test_a_pair_selected_again_and_again_is_told_once_a_batch(driver: PlaneDriver) -> None:
    peer = VirtualPeer.joined(driver, 1)
    driver.core.drain()
    for port in range(1, 30):
        peer.move(("198.51.100.1", port))
        peer.check()
    assert driver.events() == (PairSelected(peer.transport),)


def test_an_ice_restart_keeps_media_flowing(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    anew = Credentials("another-fragment", "another-password-of-transport")
    call.driver.apply(SetCredentials(call.subscriber.transport, anew))
    call.subscriber.check()
    call.low.send_frame()
    call.subscriber.move(("198.51.100.1", 77))
    call.driver.events()
    call.subscriber.check(credentials=anew)
    call.low.send_frame()
    assert len(call.video()) == 3
    assert call.driver.events() == (PairSelected(call.subscriber.transport),)
    refused = call.subscriber.check()
    assert not refused.is_signed_with(call.subscriber.credentials.password)


def test_a_controlled_peer_is_counted(driver: PlaneDriver) -> None:
    peer = VirtualPeer.known(driver, 1)
    peer.check(more=((Attribute.ICE_CONTROLLED, bytes(8)),))
    assert driver.drops(DropReason.STUN_ROLE_CONFLICT) == 1


def test_consent_ends_with_the_checks_and_media_with_it(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    for _ in range(3):
        call.driver.advance(10_000)
        call.publisher.check()
    call.driver.events()
    call.driver.advance(1)
    assert call.driver.events() == ()
    call.driver.advance(30_000)
    assert call.driver.events() == (ConsentLost(call.publisher.transport),)
    call.low.send_frame(key=True)
    assert call.driver.drops(DropReason.UNKNOWN_PEER) == 1


def test_nobody_is_sent_to_without_consent(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    for _ in range(4):
        call.driver.advance(10_000)
        call.publisher.check()
    assert ConsentLost(call.subscriber.transport) in call.driver.events()
    call.video()
    call.low.send_frame(key=True)
    assert call.video() == []
    assert call.driver.drops(DropReason.NO_SELECTED_PAIR) == 1
    call.subscriber.check()
    call.low.send_frame()
    assert len(call.video()) == 1


def test_a_peer_whose_port_has_changed_moves_with_its_next_packet(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.video()
    call.driver.events()
    for peer, goes_on in (
        (call.publisher, call.low.send_frame),
        (call.subscriber, lambda: call.subscriber.say(ReceiverReport(Ssrc(1)))),
    ):
        goes_on()
        call.driver.advance(QUIET_MS)
        peer.move((ELSEWHERE[0], ELSEWHERE[1] + peer.transport))
        goes_on()
        assert PairSelected(peer.transport) in call.driver.events()
    call.video()
    call.driver.lost.clear()
    call.low.send_frame()
    assert len(call.video()) == 1
    assert call.driver.drops(DropReason.UNKNOWN_PEER) == 0
    assert call.driver.lost == []


def test_what_a_peer_asks_for_from_another_port_goes_there(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    (sent,) = call.video()
    call.subscriber.say(ReceiverReport(Ssrc(1)))
    call.driver.advance(QUIET_MS)
    call.subscriber.rtp.clear()
    call.subscriber.move(ELSEWHERE)
    call.subscriber.say(ReceiverReport(Ssrc(1)), Nack(Ssrc(1), VIDEO_SSRC, (sent.sequence_number,)))
    assert [packet.ssrc for packet in call.subscriber.take_rtp()] == [RTX_SSRC]
    assert call.driver.lost == []


def test_a_packet_that_was_copied_on_its_way_moves_nobody(call: Call) -> None:
    call.low.send_frame(key=True)
    call.driver.events()
    # The peer is still heard where it was.
    call.publisher.move(ELSEWHERE)
    call.low.send_frame()
    assert call.driver.drops(DropReason.UNKNOWN_PEER) == 1
    assert call.driver.events() == ()


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_a_packet_that_was_there_before_or_is_forged_moves_nobody(
    core: Callable[[MediaConfig, SrtpFactory], Core],
) -> None:
    call = Call.of(PlaneDriver(core, LibSrtp))
    call.low.send_frame(key=True)
    assert call.publisher.session is not None
    packet = call.publisher.session.protect(call.low.packet(b"payload").serialise())
    assert isinstance(packet, bytes)
    call.driver.feed(call.publisher.address, packet)
    call.driver.events()
    call.driver.advance(QUIET_MS)
    call.driver.feed(ELSEWHERE, packet)
    fresh = call.publisher.session.protect(call.low.packet(b"payload").serialise())
    assert isinstance(fresh, bytes)
    call.driver.feed(ELSEWHERE, fresh[:-1] + bytes((fresh[-1] ^ 1,)))
    assert call.driver.drops(DropReason.UNKNOWN_PEER) == 2
    assert call.driver.events() == ()
    call.driver.feed(ELSEWHERE, fresh)
    assert call.driver.events() == (PairSelected(call.publisher.transport),)


def test_packets_of_nobody_are_looked_at_only_so_often(call: Call) -> None:
    call.low.send_frame(key=True)
    call.driver.advance(QUIET_MS)
    for _ in range(MAX_STRAYS_PER_S):
        call.driver.feed(STRANGER, bytes((0x80, 96)) + bytes(40))
    call.publisher.move(ELSEWHERE)
    call.low.send_frame()
    assert call.driver.drops(DropReason.UNKNOWN_PEER) == MAX_STRAYS_PER_S + 1
    call.driver.advance(1_000)
    call.low.send_frame()
    assert call.driver.drops(DropReason.UNKNOWN_PEER) == MAX_STRAYS_PER_S + 1


def test_who_has_no_consent_any_more_moves_by_a_check_only(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    for _ in range(4):
        call.driver.advance(10_000)
    assert ConsentLost(call.publisher.transport) in call.driver.events()
    call.publisher.move(ELSEWHERE)
    call.low.send_frame()
    assert call.driver.drops(DropReason.UNKNOWN_PEER) == 1


def test_a_transport_that_is_gone_is_a_stranger(call: Call) -> None:
    call.driver.feed(call.publisher.address, DTLS)
    call.driver.apply(RemoveTransport(call.publisher.transport))
    assert call.driver.core.drain().datagrams == ()
    call.low.send_frame(key=True)
    assert call.driver.drops(DropReason.UNKNOWN_PEER) == 1
    stats = call.driver.core.stats(call.driver.now)
    assert stats.transports["transport"].tolist() == [call.subscriber.transport]
    assert len(stats.encodings) == len(stats.routes) == 0
    call.driver.advance(60_000)


def test_stale_targets_fall_back_to_the_lowest_that_flows_until_python_is_back(call: Call) -> None:
    for source in (call.middle, call.high):
        source.send_frame(key=True)
        source.report()
    call.driver.aim(VIDEO, 2, 0)
    call.high.send_frame(key=True)
    assert len(call.video()) == 1
    call.driver.advance(TARGETS_STALE_MS - 1)
    assert call.driver.route_row(VIDEO)["target_encoding"] == 2
    call.driver.advance(1)
    # The lowest encoding has never been there.
    assert call.driver.route_row(VIDEO)["target_encoding"] == 1
    call.middle.send_frame(key=True)
    call.middle.send_frame(temporal=1, sync=True)
    assert len(call.video()) == 2
    call.driver.alive()
    assert call.driver.route_row(VIDEO)["target_encoding"] == 2
    call.high.send_frame(key=True)
    call.high.send_frame(temporal=1)
    assert len(call.video()) == 1


def test_python_may_stall_again_and_again(call: Call) -> None:
    for source in (call.low, call.high):
        source.send_frame(key=True)
    for _ in range(3):
        call.driver.aim(VIDEO, 2)
        assert call.driver.route_row(VIDEO)["target_encoding"] == 2
        call.low.send_frame()
        call.driver.advance(TARGETS_STALE_MS)
        assert call.driver.route_row(VIDEO)["target_encoding"] == 0


def test_what_was_wanted_before_a_stall_is_known_under_its_new_number(call: Call) -> None:
    call.driver.apply(camera(call.publisher.transport, SIMULCAST[1:]))
    for source in (call.middle, call.high):
        source.send_frame(key=True)
    call.driver.aim(VIDEO, 1)
    call.driver.apply(camera(call.publisher.transport))
    assert call.driver.route_row(VIDEO)["target_encoding"] == 2
    call.driver.advance(TARGETS_STALE_MS)
    assert call.driver.route_row(VIDEO)["target_encoding"] == 1
    call.driver.alive()
    assert call.driver.route_row(VIDEO)["target_encoding"] == 2


def test_what_is_paused_stays_paused_when_python_stalls(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.aim(VIDEO, PAUSED)
    call.driver.advance(2_000)
    call.low.send_frame(key=True)
    assert call.driver.route_row(VIDEO)["target_encoding"] == PAUSED
    assert len(call.video()) == 1


def test_the_lowest_stays_as_it_is_when_python_stalls(call: Call) -> None:
    call.driver.aim(VIDEO, 0, 0)
    call.low.send_frame(key=True)
    call.driver.advance(2_000)
    call.low.send_frame(temporal=1, sync=True)
    assert len(call.video()) == 1


def test_targets_of_routes_that_are_gone_are_ignored(call: Call) -> None:
    call.driver.aim(RouteId(99), 0)
    call.driver.aim(VIDEO, 2)
    call.driver.aim(VIDEO, 7)
    call.low.send_frame(key=True)
    assert call.video() == []


def test_time_may_run_back_by_what_a_datagram_waited(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.advance(100)
    late = call.driver.now
    call.driver.now = type(late)(late - 20_000_000)
    call.low.send_frame()
    call.driver.now = late
    call.driver.advance(1_000)
    call.low.send_frame()
    assert len(call.video()) == 3


def test_a_check_is_counted_as_received(driver: PlaneDriver) -> None:
    peer = VirtualPeer.known(driver, 1)
    peer.check()
    row = driver.transport_row(peer.transport)
    data = binding_request(peer.credentials)
    assert (row["packets_received"], row["bytes_received"]) == (1, len(data))
    assert row["last_received_at"] == driver.now
    assert isinstance(peer.stun[0], StunMessage)
