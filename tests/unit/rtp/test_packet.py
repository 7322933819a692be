from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from aiortc import rtp as aiortc_rtp
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.rtp.packet import (
    MAX_EXTENSIONS,
    ONE_BYTE_PROFILE,
    TWO_BYTE_PROFILE,
    ExtensionElements,
    RtpPacket,
    needs_two_bytes,
    serialise_extensions,
)
from sfu.units import PayloadType, Ssrc
from tests.unit.rtp.packets import refusal

REASONS = {None, "short", "version", "extension", "padding"}

values = st.binary(max_size=40)
elements = st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)) | st.tuples(
    st.integers(1, 255), values
)
packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127).map(PayloadType),
    sequence_number=st.integers(0, 2**16 - 1),
    timestamp=st.integers(0, 2**32 - 1),
    ssrc=st.integers(0, 2**32 - 1).map(Ssrc),
    payload=st.binary(max_size=60),
    marker=st.booleans(),
    extensions=st.lists(elements, max_size=8).map(tuple),
    csrcs=st.lists(st.integers(0, 2**32 - 1).map(Ssrc), max_size=15).map(tuple),
    padding_bytes=st.integers(0, 255),
)


def packet_with(block: bytes = b"", payload: bytes = b"payload", first: int = 0x80) -> bytes:
    """A packet with this extension block, or without one."""
    first |= 16 if block else 0
    return struct.pack("!BBHLL", first, 96, 17, 90_000, 0xCAFE) + block + payload


def block_of(profile: int, body: bytes) -> bytes:
    assert len(body) % 4 == 0
    return struct.pack("!HH", profile, len(body) // 4) + body


def reason_of(data: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        RtpPacket.parse(data)
    return caught.value.reason


@given(packet=packets)
def test_a_packet_survives_the_wire(packet: RtpPacket) -> None:
    assert RtpPacket.parse(packet.serialise()) == packet


@given(packet=packets, stamps=st.lists(elements, max_size=3).map(tuple), two_bytes=st.booleans())
def test_stamps_stand_behind_the_elements_in_either_form(
    packet: RtpPacket, stamps: ExtensionElements, *, two_bytes: bool
) -> None:
    data = packet.serialise(stamps, two_bytes=two_bytes)
    assert RtpPacket.parse(data) == replace(packet, extensions=packet.extensions + stamps)
    if two_bytes and packet.extensions + stamps:
        at = 12 + 4 * len(packet.csrcs)
        assert int.from_bytes(data[at : at + 2], "big") == TWO_BYTE_PROFILE


@given(packet=packets)
def test_every_beginning_of_a_packet_is_a_packet_or_refused(packet: RtpPacket) -> None:
    data = packet.serialise()
    for end in range(len(data)):
        assert refusal(RtpPacket.parse, data[:end]) in REASONS


@given(data=st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"\xb0\x60" + rest))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    refused = refusal(RtpPacket.parse, data)
    assert refused in REASONS
    if refused is None:
        packet = RtpPacket.parse(data)
        assert RtpPacket.parse(packet.serialise()) == packet


@given(
    packet=packets,
    mid=st.text("abc123", min_size=1, max_size=16),
    send_time=st.integers(0, 2**24 - 1),
)
def test_aiortc_reads_what_we_write(packet: RtpPacket, mid: str, send_time: int) -> None:
    known = aiortc_rtp.HeaderExtensionsMap()
    known.configure(
        RTCRtpParameters(
            headerExtensions=[
                RTCRtpHeaderExtensionParameters(id=3, uri="urn:ietf:params:rtp-hdrext:sdes:mid"),
                RTCRtpHeaderExtensionParameters(
                    id=5, uri="http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
                ),
            ]
        )
    )
    extensions = ((3, mid.encode()), (9, b"unknown"), (5, send_time.to_bytes(3, "big")))
    ours = RtpPacket(
        packet.payload_type,
        packet.sequence_number,
        packet.timestamp,
        packet.ssrc,
        packet.payload,
        marker=packet.marker,
        csrcs=packet.csrcs,
        extensions=extensions,
        padding_bytes=packet.padding_bytes,
    )
    theirs = aiortc_rtp.RtpPacket.parse(ours.serialise(), known)
    assert theirs.payload_type == packet.payload_type
    assert theirs.marker == packet.marker
    assert (theirs.sequence_number, theirs.timestamp) == (packet.sequence_number, packet.timestamp)
    assert (theirs.ssrc, theirs.csrc) == (packet.ssrc, list(packet.csrcs))
    assert (theirs.payload, theirs.padding_size) == (packet.payload, packet.padding_bytes)
    assert (theirs.extensions.mid, theirs.extensions.abs_send_time) == (mid, send_time)
    again = RtpPacket.parse(theirs.serialize(known))
    assert (again.payload, again.csrcs, again.padding_bytes) == (ours.payload, ours.csrcs, ours.padding_bytes)
    assert again.extension(3) == mid.encode()


def test_a_packet_has_its_fields_where_the_rfc_puts_them() -> None:
    packet = RtpPacket.parse(bytes.fromhex("92e0123489abcdef0000cafe0000000100000002bede000110ff0000abcd"))
    assert packet == RtpPacket(
        payload_type=PayloadType(96),
        sequence_number=0x1234,
        timestamp=0x89ABCDEF,
        ssrc=Ssrc(0xCAFE),
        payload=b"\xab\xcd",
        marker=True,
        extensions=((1, b"\xff"),),
        csrcs=(Ssrc(1), Ssrc(2)),
    )


def test_an_element_is_found_by_its_id() -> None:
    packet = RtpPacket.parse(packet_with(serialise_extensions(((1, b"a"), (2, b"bb"), (1, b"second")))))
    assert packet.extension(2) == b"bb"
    assert packet.extension(1) == b"a"
    assert packet.extension(3) is None
    assert packet.extension(None) is None


@pytest.mark.parametrize(
    ("element", "wide"),
    [
        ((14, bytes(16)), False),
        ((1, b"x"), False),
        ((15, b"x"), True),
        ((1, b""), True),
        ((1, bytes(17)), True),
        ((255, bytes(255)), True),
    ],
)
def test_the_two_byte_form_is_taken_only_where_it_must_be(element: tuple[int, bytes], wide: bool) -> None:
    others = ((2, b"yy"),)
    assert needs_two_bytes((*others, element)) is wide
    profile = int.from_bytes(serialise_extensions((*others, element))[:2], "big")
    assert profile == (TWO_BYTE_PROFILE if wide else ONE_BYTE_PROFILE)


def test_no_extensions_make_no_block() -> None:
    assert RtpPacket.parse(packet_with()).serialise() == packet_with()
    empty = packet_with(block_of(ONE_BYTE_PROFILE, b""))
    assert RtpPacket.parse(empty).serialise() == packet_with()


@pytest.mark.parametrize("profile", [0x1000, 0x1005, 0x100F])
def test_application_bits_do_not_matter(profile: int) -> None:
    block = block_of(profile, bytes((20, 3)) + b"abc" + bytes(3))
    assert RtpPacket.parse(packet_with(block)).extensions == ((20, b"abc"),)


@pytest.mark.parametrize("profile", [0x0000, 0x0FFF, 0x1010, 0xBEDF])
def test_an_unknown_profile_is_stepped_over(profile: int) -> None:
    packet = RtpPacket.parse(packet_with(block_of(profile, b"\xff" * 8)))
    assert packet.extensions == ()
    assert packet.payload == b"payload"


def test_padding_among_one_byte_elements_is_stepped_over() -> None:
    block = block_of(ONE_BYTE_PROFILE, b"\x00\x10a\x00\x00\x21bb")
    assert RtpPacket.parse(packet_with(block)).extensions == ((1, b"a"), (2, b"bb"))


def test_padding_among_two_byte_elements_is_stepped_over() -> None:
    block = block_of(TWO_BYTE_PROFILE, b"\x00\x01\x01a\x00\x02\x00\x00")
    assert RtpPacket.parse(packet_with(block)).extensions == ((1, b"a"), (2, b""))


@pytest.mark.parametrize("stop", [b"\xf0", b"\xff", b"\x01"])
def test_a_reserved_id_ends_the_one_byte_elements(stop: bytes) -> None:
    """RFC 8285 section 4.2: id 15, and id 0 with a length."""
    block = block_of(ONE_BYTE_PROFILE, b"\x10a" + stop + b"\x10b" + bytes(3))
    packet = RtpPacket.parse(packet_with(block))
    assert packet.extensions == ((1, b"a"),)
    assert packet.payload == b"payload"


@pytest.mark.parametrize(
    "block",
    [
        b"\xbe\xde\x00",
        b"\xbe\xde\x00\x03" + bytes(4),
        block_of(ONE_BYTE_PROFILE, b"\x13abc"),
        block_of(TWO_BYTE_PROFILE, b"\x01\x03ab"),
        block_of(TWO_BYTE_PROFILE, b"\x01\x01a\x02"),
    ],
)
def test_extensions_beyond_their_block_are_refused(block: bytes) -> None:
    assert reason_of(packet_with(block, payload=b"")) == "extension"


def test_as_many_elements_as_are_allowed_are_read() -> None:
    def packet_of(count: int) -> bytes:
        return packet_with(block_of(ONE_BYTE_PROFILE, b"\x10a" * count + bytes(-2 * count % 4)))

    assert len(RtpPacket.parse(packet_of(MAX_EXTENSIONS)).extensions) == MAX_EXTENSIONS
    assert reason_of(packet_of(MAX_EXTENSIONS + 1)) == "extension"


@pytest.mark.parametrize("data", [b"", bytes(11), packet_with(payload=b"", first=0x81)])
def test_what_is_too_short_is_refused(data: bytes) -> None:
    assert reason_of(data) == "short"


@pytest.mark.parametrize("first", [0x00, 0x40, 0xC0])
def test_another_version_is_refused(first: int) -> None:
    assert reason_of(packet_with(first=first)) == "version"


@pytest.mark.parametrize("payload", [b"abc\x00", b"abc\x05", b"\xff"])
def test_more_padding_than_packet_is_refused(payload: bytes) -> None:
    assert reason_of(packet_with(payload=payload, first=0xA0)) == "padding"


def test_padding_never_eats_the_header() -> None:
    assert reason_of(packet_with(payload=b"", first=0xA0)) == "padding"
    block = block_of(ONE_BYTE_PROFILE, b"\x12aa\x01")
    assert reason_of(packet_with(block, payload=b"", first=0xA0)) == "padding"


def test_a_packet_may_be_all_padding() -> None:
    packet = RtpPacket.parse(packet_with(payload=b"\x00\x00\x03", first=0xA0))
    assert packet.payload == b""
    assert packet.padding_bytes == 3
