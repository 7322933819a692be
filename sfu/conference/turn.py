"""One turn of an engine: what it is told, what it asks for.

A call's signalling (`signalling/focus`) and its media (`sfu/conference`) are one pure engine to the runtime:
`handle(now, wall, EngineInput) -> list[EngineOutput]`. A leg is named by its `TransportId`. The inputs and
outputs of this file are those that the runtime itself makes and performs; a dialect adds its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sfu.bwe.estimate import NO_ESTIMATES
from sfu.plane import (
    AddTransport,
    ConsentLost,
    InstallSrtp,
    PairSelected,
    RemoveRoute,
    RemoveTrack,
    RemoveTransport,
    RequestKeyframe,
    SendDatagram,
    SetCredentials,
    SetRoute,
    SetTrack,
    StreamBound,
    StreamEnded,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.negotiation.parameters import Fingerprint
    from sfu.plane import Credentials, PlaneStats
    from sfu.rows import StructArray
    from sfu.units import ConferenceId, Instant, Kind, RouteId, TrackHandle, TransportId, WallTime


# --- told by the runtime ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LegConnected:
    """The DTLS handshake is done and keys are installed."""

    leg: TransportId


@dataclass(frozen=True, slots=True)
class LegFailed:
    """DTLS failed, the peer closed it, or SCTP aborted. Final: the leg is closed after this turn.

    `reason` is from a closed list for counters: `dtls_handshake`, `dtls_timeout`, `dtls_closed`,
    `fingerprint`, `sctp_aborted`, `consent`, `internal` (a mistake of ours in a turn about it); of a leg that
    we dial also `unreachable`, `role_conflict` and `consent_lost` (`sfu.transport.dialling`), and `no_port`
    (`PortRefused`).
    """

    leg: TransportId
    reason: str


@dataclass(frozen=True, slots=True)
class DataChannelOpened:
    """The client opened a data channel, or has acknowledged one of ours (`OpenChannel`).

    `channel` numbers a leg's channels from 0 in order of opening.
    """

    leg: TransportId
    channel: int
    label: str


@dataclass(frozen=True, slots=True)
class DataChannelClosed:
    """The client closed a channel, or it broke."""

    leg: TransportId
    channel: int


@dataclass(frozen=True, slots=True)
class DataReceived:
    """A text message, not yet parsed and within the size limit."""

    leg: TransportId
    channel: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DataRefused:
    """A message that was no text, too long or too fast; counted and dropped.

    `reason` is from a closed list: `binary`, `not_utf8`, `too_long`, `too_fast`.
    """

    leg: TransportId
    channel: int
    reason: str


@dataclass(frozen=True, slots=True)
class MediaReport:
    """What the plane counted, paths were found to carry and the allocator decided, every tick."""

    stats: PlaneStats
    decisions: StructArray
    """(routes,) of `sfu.allocation.decision.DECISION_DTYPE`."""
    estimates: StructArray = field(default_factory=lambda: NO_ESTIMATES)
    """(transports,) of `sfu.bwe.estimate.ESTIMATE_DTYPE`, ascending by transport."""


RuntimeInput = (
    LegConnected
    | LegFailed
    | DataChannelOpened
    | DataChannelClosed
    | DataReceived
    | DataRefused
    | MediaReport
    | PairSelected
    | ConsentLost
    | StreamBound
    | StreamEnded
)


# --- performed by the runtime -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartDtls:
    """Shake hands against these fingerprints: await the client's, or begin as soon as a pair is selected."""

    leg: TransportId
    fingerprints: tuple[Fingerprint, ...]
    data_port: int = 5000
    is_client: bool = False
    """We are the active side: of a leg that we dial."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Find an address at which the far side of a leg answers, and send there (ICE, the controlling side).

    The plane says `PairSelected` once it is found. Another one for the same leg is an ICE restart; where that
    finds the address that is in use, nothing is said.
    """

    leg: TransportId
    credentials: Credentials
    """Ours, as the plane knows them."""
    remote: Credentials
    addresses: tuple[tuple[str, int], ...] = field(repr=False)
    """Of the far side, UDP: numeric host and port, best first."""


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """Open a data channel of ours once the leg is connected; `DataChannelOpened` comes when it is open.

    The label is ASCII.
    """

    leg: TransportId
    label: str


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """End DTLS with close_notify and forget the leg; `RemoveTransport` is implied."""

    leg: TransportId


@dataclass(frozen=True, slots=True)
class SendData:
    """Send a text message on a leg's channel; dropped and counted when the leg's queue is full."""

    leg: TransportId
    channel: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SetDemand:
    """A subscriber wants a track in this size: a row for the allocator, replaced by its next `SetDemand`.

    `width` and `height` of 0: no size was said, take the lowest. `full_width` and `full_height` are those
    of the track's highest encoding, 0 where unknown. `max_height` caps what is given, 0 is no cap. Of a tile
    that is not visible no picture is needed. Where `only` is an encoding, the row is for that one whatever
    the size and the cap: it is given or nothing is; -1: for any.
    """

    route: RouteId
    subscriber: TransportId
    track: TrackHandle
    kind: Kind
    width: int = 0
    height: int = 0
    full_width: int = 0
    full_height: int = 0
    encodings: int = 1
    max_height: int = 0
    screen_share: bool = False
    is_pinned: bool = False
    is_visible: bool = True
    only: int = -1


@dataclass(frozen=True, slots=True)
class DropDemand:
    """The row of a route that is gone."""

    route: RouteId


@dataclass(frozen=True, slots=True)
class SetCaps:
    """The most that the operator gives a leg, replaced by its next `SetCaps`; it ends with the leg.

    Before the first there is no cap but `SetDemand.max_height`.
    """

    leg: TransportId
    max_bps: float = float("inf")
    max_height: int = 0
    """Lines of one picture; 0 is no cap."""
    max_videos: int = 0
    """Pictures at a time; 0 is no cap."""


@dataclass(frozen=True, slots=True)
class SetSpeech:
    """Who speaks in a call, replaced by its next `SetSpeech`; an empty one when the call ends."""

    conference: ConferenceId
    cameras: tuple[TrackHandle, ...] = ()
    """Video of those who spoke, who did last first."""
    unheard: tuple[TrackHandle, ...] = ()
    """Sound that need not be forwarded now: enough others are louder."""


RuntimeOutput = (
    AddTransport
    | SetCredentials
    | InstallSrtp
    | RemoveTransport
    | SetTrack
    | RemoveTrack
    | SetRoute
    | RemoveRoute
    | RequestKeyframe
    | SendDatagram
    | StartDtls
    | Dial
    | OpenChannel
    | CloseLeg
    | SendData
    | SetDemand
    | DropDemand
    | SetCaps
    | SetSpeech
)


class Engine(Protocol):
    """What the runtime drives. Outputs that are no `RuntimeOutput` go to the dialect's own performer."""

    def handle(self, now: Instant, wall: WallTime, given: Any) -> Sequence[Any]:  # noqa: ANN401
        """Take one input of the runtime or of the dialect; return what must happen, in order."""
        ...

    def handle_timeout(self, now: Instant, wall: WallTime) -> Sequence[Any]:
        """Do what is due."""
        ...

    def next_timeout(self) -> Instant | None:
        """When `handle_timeout` next has something to do; None: never."""
        ...
