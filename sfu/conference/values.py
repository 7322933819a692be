"""What a call's media side speaks with its signalling: streams, wishes, speakers, descriptions."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.units import Kind, TransportId


class Source(enum.StrEnum):
    """What a stream shows."""

    CAMERA = "camera"
    SCREEN = "screen"


@dataclass(frozen=True, slots=True)
class TrackDescription:
    """What the publisher says of one track. None: not said; the SDP or the last known value holds."""

    track_id: str
    kind: Kind | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What the publisher says of one stream. A list of them is always the complete picture."""

    stream_id: str
    source: Source
    tracks: tuple[TrackDescription, ...]
    audio_muted: bool = False
    video_muted: bool = False


@dataclass(frozen=True, slots=True)
class StreamView:
    """A stream as a subscriber is told of it: ids are unique in its view, the owner is authenticated."""

    owner: TransportId
    stream: StreamDescription


@dataclass(frozen=True, slots=True)
class Wish:
    """A subscriber asks for a track by its announced ids, in pixels of its tile; 0 is no size."""

    stream_id: str
    track_id: str
    width: int = 0
    height: int = 0


# --- outputs of a `Conference` for its signalling (beside those of `turn.py`) ------------------------------


class DescriptionType(enum.StrEnum):
    """SDP types that this server sends."""

    OFFER = "offer"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class SendDescription:
    """An SDP for a leg; signalling sends it with the leg's whole `view`."""

    leg: TransportId
    type: DescriptionType
    sdp: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ViewChanged:
    """What these legs may subscribe to has changed: tell each its whole `view`. Already coalesced."""

    legs: tuple[TransportId, ...]


@dataclass(frozen=True, slots=True)
class Speaker:
    """An active speaker; `level` is 0 (silent) to 1 (loudest)."""

    leg: TransportId
    level: float


@dataclass(frozen=True, slots=True)
class SpeakersChanged:
    """Active speakers, loudest first, for every leg of the call."""

    speakers: tuple[Speaker, ...]


@dataclass(frozen=True, slots=True)
class LegUnusable:
    """Negotiation can't go on: end the leg. `reason`: `no_answer`, `offer_failed`, `limit`."""

    leg: TransportId
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A part of what a leg asked was refused and the rest done.

    `code`: `unknown_codec`, `too_many_tracks`, `too_many_subscriptions`, `bad_sdp`, `no_offer_pending`.
    """

    leg: TransportId
    code: str
    text: str = ""


SignallingOutput = SendDescription | ViewChanged | SpeakersChanged | LegUnusable | Refused
