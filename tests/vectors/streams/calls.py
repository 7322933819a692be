"""How a call and its answers stand in a line (README.md)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sfu.plane import DropReason

if TYPE_CHECKING:
    Value = int | bool | str | DropReason | list[int] | None


def call(name: str, *arguments: Value, answer: Value | tuple[Value, ...] = ()) -> str:
    """One line of a file."""
    answers = answer if isinstance(answer, tuple) else (answer,)
    return " ".join((name, *map(spelt, arguments), "=", *map(spelt, answers)))


def spelt(value: Value) -> str:
    """A value in one word."""
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case DropReason():
            return value.value
        case int() | str():
            return str(value) or "''"
        case list():
            return f"[{','.join(map(str, value))}]"


def bits(value: float) -> str:
    """A float to its last bit."""
    return struct.pack(">d", value).hex()
