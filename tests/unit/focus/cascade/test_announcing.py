from __future__ import annotations

from sfu.conference.values import Source, StreamDescription, StreamView, TrackDescription
from sfu.units import Kind, Rid, TransportId
from signalling.events.data_channel import MAX_MESSAGE_LENGTH, metadata_frame, parse_message
from signalling.events.metadata import MAX_STREAMS, metadata_text, stream_text
from signalling.focus.cascade.announcing import announcement
from signalling.focus.guests import Guest
from tests.unit.focus.cascade.world import ME, OTHER

GUEST = TransportId(9)
GUESTS = {GUEST: Guest("@bob:x", "B", (OTHER,))}


def view(stream_id: str, *tracks: TrackDescription, owner: TransportId = GUEST) -> StreamView:
    return StreamView(owner, StreamDescription(stream_id, Source.CAMERA, tracks))


def video(track_id: str, *layers: str) -> TrackDescription:
    return TrackDescription(track_id, Kind.VIDEO, 640, 360, tuple(map(Rid, layers)))


def test_what_is_relayed_has_come_by_others_and_by_us() -> None:
    (stream,) = announcement([view("s", video("v", "q", "h"))], {}, GUESTS, ME)
    assert (stream.user_id, stream.device_id) == ("@bob:x", "B")
    assert stream.path == (OTHER, ME)
    assert [one.layers for one in stream.tracks] == [("q", "h")]


def test_somebody_who_has_just_left_is_not_announced() -> None:
    assert announcement([view("s", owner=TransportId(1))], {}, GUESTS, ME) == ()


def test_a_track_whose_layers_cant_be_named_is_left_out_and_spoils_nothing() -> None:
    tracks = (video("long", "q", "x" * 17), video("odd", "ä"), video("good", "q"), video("plain"))
    told = announcement([view("s", *tracks)], {}, GUESTS, ME)
    assert [one.track_id for one in told[0].tracks] == ["good", "plain"]
    parse_message(metadata_frame(metadata_text(map(stream_text, told))).text)


def test_more_streams_than_can_be_read_are_not_announced() -> None:
    told = announcement([view(f"s{number}") for number in range(MAX_STREAMS + 1)], {}, GUESTS, ME)
    assert len(told) == MAX_STREAMS


def test_an_announcement_fits_into_a_message() -> None:
    tracks = tuple(video(f"{number:0>250}", "q") for number in range(16))
    told = announcement([view(f"s{number}", *tracks) for number in range(200)], {}, GUESTS, ME)
    text = metadata_frame(metadata_text(map(stream_text, told))).text
    assert 0 < MAX_MESSAGE_LENGTH - len(text) < 8_000
    parse_message(text)
