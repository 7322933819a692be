"""Recorded legs happen again, and the focus says the same. Where that shall change: `tests/e2e/traces.py`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sfu.errors import ParseError
from signalling.trace.compare import MEDIA_TYPES, comparable, sections_of
from signalling.trace.lines import Began, Direction, Line, Recording, Via
from signalling.trace.redaction import Redacted
from signalling.trace.replay import Replay, differences
from signalling.trace.show import as_markdown, as_text
from tests.support.schemas import check_lines, validator
from tests.support.traces import TRANSCRIPTS, names, raw_lines, recording

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ["join", "redial", "second-join", "share"]


def changed(
    one: Recording, which: Callable[[Line], bool], change: Callable[[Line], Line | None]
) -> Recording:
    """A recording in which the first line like this is another one, or missing."""
    index = next(index for index, line in enumerate(one.lines) if which(line))
    line = change(one.lines[index])
    lines = (*one.lines[:index], *([] if line is None else [line]), *one.lines[index + 1 :])
    return replace(one, lines=lines)


def types(one: Recording, *vias: Via, direction: Direction = Direction.OUT) -> list[str]:
    return [line.type for line in one.lines if line.via in vias and line.direction is direction]


def test_these_are_recorded_and_written_down() -> None:
    assert names() == NAMES
    assert sorted(path.stem for path in TRANSCRIPTS.glob("*.md")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_leg_is_told_the_same_again(name: str) -> None:
    told = recording(name)
    again = Replay(told).run()
    assert list(differences(told, again)) == []
    assert len(list(comparable(again.lines))) > 10


@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_a_recording_fits_and_so_does_every_message(name: str) -> None:
    lines = raw_lines(name)
    for line in lines:
        validator("trace.json").validate(line)
    check = check_lines(one for one in lines if "via" in one)
    assert check.faults == []
    assert check.checked.total() > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_transcript_is_that_of_its_recording(name: str) -> None:
    document = (TRANSCRIPTS / f"{name}.md").read_text(encoding="utf-8")
    assert document == f"# {name}\n\n{as_markdown(recording(name))}"


def test_the_scenes_are_what_their_names_say() -> None:
    assert types(recording("join"), Via.TO_DEVICE)[:2] == ["m.call.answer", "m.call.candidates"]
    assert "m.call.ping" in types(recording("join"), Via.CHANNEL)
    assert types(recording("second-join"), Via.CHANNEL).count("m.call.negotiate") >= 1
    purposes = {
        track["purpose"]
        for line in recording("share").lines
        if line.type == "m.call.negotiate"
        for track in streams(line)
    }
    assert purposes == {"m.usermedia", "m.screenshare"}
    assert types(recording("redial"), Via.TO_DEVICE).count("m.call.answer") == 2
    closed = next(line for line in recording("redial").lines if line.type == "leg_closed")
    assert closed.content == {"reason": "replaced"}


def streams(line: Line) -> list[dict[str, Any]]:
    return list(line.content.get("sdp_stream_metadata", {}).values())


# --- a difference is one ----------------------------------------------------------------------------------


def test_a_message_that_is_missing_or_different_is_a_difference() -> None:
    told = recording("second-join")
    again = Replay(told).run()

    def is_answer(line: Line) -> bool:
        return line.type == "m.call.answer"

    def other(line: Line) -> Line:
        return replace(line, content=Redacted(line.content | {"seq": 7}))

    assert any(row.startswith("-") for row in differences(told, changed(again, is_answer, lambda _: None)))
    rows = list(differences(changed(told, is_answer, other), again))
    assert '-  "seq": 7,' in rows
    assert '+  "seq": 0,' in rows


def test_another_direction_of_a_section_is_a_difference() -> None:
    told = recording("second-join")

    def is_offer(line: Line) -> bool:
        return line.type == "m.call.negotiate" and line.direction is Direction.OUT

    def other(line: Line) -> Line:
        return replace(line, content=json.loads(json.dumps(line.content).replace("sendonly", "inactive")))

    assert list(differences(told, changed(told, is_offer, other))) != []


def test_times_and_what_media_decides_are_no_difference() -> None:
    told = recording("share")
    media = [line for line in told.lines if line.type in MEDIA_TYPES]
    assert media
    without = replace(
        told, lines=tuple(replace(line, at_ms=0.0) for line in told.lines if line.type not in MEDIA_TYPES)
    )
    assert list(differences(told, without)) == []


def test_an_input_that_is_left_out_changes_what_is_said() -> None:
    told = recording("second-join")

    def is_wish(line: Line) -> bool:
        return line.type == "m.call.track_subscription"

    unwishing = told
    for _ in range(sum(map(is_wish, told.lines))):
        unwishing = changed(unwishing, is_wish, lambda _: None)
    again = Replay(unwishing).run()
    assert "m.call.negotiate" not in types(again, Via.CHANNEL)
    assert list(differences(told, again)) != []


def test_those_who_stand_in_publish_what_the_others_did() -> None:
    told = recording("second-join")

    def muted(line: Line) -> Line:
        return replace(
            line,
            content=json.loads(
                json.dumps(line.content).replace('"audio_muted": false', '"audio_muted": true')
            ),
        )

    again = Replay(changed(told, lambda line: line.type == "others", muted)).run()
    views = [line for line in again.lines if line.type == "m.call.sdp_stream_metadata_changed"]
    assert [stream["audio_muted"] for line in views for stream in streams(line)] != []
    assert all(stream["audio_muted"] for line in views for stream in streams(line))


def test_somebody_else_who_leaves_is_told_of_no_more() -> None:
    told = recording("second-join")
    others = next(line for line in told.lines if line.type == "others")
    end = max(line.at_ms for line in told.lines if line.type == "channel_opened")
    left = replace(others, at_ms=end + 100, content=Redacted({"members": []}))
    ping = replace(told.lines[-1], at_ms=end + 1_000)
    lines = [line for line in told.lines if line.at_ms <= end + 90]
    again = Replay(replace(told, lines=(*lines, left, ping))).run()
    views = [line for line in again.lines if line.type == "m.call.sdp_stream_metadata_changed"]
    assert streams(views[-1]) == []
    assert streams(views[-2]) != []


# --- what can't be replayed -------------------------------------------------------------------------------


def test_a_recording_from_the_middle_or_of_everybody_is_not_replayed() -> None:
    told = recording("join")
    for header in (replace(told.header, began=Began.DURING), replace(told.header, subject={"user_id": None})):
        with pytest.raises(ParseError):
            Replay(replace(told, header=header))


def test_settings_of_another_version_are_left_out() -> None:
    told = recording("join")
    settings = {table: dict(keys) | {"new_in_2030": 1} for table, keys in told.header.settings.items()}
    again = Replay(replace(told, header=replace(told.header, settings=settings))).run()
    assert list(differences(told, again)) == []


def test_what_was_malformed_is_malformed_again() -> None:
    told = recording("join")

    def is_channel(line: Line) -> bool:
        return line.via is Via.CHANNEL and line.direction is Direction.IN

    def malformed(line: Line) -> Line:
        return replace(line, facts=Redacted(line.facts | {"refused": ["malformed"]}))

    again = Replay(changed(told, is_channel, malformed)).run()
    assert "org.matrix_focus.error" in types(again, Via.CHANNEL)


# --- for people -------------------------------------------------------------------------------------------


def test_a_dialogue_is_one_line_for_each_thing() -> None:
    told = recording("second-join")
    text = as_text(told.lines)
    assert len(text.splitlines()) == len(told.lines)
    assert "focus →  data channel  m.call.negotiate  offer 0 audio recvonly;" in text
    assert max(map(len, text.splitlines())) < 500


def test_a_description_is_told_by_its_sections() -> None:
    assert sections_of("nonsense") == "no description"
    lines = (
        "v=0",
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
        "a=mid:1",
        "a=inactive",
        "a=msid:s t",
        "a=simulcast:send f;q",
    )
    assert sections_of("\r\n".join(lines)) == ["1 video rejected inactive msid:s t simulcast:send f;q"]
