"""What of a recording must come out the same when it happens again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sfu.errors import ParseError
from sfu.negotiation.sdp import parse_sdp
from signalling.trace.lines import Direction, Via

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sfu.negotiation.sdp import MediaSection
    from signalling.trace.lines import Line

MEDIA_TYPES: Final = frozenset(f"org.matrix_focus.{name}" for name in ("speakers", "layers", "why", "stats"))
"""What media decides, of which a recording has nothing."""

_FACTS: Final = ("user_id", "device_id", "encrypted", "channel")
_DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")


def comparable(lines: Iterable[Line]) -> Iterator[dict[str, Any]]:
    """The lines that count, in a form that is equal where what was said is the same.

    Times, numbers of legs and texts for people may differ, and all of a description but its sections.
    """
    for line in lines:
        if line.direction is Direction.BESIDE or line.type in MEDIA_TYPES:
            continue
        told: dict[str, Any] = {"direction": str(line.direction), "via": str(line.via), "type": line.type}
        if line.direction is Direction.IN:
            refused = sorted(line.facts.get("refused", ()))
            # Room state is told anew at other times where the focus was restarted or its sync was cut.
            if line.via is not Via.ROOM:
                yield told | ({"refused": refused} if refused else {})
            continue
        facts = {name: line.facts[name] for name in _FACTS if name in line.facts}
        yield told | facts | {"content": _comparable(line.content)}


def sections_of(sdp: str) -> list[str] | str:
    """A description in one line a section: mid, kind, direction, whose track, simulcast."""
    try:
        return [_section(one) for one in parse_sdp(sdp).sections]
    except ParseError:
        return "no description"


def _comparable(value: Any) -> Any:  # noqa: ANN401  # JSON
    match value:
        case dict():
            told = {name: _comparable(one) for name, one in value.items() if name not in {"text", "sdp"}}
            if isinstance(value.get("sdp"), str):
                told["sections"] = sections_of(value["sdp"])
            return told
        case list():
            return [_comparable(one) for one in value]
        case _:
            return value


def _section(section: MediaSection) -> str:
    words = [section.value("mid") or "-", section.kind]
    if section.port == 0 and not section.has("bundle-only"):
        words.append("rejected")
    words += [name for name in _DIRECTIONS if section.has(name)]
    words += [f"msid:{value}" for value in section.values("msid")]
    words += [f"simulcast:{value}" for value in section.values("simulcast")]
    return " ".join(words)
