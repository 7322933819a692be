"""A recording for people: who said what to whom, descriptions in short."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from signalling.trace.around import SNAPSHOT
from signalling.trace.compare import sections_of
from signalling.trace.lines import Direction, Via

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signalling.trace.lines import Line, Recording

_ARROWS: Final = {Direction.IN: "→ focus", Direction.OUT: "focus →", Direction.BESIDE: "beside"}
_DESCRIBED: Final = ("offer", "answer", "description")
_BRIEF: Final = 160
_WIDTH: Final = 118
_WAYS: Final = {
    Via.ROOM: "room state",
    Via.TO_DEVICE: "to-device",
    Via.CHANNEL: "data channel",
    Via.RUNTIME: "transport",
    Via.CALL: "the call",
}


def as_text(lines: Iterable[Line]) -> str:
    """One line for each thing that happened."""
    return "".join(f"{_head(line)}{_brief(line)}\n" for line in lines)


def as_markdown(recording: Recording) -> str:
    """A document: each message with its JSON, session descriptions by their sections.

    What is no message, but what happens to the transport or around the leg, is one line of text.
    """
    version = recording.header.focus
    rows = [
        f"Recorded of matrix-focus {version} by `focus trace record`; ids, keys and addresses are replaced."
    ]
    for line in recording.lines:
        if line.facts.get("note") == SNAPSHOT:
            continue
        rows.append(f"**{_head(line).strip()}**{_refused(line)}")
        if line.via is not Via.RUNTIME:
            rows.append(f"```json\n{_laid_out(shortened(line.content), 0, 0)}\n```")
        elif line.content:
            rows.append(f"`{json.dumps(line.content, ensure_ascii=False)}`")
    return "\n\n".join(rows) + "\n"


def shortened(content: Any) -> Any:  # noqa: ANN401  # JSON
    """JSON with session descriptions by their sections."""
    match content:
        case dict():
            return {
                name: sections_of(value) if name == "sdp" and isinstance(value, str) else shortened(value)
                for name, value in content.items()
            }
        case list():
            return [shortened(one) for one in content]
        case _:
            return content


def _laid_out(value: Any, indent: int, before: int) -> str:  # noqa: ANN401  # JSON
    """JSON in lines of a width that people read, each as full as it gets."""
    flat = json.dumps(value, ensure_ascii=False)
    if before + len(flat) <= _WIDTH or not isinstance(value, (dict, list)):
        return flat
    inner = indent + 2
    if isinstance(value, dict):
        heads = [f"{json.dumps(name, ensure_ascii=False)}: " for name in value]
        parts = [
            f"{head}{_laid_out(one, inner, inner + len(head))}"
            for head, one in zip(heads, value.values(), strict=True)
        ]
        opening, closing = "{", "}"
    else:
        parts = [_laid_out(one, inner, inner) for one in value]
        opening, closing = "[", "]"
    rows = ",\n".join(f"{' ' * inner}{part}" for part in parts)
    return f"{opening}\n{rows}\n{' ' * indent}{closing}"


def _head(line: Line) -> str:
    return f"{line.at_ms:10.1f} ms  {_ARROWS[line.direction]}  {_WAYS[line.via]}  {line.type}"


def _refused(line: Line) -> str:
    refused = line.facts.get("refused")
    return f" (refused: {', '.join(refused)})" if refused else ""


def _brief(line: Line) -> str:
    content = shortened(line.content)
    described = next((content[name] for name in _DESCRIBED if isinstance(content.get(name), dict)), None)
    if described is not None:
        sections = described.get("sdp")
        told = "; ".join(sections) if isinstance(sections, list) else sections
        return f"{_refused(line)}  {described.get('type', '')} {told}"
    text = json.dumps(content, ensure_ascii=False)
    return f"{_refused(line)}  {text if len(text) <= _BRIEF else f'{text[: _BRIEF - 3]}...'}"
