from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from signalling.events.data_channel import parse_message, serialise_message
from signalling.events.ours import (
    MAX_EVERY_MS,
    MIN_EVERY_MS,
    ActiveLayers,
    Drain,
    Hop,
    HopStats,
    Layers,
    Limit,
    OtherFocus,
    OwnMessage,
    SentLayer,
    Stats,
    StatsRequest,
    TrackStats,
    TrackWhy,
    WayStats,
    Why,
)
from tests.support.mangling import mangled

MESSAGES: list[OwnMessage] = [
    Layers((ActiveLayers("s", "t", ("q", "h")), ActiveLayers("s", "u", ()))),
    Why(
        (
            TrackWhy("s", "t", 640, 360, SentLayer("q", 1, 320, 180, 120_000), "budget", "You get little."),
            TrackWhy("s", "a", 0, 0, SentLayer("", None, 0, 0, 0), "size", "You get the sound."),
            TrackWhy("s", "u", 0, 0, None, "paused", "You get nothing."),
            TrackWhy("s", "v", 0, 0, None, "cap", "Nothing.", layer="f", limit=Limit(450_000, 0)),
            TrackWhy("s", "w", 0, 0, None, "hop", "Nothing.", hop=Hop(OtherFocus("@focus:b", "FOCUS"), None)),
            TrackWhy(
                "s",
                "x",
                0,
                0,
                None,
                "hop",
                "Nothing.",
                hop=Hop(OtherFocus("@focus:b", "FOCUS"), "budget", Limit(450_000, 1_700_000)),
            ),
        )
    ),
    StatsRequest(1_000),
    StatsRequest(0),
    Stats(None, None, 0, ()),
    Stats(
        2_000_000, 0.025, 3, (TrackStats("s", "t", "h", 300_000, 20, 3), TrackStats("s", "u", None, 0, 0, 0))
    ),
    Stats(
        None,
        None,
        0,
        (),
        (
            HopStats(
                OtherFocus("@focus:b", "FOCUS"),
                "up",
                1_790_000_000_000,
                3,
                0.034,
                5_000_000,
                WayStats(6, 8, 1_050_000, 0.01),
                WayStats(0, 0, 0, None),
            ),
            HopStats(
                OtherFocus("@focus:c", "FOCUS"),
                "idle",
                0,
                0,
                None,
                None,
                WayStats(0, 0, 0, None),
                WayStats(0, 0, 0, None),
            ),
        ),
    ),
    Drain(60_000),
    Drain(0, (OtherFocus("@focus:b", "FOCUS"),)),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_read_as_it_was_written(message: OwnMessage) -> None:
    assert parse_message(serialise_message(message)) == message


@given(message=st.sampled_from(MESSAGES), data=st.data())
def test_a_message_with_one_value_replaced_is_a_message_or_a_parse_error(
    message: OwnMessage, data: st.DataObject
) -> None:
    content = data.draw(mangled(message.content(), json_values))
    try:
        parsed = parse_message(json.dumps({"type": message.type, "content": content}))
    except ParseError:
        return
    assert parsed.type == message.type


@pytest.mark.parametrize(
    ("asked", "read"),
    [(1, MIN_EVERY_MS), (199.9, MIN_EVERY_MS), (10**9, MAX_EVERY_MS), (0, 0), (None, 0), (500, 500)],
)
def test_a_wish_for_figures_is_brought_into_the_legal_range(asked: float | None, read: int) -> None:
    text = json.dumps({"type": "org.matrix_focus.stats", "content": {"every_ms": asked}})
    assert parse_message(text) == StatsRequest(read)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("layers", {}),
        ("layers", {"tracks": [{"stream_id": "s", "track_id": "t"}]}),
        ("layers", {"tracks": [{"stream_id": "s", "track_id": "t", "active": [7]}]}),
        ("layers", {"tracks": [{"stream_id": "s", "track_id": "t", "active": ["q"] * 17}]}),
        ("why", {"tracks": [7]}),
        ("why", {"tracks": [{"stream_id": "s", "track_id": "t", "cause": "size", "text": ""}]}),
        ("stats", {"every_ms": -1}),
        ("stats", {"every_ms": "often"}),
        ("stats", {"round_trip_time": True, "tracks": []}),
        ("stats", {"round_trip_time": "soon", "tracks": []}),
        ("stats", {"round_trip_time": -0.1, "tracks": []}),
        ("stats", {}),
        ("drain", {}),
        ("drain", {"deadline_ms": -1}),
        ("drain", {"deadline_ms": 1, "foci": [{"user_id": "@a:b"}]}),
        ("drain", {"deadline_ms": 1, "foci": {}}),
    ],
)
def test_what_has_not_the_shape_of_its_type_is_refused(name: str, content: Any) -> None:  # noqa: ANN401  # JSON
    with pytest.raises(ParseError):
        parse_message(json.dumps({"type": f"org.matrix_focus.{name}", "content": content}))
