"""Requests of ours: their answers come up, once, and nothing else does."""

from __future__ import annotations

from typing import Final

from sfu.dataplane.requests import Requests
from sfu.dataplane.stun import BINDING, MessageClass, StunMessage
from sfu.plane import (
    MAX_STUN_REQUESTS,
    Batch,
    SendStun,
)
from sfu.units import TransportId

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
