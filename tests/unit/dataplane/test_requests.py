"""Requests of ours: their answers come up, once, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from sfu.dataplane.requests import Requests
from sfu.dataplane.stun import BINDING, MessageClass, StunMessage
from sfu.errors import LocalError
from sfu.plane import (
    MAX_STUN_REQUESTS,
    Batch,
    DropReason,
    PlaneOperation,
    RemoveTransport,
    SelectAddress,
    SendStun,
)
from sfu.units import TransportId
from tests.support.plane_driver import PlaneDriver, VirtualPeer, binding_request

ONE, OTHER = TransportId(1), TransportId(2)
HERE, THERE = ("192.0.2.1", 1_000), ("198.51.100.7", 2_000)
NOTHING: Final = Batch((), ())
TRANSACTION: Final = b"transaction!"


def request(transaction_id: bytes = TRANSACTION, method: int = BINDING) -> bytes:
    """What the peer is asked; its attributes are none of the plane's business."""
    return StunMessage(MessageClass.REQUEST, method, transaction_id).serialise("a password of the peer")


def answer(
    transaction_id: bytes = TRANSACTION,
    message_class: MessageClass = MessageClass.SUCCESS,
    method: int = BINDING,
) -> bytes:
    return StunMessage(message_class, method, transaction_id).serialise()


def number(index: int) -> bytes:
    """A transaction id."""
    return index.to_bytes(12, "big")


def send(transport: TransportId, data: bytes, address: tuple[str, int] = HERE) -> SendStun:
    return SendStun(transport, *address, data)


def test_an_answer_is_taken_once_and_from_where_the_request_went() -> None:
    requests = Requests()
    requests.add(ONE, HERE, TRANSACTION)
    assert requests.take(THERE, TRANSACTION) is None
    assert requests.take((*HERE, 7), TRANSACTION) is None
    assert requests.take(HERE, number(1)) is None
    assert requests.take(HERE, TRANSACTION) == ONE
    assert requests.take(HERE, TRANSACTION) is None


def test_of_too_many_the_oldest_is_forgotten_and_others_keep_theirs() -> None:
    requests = Requests()
    requests.add(OTHER, THERE, number(0))
    for index in range(MAX_STUN_REQUESTS):
        requests.add(ONE, HERE, number(index))
    requests.add(ONE, HERE, number(0))  # again: the newest
    requests.add(ONE, HERE, number(MAX_STUN_REQUESTS))
    assert requests.take(HERE, number(1)) is None
    assert requests.take(HERE, number(0)) == ONE
    assert requests.take(HERE, number(MAX_STUN_REQUESTS)) == ONE
    assert requests.take(THERE, number(0)) == OTHER


def test_who_asks_last_is_answered() -> None:
    requests = Requests()
    requests.add(ONE, HERE, TRANSACTION)
    requests.add(OTHER, HERE, TRANSACTION)
    requests.forget(ONE)
    assert requests.take(HERE, TRANSACTION) == OTHER
    requests.add(OTHER, HERE, TRANSACTION)
    requests.forget(OTHER)
    assert requests.take(HERE, TRANSACTION) is None


@pytest.fixture
def dialled(driver: PlaneDriver) -> VirtualPeer:
    """A peer that we dial: it is known, and has said nothing."""
    return VirtualPeer.known(driver, 2)


@pytest.mark.parametrize("message_class", [MessageClass.SUCCESS, MessageClass.ERROR])
def test_a_request_goes_out_and_its_answer_comes_up_once(
    driver: PlaneDriver, dialled: VirtualPeer, message_class: MessageClass
) -> None:
    asked = request()
    driver.apply(send(dialled.transport, asked))
    assert [(one.address, one.data) for one in driver.lost] == [(HERE, asked)]
    assert not driver.core.has_output
    said = answer(message_class=message_class)
    driver.feed(HERE, said)
    assert driver.core.has_output
    assert driver.core.drain() == Batch((), (), ((dialled.transport, HERE, said),))
    assert not driver.core.has_output
    driver.feed(HERE, said)
    assert not driver.core.has_output
    assert driver.drops(DropReason.UNKNOWN_PEER) == 1
    assert driver.transport_row(dialled.transport)["packets_received"] == 0


def test_an_answer_from_a_peers_own_address_is_counted_with_what_it_sends(driver: PlaneDriver) -> None:
    peer = VirtualPeer.joined(driver, 2)
    driver.core.drain()
    driver.apply(send(peer.transport, request(), (peer.address[0], peer.address[1])))
    assert [one.message_class for one in peer.stun] == [MessageClass.SUCCESS, MessageClass.REQUEST]
    driver.feed(peer.address, answer())
    assert driver.transport_row(peer.transport)["packets_received"] == 2
    assert len(driver.core.drain().responses) == 1


def test_what_answers_no_request_is_nobodys(driver: PlaneDriver, dialled: VirtualPeer) -> None:
    driver.apply(send(dialled.transport, request()))
    driver.feed(THERE, answer())
    driver.feed(HERE, answer(number(1)))
    driver.feed(HERE, answer(method=3))
    driver.feed(HERE, answer(message_class=MessageClass.INDICATION))
    assert driver.drops(DropReason.UNKNOWN_PEER) == 4
    driver.feed(HERE, answer()[:-1])
    assert driver.drops(DropReason.STUN_MALFORMED) == 1
    assert driver.core.drain() == NOTHING
    # It is waited for all the same.
    driver.feed(HERE, answer())
    assert len(driver.core.drain().responses) == 1


def test_the_oldest_of_too_many_requests_is_not_waited_for(driver: PlaneDriver, dialled: VirtualPeer) -> None:
    driver.apply(*(send(dialled.transport, request(number(index))) for index in range(MAX_STUN_REQUESTS + 1)))
    for index in range(MAX_STUN_REQUESTS + 1):
        driver.feed(HERE, answer(number(index)))
    assert driver.drops(DropReason.UNKNOWN_PEER) == 1
    responses = driver.core.drain().responses
    assert [data for _, _, data in responses] == [
        answer(number(index)) for index in range(1, MAX_STUN_REQUESTS + 1)
    ]


def test_a_request_that_is_sent_again_is_answered_once(driver: PlaneDriver, dialled: VirtualPeer) -> None:
    driver.apply(send(dialled.transport, request()), send(dialled.transport, request()))
    assert len(driver.lost) == 2
    for _ in range(2):
        driver.feed(HERE, answer())
    assert len(driver.core.drain().responses) == 1


def test_who_is_removed_waits_for_nothing(driver: PlaneDriver, dialled: VirtualPeer) -> None:
    driver.apply(send(dialled.transport, request()), send(dialled.transport, request(number(1))))
    driver.feed(HERE, answer())
    driver.apply(RemoveTransport(dialled.transport))
    driver.feed(HERE, answer(number(1)))
    assert driver.core.drain() == NOTHING
    assert driver.drops(DropReason.UNKNOWN_PEER) == 1


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("2001:DB8:0:0:1::0001", "2001:db8::1:0:0:1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
    ],
)
def test_hosts_have_one_form(driver: PlaneDriver, dialled: VirtualPeer, host: str, told: str) -> None:
    driver.apply(send(dialled.transport, request(), (host, 9)))
    assert [one.address for one in driver.lost] == [(told, 9)]
    driver.feed((told, 9), answer())
    assert driver.core.drain().responses == ((dialled.transport, (told, 9), answer()),)


UNFIT: Final[dict[str, PlaneOperation]] = {
    "name": send(OTHER, request(), ("focus.example.org", 9)),
    "interface": send(OTHER, request(), ("fe80::1%3", 9)),
    "brackets": send(OTHER, request(), ("[::1]", 9)),
    "octal": send(OTHER, request(), ("192.0.2.01", 9)),
    "nothing": SelectAddress(OTHER, "", 9),
    "port 0": SelectAddress(OTHER, "192.0.2.1", 0),
    "port below": SelectAddress(OTHER, "192.0.2.1", -1),
    "port above": send(OTHER, request(), ("192.0.2.1", 65_536)),
    "no STUN": send(OTHER, b"\x16\xfe\xfd"),
    "cut": send(OTHER, request()[:-4]),
    "answer": send(OTHER, answer()),
    "indication": send(OTHER, answer(message_class=MessageClass.INDICATION)),
    "method": send(OTHER, request(method=3)),
}


@pytest.mark.parametrize("operation", UNFIT.values(), ids=UNFIT)
def test_what_can_be_no_address_or_no_request_is_our_mistake(
    driver: PlaneDriver, dialled: VirtualPeer, operation: PlaneOperation
) -> None:
    good = send(dialled.transport, request())
    with pytest.raises(LocalError):
        driver.apply(good, operation, good)
    driver.feed(HERE, answer())
    assert driver.core.drain() == Batch((), (), ((dialled.transport, HERE, answer()),))
    driver.lost.clear()
    # Of who is gone there is nothing to say.
    assert isinstance(operation, (SendStun, SelectAddress))
    driver.apply(replace(operation, transport=TransportId(99)))
    assert driver.lost == []
    assert driver.core.drain() == NOTHING


def test_a_check_of_the_peer_is_answered_while_its_answer_is_waited_for(
    driver: PlaneDriver, dialled: VirtualPeer
) -> None:
    driver.apply(send(dialled.transport, request(), (dialled.address[0], dialled.address[1])))
    driver.feed(dialled.address, binding_request(dialled.credentials))
    assert [one.message_class for one in dialled.stun] == [MessageClass.REQUEST, MessageClass.SUCCESS]
    assert driver.core.drain().responses == ()
