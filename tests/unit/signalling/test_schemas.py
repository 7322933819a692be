"""The JSON Schemas of the protocol hold what the focus says and takes, and nothing that it can't or won't."""

from __future__ import annotations

import json
import re
from types import NoneType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sfu.conference.hops import WITHHOLDING
from sfu.conference.speakers import MAX_SPEAKERS
from sfu.conference.turn import DataChannelOpened, DataRefused, SendData
from sfu.conference.values import Reason
from sfu.config import LimitsConfig
from sfu.errors import ParseError
from sfu.rows import MAX_ENCODINGS
from signalling.events import cascade, data_channel, metadata, ours, room_state, to_device
from signalling.events.data_channel import (
    ERROR,
    MAX_ERROR_TEXT,
    SPEAKERS,
    Error,
    Negotiate,
    parse_message,
    serialise_message,
)
from signalling.events.fields import MAX_ID_LENGTH
from signalling.events.to_device import UnreadableInvite, parse_to_device
from signalling.focus.cascade import asking, dialling
from signalling.focus.cascade.hops import MAX_HOPS, STATES
from signalling.focus.cascade.trust import InviteRefusal
from signalling.focus.endings import Ending, Told, told_to
from signalling.focus.refusals import ErrorCode, Refusal
from signalling.focus.turn import SendToDevice
from signalling.service import WELL_KNOWN, well_known
from tests.support.mangling import mangled
from tests.support.recordings import RUNS, recorded
from tests.support.schemas import (
    ACCEPTED,
    FOLDER,
    SENT,
    TRUNK,
    SchemaCheck,
    by_type,
    schema,
    schema_files,
    state_verdicts,
    validator,
)
from tests.unit.conference.caller import encoding_rows, of_type, report_of
from tests.unit.focus.stage import Client, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PARTS = [(name, direction) for name in schema_files() for direction in (SENT, ACCEPTED, TRUNK) if "/" in name]
MESSAGES = [(name, direction) for name, direction in PARTS if direction in schema(name)["$defs"]]
CLOSED = [(name, direction) for name, direction in MESSAGES if direction != ACCEPTED]
TAKEN_TO_DEVICE = [key for key in by_type() if key[:2] == (ACCEPTED, "to-device")]
TAKEN_ON_CHANNEL = [key for key in by_type() if key[:2] == (ACCEPTED, "channel")]
STATE = [key for key in by_type() if key[1] == "room"]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**54), 2**54)
    # To a schema 1.0 is a whole number.
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not value.is_integer())
    | st.text(max_size=4)
    | st.sampled_from(
        ["offer", "m.usermedia", "x" * MAX_ID_LENGTH, "x" * (MAX_ID_LENGTH + 1), 0, 32_768, 32_769]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
"""JSON without half surrogate pairs, which no schema can speak of."""


def examples(name: str, direction: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = schema(name)["$defs"][direction]["examples"]
    return found


OF_TRUNKS = [(name, example) for name, part in MESSAGES if part == TRUNK for example in examples(name, TRUNK)]


def examples_of(key: tuple[str, str, str]) -> list[dict[str, Any]]:
    folder = {"to-device": "to-device", "channel": "data-channel", "room": "state"}[key[1]]
    named = [
        one
        for name, direction in MESSAGES
        if name.startswith(f"{folder}/") and direction == key[0]
        for one in examples(name, direction)
    ]
    return [one for one in named if one["type"] == key[2]]


def parts_with_examples(node: object, pointer: str = "#") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for example in node.get("examples", ()):
            yield pointer, example
        for key, inner in node.items():
            if key != "examples":
                escaped = key.replace("~", "~0").replace("/", "~1")
                yield from parts_with_examples(inner, f"{pointer}/{escaped}")


def is_read(message: dict[str, Any]) -> bool:
    try:
        parse_message(json.dumps(message))
    except ParseError:
        return False
    return True


def is_read_to_device(message: dict[str, Any]) -> bool:
    try:
        read = parse_to_device(message["type"], message["content"])
    except ParseError:
        return False
    return not isinstance(read, NoneType | UnreadableInvite)


def pair(limits: LimitsConfig | None = None) -> tuple[Stage, Client, Client]:
    stage = Stage(limits=limits) if limits is not None else Stage()
    return stage, stage.join("alice"), stage.join("bob")


def checked(outputs: list[Any]) -> SchemaCheck:
    """What the focus said, held to the schemas."""
    check = SchemaCheck()
    for one in outputs:
        if isinstance(one, SendData):
            check.message(SENT, "channel", json.loads(one.text))
        elif isinstance(one, SendToDevice):
            check.message(SENT, "to-device", {"type": one.message.type, "content": one.message.content()})
    assert check.faults == []
    return check


def said(outputs: list[Any], message_type: str) -> list[dict[str, Any]]:
    checked(outputs)
    frames = [json.loads(one.text) for one in of_type(outputs, SendData)]
    return [frame for frame in frames if frame["type"] == message_type]


# --- the schemas as such ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", schema_files())
def test_each_schema_is_one_and_its_examples_are_examples_of_it(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    found = list(parts_with_examples(schema(name)))
    assert found or name == "common.json"
    for pointer, example in found:
        validator(name, pointer).validate(example)


@pytest.mark.parametrize(("name", "direction"), MESSAGES)
def test_each_part_is_of_the_type_that_names_its_file_and_has_an_example(name: str, direction: str) -> None:
    assert examples(name, direction)
    assert schema(name)["title"] == name.rpartition("/")[2].removesuffix(".json")
    assert examples(name, direction)[0]["type"] == schema(name)["title"]


def test_the_index_names_every_schema_and_nothing_else() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(set(re.findall(r"\]\(([^)#]*\.json)\)", index))) == schema_files()


def test_what_schemas_cite_are_sections_of_the_protocol() -> None:
    headings = set(
        re.findall(r"^#{2,3} ([0-9.]+?)\.? ", (FOLDER.parent / "protocol.md").read_text(), re.MULTILINE)
    )
    for name in schema_files():
        text = json.dumps(schema(name))
        cited = re.findall(r"[Pp]rotocol: sections? ([0-9.]+[0-9])(?: and ([0-9.]+[0-9]))?", text)
        assert {number for numbers in cited for number in numbers if number} <= headings


def test_every_type_that_the_code_reads_or_says_has_a_schema() -> None:
    keys = set(by_type())
    said_types = {
        ("to-device", one.type)
        for one in (
            *(to_device.Answer, to_device.Candidates, to_device.Hangup, to_device.Reject),
            *(to_device.Negotiate, to_device.MetadataChanged),
        )
    } | {
        ("channel", one.type)
        for one in (
            *(data_channel.Negotiate, data_channel.MetadataChanged, data_channel.Ping, data_channel.Pong),
            *(data_channel.Speakers, data_channel.Error),
            *(ours.Layers, ours.Why, ours.Stats, ours.Drain),
        )
    }
    read_types = (
        {("to-device", name) for name in to_device.READ_TYPES}
        | {("room", name) for name in (*room_state.CALL_TYPES, *room_state.CALL_MEMBER_TYPES)}
        | {("channel", name) for name in ("m.call.negotiate", "m.call.sdp_stream_metadata_changed")}
        | {
            ("channel", name)
            for name in (
                *("m.call.track_subscription", "m.call.ping", "m.call.pong"),
                *(cascade.CONNECT_TO_FOCUS, ours.STATS),
            )
        }
    )
    between_foci = (
        {("to-device", f"m.call.{name}") for name in ("invite", "answer", "reject", "negotiate")}
        | {("channel", "m.call.negotiate"), ("channel", "m.call.sdp_stream_metadata_changed")}
        | {("channel", "m.call.track_subscription"), ("channel", ours.WHY)}
    )
    assert keys == {
        (direction, *one)
        for direction, types in ((SENT, said_types), (ACCEPTED, read_types), (TRUNK, between_foci))
        for one in types
    }


def test_closed_lists_and_bounds_are_those_of_the_code() -> None:
    def content(name: str, direction: str = SENT) -> Any:  # noqa: ANN401  # JSON
        return schema(name)["$defs"][direction]["properties"]["content"]["properties"]

    error = content(f"data-channel/{ERROR}.json")
    assert error["code"]["enum"] == list(ErrorCode)
    assert error["text"]["maxLength"] == MAX_ERROR_TEXT
    assert error["about"]["maxLength"] == MAX_ID_LENGTH
    assert content(f"data-channel/{SPEAKERS}.json")["speakers"]["maxItems"] == MAX_SPEAKERS
    assert content("to-device/m.call.reject.json")["reason"]["enum"] == list(Refusal)
    of_trunks = content("to-device/m.call.reject.json", TRUNK)["reason"]["enum"]
    assert sorted(of_trunks) == sorted({*InviteRefusal, *Refusal})
    lifetime_ms = content("to-device/m.call.invite.json", TRUNK)["lifetime"]["const"]
    assert lifetime_ms == 1_000 * dialling.DIAL_S
    told = {one.reason for one in map(told_to, Ending) if isinstance(one, Told)}
    assert set(content("to-device/m.call.hangup.json")["reason"]["enum"]) == told
    why = content(f"data-channel/{ours.WHY}.json")["tracks"]
    assert why["maxItems"] == ours.MAX_TRACKS
    track = schema(f"data-channel/{ours.WHY}.json")["$defs"]["track"]["properties"]
    assert track["cause"]["enum"] == list(Reason)
    assert set(track["hop"]["properties"]["cause"]["enum"]) == {None, *WITHHOLDING}
    stats = content(f"data-channel/{ours.STATS}.json")["hops"]
    assert stats["maxItems"] == ours.MAX_HOPS == MAX_HOPS
    hop = schema(f"data-channel/{ours.STATS}.json")["$defs"]["hop"]["properties"]
    assert hop["state"]["enum"] == list(STATES.values())
    layers = content(f"data-channel/{ours.LAYERS}.json")["tracks"]["items"]["properties"]["active"]
    assert layers["maxItems"] == MAX_ENCODINGS
    candidates = content("to-device/m.call.candidates.json", ACCEPTED)["candidates"]
    assert candidates["maxItems"] == to_device.MAX_CANDIDATES
    assert candidates["items"]["properties"]["candidate"]["maxLength"] == to_device.MAX_CANDIDATE_LENGTH
    wanted = content("data-channel/m.call.track_subscription.json", ACCEPTED)
    assert (
        wanted["subscribe"]["maxItems"] == wanted["unsubscribe"]["maxItems"] == data_channel.MAX_SUBSCRIPTIONS
    )
    common = schema("common.json")["$defs"]
    assert common["id"]["maxLength"] == MAX_ID_LENGTH
    assert common["sdp"]["maxLength"] == to_device.MAX_SDP_LENGTH
    assert common["lifetimeAccepted"]["maximum"] == to_device.MAX_LIFETIME_MS
    assert common["pixelsAccepted"]["maximum"] == metadata.MAX_PIXELS
    assert common["envelopeAccepted"]["properties"]["seq"]["maximum"] == to_device.MAX_SEQ
    streams = schema("sdp_stream_metadata.json")["$defs"][ACCEPTED]
    assert streams["maxProperties"] == metadata.MAX_STREAMS
    assert streams["additionalProperties"]["properties"]["tracks"]["maxProperties"] == metadata.MAX_TRACKS
    assert streams["additionalProperties"]["properties"][cascade.PATH_KEY]["maxItems"] == cascade.MAX_PATH
    assert common["layers"]["maxItems"] == cascade.MAX_LAYERS == MAX_ENCODINGS
    assert common["layers"]["items"]["maxLength"] == cascade.MAX_LAYER_LENGTH
    announced = schema("sdp_stream_metadata.json")["$defs"][TRUNK]
    assert announced["maxProperties"] == metadata.MAX_STREAMS
    assert announced["additionalProperties"]["properties"]["tracks"]["maxProperties"] == metadata.MAX_TRACKS
    assert announced["additionalProperties"]["properties"][cascade.PATH_KEY]["maxItems"] == cascade.MAX_PATH
    asked = content("data-channel/m.call.track_subscription.json", TRUNK)
    assert asked["subscribe"]["maxItems"] == asked["unsubscribe"]["maxItems"] == asking.MAX_TRACKS
    foci = content(f"data-channel/{cascade.CONNECT_TO_FOCUS}.json", ACCEPTED)["foci"]
    assert foci["maxItems"] == cascade.MAX_FOCI


def test_the_fragment_that_is_announced_fits() -> None:
    validator("well-known.json").validate(
        json.loads(well_known([{"user_id": "@focus:example.org", "device_id": "FOCUS"}]))
    )
    assert not validator("well-known.json").is_valid({WELL_KNOWN: [{"user_id": "@focus:example.org"}]})


# --- what is taken: the parsers and the schemas say the same ------------------------------------------------


@pytest.mark.parametrize("key", TAKEN_TO_DEVICE)
@given(data=st.data())
def test_a_to_device_message_is_read_exactly_if_it_fits(
    key: tuple[str, str, str], data: st.DataObject
) -> None:
    example = data.draw(st.sampled_from(examples_of(key) or examples_of((key[0], key[1], _stable(key[2])))))
    message = {"type": key[2], "content": data.draw(mangled(example["content"], values))}
    assert by_type()[key].is_valid(message) == is_read_to_device(message)


@pytest.mark.parametrize("key", TAKEN_ON_CHANNEL)
@given(data=st.data())
def test_a_message_of_the_channel_is_read_exactly_if_it_fits(
    key: tuple[str, str, str], data: st.DataObject
) -> None:
    example = data.draw(st.sampled_from(examples_of(key)))
    message = {"type": key[2], "content": data.draw(mangled(example["content"], values))}
    if key[2] == ours.STATS and "every_ms" not in _object(message["content"]):
        return  # then it is the focus's own kind, which clients don't send
    assert by_type()[key].is_valid(message) == is_read(message)


@pytest.mark.parametrize("key", STATE)
@given(data=st.data())
def test_a_state_event_and_its_entries_count_exactly_if_they_fit(
    key: tuple[str, str, str], data: st.DataObject
) -> None:
    example = data.draw(
        st.sampled_from(examples_of(key) or examples_of((*key[:2], f"org.matrix.msc3401.{key[2][2:]}")))
    )
    event = example | {"type": key[2], "content": data.draw(mangled(example["content"], values))}
    for is_taken, does_fit, what in state_verdicts(event):
        assert is_taken == does_fit, what


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ((ACCEPTED, "channel", "m.call.negotiate"), {"description": {"type": "pranswer", "sdp": ""}}),
        ((ACCEPTED, "channel", "m.call.negotiate"), {"description": {"type": "offer"}}),
        ((ACCEPTED, "channel", "m.call.sdp_stream_metadata_changed"), {"sdp_stream_metadata": None}),
        (
            (ACCEPTED, "channel", "m.call.track_subscription"),
            {"subscribe": [{"stream_id": "", "track_id": "t"}]},
        ),
        ((ACCEPTED, "channel", "m.call.track_subscription"), {"unsubscribe": {}}),
        ((ACCEPTED, "channel", ours.STATS), {"every_ms": -1}),
    ],
)
def test_what_the_parser_refuses_does_not_fit(key: tuple[str, str, str], content: dict[str, Any]) -> None:
    message = {"type": key[2], "content": content}
    assert not is_read(message)
    assert not by_type()[key].is_valid(message)


@pytest.mark.parametrize("run", RUNS)
def test_what_the_one_released_client_sent_fits(run: str) -> None:
    check = SchemaCheck()
    for entry in recorded(run, "todevice_rx"):
        check.message(ACCEPTED, "to-device", entry["event"])
    for entry in recorded(run, "dc_rx"):
        if isinstance(entry["msg"], dict) and is_read(entry["msg"]):
            check.message(ACCEPTED, "channel", entry["msg"])
    assert check.faults == []
    assert check.checked.total() > 20


# --- what is sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "direction"), CLOSED)
def test_a_sent_message_with_more_or_less_in_it_does_not_fit(name: str, direction: str) -> None:
    for example in examples(name, direction):
        part = validator(name, f"#/$defs/{direction}")
        content = example["content"]
        part.validate(example)
        assert not part.is_valid(example | {"content": content | {"more": 1}})
        assert not part.is_valid(example | {"more": 1})
        optional = {"about", "foci", "hops"} | ({"seq"} if name.endswith("hangup.json") else set())
        if direction == TRUNK and name.endswith("m.call.negotiate.json"):
            optional |= {metadata.STABLE_KEY, metadata.UNSTABLE_KEY}
        for key in content.keys() - optional:
            less = {other: value for other, value in content.items() if other != key}
            assert not part.is_valid(example | {"content": less}), key


@pytest.mark.parametrize(("name", "example"), OF_TRUNKS)
def test_what_foci_say_to_each_other_is_read_and_would_be_written_so(
    name: str, example: dict[str, Any]
) -> None:
    if name.startswith("to-device/"):
        read: Any = parse_to_device(example["type"], example["content"])
        assert by_type()[ACCEPTED, "to-device", example["type"]].is_valid(example)
    else:
        read = parse_message(json.dumps(example))
    assert {"type": read.type, "content": read.content()} == example


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (ours.WHY, lambda content: content["tracks"][1].update(cause="size")),
        (ours.WHY, lambda content: content["tracks"][1].update(hop={"user_id": "@f:x", "device_id": "F"})),
        ("m.call.sdp_stream_metadata_changed", lambda content: _stream(content).pop(cascade.PATH_KEY)),
        (
            "m.call.sdp_stream_metadata_changed",
            lambda content: _stream(content).update({cascade.PATH_KEY: []}),
        ),
        (
            "m.call.track_subscription",
            lambda content: content["subscribe"][0].update({cascade.LAYERS_KEY: ["?"]}),
        ),
    ],
)
def test_what_is_wrong_between_foci_does_not_fit(kind: str, change: Callable[[Any], object]) -> None:
    (example, *_) = examples(f"data-channel/{kind}.json", TRUNK)
    wrong = json.loads(json.dumps(example))
    change(wrong["content"])
    assert by_type()[TRUNK, "channel", kind].is_valid(example)
    assert not by_type()[TRUNK, "channel", kind].is_valid(wrong)


def test_a_mangled_message_of_the_focus_is_caught() -> None:
    check = SchemaCheck()
    line = {"direction": "out", "via": "channel", "type": ERROR, "content": {"code": "malformed", "text": ""}}
    check.line(line)
    assert check.faults == []
    check.line(line | {"content": {"code": "anything", "text": ""}})
    check.line(line | {"type": "org.matrix_focus.unheard_of"})
    check.line(line | {"direction": "in", "type": "m.call.negotiate", "content": {}})
    check.line(line | {"direction": "in", "via": "to-device", "type": "m.call.invite", "content": {}})
    assert [fault.split(":")[0] for fault in check.faults] == [
        f"sent channel {ERROR}",
        "sent channel",
        "accepted channel m.call.negotiate",
        "accepted to-device m.call.invite",
    ]


def test_a_state_event_that_is_taken_and_does_not_fit_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    event = {
        "direction": "in",
        "via": "room",
        "type": "m.call",
        "conf_id": "c",
        "content": {"m.intent": "m.room"},
    }
    check = SchemaCheck()
    check.line(event)
    assert check.faults == []
    monkeypatch.setattr("tests.support.schemas.parse_call", lambda *_: object())
    check.line(event)
    assert len(check.faults) == 1


def test_the_refusals_of_a_running_focus_fit() -> None:
    stage, alice, bob = pair(LimitsConfig(subscriptions_per_leg=1))
    assert alice.leg is not None
    outputs = stage.say(alice, "{")
    outputs += stage.say(alice, Negotiate("offer", "v=0\r\n"))
    outputs += stage.say(alice, Negotiate("answer", alice.caller.offer()))
    outputs += stage.subscribe(bob, ("alice-stream", "alice-audio"), ("alice-stream", "alice-video"))
    outputs += stage.give(DataChannelOpened(alice.leg, 1, "channel"))
    outputs += stage.give(DataRefused(alice.leg, 0, "binary"))
    assert [frame["content"]["code"] for frame in said(outputs, ERROR)] == [
        "malformed",
        "bad_sdp",
        "no_offer_pending",
        "too_many_subscriptions",
        "second_channel",
        "not_text",
    ]


def test_the_speakers_of_a_running_focus_fit_until_nobody_speaks() -> None:
    stage, alice, _ = pair()
    track = min(track for track, leg in stage.tracks.items() if leg == alice.leg)
    outputs: list[Any] = []
    for level in [10] * 40 + [127] * 80:
        outputs += stage.give(report_of(stage.now, encodings=encoding_rows((track, 0, level))))
        outputs += stage.pass_ms(50)
    told = said(outputs, SPEAKERS)
    assert told[0]["content"]["speakers"][0]["user_id"] == alice.user_id
    assert told[-1]["content"]["speakers"] == []


def test_everything_that_a_focus_says_in_a_call_fits() -> None:
    stage, alice, bob = pair()
    stage.subscribe(bob, ("alice-stream", "alice-audio"), ("alice-stream", "alice-video"))
    stage.say(alice, json.dumps({"type": "m.call.ping", "content": {}}))
    stranger = stage.client("mallory")
    stage.invite(stranger)
    stage.send(
        alice, to_device.Negotiate(alice.envelope(), "offer", alice.caller.offer(), metadata=alice.metadata())
    )
    stage.pass_ms(45_000)  # nobody answers a ping
    check = checked(stage.outputs)
    assert {(way, kind) for _, way, kind in check.checked} >= {
        *(
            ("to-device", f"m.call.{name}")
            for name in ("answer", "candidates", "reject", "negotiate", "hangup")
        ),
        *(
            ("channel", f"m.call.{name}")
            for name in ("negotiate", "sdp_stream_metadata_changed", "ping", "pong")
        ),
    }


@given(
    st.sampled_from(ErrorCode),
    st.text(max_size=MAX_ERROR_TEXT),
    st.none() | st.text(min_size=1, max_size=MAX_ID_LENGTH),
)
def test_every_error_fits(code: ErrorCode, text: str, about: str | None) -> None:
    by_type()[SENT, "channel", ERROR].validate(json.loads(serialise_message(Error(code, text, about))))


def _stable(kind: str) -> str:
    return kind.replace("org.matrix.call.", "m.call.")


def _stream(content: Any) -> Any:  # noqa: ANN401  # JSON
    return content[metadata.STABLE_KEY]["5f1d"]


def _object(content: object) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}
