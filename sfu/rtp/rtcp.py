"""RTCP packets and compounds (RFC 3550 section 6, RFC 4585, RFC 5104, REMB, transport-wide feedback)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

from sfu.errors import ParseError
from sfu.rtp.twcc import TWCC_FORMAT, TransportFeedback, parse_feedback, serialise_feedback
from sfu.units import Ssrc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SDES: Final = 202
BYE: Final = 203
TRANSPORT_LAYER: Final = 205
PAYLOAD_SPECIFIC: Final = 206

MAX_BLOCKS: Final = 31
"""Report blocks, SDES chunks or BYE sources of one packet: five bits count them. More go into another one."""
MAX_REMB_SSRCS: Final = 255
MAX_PACKETS: Final = 64
"""Packets of one compound."""
CNAME_ITEM: Final = 1


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says of one RTP stream (RFC 3550 section 6.4.1)."""

    ssrc: Ssrc
    fraction_lost: int
    """Of 256."""
    packets_lost: int
    """Signed, 24 bits."""
    highest_sequence_number: int
    """Extended by cycles: 32 bits."""
    jitter: int
    """In units of the stream's clock."""
    last_sender_report: int = 0
    delay_since_last_sender_report: int = 0
    """In units of 1/65536 s."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """RFC 3550 section 6.4.1."""

    ssrc: Ssrc
    ntp_timestamp: int
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RFC 3550 section 6.4.2."""

    ssrc: Ssrc
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class Sdes:
    """CNAMEs by SSRC (RFC 3550 section 6.5); other items are left out."""

    cnames: tuple[tuple[Ssrc, str], ...]


@dataclass(frozen=True, slots=True)
class Bye:
    """RFC 3550 section 6.6."""

    ssrcs: tuple[Ssrc, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Nack:
    """Generic NACK (RFC 4585 section 6.2.1): 16-bit sequence numbers in the order of asking."""

    sender_ssrc: Ssrc
    media_ssrc: Ssrc
    sequence_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pli:
    """Picture loss indication (RFC 4585 section 6.3.1)."""

    sender_ssrc: Ssrc
    media_ssrc: Ssrc


@dataclass(frozen=True, slots=True)
class FirEntry:
    """The stream that shall start anew, and the number of the command."""

    ssrc: Ssrc
    command_number: int


@dataclass(frozen=True, slots=True)
class Fir:
    """Full intra request (RFC 5104 section 4.3.1): its entries name the streams, not its header."""

    sender_ssrc: Ssrc
    entries: tuple[FirEntry, ...]


@dataclass(frozen=True, slots=True)
class Remb:
    """Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03)."""

    sender_ssrc: Ssrc
    bitrate_bps: int
    ssrcs: tuple[Ssrc, ...]


@dataclass(frozen=True, slots=True)
class RawRtcp:
    """A packet of a type or format that we don't read."""

    packet_type: int
    count: int
    body: bytes = field(repr=False)
    """All after the first four bytes."""


RtcpPacket = (
    SenderReport | ReceiverReport | Sdes | Bye | Nack | Pli | Fir | Remb | TransportFeedback | RawRtcp
)

_T = TypeVar("_T")

_SENDER_INFO: Final = struct.Struct("!LQLLL")
_BLOCK: Final = struct.Struct("!LLLLLL")
_TWO_SSRCS: Final = struct.Struct("!LL")
_REMB_ID: Final = b"REMB"


def parse_compound(data: bytes) -> list[RtcpPacket]:
    """Read a compound or a reduced-size packet (RFC 5506).

    Raises:
        ParseError: `short`, `version`, `length`, `padding`, or the name of the packet that is malformed.
    """
    packets: list[RtcpPacket] = []
    position = 0
    while position < len(data):
        if len(data) - position < 4:
            raise ParseError("short", f"{len(data) - position} bytes left")
        if len(packets) == MAX_PACKETS:
            raise ParseError("length", f"over {MAX_PACKETS} packets in a compound")
        first, packet_type = data[position], data[position + 1]
        if first >> 6 != 2:
            raise ParseError("version", f"RTCP version {first >> 6}")
        end = position + 4 + 4 * int.from_bytes(data[position + 2 : position + 4], "big")
        if end > len(data):
            raise ParseError("length", f"packet ends {end - len(data)} bytes beyond the compound")
        body = data[position + 4 : end]
        if first & 32:
            if not body or not 0 < body[-1] <= len(body):
                raise ParseError("padding", "more padding than packet")
            body = body[: -body[-1]]
        packets.append(_parse_packet(packet_type, first & 31, body))
        position = end
    if not packets:
        raise ParseError("short", "an empty compound")
    return packets


def serialise_compound(packets: Iterable[RtcpPacket]) -> bytes:
    """The packets one behind the other."""
    return b"".join(_serialise_packet(packet) for packet in packets)


def _parse_packet(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    if packet_type in (TRANSPORT_LAYER, PAYLOAD_SPECIFIC):
        parse_feedback_packet = _FEEDBACK.get((packet_type, count))
        if parse_feedback_packet is None:
            return RawRtcp(packet_type, count, body)
        if len(body) < 8:
            raise ParseError("feedback", f"{len(body)} bytes")
        sender, media = _TWO_SSRCS.unpack_from(body)
        return parse_feedback_packet(Ssrc(sender), Ssrc(media), body)
    parse = _PARSERS.get(packet_type)
    return RawRtcp(packet_type, count, body) if parse is None else parse(count, body)


def _parse_sender_report(count: int, body: bytes) -> SenderReport:
    if len(body) < 24 + 24 * count:
        raise ParseError("sender_report", f"{count} blocks in {len(body)} bytes")
    ssrc, ntp, rtp, packets, octets = _SENDER_INFO.unpack_from(body)
    return SenderReport(Ssrc(ssrc), ntp, rtp, packets, octets, _parse_blocks(count, body, 24))


def _parse_receiver_report(count: int, body: bytes) -> ReceiverReport:
    if len(body) < 4 + 24 * count:
        raise ParseError("receiver_report", f"{count} blocks in {len(body)} bytes")
    return ReceiverReport(Ssrc(int.from_bytes(body[:4], "big")), _parse_blocks(count, body, 4))


def _parse_blocks(count: int, body: bytes, position: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for at in range(position, position + 24 * count, 24):
        ssrc, lost, highest, jitter, last, delay = _BLOCK.unpack_from(body, at)
        total = lost & 0xFFFFFF
        total -= (total & 0x800000) << 1
        blocks.append(ReportBlock(Ssrc(ssrc), lost >> 24, total, highest, jitter, last, delay))
    return tuple(blocks)


def _parse_sdes(count: int, body: bytes) -> Sdes:
    cnames, position = [], 0
    for _ in range(count):
        if len(body) < position + 4:
            raise ParseError("sdes", "chunk without a source")
        ssrc = Ssrc(int.from_bytes(body[position : position + 4], "big"))
        cname, position = _parse_sdes_items(body, position + 4)
        if cname is not None:
            cnames.append((ssrc, cname))
    return Sdes(tuple(cnames))


def _parse_sdes_items(body: bytes, position: int) -> tuple[str | None, int]:
    cname = None
    while True:
        if position >= len(body):
            raise ParseError("sdes", "chunk without an end")
        item = body[position]
        if item == 0:
            return cname, position + 4 - position % 4
        if position + 2 > len(body):
            raise ParseError("sdes", "item without a length")
        length = body[position + 1]
        value = body[position + 2 : position + 2 + length]
        if len(value) < length:
            raise ParseError("sdes", f"item of {length} bytes, {len(value)} are there")
        if item == CNAME_ITEM:
            try:
                cname = value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ParseError("sdes", "CNAME is not UTF-8") from error
        position += 2 + length


def _parse_bye(count: int, body: bytes) -> Bye:
    if len(body) < 4 * count:
        raise ParseError("bye", f"{count} sources in {len(body)} bytes")
    ssrcs = tuple(Ssrc(int.from_bytes(body[at : at + 4], "big")) for at in range(0, 4 * count, 4))
    rest = body[4 * count :]
    if not rest:
        return Bye(ssrcs)
    if len(rest) < 1 + rest[0]:
        raise ParseError("bye", f"reason of {rest[0]} bytes, {len(rest) - 1} are there")
    return Bye(ssrcs, rest[1 : 1 + rest[0]].decode("utf-8", "replace"))


def _parse_nack(sender: Ssrc, media: Ssrc, body: bytes) -> Nack:
    if len(body) < 12 or len(body) % 4:
        raise ParseError("nack", f"{len(body)} bytes")
    numbers: list[int] = []
    for at in range(8, len(body), 4):
        first, mask = struct.unpack_from("!HH", body, at)
        numbers.append(first)
        numbers += [(first + 1 + bit) & 0xFFFF for bit in range(16) if mask >> bit & 1]
    return Nack(sender, media, tuple(numbers))


def _parse_pli(sender: Ssrc, media: Ssrc, _: bytes) -> Pli:
    return Pli(sender, media)


def _parse_fir(sender: Ssrc, _: Ssrc, body: bytes) -> Fir:
    if len(body) < 16 or len(body) % 8:
        raise ParseError("fir", f"{len(body)} bytes")
    return Fir(
        sender,
        tuple(
            FirEntry(Ssrc(int.from_bytes(body[at : at + 4], "big")), body[at + 4])
            for at in range(8, len(body), 8)
        ),
    )


def _parse_application_layer(sender: Ssrc, _: Ssrc, body: bytes) -> RtcpPacket:
    if body[8:12] != _REMB_ID:
        return RawRtcp(PAYLOAD_SPECIFIC, 15, body)
    if len(body) < 16 or len(body) < 16 + 4 * body[12]:
        raise ParseError("remb", f"{len(body)} bytes")
    exponent = body[13] >> 2
    mantissa = (body[13] & 3) << 16 | int.from_bytes(body[14:16], "big")
    ssrcs = tuple(Ssrc(int.from_bytes(body[at : at + 4], "big")) for at in range(16, 16 + 4 * body[12], 4))
    return Remb(sender, mantissa << exponent, ssrcs)


_PARSERS: Final[dict[int, Callable[[int, bytes], RtcpPacket]]] = {
    SENDER_REPORT: _parse_sender_report,
    RECEIVER_REPORT: _parse_receiver_report,
    SDES: _parse_sdes,
    BYE: _parse_bye,
}
_FEEDBACK: Final[dict[tuple[int, int], Callable[[Ssrc, Ssrc, bytes], RtcpPacket]]] = {
    (TRANSPORT_LAYER, 1): _parse_nack,
    (TRANSPORT_LAYER, TWCC_FORMAT): parse_feedback,
    (PAYLOAD_SPECIFIC, 1): _parse_pli,
    (PAYLOAD_SPECIFIC, 4): _parse_fir,
    (PAYLOAD_SPECIFIC, 15): _parse_application_layer,
}


def _serialise_packet(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport():
            info = _SENDER_INFO.pack(
                packet.ssrc,
                packet.ntp_timestamp,
                packet.rtp_timestamp,
                packet.packet_count & 0xFFFFFFFF,
                packet.octet_count & 0xFFFFFFFF,
            )
            blocks, more = packet.reports[:MAX_BLOCKS], packet.reports[MAX_BLOCKS:]
            framed = _framed(SENDER_REPORT, len(blocks), info + _blocks(blocks))
            return framed + (_receiver_reports(packet.ssrc, more) if more else b"")
        case ReceiverReport():
            return _receiver_reports(packet.ssrc, packet.reports)
        case Sdes():
            return b"".join(
                _framed(SDES, len(cnames), b"".join(_sdes_chunk(ssrc, cname) for ssrc, cname in cnames))
                for cnames in _portions(packet.cnames)
            )
        case Bye():
            return b"".join(_bye(ssrcs, packet.reason) for ssrcs in _portions(packet.ssrcs))
        case Nack():
            head = _TWO_SSRCS.pack(packet.sender_ssrc, packet.media_ssrc)
            return _framed(TRANSPORT_LAYER, 1, head + _nack_items(packet.sequence_numbers))
        case Pli():
            return _framed(PAYLOAD_SPECIFIC, 1, _TWO_SSRCS.pack(packet.sender_ssrc, packet.media_ssrc))
        case Fir():
            items = b"".join(struct.pack("!LBxxx", e.ssrc, e.command_number) for e in packet.entries)
            return _framed(PAYLOAD_SPECIFIC, 4, _TWO_SSRCS.pack(packet.sender_ssrc, 0) + items)
        case Remb():
            return _framed(PAYLOAD_SPECIFIC, 15, _remb_body(packet))
        case TransportFeedback():
            return _framed(TRANSPORT_LAYER, TWCC_FORMAT, serialise_feedback(packet))
        case RawRtcp():
            return _framed(packet.packet_type, packet.count, packet.body)
        case _:  # pragma: no cover
            assert_never(packet)


def _framed(packet_type: int, count: int, body: bytes) -> bytes:
    first = 0x80 | count
    if padding := -len(body) % 4:
        first |= 32
        body += bytes(padding - 1) + bytes((padding,))
    return struct.pack("!BBH", first, packet_type, len(body) // 4) + body


def _portions(items: tuple[_T, ...]) -> list[tuple[_T, ...]]:
    """As many as one packet's count can tell; one portion at least."""
    return [items[at : at + MAX_BLOCKS] for at in range(0, len(items), MAX_BLOCKS)] or [()]


def _receiver_reports(ssrc: Ssrc, reports: tuple[ReportBlock, ...]) -> bytes:
    head = ssrc.to_bytes(4, "big")
    return b"".join(
        _framed(RECEIVER_REPORT, len(blocks), head + _blocks(blocks)) for blocks in _portions(reports)
    )


def _bye(ssrcs: tuple[Ssrc, ...], reason: str) -> bytes:
    body = b"".join(ssrc.to_bytes(4, "big") for ssrc in ssrcs)
    if reason:
        text = reason.encode()[:255]
        body += bytes((len(text),)) + text
    return _framed(BYE, len(ssrcs), body + bytes(-len(body) % 4))


def _blocks(reports: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | max(-(1 << 23), min(block.packets_lost, (1 << 23) - 1)) & 0xFFFFFF,
            block.highest_sequence_number,
            block.jitter,
            block.last_sender_report,
            block.delay_since_last_sender_report,
        )
        for block in reports
    )


def _sdes_chunk(ssrc: Ssrc, cname: str) -> bytes:
    value = cname.encode()[:255]
    chunk = ssrc.to_bytes(4, "big") + bytes((CNAME_ITEM, len(value))) + value
    return chunk + bytes(4 - len(chunk) % 4)


def _nack_items(numbers: tuple[int, ...]) -> bytes:
    items: list[tuple[int, int]] = []
    for number in numbers:
        bit = (number - items[-1][0] - 1) & 0xFFFF if items else 16
        if bit < 16:
            items[-1] = (items[-1][0], items[-1][1] | 1 << bit)
        else:
            items.append((number, 0))
    return b"".join(struct.pack("!HH", first, mask) for first, mask in items)


def _remb_body(packet: Remb) -> bytes:
    exponent = max(0, packet.bitrate_bps.bit_length() - 18)
    mantissa = packet.bitrate_bps >> exponent
    head = _TWO_SSRCS.pack(packet.sender_ssrc, 0) + _REMB_ID
    ssrcs = packet.ssrcs[:MAX_REMB_SSRCS]
    head += bytes((len(ssrcs), exponent << 2 | mantissa >> 16)) + (mantissa & 0xFFFF).to_bytes(2, "big")
    return head + b"".join(ssrc.to_bytes(4, "big") for ssrc in ssrcs)
