"""What a call's media side speaks with its signalling: streams, wishes, speakers, descriptions."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.conference.view import TrackIds
    from sfu.units import Kind, Rid, TransportId


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
    layers: tuple[Rid, ...] = ()
    """Its encodings, lowest first; empty for a track that is sent as one. A client does not say it here: its
    SDP does."""


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
class GuestDescription:
    """What a trunk says of somebody who is connected to another focus. A list of them is always complete."""

    key: str
    """What the signalling calls them: the same on every trunk, for the same person in the same place."""
    streams: tuple[StreamDescription, ...]
    relayed_to: frozenset[TransportId] = frozenset()
    """Other trunks to which their media may go on from here."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A subscriber asks for a track by its announced ids, in pixels of its tile; 0 is no size."""

    stream_id: str
    track_id: str
    width: int = 0
    height: int = 0
    is_pinned: bool = False
    """It comes before the others where not all fits."""
    is_visible: bool = True
    """False: the tile is out of sight, and no picture is needed."""
    layers: tuple[Rid, ...] = ()
    """By a trunk: exactly these encodings, each as a stream of its own, whatever the size; empty: the one
    that fits."""


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


@dataclass(frozen=True, slots=True)
class TrackLayers:
    """The encodings of one published track that are wanted now, lowest first, by the publisher's own ids."""

    stream_id: str
    track_id: str
    rids: tuple[Rid, ...]


@dataclass(frozen=True, slots=True)
class LayersWanted:
    """What is wanted of all simulcast tracks that a leg publishes: it may switch the others off."""

    leg: TransportId
    tracks: tuple[TrackLayers, ...]


@dataclass(frozen=True, slots=True)
class LayersDemanded:
    """What is wanted now of the guests of a trunk, where that is something else than before.

    Both are named as the trunk announced them. What is wanted under ids that were wanted before replaces it.
    """

    leg: TransportId
    """The trunk."""
    wanted: tuple[Wish, ...]
    unwanted: tuple[TrackIds, ...] = ()


class Reason(enum.StrEnum):
    """Why a subscriber gets what it gets: the allocator's causes and what only a conference knows. Closed."""

    SIZE = "size"
    """It gets what fits the size it asked for."""
    LAYER_NOT_SENT = "layer_not_sent"
    """The encoding that would fit does not flow; the nearest that does is given."""
    SWITCHED_OFF = "switched_off"
    """The same, but because nobody wanted it: the sender has just been asked for it."""
    CEILING = "ceiling"
    """The operator's `max_height`."""
    BUDGET = "budget"
    """Its link carries no more."""
    CAP = "cap"
    """The operator gives it no more bits, though its link would carry them."""
    PINNED_FIRST = "pinned_first"
    """Its link carries no more, and it would get more if nothing else were pinned."""
    SCREEN_FIRST = "screen_first"
    """Its link carries no more, and it would get more if nothing else were a screen share."""
    SPEAKER = "speaker"
    """Its link carries no more, and it would get more if nobody else spoke."""
    LAST_N = "last_n"
    """The operator gives it no more pictures, and others come first."""
    NOT_VISIBLE = "not_visible"
    """Its tile is out of sight."""
    UNHEARD = "unheard"
    """Sound of a large call, and enough others are louder."""
    WAITING = "waiting"
    """What was chosen begins with its next key frame."""
    PAUSED = "paused"
    """The publisher sends nothing of this track now."""
    MUTED = "muted"
    """The publisher says that it has muted it."""
    CODEC = "codec"
    """It can't decode what the publisher sends."""
    REFUSED = "refused"
    """Its client's answer refused the section."""
    FULL = "full"
    """No section is free."""
    NEGOTIATING = "negotiating"
    """The client has not agreed to a section yet."""
    HOP = "hop"
    """It comes from another focus, and the connection to that one does not bring it, or brings less of it."""
    NOT_PUBLISHED = "not_published"
    """Nobody publishes it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What flows to a subscriber of one track. Sizes of audio are 0."""

    rid: Rid
    temporal: int | None
    """The highest temporal layer; None: all."""
    width: int
    height: int
    rate_bps: float
    """0 while it is not known."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a connection carries, where that decides."""

    rate_bps: float
    """For everything that goes over it."""
    next_rate_bps: float
    """What the next larger layer takes; 0: not known."""


@dataclass(frozen=True, slots=True)
class Hop:
    """The connection to another focus, where it limits what somebody gets."""

    owner: TransportId
    """The guest whose media comes by it."""
    reason: Reason | None
    """Why the other focus sends no more, one of `hops.WITHHOLDING`; None: there is no connection now."""
    limit: Limit | None = None
    """As the other focus says it."""


@dataclass(frozen=True, slots=True)
class FarDecision:
    """What another focus says of a layer that it was asked for."""

    stream_id: str
    track_id: str
    rid: Rid | None
    """None: it is said of the track."""
    reason: Reason
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a wish is fulfilled the way it is."""

    wish: Wish
    sent: Sent | None
    reason: Reason
    text: str
    """One sentence for people."""
    layer: Rid | None = None
    """Of which it is told, where a trunk is told of each layer that it wants; None: of the track."""
    limit: Limit | None = None
    """What the subscriber's own connection carries, where that is the reason."""
    hop: Hop | None = None
    """Where that is the reason."""


@dataclass(frozen=True, slots=True)
class DecisionsExplained:
    """Something else than before was decided about these wishes of a leg. Already coalesced."""

    leg: TransportId
    explanations: tuple[Explanation, ...]


@dataclass(frozen=True, slots=True)
class TrackStats:
    """Figures of one track on its way to a subscriber."""

    stream_id: str
    track_id: str
    rid: Rid | None
    """None while nothing flows."""
    bitrate_bps: float
    packets_sent: int
    packets_lost: int


@dataclass(frozen=True, slots=True)
class LegStats:
    """Figures of a leg that asked for them."""

    leg: TransportId
    estimate_bps: float | None
    """What its path carries; None while that is not known."""
    round_trip_time_ms: float | None
    packets_lost: int
    tracks: tuple[TrackStats, ...]


SignallingOutput = (
    SendDescription
    | ViewChanged
    | SpeakersChanged
    | LayersWanted
    | LayersDemanded
    | DecisionsExplained
    | LegStats
    | LegUnusable
    | Refused
)
