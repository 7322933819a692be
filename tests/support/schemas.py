"""The JSON Schemas of `docs/protocol`, and whether what a focus says and takes is what they say."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

from sfu.conference.turn import DataReceived, SendData
from sfu.errors import ParseError
from signalling.events.room_state import (
    CALL_MEMBER_TYPES,
    CALL_TYPES,
    parse_call,
    parse_call_member,
)
from signalling.events.to_device import FOCUS_SESSION_ID, UnreadableInvite
from signalling.focus.turn import MessageReceived, SendToDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

FOLDER: Final = Path(__file__).parents[2] / "docs" / "protocol"
WAYS: Final = {"room": "state", "to-device": "to-device", "channel": "data-channel"}
"""Folders of message types by how messages go."""
SENT, ACCEPTED, TRUNK = "sent", "accepted", "trunk"
FIRST, EVERY = 3, 50
"""Of a sample: the first of each type, and one of so many. Lower: simulations take longer. Higher: what is
odd only sometimes is missed."""
MAX_FAULTS: Final = 20
"""Told of one run: more of them read no better."""

Key = tuple[str, str, str]
"""`sent`, `accepted` or (between foci) `trunk`, way, type."""


def schema_files() -> list[str]:
    """Every schema, from the folder on."""
    return sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.json"))


def schema(name: str) -> dict[str, Any]:
    """One of them."""
    return _registry()[0][name]


def validator(name: str, pointer: str = "") -> Draft202012Validator:
    """Of a schema, or of a part of one such as `#/$defs/sent`."""
    return Draft202012Validator({"$ref": f"{_uri(name)}{pointer}"}, registry=_registry()[1])


@cache
def by_type() -> Mapping[Key, Draft202012Validator]:
    """Of every message that a focus sends or takes."""
    return {
        (direction, way, kind): validator(name, f"#/$defs/{direction}")
        for way, folder in WAYS.items()
        for name in schema_files()
        if name.startswith(f"{folder}/")
        for direction in (SENT, ACCEPTED, TRUNK)
        if direction in schema(name)["$defs"]
        for kind in types_of(name, direction)
    }


def types_of(name: str, direction: str) -> list[str]:
    """The message types that a part of a schema is for."""
    said = schema(name)["$defs"][direction]["properties"]["type"]
    return [said["const"]] if "const" in said else list(said["enum"])


class SchemaCheck:
    """Holds the lines of a recording to the schemas.

    What the focus sends must fit what is `sent`, or `trunk` where it goes to another focus; what it takes
    must fit what is `accepted`; of room state, which it reads piece by piece, also the reverse: what fits, it
    must take.
    """

    def __init__(self) -> None:
        self.checked: Counter[Key] = Counter()
        self.faults: list[str] = []

    def line(self, line: Mapping[str, Any]) -> None:
        """One line of a recording; those that are no messages are passed over."""
        way, kind, content = line.get("via"), line.get("type"), line.get("content")
        if way == "room":
            if line.get("note") != "snapshot":
                self._state(line)
        elif way in WAYS and line["direction"] == "out":
            direction = TRUNK if _is_between_foci(line) else SENT
            self.message(direction, str(way), {"type": kind, "content": content})
        elif way in WAYS and _is_taken(line):
            self.message(ACCEPTED, str(way), {"type": kind, "content": content})

    def message(self, direction: str, way: str, message: Mapping[str, Any]) -> None:
        """One message, as it went."""
        key = direction, way, str(message["type"])
        self.checked[key] += 1
        found = by_type().get(key)
        if found is None and direction == TRUNK:
            # What foci say to each other as to clients.
            found = by_type().get((SENT, way, key[2]))
        if found is None:
            self._fault(f"{direction} {way}: no schema for {key[2]}")
            return
        error = best_match(found.iter_errors(message))
        if error is not None:
            self._fault(f"{direction} {way} {key[2]}: {error.json_path}: {error.message[:300]}")

    def _state(self, line: Mapping[str, Any]) -> None:
        kind = line["type"]
        if kind not in CALL_TYPES and kind not in CALL_MEMBER_TYPES:
            return
        state_key = str(line["conf_id"] if kind in CALL_TYPES else line["user_id"])
        event = {"type": kind, "state_key": state_key, "content": line["content"]}
        self.checked[ACCEPTED, "room", kind] += 1
        for is_taken, does_fit, what in state_verdicts(event):
            if is_taken != does_fit:
                self._fault(f"room {kind}: {what} fits the schema: {does_fit}; is taken: {is_taken}")

    def _fault(self, text: str) -> None:
        if len(self.faults) < MAX_FAULTS and text not in self.faults:
            self.faults.append(text)


class SampledCheck:
    """Holds a part of a focus's turns to the schemas: the first messages of each type, and some of the rest.

    Whole calls on a virtual clock say too much for all of it to be checked in the time that they take.
    """

    def __init__(self) -> None:
        self._check = SchemaCheck()
        self._seen: Counter[Key] = Counter()

    @property
    def faults(self) -> list[str]:
        """What did not fit."""
        return self._check.faults

    @property
    def checked(self) -> Counter[Key]:
        """How many messages of each type were looked at."""
        return self._check.checked

    def given(self, given: object) -> None:
        """An input of the engine that it will take."""
        if isinstance(given, MessageReceived) and not isinstance(given.message, UnreadableInvite):
            self._message(ACCEPTED, "to-device", given.message.type, given.message.content)
        elif isinstance(given, DataReceived):
            frame = json.loads(given.text)
            if frame["type"] in _read_types():
                self._message(ACCEPTED, "channel", frame["type"], lambda: frame["content"])

    def said(self, output: object, *, to_focus: bool = False) -> None:
        """An output of the engine."""
        direction = TRUNK if to_focus else SENT
        if isinstance(output, SendToDevice):
            self._message(direction, "to-device", output.message.type, output.message.content)
        elif isinstance(output, SendData):
            kind = output.text[len('{"type":"') : output.text.index('"', len('{"type":"'))]
            self._message(direction, "channel", kind, lambda: json.loads(output.text)["content"])

    def _message(self, direction: str, way: str, kind: str, content: Callable[[], Any]) -> None:
        key = direction, way, kind
        self._seen[key] += 1
        if self._seen[key] <= FIRST or self._seen[key] % EVERY == 0:
            self._check.message(direction, way, {"type": kind, "content": content()})


def state_verdicts(event: Mapping[str, Any]) -> Iterator[tuple[bool, bool, str]]:
    """Of a state event and its parts: whether the focus takes it, whether it fits its schema, what it is."""
    kind, content = event["type"], event["content"]
    is_call = kind in CALL_TYPES
    parse = parse_call if is_call else parse_call_member
    try:
        parsed = parse(event["state_key"], content)
    except ParseError:
        parsed = None
    yield parsed is not None, by_type()[ACCEPTED, "room", kind].is_valid(event), "the event"
    calls = content.get("m.calls") if isinstance(content, dict) else None
    if is_call or not isinstance(calls, list):
        return
    name = f"state/{CALL_MEMBER_TYPES[0]}.json"
    for call in calls:
        # One at a time: so the verdict is about this one.
        alone = parse_call_member("@a:b", {"m.calls": [call]})
        assert alone is not None
        does_fit = validator(name, "#/$defs/call").is_valid(call)
        yield bool(alone.calls), does_fit, "a call"
        for device in call["m.devices"] if does_fit else []:
            one = parse_call_member("@a:b", {"m.calls": [{"m.call_id": "c", "m.devices": [device]}]})
            assert one is not None
            yield bool(one.devices("c")), validator(name, "#/$defs/device").is_valid(device), "a device"


def check_lines(lines: Iterable[Mapping[str, Any]]) -> SchemaCheck:
    """All lines of a recording."""
    check = SchemaCheck()
    for line in lines:
        check.line(line)
    return check


def _is_between_foci(line: Mapping[str, Any]) -> bool:
    """Whether a message is one of a trunk; to-device messages say so by the sessions of their ends."""
    content = line["content"]
    sessions = {content.get("sender_session_id"), content.get("dest_session_id")}
    return "trunk" in line or (line["via"] == "to-device" and sessions == {FOCUS_SESSION_ID})


def _is_taken(line: Mapping[str, Any]) -> bool:
    """Whether an input was read: of what is unknown to the focus, or malformed, no schema speaks."""
    if "malformed" in line.get("refused", ()):
        return False
    return line["via"] == "to-device" or line["type"] in _read_types()


@cache
def _read_types() -> frozenset[str]:
    """Types of messages on the channel that a focus does something about."""
    return frozenset(
        {"m.call.negotiate", "m.call.sdp_stream_metadata_changed", "m.call.track_subscription"}
        | {"m.call.ping", "m.call.pong", "org.matrix_focus.stats"}
    )


@cache
def _registry() -> tuple[dict[str, dict[str, Any]], Registry[Any]]:
    read = {
        str(path.relative_to(FOLDER)): json.loads(path.read_text(encoding="utf-8"))
        for path in FOLDER.rglob("*.json")
    }
    resources = [(_uri(name), Resource.from_contents(one)) for name, one in read.items()]
    return read, Registry[Any]().with_resources(resources)


def _uri(name: str) -> str:
    return f"file:///protocol/{name}"
