"""Which codecs are agreed on, under which numbers, and when two configurations are one bitstream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.plane import Codec, PayloadFormat
from sfu.units import Kind, PayloadType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.negotiation.sdp import MediaSection

MAX_CODECS: Final = 64
"""Payload types read from one section; browsers offer about 25."""

VIDEO_FEEDBACK: Final = ("nack", "nack pli", "ccm fir", "transport-cc", "goog-remb")
_DEFAULT_VIDEO_FEEDBACK: Final = VIDEO_FEEDBACK[:-1]
AUDIO_FEEDBACK: Final = ("transport-cc",)


@dataclass(frozen=True, slots=True)
class NegotiatedCodec:
    """One codec configuration under the client's number."""

    format: PayloadFormat
    channels: int
    parameters: str
    """The fmtp value as the client wrote it."""
    feedback: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The attribute lines of this codec and its RTX."""
        form = self.format
        channels = f"/{self.channels}" if self.channels > 1 else ""
        lines = [f"a=rtpmap:{form.payload_type} {form.codec}/{form.clock_rate}{channels}"]
        if self.parameters:
            lines.append(f"a=fmtp:{form.payload_type} {self.parameters}")
        lines += [f"a=rtcp-fb:{form.payload_type} {feedback}" for feedback in self.feedback]
        if form.rtx_payload_type is not None:
            lines.append(f"a=rtpmap:{form.rtx_payload_type} rtx/{form.clock_rate}")
            lines.append(f"a=fmtp:{form.rtx_payload_type} apt={form.payload_type}")
        return tuple(lines)


def codecs_of(section: MediaSection) -> tuple[NegotiatedCodec, ...]:
    """The codecs of a client's section that we know, in its order; RTX belongs to its codec.

    RED and FEC are left out: they are not translated per subscriber. What is malformed is left out too.
    """
    maps = _numbered(section.values("rtpmap"))
    parameters = _numbered(section.values("fmtp"))
    repairs = _repairs(maps, parameters)
    feedback = _feedback(section.values("rtcp-fb"))
    wanted = AUDIO_FEEDBACK if section.kind == Kind.AUDIO else VIDEO_FEEDBACK
    codecs = []
    for number in section.formats[:MAX_CODECS]:
        parsed = _parse_map(maps.get(number, ""))
        if parsed is None or (parsed[0] is Codec.OPUS) != (section.kind == Kind.AUDIO):
            continue
        codec, clock_rate, channels = parsed
        key = codec_key(codec, parameters.get(number, ""))
        if key is None:
            continue
        told = feedback.get(number, ()) + feedback.get("*", ())
        codecs.append(
            NegotiatedCodec(
                PayloadFormat(key, codec, PayloadType(int(number)), clock_rate, repairs.get(number)),
                channels,
                parameters.get(number, ""),
                _feedback_of(wanted, told),
            )
        )
    return tuple(codecs)


def accepted(codecs: Iterable[NegotiatedCodec], names: tuple[str, ...]) -> tuple[NegotiatedCodec, ...]:
    """What we receive of a client's codecs, best first by our policy; of equal keys the first only.

    REMB is left out: we tell the publisher by transport-wide feedback or not at all.
    """
    chosen: dict[str, NegotiatedCodec] = {}
    for name in names:
        for codec in codecs:
            if codec.format.codec.lower() == name.lower():
                chosen.setdefault(codec.format.key, _without_remb(codec))
    return tuple(chosen.values())


def codec_key(codec: Codec, parameters: str) -> str | None:
    """What must be equal on two legs for a bitstream to pass; None for a configuration nobody forwards.

    H.264: profile (RFC 6184 section 8.1, levels apart, which may differ) and packetization mode.
    VP9 and AV1: the profile.
    """
    values = parse_parameters(parameters)
    match codec:
        case Codec.H264:
            profile = _h264_profile(values.get("profile-level-id", "42000A"))
            mode = values.get("packetization-mode", "0")
            return None if profile is None or mode not in {"0", "1"} else f"H264/{profile}/{mode}"
        case Codec.VP9:
            return f"VP9/{values.get('profile-id', '0')[:4]}"
        case Codec.AV1:
            return f"AV1/{values.get('profile', '0')[:4]}"
        case Codec.OPUS | Codec.VP8:
            return codec.value


def parse_parameters(parameters: str) -> dict[str, str]:
    """The `name=value` pairs of an fmtp value; names in lower case."""
    pairs = (part.partition("=") for part in parameters.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def default_codecs(kind: Kind, names: tuple[str, ...], used: Iterable[int]) -> tuple[NegotiatedCodec, ...]:
    """Codecs for a kind that the client has said nothing of yet, under numbers that are free on its leg."""
    free = (number for number in (*range(96, 128), *range(35, 64)) if number not in frozenset(used))
    codecs = []
    for name in names:
        codec = next((one for one in Codec if one.lower() == name.lower()), None)
        if codec is None or (codec is Codec.OPUS) != (kind is Kind.AUDIO):
            continue
        parameters = _DEFAULT_PARAMETERS.get(codec, "")
        key = codec_key(codec, parameters)
        assert key is not None  # noqa: S101  # the defaults are ours
        number = PayloadType(next(free))
        rtx = None if codec is Codec.OPUS else PayloadType(next(free))
        codecs.append(
            NegotiatedCodec(
                PayloadFormat(key, codec, number, 48_000 if codec is Codec.OPUS else 90_000, rtx),
                2 if codec is Codec.OPUS else 1,
                parameters,
                AUDIO_FEEDBACK if codec is Codec.OPUS else _DEFAULT_VIDEO_FEEDBACK,
            )
        )
    return tuple(codecs)


_DEFAULT_PARAMETERS: Final = {
    Codec.OPUS: "minptime=10;useinbandfec=1;usedtx=1",
    Codec.H264: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    Codec.VP9: "profile-id=0",
}


def _feedback_of(wanted: tuple[str, ...], told: tuple[str, ...]) -> tuple[str, ...]:
    # REMB only where there is no transport-wide feedback.
    agreed = tuple(one for one in wanted if one in told)
    return tuple(one for one in agreed if one != "goog-remb" or "transport-cc" not in agreed)


def _without_remb(codec: NegotiatedCodec) -> NegotiatedCodec:
    feedback = tuple(one for one in codec.feedback if one != "goog-remb")
    return NegotiatedCodec(codec.format, codec.channels, codec.parameters, feedback)


def _numbered(values: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        number, _, rest = value.partition(" ")
        if number.isdecimal() and number.isascii() and len(number) <= 3 and int(number) < 128:
            found.setdefault(number, rest.strip())
    return found


def _parse_map(value: str) -> tuple[Codec, int, int] | None:
    name, _, rest = value.partition("/")
    rate, _, channels = rest.partition("/")
    codec = next((one for one in Codec if one.lower() == name.lower()), None)
    if codec is None or rate != ("48000" if codec is Codec.OPUS else "90000"):
        return None
    return codec, int(rate), 2 if channels == "2" else 1


def _repairs(maps: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, PayloadType]:
    return {
        parse_parameters(parameters.get(number, "")).get("apt", ""): PayloadType(int(number))
        for number, name in maps.items()
        if name.lower().startswith("rtx/")
    }


def _feedback(values: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for value in values:
        number, _, rest = value.partition(" ")
        found[number] = (*found.get(number, ()), rest.strip())
    return found


def _h264_profile(profile_level_id: str) -> str | None:
    # As libwebrtc tells them apart: profile_idc and the constraint flags that matter for it.
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
