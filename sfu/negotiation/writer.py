"""Our descriptions as text: lean, since a long call has a hundred sections (64 KiB at most)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from sfu.negotiation.codecs import feedback_lines
from sfu.negotiation.slots import DataSlot, MediaSlot, RejectedSlot, Slots
from sfu.units import NO_RID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfu.negotiation.parameters import Candidate, Fingerprint, SendEncoding
    from sfu.plane import Credentials

MAX_MESSAGE_BYTES: Final = 262_144
"""Largest data-channel message that we take (RFC 8841 section 6)."""


@dataclass(frozen=True, slots=True)
class LocalDescription:
    """Our side of the transport, the same in every section."""

    credentials: Credentials
    fingerprint: Fingerprint
    candidates: tuple[Candidate, ...]
    is_lite: bool = True
    """We only answer ICE's checks (RFC 8445 section 2.5): true but where we call another focus."""


def write_description(
    slots: Slots,
    local: LocalDescription,
    *,
    session_id: int,
    version: int,
    setup: str,
    mixed_extensions: bool,
) -> str:
    """An offer or an answer for the table as it stands.

    The transport stands at the session level and the candidates in the tagged section: a bundle has one
    transport (RFC 8843 section 7.1.3), and repeating it everywhere would be half of a long description. They
    stand in the last section once more, where aiortc with `max-bundle` looks for them, but for those of TCP,
    which it does not know.
    """
    live = [slot.mid for slot in slots if not isinstance(slot, RejectedSlot)]
    lines = [
        "v=0",
        f"o=- {session_id} {version} IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(live)}".rstrip(),
        "a=msid-semantic: WMS *",
        *(("a=ice-lite",) if local.is_lite else ()),
        "a=ice-options:trickle",
        f"a=ice-ufrag:{local.credentials.ufrag}",
        f"a=ice-pwd:{local.credentials.password}",
        f"a=fingerprint:{local.fingerprint.algorithm} {local.fingerprint.value}",
        f"a=setup:{setup}",
    ]
    if mixed_extensions:
        lines.append("a=extmap-allow-mixed")
    for slot in slots:
        match slot:
            case RejectedSlot():
                lines += _rejected_lines(slot)
                continue
            case DataSlot():
                lines += _data_lines(slot)
            case MediaSlot():
                lines += _media_lines(slot)
            case _:
                assert_never(slot)
        if slot.mid == live[0]:
            lines += _candidate_lines(local.candidates)
        elif slot.mid == live[-1]:
            lines += _candidate_lines(tuple(one for one in local.candidates if not one.is_tcp))
    return "".join(f"{line}\r\n" for line in lines)


def _media_lines(slot: MediaSlot) -> Iterator[str]:
    numbers = [str(number) for codec in slot.codecs for number in codec.numbers]
    yield f"m={slot.kind} 9 {slot.protocol} {' '.join(numbers)}"
    yield f"a=mid:{slot.mid}"
    yield f"a={_direction(slot)}"
    if slot.send is not None:
        track = slot.send.track
        yield f"a=msid:{track.stream_id or '-'} {track.track_id}"
    yield "a=rtcp-mux"
    yield "a=rtcp-rsize"
    for codec in slot.codecs:
        yield from codec.lines
    yield from feedback_lines(slot.codecs)
    for extension in slot.extensions:
        yield extension.line
    if slot.send is not None:
        for one in slot.send.streams:
            yield from _stream_lines(one, slot.send.track.cname)
    yield from _simulcast_lines(slot)


def _stream_lines(stream: SendEncoding, cname: str) -> Iterator[str]:
    if stream.rtx_ssrc is not None:
        yield f"a=ssrc-group:FID {stream.ssrc} {stream.rtx_ssrc}"
    yield f"a=ssrc:{stream.ssrc} cname:{cname}"
    if stream.rtx_ssrc is not None:
        yield f"a=ssrc:{stream.rtx_ssrc} cname:{cname}"
    if stream.rid != NO_RID:
        yield f"a=ssrc:{stream.ssrc} rid:{stream.rid}"


def _simulcast_lines(slot: MediaSlot) -> Iterator[str]:
    # The highest first, as browsers do: rids whose names say nothing are read in this order.
    sent = () if slot.send is None else tuple(one.rid for one in reversed(slot.send.encodings))
    ways = [(way, rids) for way, rids in (("send", sent), ("recv", slot.rids)) if rids]
    for way, rids in ways:
        yield from (f"a=rid:{rid} {way}" for rid in rids)
    if ways:
        # One line for both ways (RFC 8853 section 5.1).
        yield "a=simulcast:" + " ".join(f"{way} {';'.join(rids)}" for way, rids in ways)


def _direction(slot: MediaSlot) -> str:
    match slot.send is not None, slot.receive is not None:
        case True, True:
            return "sendrecv"
        case True, False:
            return "sendonly"
        case False, True:
            return "recvonly"
        case _:
            return "inactive"


def _data_lines(slot: DataSlot) -> Iterator[str]:
    yield f"m=application 9 {slot.protocol} {' '.join(slot.formats)}"
    yield f"a=mid:{slot.mid}"
    if slot.is_legacy:
        yield f"a=sctpmap:{slot.formats[0]} webrtc-datachannel 65535"
    else:
        yield "a=sctp-port:5000"
    yield f"a=max-message-size:{MAX_MESSAGE_BYTES}"


def _rejected_lines(slot: RejectedSlot) -> Iterator[str]:
    yield f"m={slot.kind} 0 {slot.protocol} {' '.join(slot.formats)}"
    yield f"a=mid:{slot.mid}"
    yield "a=inactive"


def _candidate_lines(candidates: tuple[Candidate, ...]) -> Iterator[str]:
    for number, candidate in enumerate(candidates, 1):
        transport, more = ("tcp", " tcptype passive") if candidate.is_tcp else ("udp", "")
        where = f"{candidate.address} {candidate.port}"
        yield f"a=candidate:{number} 1 {transport} {candidate.priority} {where} typ host{more}"
    yield "a=end-of-candidates"
