"""What everybody is told of everybody: the announced tracks of one call.

What is announced is not what is published this instant: changes are told together, and a track that ends and
comes back within the delay was never gone. Dropping ids and listing them again is what a client of this
dialect takes worst (protocol: section 5, rule 1).

Announced ids are the publisher's own wherever they can be: they must be unique in the call and fit an SDP
line, else they are rewritten. A track keeps its announced ids for life, also when its publisher's stream id
flips or stays changed for good (protocol: section 7.4): subscribers have it under that name. A track that
comes into a described stream joins the announced stream of the tracks that are in there already. The one
exception: a track that moves from a camera's stream to a screen's or back gets another stream, because an
announced stream shows one thing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Final, TypeVar

from sfu.conference.values import StreamDescription, StreamView, TrackDescription
from sfu.units import Kind, after_ms, earliest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from sfu.conference.publications import PublicationKey, PublishedTrack
    from sfu.conference.values import Source
    from sfu.units import Instant, Rid, TrackHandle, TransportId

MAX_KEPT_LENGTH: Final = 200
"""How much of an id is kept where it is rewritten."""
_SAFE_ID: Final = re.compile(r"[!-~]{1,255}")
"""What may stand in `a=msid` (RFC 8830 is stricter, but ids are opaque); `-` alone says no stream."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

TrackIds = tuple[str, str]
"""Announced stream id and track id."""


@dataclass(frozen=True, slots=True)
class AnnouncedTrack:
    """One track as subscribers know it."""

    owner: TransportId
    track: TrackHandle
    kind: Kind
    stream_id: str
    track_id: str
    source: Source
    width: int
    height: int
    audio_muted: bool
    video_muted: bool
    encodings: int
    codec_keys: tuple[str, ...]
    cname: str
    rids: tuple[Rid, ...] = ()
    """As of `PublishedTrack`."""

    @property
    def ids(self) -> TrackIds:
        """By which it is subscribed to."""
        return self.stream_id, self.track_id


@dataclass(frozen=True, slots=True)
class BoardChange:
    """What a flush changed."""

    owners: frozenset[TransportId]
    """Whose streams look different."""
    tracks: frozenset[TrackIds]
    """Which tracks came, went, or can be forwarded differently."""


class Board:
    """The announced tracks of a call."""

    def __init__(self, delay_ms: int) -> None:
        self._delay_ms = delay_ms
        self._published: dict[TransportId, tuple[PublishedTrack, ...]] = {}
        self._announced: dict[TransportId, dict[PublicationKey, AnnouncedTrack]] = {}
        self._streams: dict[TransportId, tuple[StreamView, ...]] = {}
        self._by_ids: dict[TrackIds, AnnouncedTrack] = {}
        self._gone_at: dict[tuple[TransportId, PublicationKey], Instant] = {}
        self._due_at: Instant | None = None

    def view_without(self, leg: TransportId) -> tuple[StreamView, ...]:
        """Everybody's streams but this leg's own, in order of their owners' first announcement."""
        return tuple(stream for owner, streams in self._streams.items() if owner != leg for stream in streams)

    def view(self, is_seen: Callable[[TransportId], bool]) -> tuple[StreamView, ...]:
        """The streams of those owners who are seen, in the same order."""
        return tuple(
            stream for owner, streams in self._streams.items() if is_seen(owner) for stream in streams
        )

    def find(self, ids: TrackIds) -> AnnouncedTrack | None:
        """The track that was announced under these ids."""
        return self._by_ids.get(ids)

    def announced(self, owner: TransportId) -> Mapping[PublicationKey, AnnouncedTrack]:
        """What is announced of a leg."""
        return self._announced.get(owner, {})

    @property
    def tracks(self) -> Collection[AnnouncedTrack]:
        """Everything that is announced."""
        return self._by_ids.values()

    def note(self, now: Instant, owner: TransportId, published: tuple[PublishedTrack, ...]) -> None:
        """Take notice of what an admitted leg publishes now; it is told after the delay."""
        if self._published.get(owner, ()) == published:
            return
        self._published[owner] = published
        keys = {one.key for one in published}
        for key in self.announced(owner):
            if key in keys:
                self._gone_at.pop((owner, key), None)
            else:
                self._gone_at.setdefault((owner, key), now)
        self.look_again(now)

    def look_again(self, now: Instant) -> None:
        """Who may be told of what has changed; it is told after the delay."""
        self._due_at = earliest(self._due_at, after_ms(now, self._delay_ms))

    def remove(self, now: Instant, owner: TransportId) -> None:
        """A leg has left: its tracks won't come back."""
        self._published.pop(owner, None)
        if owner in self._announced:
            self.look_again(now)

    def next_timeout(self) -> Instant | None:
        """When `flush` has something to do."""
        return self._due_at

    def flush(self, now: Instant) -> BoardChange:
        """Announce what is published now; return what differs from before."""
        self._due_at = None
        before, before_streams = self._by_ids, self._streams
        announced: dict[TransportId, dict[PublicationKey, AnnouncedTrack]] = {}
        names = _Names(self._published)
        for owner, published in self._published.items():
            by_key = {one.key: one for one in published}
            announced[owner] = self._kept(now, owner, by_key)
            for key, track in self.announced(owner).items():
                # Also of one that moves to another stream: nobody else gets its ids in the same breath.
                if key in announced[owner] or key in by_key:
                    names.take(track)
        for owner, published in self._published.items():
            for one in published:
                if one.key not in announced[owner]:
                    known = self.announced(owner).get(one.key)
                    track = names.new_track(owner, one, known, published, announced[owner])
                    announced[owner][one.key] = track
        self._announced = {owner: tracks for owner, tracks in announced.items() if tracks}
        self._gone_at = {gone: at for gone, at in self._gone_at.items() if gone[1] in self.announced(gone[0])}
        self._by_ids = {track.ids: track for tracks in self._announced.values() for track in tracks.values()}
        self._streams = {
            owner: _streams_of(owner, tracks.values()) for owner, tracks in self._announced.items()
        }
        return BoardChange(
            owners=_differing(before_streams, self._streams), tracks=_differing(before, self._by_ids)
        )

    def _kept(
        self, now: Instant, owner: TransportId, published: Mapping[PublicationKey, PublishedTrack]
    ) -> dict[PublicationKey, AnnouncedTrack]:
        """A leg's announced tracks that stay: still published, or ended too short a while ago to be told."""
        kept = {}
        for key, track in self.announced(owner).items():
            one = published.get(key)
            if one is not None:
                if track.source is one.stream.source:
                    kept[key] = _updated(track, one)
                continue
            told_at = after_ms(self._gone_at[owner, key], self._delay_ms)
            if now < told_at:
                kept[key] = track
                self._due_at = earliest(self._due_at, told_at)
        return kept


class _Names:
    """Which ids are taken during a flush."""

    def __init__(self, published: Mapping[TransportId, tuple[PublishedTrack, ...]]) -> None:
        # Ids that others use themselves are taken, too: a client may know its own streams by them.
        self._own: dict[str, set[TransportId]] = {}
        for owner, tracks in published.items():
            for one in tracks:
                self._own.setdefault(one.track_id, set()).add(owner)
                self._own.setdefault(one.stream.stream_id, set()).add(owner)
        self._streams: set[str] = set()
        self._tracks: set[str] = set()

    def take(self, track: AnnouncedTrack) -> None:
        """These ids are announced."""
        self._streams.add(track.stream_id)
        self._tracks.add(track.track_id)

    def new_track(
        self,
        owner: TransportId,
        one: PublishedTrack,
        known: AnnouncedTrack | None,
        published: tuple[PublishedTrack, ...],
        announced: Mapping[PublicationKey, AnnouncedTrack],
    ) -> AnnouncedTrack:
        """Announce a track for the first time, or under another stream."""
        siblings = {other.key for other in published if other.stream.stream_id == one.stream.stream_id}
        sibling = next(
            (
                track
                for key, track in announced.items()
                if key in siblings and track.source is one.stream.source
            ),
            None,
        )
        if sibling is None:
            stream_id = self._unique(one.stream.stream_id, self._streams, owner, f"stream-{one.track}")
            cname = f"focus-{one.track}"
        else:
            stream_id, cname = sibling.stream_id, sibling.cname
        track_id = (
            self._unique(one.track_id, self._tracks, owner, f"track-{one.track}")
            if known is None
            else known.track_id
        )
        track = AnnouncedTrack(
            owner=owner,
            track=one.track,
            kind=one.kind,
            stream_id=stream_id,
            track_id=track_id,
            source=one.stream.source,
            width=one.width,
            height=one.height,
            audio_muted=one.stream.audio_muted,
            video_muted=one.stream.video_muted,
            encodings=one.encodings,
            codec_keys=one.codec_keys,
            cname=cname,
            rids=one.rids,
        )
        self.take(track)
        return track

    def _unique(self, wanted: str, taken: set[str], owner: TransportId, plain: str) -> str:
        is_safe = _SAFE_ID.fullmatch(wanted) is not None and wanted != "-"
        if is_safe and not self._is_taken(wanted, taken, owner):
            return wanted
        base = wanted[:MAX_KEPT_LENGTH] if is_safe else plain
        candidates = (f"{base}~{number}" for number in count(1))
        return next(name for name in candidates if not self._is_taken(name, taken, owner))

    def _is_taken(self, name: str, taken: set[str], owner: TransportId) -> bool:
        return name in taken or bool(self._own.get(name, set()) - {owner})


def _updated(track: AnnouncedTrack, one: PublishedTrack) -> AnnouncedTrack:
    return replace(
        track,
        track=one.track,
        width=one.width,
        height=one.height,
        audio_muted=one.stream.audio_muted,
        video_muted=one.stream.video_muted,
        encodings=one.encodings,
        codec_keys=one.codec_keys,
        rids=one.rids,
    )


def _streams_of(owner: TransportId, tracks: Iterable[AnnouncedTrack]) -> tuple[StreamView, ...]:
    streams: dict[str, list[AnnouncedTrack]] = {}
    for track in tracks:
        streams.setdefault(track.stream_id, []).append(track)
    return tuple(StreamView(owner, _stream_of(stream_id, group)) for stream_id, group in streams.items())


def _stream_of(stream_id: str, tracks: list[AnnouncedTrack]) -> StreamDescription:
    # While a stream id flips, tracks of one announced stream may be in two described ones.
    audio = next((track for track in tracks if track.kind is Kind.AUDIO), tracks[0])
    video = next((track for track in tracks if track.kind is Kind.VIDEO), tracks[0])
    return StreamDescription(
        stream_id=stream_id,
        source=tracks[0].source,
        tracks=tuple(
            TrackDescription(
                track.track_id,
                track.kind,
                width=track.width or None,
                height=track.height or None,
                layers=track.rids,
            )
            for track in tracks
        ),
        audio_muted=audio.audio_muted,
        video_muted=video.video_muted,
    )


def _differing(before: Mapping[_Key, _Value], after: Mapping[_Key, _Value]) -> frozenset[_Key]:
    return frozenset(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
