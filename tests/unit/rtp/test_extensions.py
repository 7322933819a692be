from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.rtp.extensions import (
    MAX_NAME_BYTES,
    AudioLevel,
    abs_send_time,
    parse_audio_level,
    parse_name,
    parse_transport_sequence_number,
    serialise_audio_level,
)
from sfu.units import NS_PER_S, Instant
from tests.unit.rtp.packets import refusal

if TYPE_CHECKING:
    from collections.abc import Callable


@given(value=st.binary(max_size=20))
@pytest.mark.parametrize(
    ("parse", "reason"),
    [
        (parse_name, "name"),
        (parse_audio_level, "audio_level"),
        (parse_transport_sequence_number, "transport_cc"),
    ],
)
def test_any_bytes_are_a_value_or_refused(
    parse: Callable[[bytes], object], reason: str, value: bytes
) -> None:
    assert refusal(parse, value) in {None, reason}


@pytest.mark.parametrize("name", ["0", "f", "q_1", "x" * MAX_NAME_BYTES])
def test_a_name_is_read(name: str) -> None:
    assert parse_name(name.encode()) == name


@pytest.mark.parametrize("value", [b"", b"x" * (MAX_NAME_BYTES + 1), b"\xc3\xa9", b"a\x00", b"a\n"])
def test_what_is_no_name_is_refused(value: bytes) -> None:
    with pytest.raises(ParseError):
        parse_name(value)


@given(level=st.integers(0, 127), voice=st.booleans())
def test_an_audio_level_survives_the_wire(level: int, voice: bool) -> None:
    value = AudioLevel(level, voice=voice)
    assert parse_audio_level(serialise_audio_level(value)) == value
    assert parse_audio_level(serialise_audio_level(value) + b"\x00") == value


def test_an_audio_level_has_the_voice_in_its_highest_bit() -> None:
    assert parse_audio_level(b"\x8a") == AudioLevel(10, voice=True)
    assert parse_audio_level(b"\x7f") == AudioLevel(127, voice=False)


@pytest.mark.parametrize("value", [b"", b"\x01\x00\x00"])
def test_an_audio_level_of_another_size_is_refused(value: bytes) -> None:
    with pytest.raises(ParseError):
        parse_audio_level(value)


def test_a_transport_sequence_number_is_two_bytes() -> None:
    assert parse_transport_sequence_number(b"\xff\xfe") == 65_534
    for value in (b"", b"\x01", b"\x01\x02\x03"):
        with pytest.raises(ParseError):
            parse_transport_sequence_number(value)


def test_a_send_time_counts_in_units_of_two_to_the_minus_18_and_wraps_after_64_seconds() -> None:
    assert abs_send_time(Instant(0)) == b"\x00\x00\x00"
    assert abs_send_time(Instant(NS_PER_S)) == b"\x04\x00\x00"
    assert abs_send_time(Instant(NS_PER_S // 2)) == b"\x02\x00\x00"
    assert abs_send_time(Instant(64 * NS_PER_S - 1)) == b"\xff\xff\xff"
    assert abs_send_time(Instant(64 * NS_PER_S)) == b"\x00\x00\x00"
