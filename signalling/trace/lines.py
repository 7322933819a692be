"""A recording as JSON lines: a header, what happened to a leg in order, and why it ended."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sfu.errors import ParseError
from signalling.events.fields import as_object
from signalling.trace.redaction import Redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT: Final = 1
"""Of recordings. One of another format is not read."""
DIALECT: Final = "org.matrix.msc3898/2023-01"
MAX_LINE_LENGTH: Final = 4 << 20


class Direction(enum.StrEnum):
    """As the focus sees it."""

    IN = "in"
    OUT = "out"
    BESIDE = "beside"
    """Neither: what goes on around the leg, and has a say in what it is told."""


class Via(enum.StrEnum):
    """Which way something went."""

    ROOM = "room"
    TO_DEVICE = "to-device"
    CHANNEL = "channel"
    RUNTIME = "runtime"
    """The transport of the leg, or the media plane."""
    CALL = "call"
    """The other members."""


class Began(enum.StrEnum):
    """When a recording began."""

    BEFORE = "before"
    """There was no leg yet."""
    DURING = "during"
    """It can be read, but not be replayed: what was negotiated before is not in it."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a reader must know of the rest."""

    focus: str
    """Version of matrix-focus."""
    began: Began
    wall_ms: int
    """When it began, by the focus's clock."""
    subject: Mapping[str, str | None]
    """Whose leg: `user_id`, `device_id`, `conf_id`; None: any."""
    settings: Mapping[str, Mapping[str, Any]]
    """By table and key, those that decide what is said when."""
    trace: int = FORMAT
    dialect: str = DIALECT


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at_ms: float
    """Since the recording began."""
    direction: Direction
    via: Via
    type: str
    content: Redacted
    facts: Redacted = field(default_factory=lambda: Redacted({}))
    """What is told beside the content: whose, where, which leg, whether it was refused."""


@dataclass(frozen=True, slots=True)
class End:
    """Why there is no more."""

    end: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole recording."""

    header: Header
    lines: tuple[Line, ...]
    end: str | None = None
    """None: it was cut off."""


_OWN: Final = frozenset({"at_ms", "direction", "via", "type", "content"})


def written(one: Header | Line | End) -> str:
    """One line of a file, without its end."""
    match one:
        case Line(at_ms, direction, via, kind, content, facts):
            head = {"at_ms": at_ms, "direction": direction, "via": via, "type": kind}
            return _json(head | facts | {"content": content})
        case Header():
            fields = asdict(one)
            return _json({"trace": fields.pop("trace"), "dialect": fields.pop("dialect")} | fields)
        case End(end):
            return _json({"end": end})


def read_recording(text: Iterable[str]) -> Recording:
    """Read a file's lines.

    Raises:
        ParseError: no recording, or one of another format.
    """
    header: Header | None = None
    lines: list[Line] = []
    end: str | None = None
    for number, source in enumerate(text, 1):
        if not source.strip():
            continue
        if len(source) > MAX_LINE_LENGTH:
            raise ParseError("too_long", f"line {number}")
        try:
            one = as_object(json.loads(source), f"line {number}")
            if header is None:
                header = _header(one)
            elif "end" in one:
                end = str(one["end"])
            else:
                lines.append(_line(one))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ParseError("not_a_recording", f"line {number}: {error}"[:200]) from error
    if header is None:
        raise ParseError("not_a_recording", "it is empty")
    return Recording(header, tuple(lines), end)


def _header(source: dict[str, Any]) -> Header:
    if source.get("trace") != FORMAT:
        raise ParseError("not_a_recording", f"trace = {source.get('trace')!r:.40}: {FORMAT} is read")
    settings = {
        table: as_object(keys, table) for table, keys in as_object(source["settings"], "settings").items()
    }
    return Header(
        focus=str(source["focus"]),
        began=Began(source["began"]),
        wall_ms=int(source["wall_ms"]),
        subject=as_object(source["subject"], "subject"),
        settings=settings,
        dialect=str(source["dialect"]),
    )


def _line(source: dict[str, Any]) -> Line:
    return Line(
        at_ms=float(source["at_ms"]),
        direction=Direction(source["direction"]),
        via=Via(source["via"]),
        type=str(source["type"]),
        # What was written by a `Redactor`; one that was edited by hand is its editor's business.
        content=Redacted(as_object(source["content"], "content")),
        facts=Redacted({key: value for key, value in source.items() if key not in _OWN}),
    )


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
