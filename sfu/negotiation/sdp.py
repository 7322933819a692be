"""Session descriptions (RFC 8866) as lines: tolerant, nothing lost, linear time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES: Final = 1 << 18
"""Longest description read, the data channel's largest message."""
MAX_SECTIONS: Final = 256
"""m-sections of one description: slots are never given back, so a long call has many."""
MAX_LINES: Final = 20_000

_NOTHING: Final[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One m-section: its m= line taken apart, and all its lines as they were."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    lines: tuple[str, ...] = field(repr=False)
    """From the m= line on."""
    attributes: Mapping[str, tuple[str, ...]] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, lines: tuple[str, ...]) -> MediaSection:
        """Read a section from its m= line on.

        Raises:
            ParseError: `media_line`.
        """
        words = lines[0][2:].split()
        port = words[1].partition("/")[0] if len(words) >= 3 else ""
        if not port.isdecimal() or not port.isascii() or len(port) > 5:
            raise ParseError("media_line", lines[0][:80])
        return cls(words[0], int(port), words[2], tuple(words[3:]), lines, _attributes(lines))

    def values(self, name: str) -> tuple[str, ...]:
        """All `a=name:value` of the section, in order."""
        return self.attributes.get(name, _NOTHING)

    def value(self, name: str) -> str | None:
        """The first of them."""
        return next(iter(self.values(name)), None)

    def has(self, name: str) -> bool:
        """Whether `a=name` stands there, with or without a value."""
        return name in self.attributes


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description."""

    lines: tuple[str, ...] = field(repr=False)
    """Before the first m= line."""
    sections: tuple[MediaSection, ...]
    attributes: Mapping[str, tuple[str, ...]] = field(compare=False, repr=False)

    def values(self, name: str) -> tuple[str, ...]:
        """All `a=name:value` of the session level, in order."""
        return self.attributes.get(name, _NOTHING)

    def value(self, name: str) -> str | None:
        """The first of them."""
        return next(iter(self.values(name)), None)

    def has(self, name: str) -> bool:
        """Whether `a=name` stands at the session level, with or without a value."""
        return name in self.attributes

    def serialise(self) -> str:
        """The text, lines ended by CR LF."""
        lines = [*self.lines, *(line for section in self.sections for line in section.lines)]
        return "".join(f"{line}\r\n" for line in lines)


def parse_sdp(text: str) -> SessionDescription:
    """Read a description; lines may end in LF alone, empty ones are skipped.

    Raises:
        ParseError: `too_long`, `not_sdp`, `media_line`.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        # JSON can carry half a surrogate pair; an answer that echoes it could never be sent.
        raise ParseError("not_sdp", "no UTF-8") from None
    if size > MAX_BYTES:
        raise ParseError("too_long", f"{size} bytes, over {MAX_BYTES}")
    # Not splitlines(): only CR and LF end lines of SDP.
    lines = [line for line in text.replace("\r", "\n").split("\n") if line]
    if len(lines) > MAX_LINES:
        raise ParseError("too_long", f"{len(lines)} lines, over {MAX_LINES}")
    if not lines or lines[0] != "v=0":
        raise ParseError("not_sdp", "it does not begin with v=0")
    for line in lines:
        if len(line) < 2 or line[1] != "=":
            raise ParseError("not_sdp", f"line {line[:40]!r}")
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) > MAX_SECTIONS:
        raise ParseError("too_long", f"{len(starts)} sections, over {MAX_SECTIONS}")
    ends = [*starts[1:], len(lines)] if starts else []
    head = tuple(lines[: starts[0]] if starts else lines)
    sections = tuple(
        MediaSection.parse(tuple(lines[start:end])) for start, end in zip(starts, ends, strict=True)
    )
    return SessionDescription(head, sections, _attributes(head))


def _attributes(lines: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            found.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in found.items()}
