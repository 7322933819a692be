"""What another focus is told of the streams that come from here (cascade: section 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from signalling.events.cascade import is_layer
from signalling.events.data_channel import MAX_MESSAGE_LENGTH
from signalling.events.metadata import MAX_STREAMS, StreamMetadata, TrackMetadata, stream_text
from signalling.focus.dialect import metadata_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.conference.values import StreamView, TrackDescription
    from sfu.units import TransportId
    from signalling.events.room_state import FocusDevice
    from signalling.focus.guests import Guest
    from signalling.focus.leg import Leg

MAX_LENGTH: Final = MAX_MESSAGE_LENGTH - 1_024
"""Characters of an announcement, so that its message can be read. What is beyond is not announced: a message
that is too long would be lost whole."""


def announcement(
    view: Iterable[StreamView],
    legs: Mapping[TransportId, Leg],
    guests: Mapping[TransportId, Guest],
    me: FocusDevice,
) -> tuple[StreamMetadata, ...]:
    """Everything that a trunk may subscribe to, with its layers and the way that it came.

    Args:
        view: the trunk's.
        legs: of the call.
        guests: of the call; those among them whose streams are in the view are relayed.
        me: this focus.
    """
    told: list[StreamMetadata] = []
    length = 0
    for one in view:
        for stream in metadata_of([one], legs, guests):
            guest = guests.get(one.owner)
            path = (me,) if guest is None else (*guest.path, me)
            layers = {track.track_id: track for track in one.stream.tracks}
            tracks = tuple(
                with_layers
                for track in stream.tracks
                if (with_layers := _with_layers(track, layers[track.track_id])) is not None
            )
            announced = replace(stream, tracks=tracks, path=path)
            length += len(stream_text(announced)) + 1
            if len(told) >= MAX_STREAMS or length > MAX_LENGTH:
                return tuple(told)
            told.append(announced)
    return tuple(told)


def _with_layers(track: TrackMetadata, described: TrackDescription) -> TrackMetadata | None:
    """None: its layers have names that can't be written; one of them would spoil the whole announcement."""
    if not all(map(is_layer, described.layers)):
        return None
    return replace(track, layers=described.layers)
