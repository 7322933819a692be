"""Reading one field of a JSON object that somebody else wrote: a typed value or `ParseError`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard

from sfu.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_ID_LENGTH: Final = 255
"""Longest id of any kind (MSC2746 for call and party ids; device and user ids by the same measure)."""

JsonObject = dict[str, Any]


def as_object(value: object, name: str) -> JsonObject:
    """A JSON object.

    Raises:
        ParseError: `wrong_type`.
    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ParseError("wrong_type", f"{name} is {type(value).__name__}, not an object")
    return value


def as_list(value: object, name: str, limit: int) -> list[Any]:
    """A JSON array of at most `limit` elements.

    Raises:
        ParseError: `wrong_type`, `too_long`.
    """
    if not isinstance(value, list):
        raise ParseError("wrong_type", f"{name} is {type(value).__name__}, not an array")
    if len(value) > limit:
        raise ParseError("too_long", f"{name} has {len(value)} elements, over {limit}")
    return value


def text(source: Mapping[str, Any], name: str, *, limit: int) -> str:
    """A required string.

    Raises:
        ParseError: `missing`, `wrong_type`, `too_long`, `not_unicode`.
    """
    if name not in source:
        raise ParseError("missing", name)
    value = source[name]
    if not isinstance(value, str):
        raise ParseError("wrong_type", f"{name} is {type(value).__name__}, not a string")
    if len(value) > limit:
        raise ParseError("too_long", f"{name} has {len(value)} characters, over {limit}")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ParseError("not_unicode", f"{name} holds a lone surrogate")
    return value


def identifier(source: Mapping[str, Any], name: str) -> str:
    """A required id: 1 to 255 characters.

    Raises:
        ParseError: as `text`, and `empty`.
    """
    value = text(source, name, limit=MAX_ID_LENGTH)
    if not value:
        raise ParseError("empty", name)
    return value


def optional_identifier(source: Mapping[str, Any], name: str) -> str | None:
    """An id that may be absent or null.

    Raises:
        ParseError: as `identifier`, where it is there.
    """
    return None if source.get(name) is None else identifier(source, name)


def one_of(value: object, legal: Iterable[str]) -> TypeGuard[str]:
    """Whether a value is one of these words; whatever else it may be, it is only compared."""
    return isinstance(value, str) and any(value == word for word in legal)


def flag(source: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """A boolean, `default` where absent.

    Raises:
        ParseError: `wrong_type`.
    """
    value = source.get(name, default)
    if not isinstance(value, bool):
        raise ParseError("wrong_type", f"{name} is {type(value).__name__}, not a boolean")
    return value


def number(source: Mapping[str, Any], name: str, *, low: int, high: int) -> int | None:
    """A whole number within bounds, None where absent or null; a fraction is cut off.

    Raises:
        ParseError: `wrong_type`, `out_of_range`.
    """
    value = source.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ParseError("wrong_type", f"{name} is {type(value).__name__}, not a number")
    if not low <= value <= high:  # also refuses NaN and infinities
        raise ParseError("out_of_range", f"{name} = {value}: legal is {low} to {high}")
    return int(value)
