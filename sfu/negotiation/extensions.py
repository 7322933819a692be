"""Which RTP header extensions are agreed on; ids are the client's and are never reassigned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.plane import Extension
from sfu.units import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.negotiation.sdp import MediaSection

MAX_ID: Final = 255

_AUDIO: Final = frozenset(
    {
        Extension.MID,
        Extension.TRANSPORT_CC,
        Extension.ABS_SEND_TIME,
        Extension.AUDIO_LEVEL,
        Extension.ABS_CAPTURE_TIME,
    }
)
_VIDEO: Final = frozenset(Extension) - {Extension.AUDIO_LEVEL}
_DOWNSTREAM_NEVER: Final = frozenset(
    {
        # One encoding goes down, without rid.
        Extension.RID,
        Extension.REPAIRED_RID,
        # Only transport-wide feedback is read; where a client has none, REMB needs this.
        Extension.ABS_SEND_TIME,
        # About the publisher's own layers, for a forwarder; a decoder has no use for them.
        Extension.VIDEO_LAYERS_ALLOCATION,
        Extension.DEPENDENCY_DESCRIPTOR,
        # Long names of little use: a hundred sections must fit into 64 KiB.
        Extension.COLOR_SPACE,
        Extension.VIDEO_CONTENT_TYPE,
    }
)
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
    """The extensions of a client's section that we accept; the RID extensions always (protocol: 7.2)."""
    known = _AUDIO if section.kind == Kind.AUDIO else _VIDEO
    found: dict[int, NegotiatedExtension] = {}
    for value in section.values("extmap"):
        words = value.split()
        number, _, direction = words[0].partition("/") if words else ("", "", "")
        if len(words) < 2 or not number.isdecimal() or not number.isascii() or len(number) > 3:
            continue
        if words[1] not in known or direction not in _MIRRORED or not 0 < int(number) <= MAX_ID:
            continue
        found.setdefault(
            int(number),
            NegotiatedExtension(int(number), Extension(words[1]), _MIRRORED[direction]),
        )
    return tuple(found.values())


def downstream(extensions: Iterable[NegotiatedExtension]) -> tuple[NegotiatedExtension, ...]:
    """What a section of ours carries of a client's extensions: those that may go down, both ways."""
    found = tuple(extensions)
    has_feedback = any(one.extension is Extension.TRANSPORT_CC for one in found)
    never = _DOWNSTREAM_NEVER if has_feedback else _DOWNSTREAM_NEVER - {Extension.ABS_SEND_TIME}
    return tuple(
        NegotiatedExtension(one.number, one.extension) for one in found if one.extension not in never
    )


def default_extensions(kind: Kind, known: dict[Extension, int]) -> tuple[NegotiatedExtension, ...]:
    """Extensions for a kind that the client has said nothing of yet: ids known on the leg stay.

    An id means one extension on a whole bundle (RFC 8843 section 8).
    """
    wanted = [Extension.MID, Extension.TRANSPORT_CC, Extension.ABS_CAPTURE_TIME]
    wanted.append(Extension.AUDIO_LEVEL if kind is Kind.AUDIO else Extension.VIDEO_ORIENTATION)
    free = (number for number in range(1, 15) if number not in set(known.values()))
    return tuple(NegotiatedExtension(known[one] if one in known else next(free), one) for one in wanted)
