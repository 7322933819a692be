"""Which RTP header extensions are agreed on; ids are the client's and are never reassigned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sfu.plane import Extension
from sfu.units import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.negotiation.sdp import MediaSection

MAX_ID: Final = 255
"""The largest that fits the two-byte form of the header extension (RFC 8285 section 4.3)."""
MAX_ONE_BYTE_ID: Final = 14

_AUDIO: Final = frozenset(
    {
        Extension.MID,
        Extension.RID,
        Extension.REPAIRED_RID,
        Extension.TRANSPORT_CC,
        Extension.ABS_SEND_TIME,
        Extension.AUDIO_LEVEL,
        Extension.ABS_CAPTURE_TIME,
    }
)
_VIDEO: Final = frozenset(Extension) - {Extension.AUDIO_LEVEL}
_DOWNSTREAM_NEVER: Final = frozenset(
    {
        # Only transport-wide feedback is read; where a client has none, REMB needs this.
        Extension.ABS_SEND_TIME,
        # About the publisher's own layers, for a forwarder; a decoder has no use for them.
        Extension.VIDEO_LAYERS_ALLOCATION,
        Extension.DEPENDENCY_DESCRIPTOR,
        # Long names of little use: a hundred sections must fit into 64 KiB.
        Extension.COLOR_SPACE,
        Extension.PLAYOUT_DELAY,
        Extension.VIDEO_CONTENT_TYPE,
    }
)
_RIDS: Final = frozenset({Extension.RID, Extension.REPAIRED_RID})
_DEFAULTS: Final = {
    Kind.AUDIO: (Extension.MID, Extension.TRANSPORT_CC, Extension.AUDIO_LEVEL),
    Kind.VIDEO: (
        Extension.MID,
        Extension.TRANSPORT_CC,
        Extension.VIDEO_ORIENTATION,
        Extension.RID,
        Extension.REPAIRED_RID,
    ),
}
_KNOWN_LISTS: Final = 1_024
"""Lists of extensions for which what follows from them is kept. All sections of a kind on a leg have one, and
so have legs of one browser: hundreds of sections share it. Lower: with more kinds of browser at once, each
section holds a copy of its own. Higher: memory for lists that nobody has any more."""
_MIRRORED: Final = {"": "", "sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly"}


@dataclass(frozen=True, slots=True)
class NegotiatedExtension:
    """One extension under its id on the leg; `direction` is what we write, empty for both ways."""

    number: int
    extension: Extension
    direction: str = ""

    @property
    def line(self) -> str:
        """The attribute line."""
        direction = f"/{self.direction}" if self.direction else ""
        return f"a=extmap:{self.number}{direction} {self.extension}"


def extensions_of(section: MediaSection) -> tuple[NegotiatedExtension, ...]:
    """The extensions of a client's section that we accept, each once.

    The RID extensions always, also where there is no simulcast yet: a browser that was refused them fails in
    its own next offer (protocol: section 7.2).
    """
    known = _AUDIO if section.kind == Kind.AUDIO else _VIDEO
    found: dict[Extension, NegotiatedExtension] = {}
    for number, (uri, direction) in _mapped(section).items():
        if uri in known and direction in _MIRRORED:
            extension = Extension(uri)
            found.setdefault(extension, NegotiatedExtension(number, extension, _MIRRORED[direction]))
    return tuple(found.values())


def extension_ids_of(section: MediaSection) -> frozenset[int]:
    """Every id that a section gives a meaning, extensions that we don't know included."""
    return frozenset(_mapped(section))


@lru_cache(_KNOWN_LISTS)
def downstream(extensions: tuple[NegotiatedExtension, ...]) -> tuple[NegotiatedExtension, ...]:
    """What a section on which we only send has of a client's extensions: those that it takes, both ways."""
    found = tuple(one for one in extensions if one.direction != "recvonly")
    has_feedback = any(one.extension is Extension.TRANSPORT_CC for one in found)
    never = _DOWNSTREAM_NEVER if has_feedback else _DOWNSTREAM_NEVER - {Extension.ABS_SEND_TIME}
    return tuple(
        NegotiatedExtension(one.number, one.extension) for one in found if one.extension not in never
    )


@lru_cache(_KNOWN_LISTS)
def without_rids(extensions: tuple[NegotiatedExtension, ...]) -> tuple[NegotiatedExtension, ...]:
    """All but the two that name an encoding: one goes down, and needs no name."""
    return tuple(one for one in extensions if one.extension not in _RIDS)


@lru_cache(_KNOWN_LISTS)
def numbers_of(extensions: tuple[NegotiatedExtension, ...]) -> Mapping[Extension, int]:
    """The ids, by extension. Sections share it: nobody changes it."""
    return {one.extension: one.number for one in extensions}


def default_extensions(
    kind: Kind, known: Mapping[Extension, int], taken: Iterable[int]
) -> tuple[NegotiatedExtension, ...]:
    """Extensions for a kind that the client has said nothing of yet: ids known on the leg stay.

    An id means one extension on a whole bundle (RFC 8843 section 8): those taken are not given again, not
    even where the client gave them to something that we don't know. What finds no id is left out.
    """
    used = {*known.values(), *taken}
    free = (number for number in range(1, MAX_ONE_BYTE_ID + 1) if number not in used)
    found = []
    for extension in _DEFAULTS[kind]:
        number = known.get(extension) or next(free, None)
        if number is not None:
            found.append(NegotiatedExtension(number, extension))
    return tuple(found)


def _mapped(section: MediaSection) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for value in section.values("extmap"):
        words = value.split()
        number, _, direction = words[0].partition("/") if len(words) >= 2 else ("", "", "")
        if number.isdecimal() and number.isascii() and len(number) <= 3 and 0 < int(number) <= MAX_ID:
            found.setdefault(int(number), (words[1], direction))
    return found
