from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.negotiation.codecs import (
    CALLER_NUMBERS,
    DEFAULT_NUMBERS,
    MAX_CODECS,
    MAX_PARAMETERS_LENGTH,
    CodecReader,
    NegotiatedCodec,
    accepted,
    codecs_of,
    default_codecs,
    feedback_lines,
    for_sending,
    one_per_key,
    payload_types_of,
)
from sfu.plane import Codec
from sfu.units import Kind, PayloadType
from tests.unit.negotiation.texts import CHROMIUM, FIREFOX, media, remote_section, vector

NAMES = ("VP8", "H264", "opus")
VP8 = ("a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96")


def table(codecs: tuple[NegotiatedCodec, ...]) -> dict[str, tuple[int, ...]]:
    """Numbers by key."""
    return {codec.format.key: codec.numbers for codec in codecs}


def read(*lines: str, kind: str = "video", formats: str = "96 97 98 99") -> tuple[NegotiatedCodec, ...]:
    return codecs_of(media(*lines, kind=kind, formats=formats))


def h264(number: int, profile_level_id: str, mode: int = 1) -> tuple[str, str]:
    parameters = f"packetization-mode={mode};profile-level-id={profile_level_id}"
    return f"a=rtpmap:{number} H264/90000", f"a=fmtp:{number} {parameters}"


def test_each_browser_has_numbers_of_its_own() -> None:
    assert table(remote_section(CHROMIUM, "1").codecs)["VP8"] == (96, 97)
    assert table(remote_section(FIREFOX, "1").codecs)["VP8"] == (120, 124)


def test_chromium_offers_h264_in_six_configurations() -> None:
    keys = [key for key in table(remote_section(CHROMIUM, "1").codecs) if key.startswith("H264")]
    assert len(keys) == 6
    assert "H264/constrained-baseline/1" in keys


@pytest.mark.parametrize("sdp", [CHROMIUM, FIREFOX])
def test_red_and_fec_are_refused(sdp: str) -> None:
    refused = {
        value.split()[0]
        for mid in "01"
        for value in remote_section(sdp, mid).media.values("rtpmap")
        if value.split()[1].startswith(
            ("red/", "ulpfec/", "flexfec", "CN/", "telephone-event/", "PCM", "G722")
        )
    }
    taken = {str(number) for mid in "01" for one in remote_section(sdp, mid).codecs for number in one.numbers}
    assert len(refused) >= 5
    assert taken.isdisjoint(refused)


def test_opus_parameters_are_kept_as_they_were_written() -> None:
    (opus,) = read(
        "a=rtpmap:111 OPUS/48000/2", "a=fmtp:111 minptime=10; usedtx=1", kind="audio", formats="111"
    )
    assert opus.lines == ("a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10; usedtx=1")


def test_rtx_belongs_to_its_codec() -> None:
    (vp8,) = read(*VP8)
    assert vp8.lines == (
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
    )
    assert vp8.with_repair(None).numbers == (96,)
    assert vp8.with_repair(PayloadType(99)).numbers == (96, 99)


@pytest.mark.parametrize(
    ("rtx", "formats"),
    [
        (("a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"), "96"),
        (("a=rtpmap:97 rtx/90000",), "96 97"),
        (("a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=x"), "96 97"),
        (("a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=98"), "96 97"),
    ],
)
def test_rtx_that_is_of_nothing_or_not_in_the_media_line_is_none(rtx: tuple[str, ...], formats: str) -> None:
    assert table(read(VP8[0], *rtx, formats=formats)) == {"VP8": (96,)}


@pytest.mark.parametrize(
    "line",
    [
        "a=rtpmap:96 VP8/8000",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:96 VP10/90000",
        "a=rtpmap:96",
        "a=rtpmap:x VP8/90000",
        "a=rtpmap:98 VP8/90000",
    ],
)
def test_what_is_not_a_video_codec_of_ours_is_left_out(line: str) -> None:
    assert read(line, formats="96") == ()


def test_audio_takes_opus_only() -> None:
    assert read("a=rtpmap:0 PCMU/8000", "a=rtpmap:96 VP8/90000", kind="audio", formats="0 96") == ()


def test_numbers_that_look_like_rtcp_are_left_out() -> None:
    assert read("a=rtpmap:72 VP8/90000", formats="72") == ()
    assert read("a=rtpmap:95 VP8/90000", formats="95") == ()
    assert table(read("a=rtpmap:63 VP8/90000", formats="63")) == {"VP8": (63,)}


def test_a_number_that_stands_twice_counts_once_in_any_spelling() -> None:
    codecs = read("a=rtpmap:35 VP8/90000", "a=rtpmap:35 VP9/90000", formats="035 35 35 128 x 1000")
    assert table(codecs) == {"VP8": (35,)}
    assert len(codecs) == 1


def test_sections_that_say_the_same_are_read_once() -> None:
    reader = CodecReader()
    first = reader.read(media(*VP8, "a=rtcp-fb:96 nack", mid="1"))
    assert reader.read(media("a=recvonly", *VP8, "a=rtcp-fb:96 nack", mid="2")) is first
    others = (
        media(*VP8, mid="3"),
        media(*VP8, "a=rtcp-fb:96 nack", formats="96"),
        media(*VP8, "a=rtcp-fb:96 nack", "a=fmtp:96 x=1"),
        media(*VP8[1:], "a=rtpmap:96 VP9/90000", "a=rtcp-fb:96 nack"),
        media(*VP8, "a=rtcp-fb:96 nack", kind="audio"),
    )
    for other in others:
        assert reader.read(other) == codecs_of(other) != first


def test_long_parameters_are_refused_since_each_section_would_repeat_them() -> None:
    fits = "x" * MAX_PARAMETERS_LENGTH
    assert read("a=rtpmap:96 VP8/90000", f"a=fmtp:96 {fits}")[0].parameters == fits
    assert read("a=rtpmap:96 VP8/90000", f"a=fmtp:96 {fits}x") == ()


def test_codecs_are_read_up_to_their_limit() -> None:
    formats = " ".join(str(number) for number in (*range(64), *range(96, 128)))
    maps = [f"a=rtpmap:{number} VP8/90000" for number in range(128)]
    assert (
        len(read(*maps, formats=formats))
        == MAX_CODECS
        == len(payload_types_of(media(*maps, formats=formats)))
    )


def test_every_payload_type_is_taken_also_those_of_unknown_codecs() -> None:
    assert payload_types_of(remote_section(CHROMIUM, "0").media) >= {111, 63, 0, 8, 126}


@pytest.mark.parametrize(
    ("told", "agreed"),
    [
        (
            ("96 nack", "96 nack pli", "96 ccm fir", "96 transport-cc", "96 goog-remb"),
            ("nack", "nack pli", "ccm fir", "transport-cc"),
        ),
        (("96 goog-remb", "96 nack"), ("nack", "goog-remb")),
        (("* nack", "96 nack pli"), ("nack", "nack pli")),
        (("96 nack rpsi", "97 nack", "nonsense"), ()),
    ],
)
def test_feedback_is_what_both_know_and_remb_only_without_transport_cc(
    told: tuple[str, ...], agreed: tuple[str, ...]
) -> None:
    (codec,) = read(*VP8, *(f"a=rtcp-fb:{one}" for one in told))
    assert codec.feedback == agreed


def test_audio_has_transport_cc_and_no_more() -> None:
    lines = ("a=rtpmap:111 opus/48000/2", "a=rtcp-fb:111 transport-cc", "a=rtcp-fb:111 nack")
    (opus,) = read(*lines, kind="audio", formats="111")
    assert opus.feedback == ("transport-cc",)


def test_feedback_is_written_once_where_all_codecs_have_the_same() -> None:
    both = read(*VP8, *h264(98, "42e01f"), "a=rtcp-fb:* nack", "a=rtcp-fb:* transport-cc")
    assert feedback_lines(both) == ("a=rtcp-fb:* nack", "a=rtcp-fb:* transport-cc")
    mixed = read(*VP8, *h264(98, "42e01f"), "a=rtcp-fb:96 nack", "a=rtcp-fb:98 ccm fir")
    assert feedback_lines(mixed) == ("a=rtcp-fb:96 nack", "a=rtcp-fb:98 ccm fir")


def test_upstream_vp8_and_h264_come_first_and_what_is_not_configured_does_not_come() -> None:
    codecs = remote_section(CHROMIUM, "1").codecs
    assert [one.format.codec for one in accepted(codecs, NAMES)] == [Codec.VP8, Codec.H264]
    assert [one.format.codec for one in accepted(codecs, ("av1", "VP9", "VP8"))] == [
        Codec.AV1,
        Codec.VP9,
        Codec.VP8,
    ]
    assert accepted(codecs, ("opus",)) == ()


def test_of_each_codec_the_configuration_is_taken_that_most_can_decode() -> None:
    codecs = read(*h264(96, "64001f"), *h264(97, "42e01f", 0), *h264(98, "42e01f"), *h264(99, "4d001f"))
    assert list(table(accepted(codecs, NAMES))) == ["H264/constrained-baseline/1"]
    assert list(table(accepted(codecs[:2], NAMES))) == ["H264/constrained-baseline/0"]
    assert list(table(accepted(codecs[3:] + codecs[:1], NAMES))) == ["H264/main/1"]


def test_remb_is_not_agreed_on_upstream() -> None:
    (codec,) = accepted(read(*VP8, "a=rtcp-fb:96 goog-remb", "a=rtcp-fb:96 nack"), NAMES)
    assert codec.feedback == ("nack",)


def test_of_several_numbers_the_one_agreed_on_before_stays() -> None:
    first, second = read("a=rtpmap:96 VP8/90000", "a=rtpmap:98 VP8/90000")
    assert one_per_key((first, second)) == {"VP8": first}
    assert one_per_key((first, second), (second,)) == {"VP8": second}
    assert one_per_key((first, second), (first, second)) == {"VP8": first}
    assert accepted((first, second), NAMES, (second,)) == (second,)


def test_what_only_tells_a_sender_is_left_out_where_we_send() -> None:
    (opus,) = read("a=rtpmap:111 opus/48000/2", "a=fmtp:111 usedtx=1", kind="audio", formats="111")
    assert for_sending((opus,))[0].lines == ("a=rtpmap:111 opus/48000/2",)


def test_a_kind_the_client_said_nothing_of_gets_free_numbers() -> None:
    (opus,) = default_codecs(Kind.AUDIO, NAMES, ())
    assert (opus.format.key, opus.channels, opus.numbers, opus.feedback) == (
        "opus",
        2,
        (105,),
        ("transport-cc",),
    )
    assert "usedtx=1" in opus.parameters
    vp8, coded = default_codecs(Kind.VIDEO, ("nothing", *NAMES), {105, 112})
    assert (vp8.format.key, vp8.numbers) == ("VP8", (106, 113))
    assert (coded.format.key, coded.numbers) == ("H264/constrained-baseline/1", (127, 51))
    assert vp8.feedback == ("nack", "nack pli", "ccm fir", "transport-cc")


def test_what_everybody_can_decode_gets_numbers_that_everybody_takes_for_dynamic_ones() -> None:
    for kind in Kind:
        ours = default_codecs(kind, ("VP8", "H264", "opus"), {105} if kind is Kind.VIDEO else ())
        assert all(number >= 96 for one in ours for number in one.numbers)


def test_where_no_number_is_free_a_codec_is_left_out() -> None:
    assert default_codecs(Kind.VIDEO, NAMES, range(128)) == ()
    (vp8,) = default_codecs(Kind.VIDEO, NAMES, set(range(128)) - {100})
    assert vp8.numbers == (100,)


def test_free_numbers_are_none_that_browsers_give_to_codecs_of_their_own() -> None:
    theirs = {
        number
        for sdp in (CHROMIUM, FIREFOX, vector("element_call/seven-sections"))
        for mid in "01"
        for number in remote_section(sdp, mid).payload_types
    }
    for kind in Kind:
        ours = default_codecs(kind, ("VP8", "H264", "VP9", "AV1", "opus"), ())
        assert theirs.isdisjoint(number for one in ours for number in one.numbers)


def test_a_caller_chooses_numbers_that_who_is_called_would_not() -> None:
    names = ("VP8", "H264", "VP9", "AV1", "opus")
    given_numbers: dict[tuple[int, ...], set[int]] = {}
    for pool in (CALLER_NUMBERS, DEFAULT_NUMBERS):
        used: set[int] = set()
        for kind in Kind:
            used |= {number for one in default_codecs(kind, names, used, pool) for number in one.numbers}
        given_numbers[pool] = used
    assert {len(used) for used in given_numbers.values()} == {9}
    assert given_numbers[CALLER_NUMBERS].isdisjoint(given_numbers[DEFAULT_NUMBERS])
    assert all(96 <= number < 128 for number in CALLER_NUMBERS)


@given(
    st.sets(st.integers(0, 127)),
    st.permutations(["VP8", "H264", "VP9", "AV1", "opus"]),
    st.sampled_from(Kind),
)
def test_free_numbers_are_free_and_do_not_look_like_rtcp(
    used: set[int], names: list[str], kind: Kind
) -> None:
    given_numbers = [number for one in default_codecs(kind, tuple(names), used) for number in one.numbers]
    assert len(set(given_numbers)) == len(given_numbers)
    assert not set(given_numbers) & (used | set(range(64, 96)))
