"""Which codecs are agreed on, and under which numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sfu.negotiation.configurations import MOST_DECODABLE, codec_key, decoder_parameters, parse_parameters
from sfu.plane import Codec, PayloadFormat
from sfu.units import Kind, PayloadType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sfu.negotiation.sdp import MediaSection

MAX_CODECS: Final = 64
"""Payload types read from one section; browsers offer about 25."""
MAX_PARAMETERS_LENGTH: Final = 512
"""Longest fmtp value of a codec; it is repeated in each section that has the codec."""

VIDEO_FEEDBACK: Final = ("nack", "nack pli", "ccm fir", "transport-cc", "goog-remb")
AUDIO_FEEDBACK: Final = ("transport-cc",)
_DEFAULT_VIDEO_FEEDBACK: Final = VIDEO_FEEDBACK[:-1]
_DEFAULT_PARAMETERS: Final = {
    Codec.OPUS: "minptime=10;useinbandfec=1;usedtx=1",
    Codec.H264: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    Codec.VP9: "profile-id=0",
}
_KNOWN_CODECS: Final = 1_024
"""Lists of codecs, under their numbers, for which what follows from them is kept: hundreds of sections share
it. Lower: with more kinds of browser at once, each section holds a copy of its own. Higher: memory for codecs
that nobody has any more."""
_RTCP_NUMBERS: Final = range(64, 96)
"""With RTP and RTCP on one port, packets of these payload types look like RTCP (RFC 5761 section 4)."""
DEFAULT_NUMBERS: Final = (105, 106, 112, 113, 127, *range(51, 63), *range(96, 128), *range(35, 51))
"""First those that no browser gives to codecs of its own, which it may name in a later offer; of these first
the ones from 96 on, below which aiortc knows no dynamic payload types."""
CALLER_NUMBERS: Final = tuple(number for number in range(96, 128) if number not in DEFAULT_NUMBERS[:17])
"""What a focus gives that has called another one. The called one chooses as for any client, by its own list
of codecs: with two pools no number comes to mean two codecs, one of which could not be carried then."""


@dataclass(frozen=True, slots=True)
class NegotiatedCodec:
    """One codec configuration under the client's number."""

    format: PayloadFormat
    channels: int
    parameters: str
    """The fmtp value as the client wrote it, or what is left of it."""
    feedback: tuple[str, ...]

    @property
    def numbers(self) -> tuple[PayloadType, ...]:
        """Its payload type, and that of its RTX."""
        form = self.format
        return (
            (form.payload_type,)
            if form.rtx_payload_type is None
            else (form.payload_type, form.rtx_payload_type)
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """The attribute lines of this codec and its RTX, feedback left out."""
        form = self.format
        channels = f"/{self.channels}" if self.channels > 1 else ""
        lines = [f"a=rtpmap:{form.payload_type} {form.codec}/{form.clock_rate}{channels}"]
        if self.parameters:
            lines.append(f"a=fmtp:{form.payload_type} {self.parameters}")
        if form.rtx_payload_type is not None:
            lines.append(f"a=rtpmap:{form.rtx_payload_type} rtx/{form.clock_rate}")
            lines.append(f"a=fmtp:{form.rtx_payload_type} apt={form.payload_type}")
        return tuple(lines)

    def with_repair(self, number: PayloadType | None) -> NegotiatedCodec:
        """The same with RTX under this number, or without RTX."""
        return replace(self, format=replace(self.format, rtx_payload_type=number))


@lru_cache(_KNOWN_CODECS)
def for_sending(codecs: tuple[NegotiatedCodec, ...]) -> tuple[NegotiatedCodec, ...]:
    """What a section says of codecs on which we only send."""
    return tuple(
        replace(one, parameters=decoder_parameters(one.format.codec, one.parameters)) for one in codecs
    )


@lru_cache(_KNOWN_CODECS)
def formats_of(codecs: tuple[NegotiatedCodec, ...], keys: tuple[str, ...]) -> tuple[PayloadFormat, ...]:
    """The formats of those codecs that have one of these keys."""
    return tuple(codec.format for codec in codecs if codec.format.key in keys)


def feedback_lines(codecs: Sequence[NegotiatedCodec]) -> tuple[str, ...]:
    """The attribute lines of the codecs' feedback, said once where it is the same (RFC 4585 section 4.2)."""
    shared = {codec.feedback for codec in codecs}
    if len(shared) == 1:
        return tuple(f"a=rtcp-fb:* {one}" for one in codecs[0].feedback)
    return tuple(f"a=rtcp-fb:{codec.format.payload_type} {one}" for codec in codecs for one in codec.feedback)


class CodecReader:
    """Reads the codecs of a description's sections, those that say the same only once.

    A browser repeats its whole list, 4 KB, in each section on which it receives: a hundred of them would take
    most of the time that a description takes.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[NegotiatedCodec, ...]] = {}

    def read(self, section: MediaSection) -> tuple[NegotiatedCodec, ...]:
        """`codecs_of` a section."""
        said = (
            section.kind,
            section.formats,
            *(section.values(name) for name in ("rtpmap", "fmtp", "rtcp-fb")),
        )
        if said not in self._known:
            self._known[said] = codecs_of(section)
        return self._known[said]


def codecs_of(section: MediaSection) -> tuple[NegotiatedCodec, ...]:
    """The codecs of a client's section that we know, in its order; RTX belongs to its codec.

    RED and FEC are left out: they are not translated per subscriber. What is malformed is left out too.
    """
    numbers = _numbers(section)
    maps = _numbered(section.values("rtpmap"))
    parameters = _numbered(section.values("fmtp"))
    repairs = _repairs(numbers, maps, parameters)
    feedback = _feedback(section.values("rtcp-fb"))
    wanted = AUDIO_FEEDBACK if section.kind == Kind.AUDIO else VIDEO_FEEDBACK
    codecs = []
    for number in numbers:
        parsed = _parse_map(maps.get(number, ""))
        if parsed is None or (parsed[0] is Codec.OPUS) != (section.kind == Kind.AUDIO):
            continue
        codec, clock_rate, channels = parsed
        told = parameters.get(number, "")
        key = codec_key(codec, told)
        if key is None or len(told) > MAX_PARAMETERS_LENGTH:
            continue
        codecs.append(
            NegotiatedCodec(
                PayloadFormat(key, codec, number, clock_rate, repairs.get(number)),
                channels,
                told,
                _agreed_feedback(wanted, feedback.get(str(number), set()) | feedback.get("*", set())),
            )
        )
    return tuple(codecs)


def payload_types_of(section: MediaSection) -> frozenset[int]:
    """Every payload type that a section gives a meaning, codecs that we don't know included."""
    return frozenset(_numbers(section))


def one_per_key(
    codecs: Iterable[NegotiatedCodec], before: Iterable[NegotiatedCodec] = ()
) -> dict[str, NegotiatedCodec]:
    """By key: of several with one key the one that was agreed on before, else the first."""
    agreed = {codec.format.payload_type for codec in before}
    chosen: dict[str, NegotiatedCodec] = {}
    for codec in codecs:
        known = chosen.setdefault(codec.format.key, codec)
        if codec.format.payload_type in agreed and known.format.payload_type not in agreed:
            chosen[codec.format.key] = codec
    return chosen


def accepted(
    codecs: Iterable[NegotiatedCodec], names: tuple[str, ...], before: Iterable[NegotiatedCodec] = ()
) -> tuple[NegotiatedCodec, ...]:
    """What we receive of a client's codecs, best first by our policy; of each codec one configuration.

    More would let a publisher change to one that some subscriber lacks, and each is repeated in every
    subscriber's offer. REMB is left out: the publisher is told by transport-wide feedback or not at all.
    """
    by_key = one_per_key(codecs, before)
    chosen = []
    for name in names:
        same = [codec for codec in by_key.values() if codec.format.codec.lower() == name.lower()]
        if same:
            best = min(same, key=_decodability)
            feedback = tuple(one for one in best.feedback if one != "goog-remb")
            chosen.append(replace(best, feedback=feedback))
    return tuple(chosen)


def default_codecs(
    kind: Kind, names: tuple[str, ...], used: Iterable[int], numbers: Iterable[int] = DEFAULT_NUMBERS
) -> tuple[NegotiatedCodec, ...]:
    """Codecs for a kind that the client has said nothing of yet, under numbers that are free on its leg.

    Those for which there is no number are left out.
    """
    taken = frozenset(used)
    free = (PayloadType(number) for number in numbers if number not in taken)
    codecs = []
    for name in names:
        codec = next((one for one in Codec if one.lower() == name.lower()), None)
        if codec is None or (codec is Codec.OPUS) != (kind is Kind.AUDIO):
            continue
        is_audio = codec is Codec.OPUS
        number = next(free, None)
        repair = None if is_audio else next(free, None)
        parameters = _DEFAULT_PARAMETERS.get(codec, "")
        key = codec_key(codec, parameters)
        if number is None or key is None:
            continue
        codecs.append(
            NegotiatedCodec(
                PayloadFormat(key, codec, number, 48_000 if is_audio else 90_000, repair),
                2 if is_audio else 1,
                parameters,
                AUDIO_FEEDBACK if is_audio else _DEFAULT_VIDEO_FEEDBACK,
            )
        )
    return tuple(codecs)


def _decodability(codec: NegotiatedCodec) -> int:
    key = codec.format.key
    return MOST_DECODABLE.index(key) if key in MOST_DECODABLE else len(MOST_DECODABLE)


def _agreed_feedback(wanted: tuple[str, ...], told: set[str]) -> tuple[str, ...]:
    # REMB only where there is no transport-wide feedback.
    agreed = tuple(one for one in wanted if one in told)
    return tuple(one for one in agreed if one != "goog-remb" or "transport-cc" not in agreed)


def _numbers(section: MediaSection) -> tuple[PayloadType, ...]:
    found = (_number(word) for word in section.formats[:MAX_CODECS])
    return tuple(dict.fromkeys(number for number in found if number is not None))


def _number(word: str) -> PayloadType | None:
    if not word.isdecimal() or not word.isascii() or len(word) > 3:
        return None
    number = int(word)
    return PayloadType(number) if number < 128 and number not in _RTCP_NUMBERS else None


def _numbered(values: Iterable[str]) -> dict[PayloadType, str]:
    found: dict[PayloadType, str] = {}
    for value in values:
        word, _, rest = value.partition(" ")
        number = _number(word)
        if number is not None:
            found.setdefault(number, rest.strip())
    return found


def _parse_map(value: str) -> tuple[Codec, int, int] | None:
    name, _, rest = value.partition("/")
    rate, _, channels = rest.partition("/")
    codec = next((one for one in Codec if one.lower() == name.lower()), None)
    if codec is None or rate != ("48000" if codec is Codec.OPUS else "90000"):
        return None
    return codec, int(rate), 2 if channels == "2" else 1


def _repairs(
    numbers: Iterable[PayloadType], maps: Mapping[PayloadType, str], parameters: Mapping[PayloadType, str]
) -> dict[PayloadType, PayloadType]:
    found: dict[PayloadType, PayloadType] = {}
    for number in numbers:
        if maps.get(number, "").lower().startswith("rtx/"):
            original = _number(parse_parameters(parameters.get(number, "")).get("apt", ""))
            if original is not None:
                found.setdefault(original, number)
    return found


def _feedback(values: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for value in values:
        number, _, rest = value.partition(" ")
        found.setdefault(number, set()).add(rest.strip())
    return found
