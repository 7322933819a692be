"""What only foci say to each other, in the messages of clients, and how a client names a focus to its own.

Clients don't know these fields and ignore them (`docs/cascade.md`). `m.call.connect_to_focus` is MSC3898's,
whose content that text left open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sfu.errors import ParseError
from sfu.units import Rid
from signalling.events.fields import JsonObject, as_list, text
from signalling.events.room_state import FocusDevice, parse_focus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CONNECT_TO_FOCUS: Final = "m.call.connect_to_focus"
ROOM_KEY: Final = "org.matrix_focus.room_id"
"""Of an invite between foci: the room of its call."""
PATH_KEY: Final = "org.matrix_focus.path"
"""Of a stream in metadata."""
LAYERS_KEY: Final = "org.matrix_focus.layers"
"""Of a track, in metadata and in subscriptions."""

MAX_FOCI: Final = 32
MAX_PATH: Final = 8
"""Foci that a stream has come through, its origin included. Lower: relays of relays find no room. Higher: a
forged path takes longer to judge, and each hop delays media; nobody needs so many."""
MAX_LAYERS: Final = 3
"""As many encodings as a track has (`sfu.rows.MAX_ENCODINGS`)."""
MAX_LAYER_LENGTH: Final = 16

_RID: Final = re.compile(r"[A-Za-z0-9_-]+")
"""RFC 8851 section 10."""


@dataclass(frozen=True, slots=True)
class ConnectToFocus:
    """From a client: connect to these foci, of whom it knows that they serve its call."""

    foci: tuple[FocusDevice, ...]

    type = CONNECT_TO_FOCUS

    def content(self) -> JsonObject:
        """The message's content."""
        return {"foci": [focus.content() for focus in self.foci]}


def parse_path(stream: Mapping[str, Any]) -> tuple[FocusDevice, ...]:
    """The foci that a stream has come through, its origin first; empty where nothing is said of them.

    Raises:
        ParseError: `wrong_type`, `too_long`, `empty`, and those of a focus's fields.
    """
    if PATH_KEY not in stream:
        return ()
    path = _filled(stream, PATH_KEY, MAX_PATH)
    return tuple(parse_focus(focus) for focus in path)


def path_content(path: Iterable[FocusDevice]) -> JsonObject:
    """The field of a stream that says where it has come through; none where the path is empty."""
    foci = [focus.content() for focus in path]
    return {PATH_KEY: foci} if foci else {}


def parse_layers(track: Mapping[str, Any]) -> tuple[Rid, ...]:
    """The layers of a track by their rids; empty where nothing is said of them.

    Raises:
        ParseError: `wrong_type`, `too_long`, `empty`, `bad_rid`, `repeated`.
    """
    if LAYERS_KEY not in track:
        return ()
    rids = tuple(_parse_rid(rid) for rid in _filled(track, LAYERS_KEY, MAX_LAYERS))
    if len(set(rids)) < len(rids):
        raise ParseError("repeated", f"layers {' '.join(rids)}")
    return rids


def is_layer(rid: str) -> bool:
    """Whether an encoding of this name can be spoken of between foci."""
    return len(rid) <= MAX_LAYER_LENGTH and _RID.fullmatch(rid) is not None


def layers_content(layers: Iterable[Rid]) -> JsonObject:
    """The field of a track that names its layers; none where there are none to be named."""
    rids = list(layers)
    return {LAYERS_KEY: rids} if rids else {}


def _parse_rid(value: object) -> Rid:
    rid = text({"rid": value}, "rid", limit=MAX_LAYER_LENGTH)
    if not is_layer(rid):
        raise ParseError("bad_rid", repr(rid))
    return Rid(rid)


def _filled(source: Mapping[str, Any], name: str, limit: int) -> list[Any]:
    values = as_list(source[name], name, limit)
    if not values:
        raise ParseError("empty", name)
    return values


def _parse_connect_to_focus(source: Mapping[str, Any]) -> ConnectToFocus:
    foci = as_list(source.get("foci"), "foci", MAX_FOCI)
    return ConnectToFocus(tuple(parse_focus(focus) for focus in foci))


PARSERS: Final[dict[str, Callable[[Mapping[str, Any]], ConnectToFocus]]] = {
    CONNECT_TO_FOCUS: _parse_connect_to_focus
}
"""Of messages of the data channel, by type."""
