from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dataplane.stun import (
    BINDING,
    MAX_ATTRIBUTES,
    Attribute,
    ErrorCode,
    MessageClass,
    StunMessage,
    error,
    success,
    xor_address,
)
from tests.unit.rtp.packets import refusal

# RFC 5769, sections 2.1 to 2.3.
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
IPV4_RESPONSE = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
IPV6_RESPONSE = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"  # noqa: S105  # printed in the RFC
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
VECTORS = (REQUEST, IPV4_RESPONSE, IPV6_RESPONSE)
IPV4 = ("192.0.2.1", 32_853)
IPV6 = ("2001:db8:1234:5678:11:2233:4455:6677", 32_853)

attributes = st.lists(
    st.tuples(
        st.integers(0, 2**16 - 1).filter(
            lambda kind: kind not in (Attribute.MESSAGE_INTEGRITY, Attribute.FINGERPRINT)
        ),
        st.binary(max_size=20),
    ),
    max_size=8,
).map(tuple)
messages = st.builds(
    StunMessage,
    message_class=st.sampled_from(MessageClass),
    method=st.integers(0, 0xFF),  # above, the first byte is not one of STUN on a shared port
    transaction_id=st.binary(min_size=12, max_size=12),
    attributes=attributes,
)


def test_the_request_of_rfc_5769_is_read_and_verified() -> None:
    message = StunMessage.parse(REQUEST)
    assert (message.message_class, message.method) == (MessageClass.REQUEST, BINDING)
    assert message.transaction_id == TRANSACTION
    assert message.attribute(Attribute.USERNAME) == b"evtj:h6vY"
    assert message.attribute(Attribute.ICE_CONTROLLED) == bytes.fromhex("932ff9b151263b36")
    assert message.attribute(Attribute.USE_CANDIDATE) is None
    assert message.is_signed_with(PASSWORD)
    assert not message.is_signed_with(PASSWORD.lower())


@pytest.mark.parametrize(("data", "address"), [(IPV4_RESPONSE, IPV4), (IPV6_RESPONSE, IPV6)])
def test_the_responses_of_rfc_5769_are_read_and_verified(data: bytes, address: tuple[str, int]) -> None:
    message = StunMessage.parse(data)
    assert message.message_class is MessageClass.SUCCESS
    assert message.is_signed_with(PASSWORD)
    assert message.attribute(Attribute.XOR_MAPPED_ADDRESS) == xor_address(address, TRANSACTION)


@given(message=messages, password=st.none() | st.text(max_size=30))
def test_a_message_survives_the_wire(message: StunMessage, password: str | None) -> None:
    read = StunMessage.parse(message.serialise(password))
    assert (read.message_class, read.method, read.transaction_id, read.attributes) == (
        message.message_class,
        message.method,
        message.transaction_id,
        message.attributes,
    )
    assert (read.signature is not None) == (password is not None)
    assert password is None or read.is_signed_with(password)


@given(data=st.binary(max_size=120) | st.binary(max_size=60).map(lambda rest: REQUEST[:20] + rest))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    assert refusal(StunMessage.parse, data) in (None, "stun")


@pytest.mark.parametrize("vector", VECTORS)
def test_every_beginning_of_a_message_is_refused(vector: bytes) -> None:
    for end in range(len(vector)):
        assert refusal(StunMessage.parse, vector[:end]) == "stun"


@given(vector=st.sampled_from(VECTORS), at=st.integers(0, 100), bit=st.integers(0, 7))
def test_no_bit_can_be_changed_unnoticed(vector: bytes, at: int, bit: int) -> None:
    at %= len(vector)
    changed = vector[:at] + bytes((vector[at] ^ 1 << bit,)) + vector[at + 1 :]
    if refusal(StunMessage.parse, changed) is None:
        # Only where the fingerprint itself became another attribute, behind what integrity covers.
        assert not StunMessage.parse(changed).is_signed_with(PASSWORD) or at >= len(vector) - 8


def test_what_stands_behind_the_integrity_is_ignored() -> None:
    signed = StunMessage(MessageClass.REQUEST, BINDING, TRANSACTION).serialise("password")
    body = signed[20:-8] + bytes.fromhex("00250000")
    data = signed[:2] + len(body).to_bytes(2, "big") + signed[4:20] + body
    message = StunMessage.parse(data)
    assert message.attribute(Attribute.USE_CANDIDATE) is None
    assert message.is_signed_with("password")


def test_attributes_are_bounded() -> None:
    def with_attributes(count: int) -> bytes:
        body = bytes.fromhex("80000000") * count
        return StunMessage(MessageClass.REQUEST, BINDING, TRANSACTION).serialise()[:2] + (
            len(body).to_bytes(2, "big") + REQUEST[4:20] + body
        )

    assert refusal(StunMessage.parse, with_attributes(MAX_ATTRIBUTES)) is None
    assert refusal(StunMessage.parse, with_attributes(MAX_ATTRIBUTES + 1)) == "stun"


@given(
    address=st.ip_addresses().filter(lambda ip: "%" not in str(ip)),
    port=st.integers(0, 2**16 - 1),
    transaction=st.binary(min_size=12, max_size=12),
)
def test_a_mapped_address_is_undone_by_the_same_mask(address: object, port: int, transaction: bytes) -> None:
    value = xor_address((str(address), port), transaction)
    packed = ip_address(str(address)).packed
    mask = (REQUEST[4:8] + transaction)[: len(packed)]
    assert bytes(one ^ other for one, other in zip(value[4:], mask, strict=True)) == packed
    assert int.from_bytes(value[2:4], "big") ^ 0x2112 == port
    assert value[:2] == bytes((0, 1 if len(packed) == 4 else 2))


def test_a_success_tells_where_the_request_came_from_and_is_signed() -> None:
    answer = StunMessage.parse(success(StunMessage.parse(REQUEST), IPV4, PASSWORD))
    assert answer.message_class is MessageClass.SUCCESS
    assert answer.transaction_id == TRANSACTION
    assert answer.attribute(Attribute.XOR_MAPPED_ADDRESS) == xor_address(IPV4, TRANSACTION)
    assert answer.is_signed_with(PASSWORD)


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_tells_its_code(code: ErrorCode) -> None:
    answer = StunMessage.parse(error(StunMessage.parse(REQUEST), code))
    value = answer.attribute(Attribute.ERROR_CODE)
    assert answer.message_class is MessageClass.ERROR
    assert value is not None
    assert value[2] * 100 + value[3] == code
    assert value[4:].decode().isprintable()
    assert answer.signature is None
