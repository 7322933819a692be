"""What a negotiation comes to: one table per leg, the only thing handed on to conference and plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.plane import EncodingSpec, Extension, PayloadFormat
    from sfu.units import Kind, Mid, Rid, Ssrc


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A certificate's hash as in SDP (RFC 8122): algorithm in lower case, value in upper-case hex pairs."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host candidate of ours (RFC 8839 section 5.1)."""

    address: str
    port: int
    priority: int
    is_tcp: bool = False
    """We take connections there (RFC 6544 section 4.5: passive)."""


@dataclass(frozen=True, slots=True)
class ReceiveSection:
    """An m-section on which the client publishes now: the direction says so and a codec is agreed.

    `stream_id` and `track_id` are the two halves of its media-level `a=msid`. A published track *is* mid and
    track id: a changed stream id is still the same track.
    """

    mid: Mid
    kind: Kind
    stream_id: str
    track_id: str
    formats: tuple[PayloadFormat, ...]
    encodings: tuple[EncodingSpec, ...]
    """Lowest first; one with `NO_RID` where there is no simulcast."""
    extensions: Mapping[Extension, int]
    cname: str = ""


@dataclass(frozen=True, slots=True)
class SendEncoding:
    """One RTP stream of a track that goes out as simulcast."""

    rid: Rid
    ssrc: Ssrc
    rtx_ssrc: Ssrc | None


@dataclass(frozen=True, slots=True)
class SendSection:
    """An m-section on which the client receives a track of ours, agreed by both sides."""

    mid: Mid
    kind: Kind
    key: int
    """The `SendTrack.key` that it carries."""
    formats: tuple[PayloadFormat, ...]
    extensions: Mapping[Extension, int]
    ssrc: Ssrc
    rtx_ssrc: Ssrc | None
    cname: str
    encodings: tuple[SendEncoding, ...] = ()
    """Lowest first, those that the other side takes; `ssrc` and `rtx_ssrc` are of the first. Empty where the
    track goes out as one stream: it was asked for without rids, or the other side takes no simulcast."""


@dataclass(frozen=True, slots=True)
class LegParameters:
    """Everything both sides agreed on."""

    receive: tuple[ReceiveSection, ...] = ()
    send: tuple[SendSection, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    """Of the client's certificate."""
    remote_ufrag: str = ""
    remote_password: str = field(default="", repr=False)
    data_mid: Mid | None = None
    """The section of the data channel."""
    data_port: int = 5000
    mixed_extensions: bool = False
    receivable: frozenset[str] = frozenset()
    """Codec keys (`PayloadFormat.key`) that the client can receive."""
    remote_candidates: tuple[tuple[str, int], ...] = ()
    """Addresses and ports of the focus that we call, best first. Clients find us: theirs are not read."""


@dataclass(frozen=True, slots=True)
class SendTrack:
    """A track that shall go to the client: what the section says and the codecs it may carry."""

    key: int
    """Unique for the life of the leg, so that a recycled section never carries two tracks under one key."""
    kind: Kind
    stream_id: str
    track_id: str
    codec_keys: tuple[str, ...]
    """`PayloadFormat.key` of what the publisher may send, best first."""
    cname: str
    rids: tuple[Rid, ...] = ()
    """As simulcast under these names, lowest first, each a stream whose SSRC the section names; empty: as one
    stream."""
