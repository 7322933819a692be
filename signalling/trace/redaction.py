"""JSON of the dialect without what is secret or personal in it.

By the name of a field: what is not known to be harmless is not told. Numbers and booleans are kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NewType

from signalling.events.cascade import LAYERS_KEY, ROOM_KEY
from signalling.events.metadata import STABLE_KEY, UNSTABLE_KEY
from signalling.events.to_device import FOCUS_SESSION_ID
from signalling.trace.sdp import REDACTED, redacted_candidate, redacted_sdp

if TYPE_CHECKING:
    from collections.abc import Callable

    from signalling.trace.pseudonyms import Pseudonyms

Redacted = NewType("Redacted", dict[str, Any])
"""What may stand in a recording: nothing but a `Redactor` makes it."""

MAX_DEPTH: Final = 12
"""Of objects within objects; the dialect has six."""

_WORDS: Final = frozenset(
    {
        *("type", "purpose", "kind", "reason", "code", "version", "m.intent", "m.type", "m.terminated"),
        *(
            "cause",
            "rid",
            "mid",
            "sdpMid",
            "refused",
            "note",
            "about",
            "membership",
            "active",
            "label",
            "layer",
            LAYERS_KEY,
            "state",
            "codecs",
        ),
    }
)
"""Fields whose strings are words of the dialect."""
_WORD: Final = re.compile(r"[\w.~/-]{0,64}", re.ASCII)
_KEY: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)
_TELLING: Final = re.compile(
    r"[@!]|\d\.\d+\.\d|[a-z]\.[a-z]|::|[\da-f]{2}:[\da-f]{2}|ufrag|pwd", re.ASCII | re.IGNORECASE
)
"""In prose: the likes of names, addresses and keys."""
_NAMED: Final = frozenset({STABLE_KEY, UNSTABLE_KEY})


class Redactor:
    """Makes JSON of the dialect fit to be shown.

    Args:
        names: for what is told under another name.
    """

    def __init__(self, names: Pseudonyms) -> None:
        self.names = names
        users, devices, sessions = names.user, names.device, self._session
        self._rules: Final[dict[str, Callable[[str], str]]] = {
            **dict.fromkeys(("user_id", "invitee", "sender"), users),
            **dict.fromkeys(("device_id", "party_id", "selected_party_id"), devices),
            **dict.fromkeys(("sender_session_id", "dest_session_id", "session_id"), sessions),
            **dict.fromkeys(("conf_id", "m.call_id"), self.conference),
            "call_id": lambda value: names.plain("call", value),
            **dict.fromkeys(("room_id", ROOM_KEY), names.room),
            "stream_id": self._stream,
            "track_id": lambda value: names.plain("track", value),
            "candidate": lambda value: redacted_candidate(value, names),
            "usernameFragment": names.ufrag,
            "sdp": lambda value: redacted_sdp(value, names),
            "text": _prose,
        }

    def conference(self, conf_id: str) -> str:
        """The name of a call."""
        return self.names.plain("conf", conf_id)

    def redact(self, content: object) -> Redacted:
        """An object of the dialect; something else is told as none."""
        return Redacted(self._object(content, 0) if isinstance(content, dict) else {})

    # --- within -------------------------------------------------------------------------------------------

    def _object(self, source: dict[str, Any], depth: int) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for key, value in source.items():
            name = key if _KEY.fullmatch(key) else self.names.plain("key", key)
            told[name] = self._value(key, value, depth + 1)
        return told

    def _value(self, key: str, value: object, depth: int) -> Any:  # noqa: ANN401  # JSON
        match value:
            case str():
                rule = self._rules.get(key)
                if rule is not None:
                    return rule(value)
                return value if key in _WORDS and _WORD.fullmatch(value) else REDACTED
            case dict() if depth > MAX_DEPTH:
                return {}
            case list() | tuple() if depth > MAX_DEPTH:
                return []
            case dict() if key in _NAMED:
                return {self._stream(name): self._stream_of(one, depth + 1) for name, one in value.items()}
            case dict():
                return self._object(value, depth)
            case list() | tuple():
                return [self._value(key, one, depth + 1) for one in value]
            case int() | float() | None:
                return value
            case _:
                return REDACTED

    def _stream_of(self, stream: object, depth: int) -> Any:  # noqa: ANN401  # JSON
        told = self._value("", stream, depth)
        tracks = stream.get("tracks") if isinstance(stream, dict) else None
        if isinstance(tracks, dict):
            told["tracks"] = {
                self.names.plain("track", name): self._value("", one, depth + 2)
                for name, one in tracks.items()
            }
        return told

    def _stream(self, stream_id: str) -> str:
        return stream_id if stream_id == "-" else self.names.plain("stream", stream_id)

    def _session(self, session_id: str) -> str:
        return session_id if session_id == FOCUS_SESSION_ID else self.names.plain("session", session_id)


def _prose(text: str) -> str:
    return REDACTED if _TELLING.search(text) or len(text) > 1_000 else text
