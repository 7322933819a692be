from __future__ import annotations

import json
from dataclasses import replace

from sfu.conference.values import Source, StreamDescription, StreamView, TrackDescription
from sfu.units import Kind, TransportId
from signalling.events.metadata import metadata_content
from signalling.focus.dialect import metadata_of
from signalling.focus.views import Views
from tests.unit.focus.stage import Stage

STREAM = StreamDescription(
    'a "quoted" id', Source.SCREEN, (TrackDescription("v", Kind.VIDEO, 1280, 720),), audio_muted=True
)


def test_what_is_written_once_for_all_is_what_each_would_be_told() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    assert alice.leg is not None
    assert bob.leg is not None
    legs = {leg.transport: leg for call in stage.focus._calls for leg in call.legs.values()}
    both = (StreamView(alice.leg, STREAM), StreamView(bob.leg, replace(STREAM, stream_id="b")))
    changed = (replace(both[0], stream=replace(STREAM, audio_muted=False)), both[1])
    moved = (replace(changed[0], owner=bob.leg), both[1])
    stranger = (*moved, StreamView(TransportId(99), replace(STREAM, stream_id="c")))
    views = Views()
    for view in (both, both[:1], both, changed, both[1:], changed, moved, stranger, ()):
        assert json.loads(views.text(view, legs)) == metadata_content(metadata_of(view, legs))


def test_streams_that_are_gone_take_no_room_for_ever() -> None:
    stage = Stage()
    alice = stage.join("alice")
    assert alice.leg is not None
    legs = {leg.transport: leg for call in stage.focus._calls for leg in call.legs.values()}
    views = Views()
    for number in range(1_000):
        views.text((StreamView(alice.leg, replace(STREAM, stream_id=str(number))),), legs)
    assert len(views._written) < 100
