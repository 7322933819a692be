"""What one person wants to see and hear of the others, as a client of the dialect says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.units import Kind
from signalling.events.data_channel import SubscribedTrack, TrackRef, TrackSubscription
from signalling.events.metadata import SCREENSHARE
from tests.support.simulation.label import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signalling.events.metadata import StreamMetadata

Tile = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class AnnouncedTrack:
    """One track that may be subscribed to."""

    publisher: str
    """User id."""
    source: Source
    stream_id: str
    track_id: str


class Wishes:
    """Tiles by publisher and source; who is not named is shown in the usual size.

    Args:
        tile: the usual one; None shows nobody.
    """

    def __init__(self, tile: Tile | None) -> None:
        self.announced: dict[tuple[str, str], AnnouncedTrack] = {}
        """Everything that was ever announced, by stream and track id; ids are never given twice."""
        self.present: dict[tuple[str, str], AnnouncedTrack] = {}
        """What is announced now."""
        self._tile = tile
        self._tiles: dict[tuple[str, Source], Tile | None] = {}
        self._out_of_sight: set[tuple[str, Source]] = set()
        self._deaf_to: set[str] = set()

    def show(self, publisher: str, source: Source, tile: Tile | None) -> None:
        """Show a track in a tile of this size; None hides it."""
        self._tiles[publisher, source] = tile

    def scroll(self, publisher: str, source: Source, *, in_sight: bool) -> None:
        """Have a tile out of sight, or in it again; it keeps its size."""
        if in_sight:
            self._out_of_sight.discard((publisher, source))
        else:
            self._out_of_sight.add((publisher, source))

    def listen(self, publisher: str, *, wanted: bool) -> None:
        """Want to hear somebody, or not."""
        if wanted:
            self._deaf_to.discard(publisher)
        else:
            self._deaf_to.add(publisher)

    def wants(self, track: AnnouncedTrack) -> bool:
        """Whether a track is shown or heard."""
        return self._is_subscribed(track) and (track.publisher, track.source) not in self._out_of_sight

    def announce(self, streams: Iterable[StreamMetadata]) -> None:
        """Take the complete list of what others publish."""
        self.present = {
            (stream.stream_id, track.track_id): AnnouncedTrack(
                stream.user_id or "",
                _source(track.kind, is_screen=stream.purpose == SCREENSHARE),
                stream.stream_id,
                track.track_id,
            )
            for stream in streams
            for track in stream.tracks
        }
        self.announced |= self.present

    def subscription(self) -> TrackSubscription:
        """The complete list of wishes, as clients of the dialect send it each time."""
        subscribe, unsubscribe = [], []
        for track in self.present.values():
            if not self._is_subscribed(track):
                unsubscribe.append(TrackRef(track.stream_id, track.track_id))
                continue
            width, height = self._tile_of(track) or (0, 0)
            is_visible = (track.publisher, track.source) not in self._out_of_sight
            subscribe.append(
                SubscribedTrack(track.stream_id, track.track_id, width, height, is_visible=is_visible)
            )
        return TrackSubscription(tuple(subscribe), tuple(unsubscribe))

    def _is_subscribed(self, track: AnnouncedTrack) -> bool:
        if track.source is Source.MICROPHONE:
            return track.publisher not in self._deaf_to
        return self._tile_of(track) is not None

    def _tile_of(self, track: AnnouncedTrack) -> Tile | None:
        if track.source is Source.MICROPHONE:
            return None
        return self._tiles.get((track.publisher, track.source), self._tile)


def _source(kind: Kind | None, *, is_screen: bool) -> Source:
    if kind is Kind.AUDIO:
        return Source.MICROPHONE
    return Source.SCREEN if is_screen else Source.CAMERA
