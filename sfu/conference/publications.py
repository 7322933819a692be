"""What one leg publishes: the sections of its SDP, joined with what it says of its streams.

A published track is a mid and a track id: its stream id may flip in SDP and description without the track
ending (protocol: section 7.4). It ends on either sign, its section or its entry in the description. The
plane's track follows the section alone: one that was only left out of a description keeps being received,
since its SSRC would not be learnt again (browsers stop sending mid and rid once a report acknowledges them).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sfu.conference.values import Refused, Source
from sfu.plane import RemoveTrack, SetTrack
from sfu.units import Kind, Mid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sfu.conference.ids import IdSource
    from sfu.conference.values import StreamDescription, TrackDescription
    from sfu.negotiation.parameters import ReceiveSection
    from sfu.units import Rid, TrackHandle, TransportId

MAX_DESCRIBED: Final = 256
"""Tracks and streams remembered of a leg's description; those beyond are as if not described."""

PublicationKey = tuple[Mid, str]
"""What a track is to its publisher: mid and track id."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What the publisher says of the stream that a track is in."""

    stream_id: str
    source: Source
    audio_muted: bool = False
    video_muted: bool = False


@dataclass(slots=True)
class Publication:
    """One track of a leg."""

    track: TrackHandle
    section: ReceiveSection
    stream: Stream | None = None
    """None: not described (any more)."""
    width: int = 0
    height: int = 0
    """The last that was said; 0: nothing yet."""
    bound: set[int] = field(default_factory=set)
    """Encodings whose RTP has come and not ended."""
    is_seen: bool = False
    """RTP has come at some time."""


@dataclass(frozen=True, slots=True)
class PublishedTrack:
    """A track that may be announced: described, and its RTP has been seen."""

    key: PublicationKey
    track: TrackHandle
    kind: Kind
    track_id: str
    stream: Stream
    width: int
    height: int
    encodings: int
    codec_keys: tuple[str, ...]
    rids: tuple[Rid, ...] = ()
    """Of the encodings, lowest first; empty where there is one only."""


class Publications:
    """The tracks of one leg, at most `limit`."""

    def __init__(self, leg: TransportId, ids: IdSource, limit: int) -> None:
        self._leg = leg
        self._ids = ids
        self._limit = limit
        self._by_key: dict[PublicationKey, Publication] = {}
        self._refused: frozenset[PublicationKey] = frozenset()
        self._described: _Description | None = None

    def __iter__(self) -> Iterator[Publication]:
        return iter(self._by_key.values())

    def published(self) -> tuple[PublishedTrack, ...]:
        """The tracks that may be announced, in the order of their sections."""
        return tuple(
            PublishedTrack(
                key=key,
                track=one.track,
                kind=one.section.kind,
                track_id=one.section.track_id,
                stream=one.stream,
                width=one.width,
                height=one.height,
                encodings=len(one.section.encodings),
                codec_keys=tuple(form.key for form in one.section.formats),
                rids=rids_of(one.section),
            )
            for key, one in self._by_key.items()
            if one.is_seen and one.stream is not None
        )

    def set_sections(self, sections: Sequence[ReceiveSection]) -> list[SetTrack | RemoveTrack | Refused]:
        """Follow the SDP: the complete list of sections on which the leg publishes now."""
        present = {(section.mid, section.track_id): section for section in sections}
        outputs: list[SetTrack | RemoveTrack | Refused] = [
            RemoveTrack(one.track) for key, one in self._by_key.items() if key not in present
        ]
        kept = {key: one for key, one in self._by_key.items() if key in present}
        refused = set()
        self._by_key = {}
        for key, section in present.items():
            one = kept.get(key)
            if one is not None:
                before, one.section = one.section, section
                if before.encodings != section.encodings:
                    one.bound.clear()
                # The stream id is not the plane's business.
                is_changed = replace(before, stream_id=section.stream_id) != section
            elif len(kept) < self._limit:
                one = kept[key] = Publication(self._ids.track(), section)
                is_changed = True
            else:
                refused.add(key)
                continue
            self._by_key[key] = one
            if is_changed:
                outputs.append(self._set_track(one))
        if not refused <= self._refused:
            outputs.append(Refused(self._leg, "too_many_tracks", f"more than {self._limit}"))
        self._refused = frozenset(refused)
        self._match()
        return outputs

    def describe(self, streams: Sequence[StreamDescription]) -> None:
        """Take up the leg's complete description of its streams."""
        self._described = _Description(streams)
        self._match()

    def bind(self, track: TrackHandle, encoding: int) -> None:
        """RTP of an encoding has come."""
        one = self._find(track)
        if one is not None:
            one.is_seen = True
            one.bound.add(encoding)

    def unbind(self, track: TrackHandle, encoding: int) -> None:
        """An encoding's RTP stream has ended: the track goes on."""
        one = self._find(track)
        if one is not None:
            one.bound.discard(encoding)

    def _find(self, track: TrackHandle) -> Publication | None:
        return next((one for one in self._by_key.values() if one.track == track), None)

    def _match(self) -> None:
        first = next((one.section.stream_id for one in self._by_key.values()), "")
        for one in self._by_key.values():
            if self._described is None:
                # An old client, which describes nothing: its first stream counts (MSC3077).
                is_first = one.section.stream_id == first
                one.stream = Stream(first, Source.CAMERA) if is_first else None
                continue
            one.stream, description = self._described.find(one.section)
            if description is not None and description.width and description.height:
                one.width, one.height = description.width, description.height

    def _set_track(self, one: Publication) -> SetTrack:
        section = one.section
        return SetTrack(
            track=one.track,
            transport=self._leg,
            mid=section.mid,
            kind=section.kind,
            formats=section.formats,
            encodings=section.encodings,
            extensions=section.extensions,
            cname=section.cname,
        )


def rids_of(section: ReceiveSection) -> tuple[Rid, ...]:
    """The names of a section's encodings, lowest first; none where there is one only."""
    rids = tuple(encoding.rid for encoding in section.encodings)
    return rids if len(rids) > 1 else ()


class _Description:
    """A complete description, by track id."""

    def __init__(self, streams: Sequence[StreamDescription]) -> None:
        self._tracks: dict[str, tuple[Stream, TrackDescription]] = {}
        self._bare: dict[str, Stream] = {}
        for said in streams[:MAX_DESCRIBED]:
            stream = Stream(said.stream_id, said.source, said.audio_muted, said.video_muted)
            if not said.tracks:
                self._bare[said.stream_id] = stream
            for track in said.tracks:
                if len(self._tracks) < MAX_DESCRIBED:
                    self._tracks.setdefault(track.track_id, (stream, track))

    def find(self, section: ReceiveSection) -> tuple[Stream | None, TrackDescription | None]:
        """What is said of a section's track; a stream that lists none (MSC3077) stands for all its own."""
        if section.track_id in self._tracks:
            return self._tracks[section.track_id]
        return self._bare.get(section.stream_id), None
