from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.negotiation.configurations import codec_key, decoder_parameters, parse_parameters
from sfu.plane import Codec


def h264(profile_level_id: str, mode: str = ";packetization-mode=1") -> str | None:
    return codec_key(Codec.H264, f"profile-level-id={profile_level_id}{mode}")


@given(st.sampled_from(Codec), st.text(st.characters()))
def test_any_parameters_give_a_short_key_or_none(codec: Codec, parameters: str) -> None:
    key = codec_key(codec, parameters)
    assert key is None or (len(key) < 40 and key.startswith(codec))
    assert codec_key(codec, decoder_parameters(codec, parameters)) == key


@pytest.mark.parametrize(
    ("profile_level_id", "profile"),
    [
        # What browsers offer: Chromium, Firefox, Safari.
        ("42001f", "baseline"),
        ("42e01f", "constrained-baseline"),
        ("4d001f", "main"),
        ("64001f", "high"),
        ("640c1f", "constrained-high"),
        ("f4001f", "high-444"),
        # Other ways to say it (RFC 6184 table 5).
        ("4d801f", "constrained-baseline"),
        ("58c01f", "constrained-baseline"),
        ("58801f", "baseline"),
        ("42E034", "constrained-baseline"),
    ],
)
def test_h264_profiles_are_told_apart_as_libwebrtc_does(profile_level_id: str, profile: str) -> None:
    assert h264(profile_level_id) == f"H264/{profile}/1"


def test_h264_levels_may_differ() -> None:
    assert h264("42e00a") == h264("42e01f") == h264("42e034")


def test_h264_packetization_modes_may_not_differ() -> None:
    assert h264("42e01f") != h264("42e01f", ";packetization-mode=0")


def test_h264_without_parameters_is_baseline_in_single_packets() -> None:
    assert codec_key(Codec.H264, "") == "H264/baseline/0"
    assert h264("42e01f", "") == "H264/constrained-baseline/0"


@pytest.mark.parametrize(
    "profile_level_id", ["", "42e0", "42e01f00", "zzzzzz", "0x42e0", "99001f", "420\u0660\u06601f"]
)
def test_h264_of_no_known_profile_is_not_forwarded(profile_level_id: str) -> None:
    assert h264(profile_level_id) is None


def test_h264_in_interleaved_packets_is_not_forwarded() -> None:
    assert h264("42e01f", ";packetization-mode=2") is None


def test_vp9_and_av1_are_told_apart_by_profile() -> None:
    assert codec_key(Codec.VP9, "") == codec_key(Codec.VP9, "profile-id=0") == "VP9/0"
    assert codec_key(Codec.VP9, "profile-id=2") == "VP9/2"
    assert codec_key(Codec.AV1, "level-idx=5;profile=1;tier=0") == "AV1/1"
    assert codec_key(Codec.VP9, "profile-id=9") is codec_key(Codec.AV1, "profile=00") is None


def test_opus_and_vp8_are_one_thing_whatever_is_said_of_them() -> None:
    assert codec_key(Codec.OPUS, "stereo=1") == "opus"
    assert codec_key(Codec.VP8, "max-fs=12288") == "VP8"


def test_parameters_are_read_with_spaces_and_in_any_case() -> None:
    assert parse_parameters(" APT = 96 ; ;x;=3;y=a=b") == {"apt": "96", "x": "", "y": "a=b"}


def test_where_only_we_send_what_tells_a_sender_is_left_out() -> None:
    assert decoder_parameters(Codec.OPUS, "minptime=10;useinbandfec=1;usedtx=1") == ""
    assert decoder_parameters(Codec.VP8, "max-fs=12288;max-fr=60") == ""
    h264_parameters = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
    assert decoder_parameters(Codec.H264, f"max-br=1;{h264_parameters}") == h264_parameters
    assert decoder_parameters(Codec.VP9, "profile-id=2;max-fs=12288") == "profile-id=2"
    assert decoder_parameters(Codec.AV1, "level-idx=5;profile=0;tier=0") == "level-idx=5;profile=0;tier=0"
