from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.negotiation.sdp import MAX_BYTES, MAX_LINES, MAX_SECTIONS, parse_sdp
from tests.unit.negotiation.texts import CHROMIUM, NAMES, mutations, vector

REASONS = {"too_long", "not_sdp", "media_line"}
HEAD = "v=0\r\ns=-\r\n"


def refusal(text: str) -> str | None:
    """The reason of a `ParseError`; None where the text was read. Anything else that is raised goes on."""
    try:
        parse_sdp(text)
    except ParseError as error:
        return error.reason
    return None


@given(st.text(st.characters()) | mutations())
def test_any_text_gives_a_description_or_a_parse_error(text: str) -> None:
    try:
        description = parse_sdp(text)
    except ParseError as error:
        assert error.reason in REASONS  # noqa: PT017  # both ways are right
        return
    again = parse_sdp(description.serialise())
    assert again == description
    assert again.attributes == description.attributes


@pytest.mark.parametrize("name", NAMES)
def test_what_was_recorded_is_written_as_it_was_read(name: str) -> None:
    assert parse_sdp(vector(name)).serialise() == vector(name)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\r\n\r\n"])
def test_lines_may_end_as_they_like_and_be_empty(end: str) -> None:
    assert parse_sdp(CHROMIUM.replace("\r\n", end)) == parse_sdp(CHROMIUM)


def test_only_cr_and_lf_end_lines() -> None:
    (section,) = parse_sdp(f"{HEAD}m=audio 9 RTP 0\r\na=msid:one\x85two\u2028three\x0bfour\r\n").sections
    assert section.value("msid") == "one\x85two\u2028three\x0bfour"


@pytest.mark.parametrize(
    "line", ["m=audio 9/2 RTP/AVP 0", "m=audio  9\tRTP/AVP   0 8", "m=audio 00009 RTP/AVP", "m=chat 9 X 1 "]
)
def test_an_odd_media_line_is_kept_as_it_was(line: str) -> None:
    text = f"{HEAD}{line}\r\n"
    description = parse_sdp(text)
    assert description.serialise() == text
    assert description.sections[0].port == 9


@pytest.mark.parametrize(
    "line", ["m=audio", "m=audio 9", "m=audio x RTP 0", "m=audio \u0669 RTP 0", "m=audio 123456 RTP 0", "m="]
)
def test_a_media_line_without_a_port_is_none(line: str) -> None:
    assert refusal(f"{HEAD}{line}\r\n") == "media_line"


@pytest.mark.parametrize(
    "text", ["", "\r\n", "o=-\r\nv=0\r\n", "v=1\r\n", "v=0\r\nnonsense\r\n", "v=0\r\na\r\n"]
)
def test_what_does_not_look_like_it_is_no_description(text: str) -> None:
    assert refusal(text) == "not_sdp"


def test_half_a_surrogate_pair_is_refused_since_no_answer_could_carry_it() -> None:
    assert refusal(f"{HEAD}a=x:\ud83d\r\n") == "not_sdp"


def test_length_is_counted_in_bytes_up_to_its_limit() -> None:
    fits = HEAD + "a=" + "\u00e9" * ((MAX_BYTES - len(HEAD) - 2) // 2)
    assert len(fits.encode()) in {MAX_BYTES - 1, MAX_BYTES}
    assert refusal(fits) is None
    assert refusal(fits + "\u00e9") == "too_long"


def test_lines_are_read_up_to_their_limit() -> None:
    assert refusal("v=0\n" + "a=\n" * (MAX_LINES - 1)) is None
    assert refusal("v=0\n" + "a=\n" * MAX_LINES) == "too_long"


def test_sections_are_read_up_to_their_limit() -> None:
    assert len(parse_sdp(HEAD + "m=audio 9 RTP 0\r\n" * MAX_SECTIONS).sections) == MAX_SECTIONS
    assert refusal(HEAD + "m=audio 9 RTP 0\r\n" * (MAX_SECTIONS + 1)) == "too_long"


def test_attributes_are_found_by_name_in_order_with_and_without_a_value() -> None:
    description = parse_sdp(
        f"{HEAD}a=group:BUNDLE 0\r\na=ice-lite\r\nm=audio 9 RTP 0\r\na=x:1\r\na=x:2:3\r\na=y\r\n"
    )
    (section,) = description.sections
    assert section.values("x") == ("1", "2:3")
    assert section.value("x") == "1"
    assert (section.has("y"), section.value("y"), section.has("z"), section.value("z")) == (
        True,
        "",
        False,
        None,
    )
    assert description.value("group") == "BUNDLE 0"
    assert (description.has("ice-lite"), description.has("x"), description.value("x")) == (True, False, None)


def test_a_representation_shows_neither_lines_nor_keys() -> None:
    assert "ice-pwd" not in repr(parse_sdp(CHROMIUM))
