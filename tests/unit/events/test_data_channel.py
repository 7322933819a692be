from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.units import Kind, Rid
from signalling.events.cascade import ConnectToFocus
from signalling.events.data_channel import (
    MAX_MESSAGE_LENGTH,
    MAX_SUBSCRIPTIONS,
    ActiveSpeaker,
    DataMessage,
    Error,
    Frame,
    MetadataChanged,
    Negotiate,
    Ping,
    Pong,
    Speakers,
    SubscribedTrack,
    TrackRef,
    TrackSubscription,
    Unknown,
    frame_of,
    metadata_frame,
    negotiate_frame,
    parse_message,
    serialise_message,
)
from signalling.events.metadata import (
    MAX_STREAMS,
    MAX_TRACKS,
    StreamMetadata,
    TrackMetadata,
    metadata_text,
    stream_text,
)
from signalling.events.room_state import FocusDevice
from tests.support.mangling import mangled
from tests.support.recordings import RUNS, recorded
from tests.unit.events.test_to_device import json_values

METADATA = (
    StreamMetadata(
        "s",
        "m.screenshare",
        (TrackMetadata("a", Kind.AUDIO), TrackMetadata("v", Kind.VIDEO, 1280, 720)),
        audio_muted=True,
        video_muted=True,
    ),
)
BETWEEN_FOCI = (
    StreamMetadata(
        "s",
        "m.usermedia",
        (
            TrackMetadata("a", Kind.AUDIO),
            TrackMetadata("v", Kind.VIDEO, 1280, 720, (Rid("q"), Rid("h"), Rid("f"))),
        ),
        user_id="@a:b",
        device_id="D",
        path=(FocusDevice("@focus:a", "F"), FocusDevice("@focus:b", "G")),
    ),
)
MESSAGES: list[DataMessage] = [
    TrackSubscription(
        (SubscribedTrack("s", "v", 640, 360), SubscribedTrack("s", "a")), (TrackRef("x", "y"),)
    ),
    TrackSubscription(
        (
            SubscribedTrack("s", "v", 640, 360, is_pinned=True),
            SubscribedTrack("s", "w", 160, 90, is_visible=False),
        )
    ),
    Negotiate("offer", "v=0", METADATA),
    Negotiate("answer", "v=0"),
    MetadataChanged(METADATA),
    Ping(),
    Pong(),
    TrackSubscription((SubscribedTrack("s", "v", layers=(Rid("q"), Rid("h"))),)),
    MetadataChanged(BETWEEN_FOCI),
    ConnectToFocus((FocusDevice("@focus:a", "F"), FocusDevice("@focus:b", "G"))),
    ConnectToFocus(()),
    Speakers((ActiveSpeaker("@a:b", "D", 0.5),)),
    Error("not_json", "that was no JSON", "m.call.negotiate"),
    Error("not_json", "that was no JSON"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.type)
def test_what_is_written_is_read_back(message: DataMessage) -> None:
    assert parse_message(serialise_message(message)) == message


def test_a_wish_is_neither_pinned_nor_hidden_unless_it_says_so() -> None:
    plain = SubscribedTrack("s", "v", 640, 360)
    assert plain.content() == {"stream_id": "s", "track_id": "v", "width": 640, "height": 360}
    told = plain.content() | {"pinned": False, "visible": True}
    message = {"type": "m.call.track_subscription", "content": {"subscribe": [told]}}
    assert parse_message(json.dumps(message)) == TrackSubscription((plain,))


@pytest.mark.parametrize("run", RUNS)
def test_everything_that_the_recorded_client_sent_is_read(run: str) -> None:
    types = set()
    for line in recorded(run, "dc_rx"):
        message = parse_message(json.dumps(line["msg"]))
        assert not isinstance(message, Unknown), line
        types.add(message.type)
    assert "m.call.track_subscription" in types


def test_the_recorded_audio_wish_with_a_size_is_read() -> None:
    wishes = [
        wish
        for line in recorded("run1", "dc_rx")
        if isinstance(message := parse_message(json.dumps(line["msg"])), TrackSubscription)
        for wish in message.subscribe
    ]
    assert any(wish.width for wish in wishes)
    assert any(not wish.width for wish in wishes)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "null",
        "[]",
        "7",
        "{",
        '"text"',
        "{}",
        '{"type":7}',
        '{"type":"m.call.ping","content":[]}',
        '{"type":"m.call.negotiate","content":{}}',
        '{"type":"m.call.negotiate","content":{"description":{"type":"rollback","sdp":""}}}',
        '{"type":"m.call.negotiate","content":{"description":{"type":"offer"}}}',
        '{"type":"m.call.sdp_stream_metadata_changed","content":{}}',
        '{"type":"m.call.sdp_stream_metadata_changed","content":{"sdp_stream_metadata":[]}}',
        '{"type":"m.call.track_subscription","content":{"subscribe":{}}}',
        '{"type":"m.call.track_subscription","content":{"subscribe":["s"]}}',
        '{"type":"m.call.track_subscription","content":{"subscribe":[{"stream_id":"s"}]}}',
        '{"type":"m.call.track_subscription","content":{"subscribe":[{"stream_id":"s","track_id":"t","width":-1}]}}',
        '{"type":"m.call.track_subscription","content":{"subscribe":[{"stream_id":"s","track_id":"t","pinned":1}]}}',
        '{"type":"m.call.track_subscription","content":{"subscribe":[{"stream_id":"s","track_id":"t","visible":null}]}}',
        '{"type":"org.matrix_focus.speakers","content":{"speakers":[{"user_id":"a","device_id":"b","level":2}]}}',
        "[" * 100_000,
    ],
)
def test_garbage_is_a_parse_error(source: str) -> None:
    with pytest.raises(ParseError):
        parse_message(source)


def test_a_missing_content_is_an_empty_one() -> None:
    assert parse_message('{"type":"m.call.pong"}') == Pong()


def test_an_unknown_type_is_named_and_ignored() -> None:
    assert parse_message('{"type":"com.example.wave","content":{"a":1}}') == Unknown("com.example.wave")
    assert Unknown("com.example.wave").content() == {}


@pytest.mark.parametrize(
    "content",
    [
        {"subscribe": [{"stream_id": "s", "track_id": "t"}] * (MAX_SUBSCRIPTIONS + 1)},
        {"unsubscribe": [{"stream_id": "s", "track_id": "t"}] * (MAX_SUBSCRIPTIONS + 1)},
    ],
)
def test_too_many_subscriptions_are_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ParseError, match="too_long"):
        parse_message(json.dumps({"type": "m.call.track_subscription", "content": content}))


@pytest.mark.parametrize(
    "metadata",
    [
        {str(n): {} for n in range(MAX_STREAMS + 1)},
        {"s": {"tracks": {str(n): {} for n in range(MAX_TRACKS + 1)}}},
        {"s": {"purpose": "x" * 65}},
        {"s": {"purpose": 7}},
        {"s": {"audio_muted": "no"}},
        {"s": {"tracks": {"t": {"width": 1e9}}}},
        {"s": {"tracks": {"t": {"width": True}}}},
        {"": {}},
        {"s": {"tracks": {"": {}}}},
        {"s": {"user_id": ""}},
    ],
)
def test_mangled_metadata_is_refused(metadata: dict[str, Any]) -> None:
    content = {"sdp_stream_metadata": metadata}
    with pytest.raises(ParseError):
        parse_message(json.dumps({"type": "m.call.sdp_stream_metadata_changed", "content": content}))


def test_a_track_of_an_unknown_kind_is_a_track_without_kind() -> None:
    content = {"sdp_stream_metadata": {"s": {"tracks": {"t": {"kind": "smell"}}}}}
    message = parse_message(json.dumps({"type": "m.call.sdp_stream_metadata_changed", "content": content}))
    assert message == MetadataChanged((StreamMetadata("s", "m.usermedia", (TrackMetadata("t"),)),))


def test_a_message_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(ParseError, match="too_long"):
        parse_message("x" * (MAX_MESSAGE_LENGTH + 1))


@given(source=st.text())
def test_any_text_is_a_message_or_a_parse_error(source: str) -> None:
    with pytest.raises(ParseError):
        parse_message(source)


@given(kind=st.sampled_from([m.type for m in MESSAGES]), content=json_values)
def test_any_content_is_a_message_or_a_parse_error(kind: str, content: object) -> None:
    try:
        message = parse_message(json.dumps({"type": kind, "content": content}))
    except ParseError:
        return
    assert message.type == kind


@given(message=st.sampled_from(MESSAGES), data=st.data())
def test_a_message_with_one_value_replaced_is_a_message_or_a_parse_error(
    message: DataMessage, data: st.DataObject
) -> None:
    content = data.draw(mangled(message.content(), json_values))
    try:
        parsed = parse_message(json.dumps({"type": message.type, "content": content}))
    except ParseError:
        return
    assert isinstance(parsed, type(message))


def test_frames_of_written_metadata_are_the_messages_themselves() -> None:
    written = metadata_text(stream_text(stream) for stream in METADATA)
    assert parse_message(metadata_frame(written).text) == MetadataChanged(METADATA)
    offer = Negotiate("offer", 'v=0\r\ns="-"\r\n', METADATA)
    assert parse_message(negotiate_frame("offer", offer.sdp, written).text) == offer
    for message in (MetadataChanged(METADATA), offer, Ping()):
        assert frame_of(message) == Frame(message.type, serialise_message(message))
