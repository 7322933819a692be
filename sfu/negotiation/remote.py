"""A client's description, read for what an SFU needs to know of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from sfu.negotiation.codecs import CodecReader, NegotiatedCodec, payload_types_of
from sfu.negotiation.encodings import all_ssrcs, cname_of, encodings_of, send_rids
from sfu.negotiation.extensions import NegotiatedExtension, extension_ids_of, extensions_of
from sfu.negotiation.parameters import Fingerprint
from sfu.units import Kind, Mid

if TYPE_CHECKING:
    from sfu.negotiation.sdp import MediaSection, SessionDescription
    from sfu.plane import EncodingSpec
    from sfu.units import Rid

MAX_ID_LENGTH: Final = 255
MAX_ICE_LENGTH: Final = 256

APPLICATION: Final = "application"
DEFAULT_DATA_PORT: Final = 5000
_MID: Final = re.compile(r"[!#-'*+.0-9A-Z^-~-]{1,16}")
"""A token (RFC 8866 section 9) that fits its one-byte header extension."""
_PROTOCOLS: Final = frozenset(
    {
        "UDP/TLS/RTP/SAVPF",
        "UDP/TLS/RTP/SAVP",
        "TCP/DTLS/RTP/SAVPF",
        "TCP/DTLS/RTP/SAVP",
        "RTP/SAVPF",
        "RTP/SAVP",
    }
)
"""All of them mean DTLS-SRTP here, and are answered as they were offered (RFC 8829 section 5.1.2)."""
_DIRECTIONS: Final = {
    "sendrecv": (True, True),
    "sendonly": (True, False),
    "recvonly": (False, True),
    "inactive": (False, False),
}
_HASHES: Final = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}


@dataclass(frozen=True, slots=True)
class RemoteSection:
    """One m-section of a client, from its side: it `sends`, it `receives`."""

    mid: Mid
    kind: Kind | None
    """None: the data channel, or something that we refuse."""
    media: MediaSection = field(repr=False)
    is_rejected: bool
    """Also where it is left out of the bundle: there is one transport."""
    sends: bool
    receives: bool
    codecs: tuple[NegotiatedCodec, ...]
    extensions: tuple[NegotiatedExtension, ...]
    encodings: tuple[EncodingSpec, ...]
    rids: tuple[Rid, ...]
    """In the client's order."""
    stream_id: str
    track_id: str
    cname: str
    ssrcs: frozenset[int]
    payload_types: frozenset[int]
    """All that it gives a meaning, known to us or not."""
    extension_ids: frozenset[int]

    @property
    def is_data(self) -> bool:
        """The section of the data channel."""
        return self.media.kind == APPLICATION and "SCTP" in self.media.protocol


@dataclass(frozen=True, slots=True)
class RemoteDescription:
    """A client's whole description."""

    sections: tuple[RemoteSection, ...]
    ufrag: str
    password: str = field(repr=False)
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: str = ""
    is_lite: bool = False
    mixed_extensions: bool = False
    data_port: int = DEFAULT_DATA_PORT


def read_description(description: SessionDescription) -> RemoteDescription:
    """Read a client's offer or answer.

    Raises:
        ParseError: `mid` (missing, too long or twice), `ice`, `fingerprint`, `no_sections`.
    """
    if not description.sections:
        raise ParseError("no_sections")
    direction = _direction(description) or "sendrecv"
    bundle = _bundle(description)
    reader = CodecReader()
    sections = tuple(_read_section(media, direction, bundle, reader) for media in description.sections)
    mids = [section.mid for section in sections]
    if len(set(mids)) != len(mids):
        raise ParseError("mid", "one stands twice")
    tagged = next((section for section in sections if not section.is_rejected), None)
    ufrag = _transport_value(description, tagged, "ice-ufrag")
    password = _transport_value(description, tagged, "ice-pwd")
    if tagged is not None and not (
        4 <= len(ufrag) <= MAX_ICE_LENGTH and 22 <= len(password) <= MAX_ICE_LENGTH
    ):
        raise ParseError("ice", "no usable ice-ufrag and ice-pwd")
    return RemoteDescription(
        sections=sections,
        ufrag=ufrag,
        password=password,
        fingerprints=_fingerprints(description, tagged),
        setup=_transport_value(description, tagged, "setup"),
        is_lite=description.has("ice-lite"),
        mixed_extensions=_mixed_extensions(description, sections),
        data_port=_data_port(sections),
    )


def _read_section(
    media: MediaSection, default_direction: str, bundle: frozenset[str] | None, reader: CodecReader
) -> RemoteSection:
    mid = media.value("mid") or ""
    if not _MID.fullmatch(mid):
        raise ParseError("mid", f"section {media.kind[:20]!r} has mid {mid[:20]!r}")
    is_media = media.kind in {"audio", "video"} and media.protocol in _PROTOCOLS
    kind = Kind(media.kind) if is_media else None
    # Port 0 means rejected only without bundle-only (RFC 8843 section 6): Firefox writes both.
    is_refused = media.port == 0 and not media.has("bundle-only")
    is_rejected = is_refused or (bundle is not None and mid not in bundle)
    sends, receives = _DIRECTIONS[_direction(media) or default_direction]
    is_live = kind is not None and not is_rejected
    stream_id, track_id = _msid(media)
    return RemoteSection(
        mid=Mid(mid),
        kind=kind,
        media=media,
        is_rejected=is_rejected,
        sends=is_live and sends,
        receives=is_live and receives,
        codecs=reader.read(media) if is_live else (),
        extensions=extensions_of(media) if is_live else (),
        encodings=encodings_of(media) if is_live else (),
        rids=send_rids(media) if is_live else (),
        stream_id=stream_id,
        track_id=track_id or f"mid-{mid}",
        cname=cname_of(media),
        ssrcs=all_ssrcs(media),
        payload_types=payload_types_of(media) if is_live else frozenset(),
        extension_ids=extension_ids_of(media) if is_live else frozenset(),
    )


def _direction(level: MediaSection | SessionDescription) -> str | None:
    return next((name for name in _DIRECTIONS if level.has(name)), None)


def _bundle(description: SessionDescription) -> frozenset[str] | None:
    # None: a client that says nothing of it gets the one transport that there is all the same.
    groups = [value.split() for value in description.values("group")]
    return next((frozenset(group[1:]) for group in groups if group and group[0] == "BUNDLE"), None)


def _mixed_extensions(description: SessionDescription, sections: tuple[RemoteSection, ...]) -> bool:
    # Chromium says it once, Firefox in each section (RFC 8285 section 6).
    live = [section for section in sections if section.kind is not None and not section.is_rejected]
    return description.has("extmap-allow-mixed") or (
        bool(live) and all(section.media.has("extmap-allow-mixed") for section in live)
    )


def _msid(media: MediaSection) -> tuple[str, str]:
    words = (media.value("msid") or "").split()
    if not words or any(len(word) > MAX_ID_LENGTH for word in words[:2]):
        return "", ""
    return ("" if words[0] == "-" else words[0]), (words[1] if len(words) > 1 else "")


def _transport_value(description: SessionDescription, tagged: RemoteSection | None, name: str) -> str:
    # Of the first live section, which carries the bundle's transport (RFC 8843 section 7.1.3).
    own = None if tagged is None else tagged.media.value(name)
    return own if own is not None else description.value(name) or ""


def _fingerprints(description: SessionDescription, tagged: RemoteSection | None) -> tuple[Fingerprint, ...]:
    own = () if tagged is None else tagged.media.values("fingerprint")
    found = []
    for value in own or description.values("fingerprint"):
        algorithm, _, digest = value.partition(" ")
        size = _HASHES.get(algorithm.lower())
        pairs = digest.strip().split(":")
        if size is None:
            continue
        if len(pairs) != size or not all(len(p) == 2 and _is_hex(p) for p in pairs):
            raise ParseError("fingerprint", f"{algorithm} of {len(pairs)} bytes")
        found.append(Fingerprint(algorithm.lower(), digest.strip().upper()))
    if tagged is not None and not found:
        raise ParseError("fingerprint", "none that is known")
    return tuple(found)


def _data_port(sections: tuple[RemoteSection, ...]) -> int:
    for section in sections:
        if section.is_data and not section.is_rejected:
            # The m= line carried it before RFC 8841.
            old = section.media.formats[:1] if section.media.has("sctpmap") else ()
            port = section.media.value("sctp-port") or next(iter(old), "")
            if port.isdecimal() and port.isascii() and len(port) <= 5 and 0 < int(port) < 65_536:
                return int(port)
    return DEFAULT_DATA_PORT


def _is_hex(pair: str) -> bool:
    return all(c in "0123456789abcdefABCDEF" for c in pair)
