"""When two codec configurations are one bitstream: what an fmtp value says, and the key made of it."""

from __future__ import annotations

from typing import Final, assert_never

from sfu.plane import Codec

MOST_DECODABLE: Final = ("H264/constrained-baseline/1", "H264/constrained-baseline/0", "VP9/0", "AV1/0")
"""Of several configurations of one codec that a publisher offers, these are taken first: every browser that
has the codec decodes them (RFC 7742 section 6.2)."""

_H264_PROFILES: Final = (
    ("constrained-baseline", 0x42, 0x4F, 0x40),
    ("constrained-baseline", 0x4D, 0x8F, 0x80),
    ("constrained-baseline", 0x58, 0xCF, 0xC0),
    ("baseline", 0x42, 0x4F, 0x00),
    ("baseline", 0x58, 0xCF, 0x80),
    ("main", 0x4D, 0xAF, 0x00),
    ("high", 0x64, 0xFF, 0x00),
    ("constrained-high", 0x64, 0xFF, 0x0C),
    ("high-444", 0xF4, 0xFF, 0x00),
)
"""Name, profile_idc, and the constraint flags that matter for it under their mask: as libwebrtc has them."""
_VP9_PROFILES: Final = frozenset("0123")
_AV1_PROFILES: Final = frozenset("012")
_DECODER_PARAMETERS: Final = {
    Codec.H264: frozenset({"level-asymmetry-allowed", "packetization-mode", "profile-level-id"}),
    Codec.VP9: frozenset({"profile-id"}),
    Codec.AV1: frozenset({"profile", "level-idx", "tier"}),
}


def codec_key(codec: Codec, parameters: str) -> str | None:
    """What must be equal on two legs for a bitstream to pass; None for a configuration nobody forwards.

    H.264: the profile and the packetization mode. Levels are left out, as libwebrtc does: where both sides
    allow asymmetry they may differ (RFC 6184 section 8.2.2), and each leg is told its own client's level.
    VP9 and AV1: the profile.
    """
    values = parse_parameters(parameters)
    match codec:
        case Codec.H264:
            profile = _h264_profile(values.get("profile-level-id", "42000A"))
            mode = values.get("packetization-mode", "0")
            return None if profile is None or mode not in {"0", "1"} else f"H264/{profile}/{mode}"
        case Codec.VP9:
            profile = values.get("profile-id", "0")
            return f"VP9/{profile}" if profile in _VP9_PROFILES else None
        case Codec.AV1:
            profile = values.get("profile", "0")
            return f"AV1/{profile}" if profile in _AV1_PROFILES else None
        case Codec.OPUS | Codec.VP8:
            return codec.value
        case _:
            assert_never(codec)


def decoder_parameters(codec: Codec, parameters: str) -> str:
    """The part of an fmtp value that a decoder is chosen by.

    The rest tells the other side how to send (`usedtx`, `max-fs`): where only we send, it says nothing.
    """
    telling = _DECODER_PARAMETERS.get(codec, frozenset())
    return ";".join(part for part in parameters.split(";") if _name(part) in telling)


def parse_parameters(parameters: str) -> dict[str, str]:
    """The `name=value` pairs of an fmtp value; names in lower case."""
    return {name: part.partition("=")[2].strip() for part in parameters.split(";") if (name := _name(part))}


def _name(part: str) -> str:
    return part.partition("=")[0].strip().lower()


def _h264_profile(profile_level_id: str) -> str | None:
    try:
        value = int(profile_level_id, 16)
    except ValueError:
        return None
    if len(profile_level_id) != 6:
        return None
    profile, flags = value >> 16, value >> 8 & 0xFF
    for name, wanted_profile, mask, wanted in _H264_PROFILES:
        if profile == wanted_profile and flags & mask == wanted:
            return name
    return None
