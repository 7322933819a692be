"""An address that we have checked ourselves: the peer is sent to there, and heard from there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from sfu.plane import (
    Batch,
    ConsentLost,
    DropReason,
    PairSelected,
    RemoveTransport,
    SelectAddress,
    SendDatagram,
)
from sfu.units import TransportId
from tests.support.plane_driver import VirtualPeer
from tests.support.plane_media import VIDEO, Call

if TYPE_CHECKING:
    from tests.support.plane_driver import PlaneDriver

DTLS: Final = b"\x16\xfe\xfd" + b"client hello"
ELSEWHERE: Final = ("198.51.100.8", 1_234)
CONSENT_MS: Final = 30_000


def select(peer: VirtualPeer) -> SelectAddress:
    """Where the peer is."""
    return SelectAddress(peer.transport, peer.address[0], peer.address[1])


@pytest.fixture
def dialled(driver: PlaneDriver) -> VirtualPeer:
    """A peer that we have checked, and that never checks."""
    peer = VirtualPeer.known(driver, 2)
    driver.apply(select(peer))
    return peer


def test_a_handshake_goes_to_the_address_and_is_heard_from_it(
    driver: PlaneDriver, dialled: VirtualPeer
) -> None:
    assert driver.core.drain() == Batch((), (PairSelected(dialled.transport),))
    driver.apply(SendDatagram(dialled.transport, DTLS))
    assert dialled.datagrams == [DTLS]
    driver.feed(dialled.address, DTLS)
    assert driver.core.drain().datagrams == ((dialled.transport, DTLS),)
    assert driver.transport_row(dialled.transport)["packets_received"] == 1


def test_it_is_told_when_it_is_another_than_before(driver: PlaneDriver, dialled: VirtualPeer) -> None:
    driver.core.drain()
    driver.apply(select(dialled))
    assert driver.events() == ()
    dialled.move(ELSEWHERE)
    driver.apply(select(dialled))
    assert driver.events() == (PairSelected(dialled.transport),)
    driver.apply(SendDatagram(dialled.transport, DTLS))
    assert dialled.datagrams == [DTLS]


def test_nobody_waits_for_checks_of_the_peer(driver: PlaneDriver, dialled: VirtualPeer) -> None:
    driver.core.drain()
    driver.advance(3 * CONSENT_MS)
    assert driver.events() == ()
    driver.apply(SendDatagram(dialled.transport, DTLS))
    assert dialled.datagrams == [DTLS]


def test_consent_of_a_peer_that_checks_ends_as_ever(driver: PlaneDriver, dialled: VirtualPeer) -> None:
    dialled.check()
    driver.advance(CONSENT_MS / 2)
    driver.apply(select(dialled))
    driver.core.drain()
    driver.advance(CONSENT_MS / 2)
    assert driver.events() == (ConsentLost(dialled.transport),)
    driver.apply(SendDatagram(dialled.transport, DTLS))
    assert driver.drops(DropReason.NO_SELECTED_PAIR) == 1
    # It was lost, so it is news.
    driver.apply(select(dialled))
    assert driver.events() == (PairSelected(dialled.transport),)


def test_media_goes_to_the_address(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.subscriber.move(ELSEWHERE)
    call.low.send_frame(key=True)
    assert call.video() == []
    call.driver.apply(select(call.subscriber))
    call.low.send_frame()
    assert len(call.video()) == 1
    # And comes from there.
    call.publisher.move(("198.51.100.9", 9))
    call.driver.apply(select(call.publisher))
    call.low.send_frame()
    assert len(call.video()) == 1


def test_an_address_goes_to_who_was_found_there_last(driver: PlaneDriver, dialled: VirtualPeer) -> None:
    other = VirtualPeer.known(driver, 3)
    driver.apply(replace(select(dialled), transport=other.transport))
    driver.feed(dialled.address, DTLS)
    assert driver.core.drain().datagrams == ((other.transport, DTLS),)
    driver.apply(SendDatagram(dialled.transport, DTLS))
    assert driver.drops(DropReason.NO_SELECTED_PAIR) == 1


def test_who_is_removed_is_heard_from_there_no_more(driver: PlaneDriver, dialled: VirtualPeer) -> None:
    driver.apply(RemoveTransport(dialled.transport))
    driver.core.drain()
    driver.feed(dialled.address, DTLS)
    assert driver.core.drain() == Batch((), ())
    assert driver.drops(DropReason.UNKNOWN_PEER) == 1
    driver.apply(SelectAddress(TransportId(99), *ELSEWHERE))
    assert driver.events() == ()
