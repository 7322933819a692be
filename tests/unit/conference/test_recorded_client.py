"""The one real client of the dialect, as recorded (`tests/vectors/element_call`), against a conference."""

from __future__ import annotations

from typing import Any, Final

import pytest

from sfu.conference.turn import SetDemand
from sfu.conference.values import (
    DescriptionType,
    SendDescription,
    Source,
    StreamDescription,
    TrackDescription,
    Wish,
)
from sfu.errors import RemoteError
from sfu.negotiation.sdp import parse_sdp
from sfu.plane import RemoveTrack, SetTrack
from sfu.units import Kind, TransportId
from tests.support.recordings import RUNS, recorded
from tests.unit.conference.caller import Call, Caller, of_type

SOURCES: Final = {"m.usermedia": Source.CAMERA, "m.screenshare": Source.SCREEN}


def streams_of(metadata: Any) -> tuple[StreamDescription, ...]:  # noqa: ANN401  # JSON
    return tuple(
        StreamDescription(
            stream_id,
            SOURCES[stream["purpose"]],
            tuple(
                TrackDescription(
                    track_id,
                    Kind(track["kind"]) if "kind" in track else None,
                    track.get("width"),
                    track.get("height"),
                )
                for track_id, track in stream.get("tracks", {}).items()
            ),
            bool(stream.get("audio_muted")),
            bool(stream.get("video_muted")),
        )
        for stream_id, stream in metadata.items()
        if stream.get("purpose") in SOURCES
    )


class Replay:
    """Feeds what clients said; offers of ours stay unanswered, since they answered another focus."""

    def __init__(self) -> None:
        self.call = Call()
        self.call.answers_offers = False
        self.legs: dict[str, TransportId] = {}
        self.outputs: list[Any] = []
        self.refused: list[str] = []

    def until(self, run: str, at_s: float) -> Replay:
        for entry in recorded(run, "todevice_rx", "dc_rx"):
            if entry["t"] > at_s:
                break
            self.step(entry)
        self.call.pass_ms(1_000)
        return self

    def step(self, entry: dict[str, Any]) -> None:
        self.outputs += self.call.pass_ms(max(entry["t"] * 1e3 - self.call.now / 1e6, 0))
        try:
            outputs = self._feed(entry)
        except RemoteError as error:
            self.refused.append(error.reason)
            return
        self.outputs += outputs
        self.call.bind(outputs)

    def _feed(self, entry: dict[str, Any]) -> list[Any]:
        conference, now = self.call.conference, self.call.now
        if entry["kind"] == "todevice_rx":
            event = entry["event"]
            content = event["content"]
            name = f"{event['sender'].split(':')[0]}/{content['call_id'][-4:]}"
            if event["type"] == "m.call.hangup" and name in self.legs:
                return conference.remove_leg(now, self.legs.pop(name))
            if event["type"] != "m.call.invite":
                return []
            self.legs[name], _ = conference.add_leg(now, admitted=True)
            self.call.callers[self.legs[name]] = Caller(name)
            metadata = content["org.matrix.msc3077.sdp_stream_metadata"]
            return [
                *conference.offer_received(
                    now, self.legs[name], content["offer"]["sdp"], streams_of(metadata)
                ),
                *conference.channel_ready(now, self.legs[name]),
            ]
        if entry["leg"] not in self.legs or not isinstance(entry["msg"], dict):
            return []
        leg, content = self.legs[entry["leg"]], entry["msg"].get("content", {})
        match entry["msg"]["type"]:
            case "m.call.negotiate" if content["description"]["type"] == "offer":
                sdp = content["description"]["sdp"]
                return conference.offer_received(now, leg, sdp, streams_of(content["sdp_stream_metadata"]))
            case "m.call.sdp_stream_metadata_changed":
                return conference.streams_described(now, leg, streams_of(content["sdp_stream_metadata"]))
            case "m.call.track_subscription":
                gone = [(one["stream_id"], one["track_id"]) for one in content["unsubscribe"]]
                wishes = [
                    Wish(one["stream_id"], one["track_id"], one.get("width", 0), one.get("height", 0))
                    for one in content["subscribe"]
                ]
                return [*conference.unsubscribe(now, leg, gone), *conference.subscribe(now, leg, wishes)]
            case _:
                return []


@pytest.mark.parametrize("run", RUNS)
def test_everything_it_said_is_taken(run: str) -> None:
    replay = Replay().until(run, 1e9)
    assert replay.refused == []
    answers = [one for one in of_type(replay.outputs, SendDescription) if one.type is DescriptionType.ANSWER]
    assert len(answers) >= 3
    for leg in list(replay.legs.values()):
        replay.call.conference.remove_leg(replay.call.now, leg)
    replay.call.settle()
    tracks = {one.track for one in of_type(replay.outputs, SetTrack)}
    assert tracks >= {one.track for one in of_type(replay.outputs, RemoveTrack)}


@pytest.mark.parametrize("run", RUNS)
def test_in_no_description_of_ours_a_number_means_two_things(run: str) -> None:
    """Protocol 7.5 [CAP]: Chromium refuses reassigned extension ids without answering.

    In run1, run2 and run6 somebody joins with the camera off, and is sent video all the same.
    """
    replay = Replay().until(run, 1e9)
    for one in of_type(replay.outputs, SendDescription):
        meanings: dict[tuple[str, str], set[str]] = {}
        for section in parse_sdp(one.sdp).sections:
            for name in ("extmap", "rtpmap"):
                for value in section.values(name):
                    number, meaning = value.split()[:2]
                    meanings.setdefault((name, number.partition("/")[0]), set()).add(meaning)
        assert {number: said for number, said in meanings.items() if len(said) > 1} == {}


def seen_by_bob(at_s: float) -> dict[str, Source]:
    """What of alice bob may subscribe to in run1: stream ids, by their beginning, and sources."""
    replay = Replay().until("run1", at_s)
    bob = next(leg for name, leg in replay.legs.items() if name.startswith("@bob"))
    return {one.stream.stream_id[:8]: one.stream.source for one in replay.call.conference.view(bob)}


def test_a_camera_off_and_on_with_its_flipping_stream_id_is_nothing_to_the_other() -> None:
    before, during, after = (seen_by_bob(at_s) for at_s in (44.0, 45.1, 48.0))
    assert before == during == after == {"96944160": Source.CAMERA}


def test_a_screen_share_comes_goes_and_comes_again_under_its_own_ids() -> None:
    camera, screen = {"96944160": Source.CAMERA}, {"d1502f2d": Source.SCREEN}
    assert [seen_by_bob(at_s) for at_s in (52.0, 60.0, 65.0)] == [camera | screen, camera, camera | screen]


def test_its_wishes_become_offers_with_the_ids_it_was_told() -> None:
    replay = Replay().until("run1", 33.0)
    offers = [
        one.sdp for one in of_type(replay.outputs, SendDescription) if one.type is DescriptionType.OFFER
    ]
    assert any("a=msid:96944160-" in sdp for sdp in offers)
    assert any("a=msid:0e19bf79-" in sdp for sdp in offers)
    assert not of_type(replay.outputs, SetDemand)
