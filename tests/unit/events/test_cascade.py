from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.units import Rid
from signalling.events.cascade import (
    LAYERS_KEY,
    MAX_FOCI,
    MAX_LAYER_LENGTH,
    MAX_LAYERS,
    MAX_PATH,
    PATH_KEY,
    ROOM_KEY,
    ConnectToFocus,
    layers_content,
    parse_layers,
    parse_path,
    path_content,
)
from signalling.events.data_channel import (
    MetadataChanged,
    SubscribedTrack,
    TrackSubscription,
    parse_message,
)
from signalling.events.metadata import StreamMetadata, TrackMetadata
from signalling.events.room_state import FocusDevice
from signalling.events.to_device import Envelope, Invite, UnreadableInvite, parse_to_device

FOCUS = {"user_id": "@focus:a", "device_id": "F"}

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
rids = st.text("abcXYZ019_-", min_size=1, max_size=MAX_LAYER_LENGTH).map(Rid)


def metadata_with(stream: dict[str, Any]) -> str:
    content = {"sdp_stream_metadata": {"s": stream}}
    return json.dumps({"type": "m.call.sdp_stream_metadata_changed", "content": content})


def wish_with(more: dict[str, Any]) -> str:
    wish = {"stream_id": "s", "track_id": "t"} | more
    return json.dumps({"type": "m.call.track_subscription", "content": {"subscribe": [wish]}})


def connect_with(foci: object) -> str:
    return json.dumps({"type": "m.call.connect_to_focus", "content": {"foci": foci}})


# --- round trips ------------------------------------------------------------------------------------------


@given(st.lists(st.builds(FocusDevice, ids, ids), max_size=MAX_PATH))
def test_a_path_is_read_as_it_was_written(path: list[FocusDevice]) -> None:
    assert parse_path(json.loads(json.dumps(path_content(path)))) == tuple(path)


@given(st.lists(rids, max_size=MAX_LAYERS, unique=True))
def test_layers_are_read_as_they_were_written(layers: list[Rid]) -> None:
    assert parse_layers(json.loads(json.dumps(layers_content(layers)))) == tuple(layers)


def test_messages_of_clients_look_as_before() -> None:
    for text in (
        json.dumps(SubscribedTrack("s", "t", 1, 1).content()),
        json.dumps(MetadataChanged((StreamMetadata("s", "m.usermedia", (TrackMetadata("t"),)),)).content()),
        json.dumps(Invite(Envelope("c", "p", "conf", "D", "s", "sfu"), "v=0").content()),
    ):
        assert "org.matrix_focus" not in text


def test_the_fields_stand_where_the_dialect_says() -> None:
    wish = SubscribedTrack("s", "t", layers=(Rid("q"),))
    assert wish.content()["org.matrix_focus.layers"] == ["q"]
    stream = StreamMetadata(
        "s", "m.usermedia", (TrackMetadata("t", layers=(Rid("f"),)),), path=(FocusDevice("@focus:a", "F"),)
    )
    content = MetadataChanged((stream,)).content()["sdp_stream_metadata"]["s"]
    assert content["org.matrix_focus.path"] == [FOCUS]
    assert content["tracks"]["t"]["org.matrix_focus.layers"] == ["f"]
    assert ConnectToFocus((FocusDevice("@focus:a", "F"),)).content() == {"foci": [FOCUS]}


# --- bounds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        None,
        [],
        {},
        "@focus:a",
        ["@focus:a"],
        [FOCUS] * (MAX_PATH + 1),
        [{"user_id": "@focus:a"}],
        [FOCUS | {"device_id": ""}],
        [FOCUS | {"user_id": "x" * 256}],
        [FOCUS | {"user_id": 7}],
    ],
)
def test_a_mangled_path_is_refused_with_its_message(path: object) -> None:
    with pytest.raises(ParseError):
        parse_message(metadata_with({PATH_KEY: path}))


@pytest.mark.parametrize(
    "layers",
    [
        None,
        [],
        {},
        "q",
        [7],
        [""],
        ["q", "q"],
        ["q\n"],
        ["qü"],
        ["a b"],
        ["x" * (MAX_LAYER_LENGTH + 1)],
        ["a", "b", "c", "d"],
    ],
)
def test_mangled_layers_are_refused_with_their_message(layers: object) -> None:
    for text in (wish_with({LAYERS_KEY: layers}), metadata_with({"tracks": {"t": {LAYERS_KEY: layers}}})):
        with pytest.raises(ParseError):
            parse_message(text)


@pytest.mark.parametrize("foci", [None, {}, [7], [{}], [FOCUS] * (MAX_FOCI + 1), [FOCUS | {"user_id": ""}]])
def test_a_mangled_list_of_foci_is_refused(foci: object) -> None:
    with pytest.raises(ParseError):
        parse_message(connect_with(foci))


def test_what_is_just_within_the_bounds_is_read() -> None:
    longest = [FOCUS | {"device_id": str(number)} for number in range(MAX_FOCI)]
    message = parse_message(connect_with(longest))
    assert isinstance(message, ConnectToFocus)
    assert len(message.foci) == MAX_FOCI
    assert len(parse_path({PATH_KEY: longest[:MAX_PATH]})) == MAX_PATH
    assert parse_layers({LAYERS_KEY: ["x" * MAX_LAYER_LENGTH, "y", "z"]})[1:] == ("y", "z")


def test_fields_that_nobody_knows_stay_ignored() -> None:
    path = [FOCUS | {"org.example.rack": 7}]
    assert parse_message(metadata_with({PATH_KEY: path, "org.example": 1})) == MetadataChanged(
        (StreamMetadata("s", "m.usermedia", path=(FocusDevice("@focus:a", "F"),)),)
    )
    assert parse_message(wish_with({"org.example": []})) == TrackSubscription((SubscribedTrack("s", "t"),))
    assert parse_message(connect_with([FOCUS | {"why": "?"}])) == ConnectToFocus(
        (FocusDevice("@focus:a", "F"),)
    )


@pytest.mark.parametrize("room_id", ["", 7, [], "x" * 256])
def test_an_invite_with_a_mangled_room_still_says_whose_it_is(room_id: object) -> None:
    envelope = Envelope("call", "PARTY", "conf", "DEVICE", "sfu", "sfu", 0)
    content = Invite(envelope, "v=0").content() | {ROOM_KEY: room_id}
    read = parse_to_device("m.call.invite", content)
    assert isinstance(read, UnreadableInvite)
    assert read.envelope == envelope
