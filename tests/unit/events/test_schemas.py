"""The JSON Schemas of our own messages hold what the focus really says, and nothing that it can't say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from sfu.conference.speakers import MAX_SPEAKERS
from sfu.conference.turn import DataChannelOpened, DataRefused, SendData
from sfu.config import LimitsConfig
from signalling.events.data_channel import (
    ERROR,
    MAX_ERROR_TEXT,
    SPEAKERS,
    ActiveSpeaker,
    Error,
    Negotiate,
    Speakers,
    serialise_message,
)
from signalling.events.fields import MAX_ID_LENGTH
from signalling.focus.refusals import ErrorCode
from tests.unit.conference.caller import encoding_rows, of_type, report_of
from tests.unit.focus.stage import Client, Stage

FOLDER = Path(__file__).parents[3] / "docs" / "schemas"


def schema_of(message_type: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((FOLDER / f"{message_type}.json").read_text(encoding="utf-8"))
    return schema


VALIDATORS = {name: Draft202012Validator(schema_of(name)) for name in (SPEAKERS, ERROR)}


def said(outputs: list[Any], message_type: str) -> list[dict[str, Any]]:
    """What of a type the focus put on data channels, checked."""
    frames = [json.loads(one.text) for one in of_type(outputs, SendData)]
    ours = [frame for frame in frames if frame["type"] == message_type]
    for frame in ours:
        VALIDATORS[message_type].validate(frame)
    return ours


def pair(limits: LimitsConfig | None = None) -> tuple[Stage, Client, Client]:
    stage = Stage(limits=limits) if limits is not None else Stage()
    return stage, stage.join("alice"), stage.join("bob")


def test_each_of_our_messages_has_a_schema_and_each_schema_a_message() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {SPEAKERS, ERROR}


@pytest.mark.parametrize("name", [SPEAKERS, ERROR])
def test_the_schemas_are_schemas_of_the_type_that_names_them(name: str) -> None:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == name == schema["properties"]["type"]["const"]


def test_the_codes_of_the_schema_are_those_of_the_code() -> None:
    content = schema_of(ERROR)["properties"]["content"]["properties"]
    assert content["code"]["enum"] == list(ErrorCode)
    assert content["text"]["maxLength"] == MAX_ERROR_TEXT
    assert content["about"]["maxLength"] == MAX_ID_LENGTH


def test_the_bounds_of_the_speakers_are_those_of_the_code() -> None:
    speakers = schema_of(SPEAKERS)["properties"]["content"]["properties"]["speakers"]
    assert speakers["maxItems"] == MAX_SPEAKERS


@given(
    st.sampled_from(ErrorCode),
    st.text(max_size=MAX_ERROR_TEXT),
    st.none() | st.text(min_size=1, max_size=MAX_ID_LENGTH),
)
def test_every_error_fits(code: ErrorCode, text: str, about: str | None) -> None:
    VALIDATORS[ERROR].validate(json.loads(serialise_message(Error(code, text, about))))


@given(st.lists(st.floats(0, 1), max_size=MAX_SPEAKERS))
def test_every_list_of_speakers_fits(levels: list[float]) -> None:
    speakers = tuple(ActiveSpeaker("@a:example.org", "DEVICE", level) for level in levels)
    VALIDATORS[SPEAKERS].validate(json.loads(serialise_message(Speakers(speakers))))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (ERROR, {"code": "anything", "text": ""}),
        (ERROR, {"code": "malformed"}),
        (ERROR, {"code": "malformed", "text": "", "more": 1}),
        (ERROR, {"code": "malformed", "text": "", "about": None}),
        (SPEAKERS, {}),
        (SPEAKERS, {"speakers": [{"user_id": "@a:b", "device_id": "D", "level": 1.1}]}),
        (SPEAKERS, {"speakers": [{"user_id": "@a:b", "level": 1}]}),
    ],
)
def test_what_the_focus_never_says_does_not_fit(name: str, content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VALIDATORS[name].validate({"type": name, "content": content})


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
