from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.rtp.vp9 import Vp9Descriptor, parse_vp9
from tests.unit.rtp.packets import refusal


def test_the_descriptor_is_where_the_rfc_puts_it() -> None:
    # I, P, L and E are set; a long picture id; temporal layer 2 and up-switch, spatial layer 1 and its
    # dependency.
    assert parse_vp9(bytes.fromhex("e4 8123 53 00")) == Vp9Descriptor(
        starts_frame=False,
        ends_frame=True,
        is_inter_predicted=True,
        picture_id=0x123,
        temporal_id=2,
        spatial_id=1,
        switching_point=True,
        inter_layer_predicted=True,
    )


def test_a_short_picture_id_has_seven_bits() -> None:
    assert parse_vp9(bytes.fromhex("8845")).picture_id == 0x45


def test_a_descriptor_may_be_one_byte() -> None:
    assert parse_vp9(b"\x08") == Vp9Descriptor(starts_frame=True, ends_frame=False, is_inter_predicted=False)


@pytest.mark.parametrize(
    ("payload", "starts"),
    [
        ("08", True),
        ("0c", True),
        ("a88123 00", True),
        ("a88123 01", True),
        ("a88123 03", False),  # a higher spatial layer of the key picture
        ("a08123 00", False),  # not its first packet
        ("e88123 00", False),  # inter-picture predicted
        ("48", False),
    ],
)
def test_a_key_frame_starts_with_the_first_packet_of_its_lowest_layer(payload: str, starts: bool) -> None:
    assert parse_vp9(bytes.fromhex(payload)).starts_key_frame is starts


@pytest.mark.parametrize("payload", ["", "80", "8081", "a045", "a08123", "20"])
def test_a_descriptor_that_ends_early_is_refused(payload: str) -> None:
    with pytest.raises(ParseError, match="vp9"):
        parse_vp9(bytes.fromhex(payload))


@given(payload=st.binary(max_size=6))
def test_any_bytes_are_a_descriptor_or_refused(payload: bytes) -> None:
    assert refusal(parse_vp9, payload) in {None, "vp9"}


@given(
    first=st.integers(0, 255),
    picture_id=st.integers(0, 2**15 - 1),
    temporal=st.integers(0, 7),
    spatial=st.integers(0, 7),
)
def test_fields_are_read_whatever_the_others_are(
    first: int, picture_id: int, temporal: int, spatial: int
) -> None:
    payload = bytes((first,))
    if first & 0x80:
        payload += (0x8000 | picture_id).to_bytes(2, "big")
    if first & 0x20:
        payload += bytes((temporal << 5 | spatial << 1,))
    descriptor = parse_vp9(payload)
    assert descriptor.picture_id == (picture_id if first & 0x80 else None)
    assert descriptor.temporal_id == (temporal if first & 0x20 else None)
    assert descriptor.spatial_id == (spatial if first & 0x20 else None)
    assert descriptor.starts_frame is bool(first & 8)
    assert descriptor.ends_frame is bool(first & 4)
    assert descriptor.is_inter_predicted is bool(first & 64)
