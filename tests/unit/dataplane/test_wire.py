from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dataplane.wire import WireProtocol, protocol_of, udp_address
from sfu.errors import LocalError


@pytest.mark.parametrize(
    ("first", "protocol"),
    [
        (0, WireProtocol.STUN),
        (3, WireProtocol.STUN),
        (4, WireProtocol.UNKNOWN),
        (19, WireProtocol.UNKNOWN),
        (20, WireProtocol.DTLS),
        (63, WireProtocol.DTLS),
        (64, WireProtocol.UNKNOWN),
        (127, WireProtocol.UNKNOWN),
        (128, WireProtocol.RTP),
        (191, WireProtocol.RTP),
        (192, WireProtocol.UNKNOWN),
        (255, WireProtocol.UNKNOWN),
    ],
)
def test_the_first_byte_tells_the_protocol(first: int, protocol: WireProtocol) -> None:
    assert protocol_of(bytes((first, 0, 0))) is protocol


@pytest.mark.parametrize(
    ("second", "protocol"),
    [
        (191, WireProtocol.RTP),
        (192, WireProtocol.RTCP),
        (200, WireProtocol.RTCP),
        (223, WireProtocol.RTCP),
        (224, WireProtocol.RTP),
        (111, WireProtocol.RTP),
        (239, WireProtocol.RTP),
    ],
)
def test_the_second_byte_tells_rtcp_from_rtp(second: int, protocol: WireProtocol) -> None:
    assert protocol_of(bytes((128, second))) is protocol


def test_a_single_byte_of_rtp_is_rtp() -> None:
    assert protocol_of(b"\x80") is WireProtocol.RTP
    assert protocol_of(b"") is WireProtocol.UNKNOWN


@given(data=st.binary(max_size=4))
def test_any_bytes_are_of_one_protocol(data: bytes) -> None:
    assert protocol_of(data) in WireProtocol


@pytest.mark.parametrize(
    ("host", "written"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0::1", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1")],
)
def test_an_address_is_written_as_that_of_a_datagram(host: str, written: str) -> None:
    assert udp_address(host, 65_535) == (written, 65_535)


@pytest.mark.parametrize(
    ("host", "port"),
    [("localhost", 1), ("", 1), ("fe80::1%3", 1), ("192.0.2.1", 0), ("192.0.2.1", 65_536), ("::1", -1)],
)
def test_what_is_no_address_is_refused(host: str, port: int) -> None:
    with pytest.raises(LocalError, match="an address"):
        udp_address(host, port)
