"""Streams and wishes: as the conference knows them, and as MSC3401 clients write them (protocol: section 5).

A client's own word on whose a stream is counts for nothing: the owner is the leg that described it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, assert_never

from sfu.conference.values import (
    DecisionsExplained,
    FarDecision,
    LayersWanted,
    LegStats,
    Limit,
    Reason,
    Source,
    StreamDescription,
    TrackDescription,
    Wish,
)
from sfu.errors import RemoteError
from sfu.units import Rid
from signalling.events import ours
from signalling.events.data_channel import ActiveSpeaker
from signalling.events.metadata import (
    SCREENSHARE,
    USERMEDIA,
    StreamMetadata,
    TrackMetadata,
    stream_text,
)
from signalling.focus.guests import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.conference.values import Explanation, Hop, Speaker, StreamView, TrackLayers
    from sfu.units import TransportId
    from signalling.events.data_channel import SubscribedTrack, TrackRef
    from signalling.events.room_state import FocusDevice
    from signalling.focus.guests import Guest
    from signalling.focus.leg import Leg, LegKey

MAX_LETTER_BYTES: Final = 45_000
"""Of a to-device message: homeservers take 65 536, of which encryption leaves three quarters. Higher: in a
call of a hundred the homeserver refuses the answer, and nobody can join any more; and a message that is
refused leaves a gap in the numbers, behind which clients wait for ever. Lower: fewer streams are known before
the channel opens."""
_ENVELOPE_BYTES: Final = 2_048
"""Of a to-device message, at most, beside its description and its streams: ids of 255 characters."""

_SOURCES: Final = {USERMEDIA: Source.CAMERA, SCREENSHARE: Source.SCREEN}
_REASONS: Final = frozenset(Reason)
PURPOSES: Final = {source: purpose for purpose, source in _SOURCES.items()}


def check_size(sdp: str, limit_bytes: int) -> None:
    """Check that a description is not too long.

    Raises:
        RemoteError: `too_long`.
    """
    size = len(sdp.encode(errors="replace"))
    if size > limit_bytes:
        raise RemoteError("too_long", f"{size} bytes of SDP, over {limit_bytes}")


def descriptions(
    metadata: Iterable[StreamMetadata] | None, *, by_focus: bool = False
) -> tuple[StreamDescription, ...] | None:
    """What is said of streams; those for other purposes are ignored. None: nothing was said.

    Args:
        metadata: as it was written.
        by_focus: another focus says it, and names layers; of a client's layers its SDP tells.
    """
    if metadata is None:
        return None
    return tuple(
        StreamDescription(
            stream_id=stream.stream_id,
            source=_SOURCES[stream.purpose],
            tracks=tuple(
                TrackDescription(
                    track.track_id,
                    track.kind,
                    track.width,
                    track.height,
                    layers=track.layers if by_focus else (),
                )
                for track in stream.tracks
            ),
            audio_muted=stream.audio_muted,
            video_muted=stream.video_muted,
        )
        for stream in metadata
        if stream.purpose in _SOURCES
    )


def metadata_of(
    view: Iterable[StreamView],
    legs: Mapping[TransportId, Leg],
    guests: Mapping[TransportId, Guest] = NOBODY,
) -> tuple[StreamMetadata, ...]:
    """What a client is told of the streams of others; `legs` and `guests` are those of its call."""
    return tuple(
        StreamMetadata(
            stream_id=one.stream.stream_id,
            purpose=PURPOSES[one.stream.source],
            tracks=tuple(
                TrackMetadata(track.track_id, track.kind, track.width, track.height)
                for track in one.stream.tracks
            ),
            audio_muted=one.stream.audio_muted,
            video_muted=one.stream.video_muted,
            user_id=person.user_id,
            device_id=person.device_id,
        )
        for one in view
        # What somebody who has just left had announced is told of until the next change is.
        if (person := person_of(one.owner, legs, guests)) is not None
    )


def person_of(
    owner: TransportId, legs: Mapping[TransportId, Leg], guests: Mapping[TransportId, Guest]
) -> LegKey | Guest | None:
    """Whose a stream is, or who speaks; None: they are in the call no more."""
    leg = legs.get(owner)
    return guests.get(owner) if leg is None else leg.key


def fitting(metadata: Iterable[StreamMetadata], sdp: str = "") -> tuple[StreamMetadata, ...]:
    """The streams that have room in a to-device message, beside a description."""
    room_bytes = MAX_LETTER_BYTES - _ENVELOPE_BYTES - len(json.dumps(sdp))
    told = []
    for stream in metadata:
        room_bytes -= 2 * (len(stream_text(stream)) + 1)  # under either key (protocol: section 4.3)
        if room_bytes < 0:
            break
        told.append(stream)
    return tuple(told)


def has_room(sdp: str) -> bool:
    """Whether a description can go by to-device message at all."""
    return len(json.dumps(sdp)) <= MAX_LETTER_BYTES - _ENVELOPE_BYTES


def wishes(tracks: Iterable[SubscribedTrack], *, by_focus: bool = False) -> list[Wish]:
    """What somebody wants to receive. Layers are named by another focus; for a client they are chosen."""
    return [
        Wish(
            track.stream_id,
            track.track_id,
            track.width,
            track.height,
            is_pinned=track.is_pinned,
            is_visible=track.is_visible,
            layers=track.layers if by_focus else (),
        )
        for track in tracks
    ]


def track_ids(tracks: Iterable[TrackRef]) -> list[tuple[str, str]]:
    """What a client wants no more."""
    return [(track.stream_id, track.track_id) for track in tracks]


def active_speakers(
    speakers: Iterable[Speaker],
    legs: Mapping[TransportId, Leg],
    guests: Mapping[TransportId, Guest] = NOBODY,
) -> tuple[ActiveSpeaker, ...]:
    """Who is speaking, by name."""
    return tuple(
        ActiveSpeaker(person.user_id, person.device_id, one.level)
        for one in speakers
        if (person := person_of(one.leg, legs, guests)) is not None
    )


def own_message(
    told: LayersWanted | DecisionsExplained, guests: Mapping[TransportId, Guest] = NOBODY
) -> ours.OwnMessage:
    """What a client is told by a message of our own; `guests` are those of its call."""
    match told:
        case LayersWanted(_, tracks):
            return _layers(tracks)
        case DecisionsExplained(_, explanations):
            return _why(explanations, guests)
        case _:
            assert_never(told)


def _layers(tracks: Iterable[TrackLayers]) -> ours.Layers:
    return ours.Layers(
        tuple(ours.ActiveLayers(track.stream_id, track.track_id, tuple(track.rids)) for track in tracks)
    )


def far_decisions(tracks: Iterable[ours.TrackWhy]) -> list[FarDecision]:
    """What another focus says of what it was asked for; what has a cause of its own is left out."""
    decisions = []
    for one in tracks:
        limit = one.limit if one.hop is None else one.hop.limit
        if one.cause in _REASONS:
            decisions.append(
                FarDecision(
                    one.stream_id,
                    one.track_id,
                    None if one.layer is None else Rid(one.layer),
                    Reason(one.cause),
                    None if limit is None else Limit(limit.bitrate, limit.next),
                )
            )
    return decisions


def _why(explanations: Iterable[Explanation], guests: Mapping[TransportId, Guest]) -> ours.Why:
    return ours.Why(
        tuple(
            ours.TrackWhy(
                stream_id=one.wish.stream_id,
                track_id=one.wish.track_id,
                width=one.wish.width,
                height=one.wish.height,
                sent=None
                if one.sent is None
                else ours.SentLayer(
                    rid=one.sent.rid,
                    temporal=one.sent.temporal,
                    width=one.sent.width,
                    height=one.sent.height,
                    bitrate=round(one.sent.rate_bps),
                ),
                cause=one.reason,
                text=one.text,
                layer=one.layer,
                limit=_limit(one.limit),
                hop=None if one.hop is None else _hop(one.hop, guests),
            )
            for one in explanations
        )
    )


def _limit(limit: Limit | None) -> ours.Limit | None:
    return None if limit is None else ours.Limit(round(limit.rate_bps), round(limit.next_rate_bps))


def _hop(hop: Hop, guests: Mapping[TransportId, Guest]) -> ours.Hop | None:
    focus = focus_behind(hop, guests)
    if focus is None:
        return None
    return ours.Hop(ours.OtherFocus(focus.user_id, focus.device_id), hop.reason, _limit(hop.limit))


def focus_behind(hop: Hop, guests: Mapping[TransportId, Guest]) -> FocusDevice | None:
    """The focus that a hop leads to; None: whose media it is has left."""
    guest = guests.get(hop.owner)
    return None if guest is None else guest.path[-1]


def stats(figures: LegStats, hops: tuple[ours.HopStats, ...] = ()) -> ours.Stats:
    """What a client is told that asked for figures."""
    seconds = None if figures.round_trip_time_ms is None else round(figures.round_trip_time_ms / 1_000, 4)
    return ours.Stats(
        estimate=None if figures.estimate_bps is None else round(figures.estimate_bps),
        round_trip_time=seconds,
        packets_lost=figures.packets_lost,
        tracks=tuple(
            ours.TrackStats(
                stream_id=one.stream_id,
                track_id=one.track_id,
                rid=one.rid,
                bitrate=round(one.bitrate_bps),
                packets=one.packets_sent,
                packets_lost=one.packets_lost,
            )
            for one in figures.tracks
        ),
        hops=hops,
    )
