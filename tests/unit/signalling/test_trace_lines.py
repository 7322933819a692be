"""A recording is read as it was written, and something else is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from signalling.trace.lines import (
    MAX_LINE_LENGTH,
    Began,
    Direction,
    End,
    Header,
    Line,
    Via,
    read_recording,
    written,
)
from signalling.trace.redaction import Redacted
from tests.support.mangling import mangled

HEADER = Header(
    "1.2.3", Began.BEFORE, 7, {"user_id": "@user1:server1", "device_id": None, "conf_id": None}, {"calls": {}}
)
LINE = Line(1.5, Direction.IN, Via.CHANNEL, "m.call.pong", Redacted({}), Redacted({"leg": 2, "channel": 0}))


def test_what_is_written_is_read_back() -> None:
    read = read_recording([written(HEADER), "", written(LINE), written(End("leg_ended"))])
    assert (read.header, read.lines, read.end) == (HEADER, (LINE,), "leg_ended")


def test_one_that_was_cut_off_is_read_and_has_no_end() -> None:
    assert read_recording([written(HEADER), written(LINE)]).end is None


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["{"],
        ["[]"],
        [written(LINE)],
        [written(HEADER).replace('"trace":1', '"trace":2')],
        [written(HEADER), written(LINE)[:-5]],
        [written(HEADER), written(LINE).replace('"in"', '"sideways"')],
        [written(HEADER), "x" * (MAX_LINE_LENGTH + 1)],
        [written(HEADER), "[" * 100_000],
    ],
)
def test_something_else_is_refused(lines: list[str]) -> None:
    with pytest.raises(ParseError):
        read_recording(lines)


@given(
    mangled(
        [json.loads(written(one)) for one in (HEADER, LINE)],
        st.none() | st.integers() | st.text() | st.just([]),
    )
)
def test_any_recording_is_read_or_refused(lines: Any) -> None:  # noqa: ANN401  # JSON
    try:
        read_recording([json.dumps(one) for one in lines] if isinstance(lines, list) else [json.dumps(lines)])
    except ParseError:
        return
