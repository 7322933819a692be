"""The data plane's contract: what engine, runtime and every plane share.

The engine *programs* a plane: operations go down as values, and batches of datagrams, events and
counters come up. Nothing here calls back, and no forwarded packet is ever seen above.
`sfu/dataplane/DESIGN.md` says how a plane meets this contract; `tests/unit/dataplane/` and
`tests/integration/test_plane_contract.py` hold every plane to it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sfu.rows import StructArray
    from sfu.units import Instant, Kind, Mid, PayloadType, Rid, RouteId, Ssrc, TrackHandle, TransportId

TARGETS_STALE_MS: Final = 500
"""Where no `set_targets` comes for this long, a plane falls back to the lowest encoding. Lower: one slow
tick degrades every picture. Higher: a stalled Python keeps overloading links that got worse."""

MAX_STUN_REQUESTS: Final = 64
"""Requests of ours that one transport waits for. Lower: where a check goes to many addresses, and again and
again, a slow path answers in vain. Higher: more that a stranger could guess, and more memory."""

# --- what goes down ---------------------------------------------------------------------------------------


class SrtpProfile(enum.Enum):
    """SRTP protection profiles (RFC 5764 section 4.1.2, RFC 7714 section 14.2)."""

    AEAD_AES_128_GCM = "SRTP_AEAD_AES_128_GCM"
    AES128_CM_SHA1_80 = "SRTP_AES128_CM_SHA1_80"
    AEAD_AES_256_GCM = "SRTP_AEAD_AES_256_GCM"


class Codec(enum.StrEnum):
    """What a plane can say about a payload: where key frames start and what must be rewritten."""

    OPUS = "opus"
    VP8 = "VP8"
    VP9 = "VP9"
    H264 = "H264"
    AV1 = "AV1"


class Extension(enum.StrEnum):
    """RTP header extensions that a plane understands, by URI (RFC 8285)."""

    MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
    RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
    REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
    TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
    ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
    AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
    VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
    PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
    VIDEO_CONTENT_TYPE = "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"
    COLOR_SPACE = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
    ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
    VIDEO_LAYERS_ALLOCATION = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"
    DEPENDENCY_DESCRIPTOR = (
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
    )


GENERATED_EXTENSIONS: Final = frozenset(
    {Extension.MID, Extension.RID, Extension.REPAIRED_RID, Extension.TRANSPORT_CC, Extension.ABS_SEND_TIME}
)
"""Made anew for each leg, never copied from the publisher (packet rule 1)."""


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """One codec configuration and its number on one leg.

    `key` is equal on two legs when the same bitstream may pass from one to the other (codec name plus the
    parameters that matter, such as an H.264 profile and packetization mode): a route forwards a packet of
    the publisher's payload type P as the subscriber's payload type with the same key.
    """

    key: str
    codec: Codec
    payload_type: PayloadType
    clock_rate: int
    rtx_payload_type: PayloadType | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """Our side of ICE for one transport (RFC 8445 section 5.3), and the peer's fragment where known."""

    ufrag: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AddTransport:
    """Listen for one peer. Nothing is sent before it authenticates itself by ICE.

    It lives on one worker (`Plane.ports`), with the tracks that it publishes and the routes to it.
    """

    transport: TransportId
    credentials: Credentials
    worker: int = 0
    own_port: bool = False
    """It sends from a UDP port that the system chooses, and hears there alone: where two that we dial go to
    one address, both sides tell them apart by that. The port goes with the transport. There may be none
    (`PortRefused`)."""


@dataclass(frozen=True, slots=True)
class SetCredentials:
    """ICE restart: accept these beside the ones before, until a check with these arrives."""

    transport: TransportId
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class InstallSrtp:
    """Keys of a finished DTLS handshake: key followed by salt, for each direction (RFC 5764 section 4.2)."""

    transport: TransportId
    profile: SrtpProfile
    receive_key: bytes = field(repr=False)
    send_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RemoveTransport:
    """Forget the peer, its tracks and its routes."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class EncodingSpec:
    """One RTP stream of a track, with its RTX stream where the SDP names them (no rid, or Firefox)."""

    rid: Rid
    ssrc: Ssrc | None = None
    rtx_ssrc: Ssrc | None = None


@dataclass(frozen=True, slots=True)
class SetTrack:
    """Receive a published track, or change how it is received; repeating it is harmless.

    Encodings stand lowest first; an encoding's index is its number in targets and statistics. `extensions`
    are the ids of the publisher's m-section. A track whose `mid` another track had before replaces it.
    """

    track: TrackHandle
    transport: TransportId
    mid: Mid
    kind: Kind
    formats: tuple[PayloadFormat, ...]
    encodings: tuple[EncodingSpec, ...]
    extensions: Mapping[Extension, int]
    cname: str = ""


@dataclass(frozen=True, slots=True)
class RemoveTrack:
    """Stop receiving a track; its routes go with it."""

    track: TrackHandle


@dataclass(frozen=True, slots=True)
class SetRoute:
    """Forward a track to a transport, or change how; repeating it is harmless.

    Where they live on two workers, packets cross from one to the other; a subscriber sees no difference.
    A new route sends nothing until a target chooses an encoding for it. `ssrc` and `rtx_ssrc` stay the same
    for the life of a route and are never used twice on one transport (packet rule 3). With an `rtx_ssrc` and
    a format that has RTX, resends go over RTX; else video is the same bytes again, and sound is not resent.
    Several routes may take one track to one transport, under one mid: each has the encoding of its target.
    """

    route: RouteId
    track: TrackHandle
    transport: TransportId
    mid: Mid
    ssrc: Ssrc
    rtx_ssrc: Ssrc | None
    formats: tuple[PayloadFormat, ...]
    extensions: Mapping[Extension, int]
    cname: str
    mixed_extensions: bool = False
    """The subscriber takes one- and two-byte extension forms in one stream (`a=extmap-allow-mixed`)."""


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    """Stop forwarding; a BYE for its SSRC is sent."""

    route: RouteId


@dataclass(frozen=True, slots=True)
class RequestKeyframe:
    """Ask the publisher for a key frame of one encoding; the plane merges and spaces requests."""

    track: TrackHandle
    encoding: int


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send a DTLS datagram on the transport's selected pair; dropped and counted while there is none."""

    transport: TransportId
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendStun:
    """Send a STUN Binding request of ours to an address, by UDP from the port of the transport or its worker.

    What answers it from there comes up once (`Batch.responses`). There are no timers: `MAX_STUN_REQUESTS` of
    a transport are waited for, then the oldest is forgotten. One that is sent again is waited for anew.
    """

    transport: TransportId
    host: str
    """Numeric IPv4 or IPv6, without an interface."""
    port: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SelectAddress:
    """Send to this address from now on, and hear the peer from there: we have checked it ourselves.

    Comes up as `PairSelected` where it is another than before. To ask for consent is left to whoever has
    checked: `ConsentLost` is about checks of the peer.
    """

    transport: TransportId
    host: str
    """As of `SendStun`."""
    port: int


OfTransports = (
    AddTransport | SetCredentials | InstallSrtp | RemoveTransport | SendDatagram | SendStun | SelectAddress
)
OfMedia = SetTrack | RemoveTrack | SetRoute | RemoveRoute | RequestKeyframe
PlaneOperation = OfTransports | OfMedia

# --- what comes up ----------------------------------------------------------------------------------------


class DropReason(enum.Enum):
    """Why a packet ended here, or a part of it. A closed list: each is a metric label."""

    UNKNOWN_PEER = "unknown_peer"
    UNKNOWN_PROTOCOL = "unknown_protocol"
    STUN_MALFORMED = "stun_malformed"
    STUN_UNAUTHENTICATED = "stun_unauthenticated"
    STUN_ROLE_CONFLICT = "stun_role_conflict"
    STUN_RATE = "stun_rate"
    DTLS_QUEUE_FULL = "dtls_queue_full"
    NO_SELECTED_PAIR = "no_selected_pair"
    EARLY_QUEUE_FULL = "early_queue_full"
    RTP_MALFORMED = "rtp_malformed"
    RTCP_MALFORMED = "rtcp_malformed"
    SRTP_AUTHENTICATION = "srtp_authentication"
    SRTP_REPLAY = "srtp_replay"
    UNKNOWN_SSRC = "unknown_ssrc"
    UNKNOWN_PAYLOAD_TYPE = "unknown_payload_type"
    TOO_MANY_SSRCS = "too_many_ssrcs"
    RTX_MALFORMED = "rtx_malformed"
    DUPLICATE = "duplicate"
    TOO_OLD = "too_old"
    OTHER_LAYER = "other_layer"
    WAITING_FOR_KEYFRAME = "waiting_for_keyframe"
    TEMPORAL_LAYER = "temporal_layer"
    CODEC_NOT_NEGOTIATED = "codec_not_negotiated"
    TOO_LARGE = "too_large"
    SEND_BLOCKED = "send_blocked"
    PADDING_ONLY = "padding_only"
    SLOW_RECEIVER = "slow_receiver"
    DESCRIPTOR_MALFORMED = "descriptor_malformed"
    """A dependency descriptor that can't be read; its packet goes on without."""
    TRUNK_FULL = "trunk_full"
    """The worker of the track's subscribers does not keep up with that of its publisher."""


@dataclass(frozen=True, slots=True)
class PairSelected:
    """A pair was nominated, by the peer or by `SelectAddress`; DTLS may start.

    Comes again when the peer moves (NAT rebinding, restart).
    """

    transport: TransportId


@dataclass(frozen=True, slots=True)
class ConsentLost:
    """No authenticated check for the consent time (RFC 7675: 30 s)."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class PortRefused:
    """The system had no port for a transport that was to have one of its own.

    It hears nothing, and what is sent for it is `DropReason.SEND_BLOCKED`.
    """

    transport: TransportId


@dataclass(frozen=True, slots=True)
class StreamBound:
    """An SSRC was bound to an encoding: media flows for the first time, or again under another SSRC."""

    track: TrackHandle
    encoding: int
    ssrc: Ssrc


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The publisher said BYE for an encoding's SSRC. Ends the RTP stream, not the track."""

    track: TrackHandle
    encoding: int


PlaneEvent = PairSelected | ConsentLost | PortRefused | StreamBound | StreamEnded


@dataclass(frozen=True, slots=True)
class Batch:
    """What came up since the last `drain`, in order of arrival."""

    datagrams: tuple[tuple[TransportId, bytes], ...]
    """DTLS datagrams, only of transports with a selected or authenticated pair."""
    events: tuple[PlaneEvent, ...]
    responses: tuple[tuple[TransportId, tuple[str, int], bytes], ...] = ()
    """What answers requests of `SendStun`, from the addresses that these went to; whether it is authentic is
    not known yet. Hosts in the form of RFC 5952; an IPv4-mapped one is the IPv4 address."""


@dataclass(frozen=True, slots=True)
class PlaneStats:
    """Counters of everything that lives, one row each. Counters only grow while a row lives."""

    now: Instant
    transports: StructArray
    """(transports,) of `TRANSPORT_DTYPE`."""
    encodings: StructArray
    """(encodings,) of `ENCODING_DTYPE`."""
    routes: StructArray
    """(routes,) of `ROUTE_DTYPE`."""
    drops: Mapping[DropReason, int]


class Plane(Protocol):
    """A data plane. Every method returns at once; none raises for anything a remote party sent.

    An operation naming a transport, track or route that is gone is ignored: removal and use race by nature.
    """

    @property
    def name(self) -> str:
        """`reference` or `native`."""
        ...

    @property
    def port(self) -> int:
        """The UDP port that was bound; of several, the first worker's."""
        ...

    @property
    def ports(self) -> tuple[int, ...]:
        """The UDP port of each worker: where its transports are reached that have none of their own."""
        ...

    @property
    def tcp_port(self) -> int | None:
        """The TCP port that was bound, of all workers, for peers without UDP (RFC 6544); None: none."""
        ...

    def apply(self, operations: Sequence[PlaneOperation]) -> None:
        """Carry out operations in order.

        Raises:
            LocalError: an operation contradicts an earlier one (an id twice, an unknown profile), or names a
                worker that is not there, or what can be no address or no request. Those before it were
                carried out.
        """
        ...

    def set_targets(self, targets: StructArray) -> None:
        """Layer choices, (n,) of `TARGET_DTYPE`; routes not named keep theirs.

        Each call, an empty one too, says that Python is alive (`TARGETS_STALE_MS`).
        """
        ...

    def set_pacing(self, pacing: StructArray) -> None:
        """How transports are sent to, (n,) of `PACING_DTYPE`; transports not named keep theirs."""
        ...

    def probe(self, probes: StructArray) -> None:
        """Measure what a path carries, (n,) of `PROBE_DTYPE`; a transport's probes run one by one."""
        ...

    def feedback(self) -> StructArray:
        """What subscribers have said of packets since the last call, (n,) of `FEEDBACK_DTYPE`, as it came."""
        ...

    def drain(self) -> Batch:
        """Everything that came up since the last call."""
        ...

    def stats(self) -> PlaneStats:
        """All counters now."""
        ...

    def fileno(self) -> int:
        """An eventfd that is readable while `drain` would return something."""
        ...

    def close(self) -> None:
        """Stop and release the sockets."""
        ...
