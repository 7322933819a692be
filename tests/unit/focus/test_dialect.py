from __future__ import annotations

import pytest

from sfu.conference.values import Source, Speaker, StreamDescription, StreamView, TrackDescription, Wish
from sfu.errors import RemoteError
from sfu.units import Kind, TransportId
from signalling.events.data_channel import ActiveSpeaker, SubscribedTrack
from signalling.events.metadata import StreamMetadata, TrackMetadata
from signalling.focus.dialect import active_speakers, check_size, descriptions, metadata_of, wishes
from tests.unit.focus.stage import Stage

VIDEO = TrackMetadata("v", Kind.VIDEO, 1280, 720)


def test_purposes_become_sources_and_what_is_for_something_else_is_ignored() -> None:
    metadata = (
        StreamMetadata("a", "m.usermedia", (VIDEO, TrackMetadata("x")), audio_muted=True),
        StreamMetadata("b", "m.screenshare", video_muted=True),
        StreamMetadata("c", "org.example.whiteboard", (VIDEO,)),
    )
    assert descriptions(metadata) == (
        StreamDescription(
            "a",
            Source.CAMERA,
            (TrackDescription("v", Kind.VIDEO, 1280, 720), TrackDescription("x")),
            audio_muted=True,
        ),
        StreamDescription("b", Source.SCREEN, (), video_muted=True),
    )


def test_no_metadata_is_not_the_same_as_no_streams() -> None:
    assert descriptions(None) is None
    assert descriptions(()) == ()


def test_all_that_is_said_of_a_tile_becomes_part_of_the_wish() -> None:
    tracks = (
        SubscribedTrack("a", "v", 640, 360, is_pinned=True),
        SubscribedTrack("b", "v", 160, 90, is_visible=False),
    )
    assert wishes(tracks) == [
        Wish("a", "v", 640, 360, is_pinned=True),
        Wish("b", "v", 160, 90, is_visible=False),
    ]


def test_a_description_may_be_as_long_as_the_limit_in_bytes() -> None:
    check_size("ä" * 5, 10)
    with pytest.raises(RemoteError, match="too_long: 11 bytes"):
        check_size("ä" * 5 + "x", 10)


def test_whose_a_stream_is_comes_from_its_leg_and_sizes_are_kept() -> None:
    stage = Stage()
    alice = stage.join("alice")
    assert alice.leg is not None
    legs = {leg.transport: leg for call in stage.focus._calls for leg in call.legs.values()}
    stream = StreamDescription("a", Source.SCREEN, (TrackDescription("v", Kind.VIDEO, 1280, 720),))
    gone = TransportId(99)
    view = (StreamView(alice.leg, stream), StreamView(gone, stream))
    assert metadata_of(view, legs) == (
        StreamMetadata("a", "m.screenshare", (VIDEO,), user_id="@alice:example.org", device_id="ALICE"),
    )
    speakers = (Speaker(gone, 1.0), Speaker(alice.leg, 0.5))
    assert active_speakers(speakers, legs) == (ActiveSpeaker("@alice:example.org", "ALICE", 0.5),)
