"""People of a call who are connected to another focus: a trunk says who they are, and brings what they send.

A guest owns what it publishes as a leg does: it is announced under an id of its own, and nothing that is kept
by owner sees a difference. What differs is that its tracks are announced before anything of them flows, since
a trunk brings only what somebody here wants. Until then, and again when nobody does, a track stands under a
handle that the plane has never heard of.

A guest's media may come by another trunk from one moment to the next; to those who look on it has not left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.conference.publications import PublishedTrack, Stream, rids_of
from sfu.rows import MAX_ENCODINGS
from sfu.units import Kind, Mid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sfu.conference.ids import IdSource
    from sfu.conference.publications import Publication
    from sfu.conference.values import FarDecision, GuestDescription, StreamDescription, TrackDescription
    from sfu.conference.view import TrackIds
    from sfu.units import Rid, TrackHandle, TransportId

MAX_GUESTS: Final = 500
"""People whom one trunk may announce; those beyond are as if not described. Lower: of a large call the last
who join are not seen elsewhere. Higher: a focus that lies fills more of everybody's screen."""

MAX_TRACKS: Final = 2_000
"""The same of their tracks."""

_NO_MID: Final = Mid("")
"""In the keys of a guest's tracks: they last longer than the sections on which they come."""


@dataclass(slots=True)
class GuestTrack:
    """A track of a guest, whether its media comes or not."""

    guest: TransportId
    handle: TrackHandle
    """Its own for as long as it is announced; the plane never hears of it."""
    stream: StreamDescription
    described: TrackDescription
    publication: Publication | None = None
    """What the trunk brings of it now."""
    far: tuple[FarDecision, ...] = ()
    """What the other focus says of it: of each layer that it was asked for, or of the track."""

    @property
    def ids(self) -> TrackIds:
        """By which it is subscribed to on its trunk."""
        return self.stream.stream_id, self.described.track_id

    @property
    def kind(self) -> Kind:
        """Of the section that brings it, or as it is described."""
        if self.publication is not None:
            return self.publication.section.kind
        return self.described.kind or Kind.VIDEO

    @property
    def rids(self) -> tuple[Rid, ...]:
        """Of its encodings, lowest first; of a single one there is none to name."""
        if self.publication is None:
            return self.described.layers[:MAX_ENCODINGS]
        return rids_of(self.publication.section)

    def published(self) -> PublishedTrack:
        """As it is announced."""
        said = self.stream
        return PublishedTrack(
            key=(_NO_MID, self.described.track_id),
            track=self.handle if self.publication is None else self.publication.track,
            kind=self.kind,
            track_id=self.described.track_id,
            stream=Stream(said.stream_id, said.source, said.audio_muted, said.video_muted),
            width=self.described.width or 0,
            height=self.described.height or 0,
            encodings=max(len(self.rids), 1),
            codec_keys=()
            if self.publication is None
            else tuple(form.key for form in self.publication.section.formats),
            rids=self.rids,
        )


@dataclass(slots=True)
class Guest:
    """One person on another focus."""

    key: str
    trunk: TransportId | None
    """By which its media comes; None: the trunk is gone, and may come back."""
    relayed_to: frozenset[TransportId]
    tracks: dict[str, GuestTrack]
    """By track id."""


@dataclass(frozen=True, slots=True)
class GuestsChange:
    """What a description has changed beside what they publish."""

    left: tuple[TransportId, ...]
    """Who has left."""
    is_relayed_otherwise: bool
    """Somebody's media may go on by other trunks than before."""


class Guests:
    """Of one call."""

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids
        self._by_id: dict[TransportId, Guest] = {}
        self._by_key: dict[str, TransportId] = {}
        self._by_handle: dict[TrackHandle, GuestTrack] = {}

    def __iter__(self) -> Iterator[TransportId]:
        return iter(self._by_id)

    @property
    def keys(self) -> Mapping[TransportId, str]:
        """What the signalling calls each."""
        return {guest: one.key for guest, one in self._by_id.items()}

    def find(self, key: str) -> TransportId | None:
        """Whom the signalling calls so."""
        return self._by_key.get(key)

    def of(self, trunk: TransportId) -> list[TransportId]:
        """Those whose media comes by a trunk."""
        return [guest for guest, one in self._by_id.items() if one.trunk == trunk]

    def trunk_of(self, guest: TransportId) -> TransportId | None:
        """By which a guest's media comes; None where its trunk, or itself, is gone."""
        one = self._by_id.get(guest)
        return None if one is None else one.trunk

    def tracks_of(self, trunk: TransportId) -> Iterator[GuestTrack]:
        """What is announced of those whose media comes by a trunk."""
        for guest in self.of(trunk):
            yield from self._by_id[guest].tracks.values()

    def may_pass(self, guest: TransportId, trunk: TransportId) -> bool:
        """Whether somebody is a guest whose media may go on by a trunk: never back by the one it came by."""
        one = self._by_id.get(guest)
        return one is not None and trunk in one.relayed_to and trunk != one.trunk

    def published(self, guest: TransportId) -> tuple[PublishedTrack, ...]:
        """The tracks of a guest, in the order in which they were described."""
        return tuple(track.published() for track in self._by_id[guest].tracks.values())

    @property
    def tracks(self) -> Mapping[TrackHandle, GuestTrack]:
        """By handle: by their own, and by those under which what is received now is received."""
        return self._by_handle

    def describe(
        self,
        trunk: TransportId,
        descriptions: Sequence[GuestDescription],
        publications: Iterable[Publication],
    ) -> GuestsChange:
        """Take a trunk's complete description of its guests.

        A track id belongs to the first that lists it, and what is described as neither sound nor picture is
        left out. One that came by another trunk comes by this one from now on.

        Args:
            trunk: whose.
            descriptions: of all guests that it has.
            publications: what it brings now.
        """
        listed: set[str] = set()
        present: set[TransportId] = set()
        relays = {guest: self._by_id[guest].relayed_to for guest in self.of(trunk)}
        for said in descriptions[:MAX_GUESTS]:
            guest = self._by_key.get(said.key)
            if guest is None:
                guest = self._by_key[said.key] = self._ids.transport()
                self._by_id[guest] = Guest(said.key, trunk, said.relayed_to, {})
            one = self._by_id[guest]
            if one.trunk != trunk:
                for track in one.tracks.values():
                    track.publication, track.far = None, ()
            one.trunk, one.relayed_to = trunk, said.relayed_to
            present.add(guest)
            one.tracks = self._tracks(guest, one, said.streams, listed)
        left = [guest for guest in self.of(trunk) if guest not in present]
        for guest in left:
            self.remove(guest)
        self.match(trunk, publications)
        return GuestsChange(
            tuple(left), any(self._by_id[guest].relayed_to != relays.get(guest) for guest in present)
        )

    def match(self, trunk: TransportId, publications: Iterable[Publication]) -> None:
        """Take up what a trunk brings now: whose it is says the description."""
        brought = {one.section.track_id: one for one in publications}
        for guest in self.of(trunk):
            for track in self._by_id[guest].tracks.values():
                track.publication = brought.get(track.described.track_id)
        self._renew()

    def lose(self, trunk: TransportId) -> None:
        """A trunk is gone: its guests stay, and nothing of them comes."""
        self.match(trunk, ())
        for track in self.tracks_of(trunk):
            track.far = ()
        for guest in self.of(trunk):
            self._by_id[guest].trunk = None

    def remove(self, guest: TransportId) -> None:
        """Somebody has left."""
        del self._by_key[self._by_id.pop(guest).key]
        self._renew()

    def _renew(self) -> None:
        self._by_handle = {}
        for one in self._by_id.values():
            for track in one.tracks.values():
                self._by_handle[track.handle] = track
                if track.publication is not None:
                    self._by_handle[track.publication.track] = track

    def _tracks(
        self,
        guest: TransportId,
        one: Guest,
        streams: Sequence[StreamDescription],
        listed: set[str],
    ) -> dict[str, GuestTrack]:
        tracks: dict[str, GuestTrack] = {}
        for stream in streams:
            for described in stream.tracks:
                if described.kind is None or described.track_id in listed or len(listed) >= MAX_TRACKS:
                    continue
                listed.add(described.track_id)
                known = one.tracks.get(described.track_id)
                if known is None:
                    known = GuestTrack(guest, self._ids.track(), stream, described)
                known.stream, known.described = stream, described
                tracks[described.track_id] = known
        return tracks
