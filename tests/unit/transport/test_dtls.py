from __future__ import annotations

import itertools
from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from sfu.transport.certificate import DTLS_1_2
from sfu.transport.dtls import MAX_HANDSHAKE_DATAGRAM_BYTES, HandshakeError, datagrams_of

HEADER_BYTES = 13


def record(number: int, length: int) -> bytes:
    return pack("!BHHLHH", 22, DTLS_1_2, 0, 0, number % 65_536, length) + bytes([number % 256]) * length


def records_in(datagram: bytes) -> list[bytes]:
    """The records of a datagram, which must be whole."""
    found = []
    while datagram:
        end = HEADER_BYTES + int.from_bytes(datagram[11:13])
        assert end <= len(datagram)
        found.append(datagram[:end])
        datagram = datagram[end:]
    return found


def test_nothing_written_is_no_datagram() -> None:
    assert datagrams_of(b"") == []


def test_a_flight_that_fits_goes_as_one_datagram() -> None:
    flight = record(1, 500) + record(2, 600)
    assert datagrams_of(flight) == [flight]


def test_a_datagram_of_exactly_the_limit_is_not_divided() -> None:
    first, second = record(1, 587), record(2, 587)
    assert len(first + second) == MAX_HANDSHAKE_DATAGRAM_BYTES
    assert datagrams_of(first + second) == [first + second]
    assert datagrams_of(first + second + record(3, 0)) == [first + second, record(3, 0)]


def test_a_record_above_the_limit_goes_alone() -> None:
    small, large = record(1, 10), record(2, 5_000)
    assert datagrams_of(small + large + small) == [small, large, small]


@given(st.lists(st.integers(0, 1_600), max_size=40))
def test_records_stay_whole_and_in_order_and_datagrams_small(lengths: list[int]) -> None:
    records = [record(number, length) for number, length in enumerate(lengths)]
    datagrams = datagrams_of(b"".join(records))
    assert [one for datagram in datagrams for one in records_in(datagram)] == records
    for datagram in datagrams:
        assert len(datagram) <= MAX_HANDSHAKE_DATAGRAM_BYTES or len(records_in(datagram)) == 1


@given(st.lists(st.integers(0, 1_187), min_size=1, max_size=40))
def test_no_two_neighbours_would_have_fitted_into_one(lengths: list[int]) -> None:
    records = [record(number, length) for number, length in enumerate(lengths)]
    datagrams = datagrams_of(b"".join(records))
    for before, after in itertools.pairwise(datagrams):
        assert len(before) + len(records_in(after)[0]) > MAX_HANDSHAKE_DATAGRAM_BYTES


def test_an_error_of_the_handshake_says_its_reason() -> None:
    assert HandshakeError("fingerprint").reason == "fingerprint"
    assert str(HandshakeError("dtls_timeout")) == "dtls_timeout"
