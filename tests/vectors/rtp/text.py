"""What the parsers of `sfu/rtp` make of bytes, as one line of text: the other side of the comparison is Rust.

A line is `data TAB outcome TAB written`, bytes in hex: `outcome` is the value field by field or `!reason`,
`written` what writing that value gives (with the numbers below, where it is a rewrite).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from sfu.errors import ParseError
from sfu.rtp.av1 import starts_av1_key_frame
from sfu.rtp.dependency_descriptor import parse_dependency_descriptor, rewrite_dependency_descriptor
from sfu.rtp.extensions import parse_audio_level, parse_name, parse_transport_sequence_number
from sfu.rtp.h264 import starts_h264_key_frame
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import (
    Bye,
    Fir,
    Nack,
    Pli,
    RawRtcp,
    ReceiverReport,
    Remb,
    Sdes,
    SenderReport,
    parse_compound,
    serialise_compound,
)
from sfu.rtp.twcc import TransportFeedback
from sfu.rtp.vp8 import frame_size, parse_vp8, rewrite_vp8
from sfu.rtp.vp9 import parse_vp9

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.rtp.dependency_descriptor import FrameDependencies, Structure
    from sfu.rtp.rtcp import ReportBlock, RtcpPacket

STAMPS: Final = ((5, b"\x01\x02\x03"), (14, b"\xfe\xff"))
"""Elements that are put behind a packet's own."""
PICTURE_ID, TL0_PIC_IDX, KEY_IDX = 0x1234, 0x56, 0x17
FRAME_NUMBER, TEMPLATE_SHIFT, ACTIVE = 0xABCD, 5, 0b1


def line_of(parser: str, data: str) -> str:
    """The line of these bytes (hex) in the file of a parser."""
    try:
        outcome, written = PARSERS[parser](data)
    except ParseError as error:
        outcome, written = f"!{error.reason}", ""
    return f"{data}\t{outcome}\t{written}".rstrip("\t")


def _packet(data: str) -> tuple[str, str]:
    packet = RtpPacket.parse(bytes.fromhex(data))
    elements = ",".join(f"{number}:{value.hex()}" for number, value in packet.extensions)
    outcome = (
        f"payload_type={packet.payload_type} marker={packet.marker:d}"
        f" sequence_number={packet.sequence_number} timestamp={packet.timestamp} ssrc={packet.ssrc}"
        f" csrcs={len(packet.csrcs)} elements={elements}"
        f" payload={packet.payload.hex()} padding={packet.padding_bytes}"
    )
    if packet.csrcs:  # a plane never writes any
        return outcome, ""
    return outcome, packet.serialise(STAMPS).hex()


def _vp8(data: str) -> tuple[str, str]:
    payload = bytes.fromhex(data)
    vp8 = parse_vp8(payload)
    size = frame_size(payload, vp8)
    outcome = (
        f"size={vp8.size_bytes} start={vp8.start_of_partition:d} partition={vp8.partition}"
        f" non_reference={vp8.non_reference:d} picture_id={_or_none(vp8.picture_id)}/{vp8.picture_id_bits}"
        f" tl0={_or_none(vp8.tl0_pic_idx)} temporal={_or_none(vp8.temporal_id)} sync={vp8.layer_sync:d}"
        f" key_idx={_or_none(vp8.key_idx)} key_frame={vp8.starts_key_frame:d}"
        f" frame={'-' if size is None else f'{size[0]}x{size[1]}'}"
    )
    return outcome, rewrite_vp8(payload, vp8, PICTURE_ID, TL0_PIC_IDX, KEY_IDX).hex()


def _vp9(data: str) -> tuple[str, str]:
    vp9 = parse_vp9(bytes.fromhex(data))
    return (
        f"start={vp9.starts_frame:d} end={vp9.ends_frame:d} inter={vp9.is_inter_predicted:d}"
        f" picture_id={_or_none(vp9.picture_id)} temporal={_or_none(vp9.temporal_id)}"
        f" spatial={_or_none(vp9.spatial_id)} switching={vp9.switching_point:d}"
        f" inter_layer={vp9.inter_layer_predicted:d} key_frame={vp9.starts_key_frame:d}"
    ), ""


def _h264(data: str) -> tuple[str, str]:
    return f"key_frame={starts_h264_key_frame(bytes.fromhex(data)):d}", ""


def _av1(data: str) -> tuple[str, str]:
    return f"key_frame={starts_av1_key_frame(bytes.fromhex(data)):d}", ""


def _extensions(data: str) -> tuple[str, str]:
    value = bytes.fromhex(data)
    parts = []
    for parse in (_name, _level, parse_transport_sequence_number):
        try:
            parts.append(str(parse(value)))
        except ParseError as error:
            parts.append(f"!{error.reason}")
    return " ".join(parts), ""


def _name(value: bytes) -> str:
    return parse_name(value).encode().hex()


def _level(value: bytes) -> str:
    level = parse_audio_level(value)
    return f"{level.level}/{level.voice:d}"


def _rtcp(data: str) -> tuple[str, str]:
    packets = parse_compound(bytes.fromhex(data))
    return "; ".join(map(_rtcp_packet, packets)), serialise_compound(packets).hex()


def _rtcp_packet(packet: RtcpPacket) -> str:
    match packet:
        case SenderReport():
            return (
                f"sr {packet.ssrc} {packet.ntp_timestamp} {packet.rtp_timestamp} {packet.packet_count}"
                f" {packet.octet_count} {_blocks(packet.reports)}"
            )
        case ReceiverReport():
            return f"rr {packet.ssrc} {_blocks(packet.reports)}"
        case Sdes():
            return f"sdes {_list(f'{ssrc}={cname.encode().hex()}' for ssrc, cname in packet.cnames)}"
        case Bye():
            return f"bye {_list(packet.ssrcs)} {packet.reason.encode().hex()}"
        case Nack():
            return f"nack {packet.sender_ssrc} {packet.media_ssrc} {_list(packet.sequence_numbers)}"
        case Pli():
            return f"pli {packet.sender_ssrc} {packet.media_ssrc}"
        case Fir():
            entries = (f"{entry.ssrc}/{entry.command_number}" for entry in packet.entries)
            return f"fir {packet.sender_ssrc} {_list(entries)}"
        case Remb():
            return f"remb {packet.sender_ssrc} {packet.bitrate_bps} {_list(packet.ssrcs)}"
        case TransportFeedback():
            arrivals = (f"{number}@{_or_none(at)}" for number, at in packet.arrivals)
            return f"twcc {packet.sender_ssrc} {packet.media_ssrc} {packet.feedback_count} {_list(arrivals)}"
        case RawRtcp():
            return f"raw {packet.packet_type} {packet.count} {packet.body.hex()}"
        case _:
            assert_never(packet)


def _blocks(blocks: tuple[ReportBlock, ...]) -> str:
    return _list(
        f"{block.ssrc}/{block.fraction_lost}/{block.packets_lost}/{block.highest_sequence_number}"
        f"/{block.jitter}/{block.last_sender_report}/{block.delay_since_last_sender_report}"
        for block in blocks
    )


def _dependency_descriptor(data: str) -> tuple[str, str]:
    """`data` may begin with the descriptor of the key frame before: `key frame/packet`."""
    *before, packet = (bytes.fromhex(part) for part in data.split("/"))
    known = parse_dependency_descriptor(before[0]).structure if before else None
    read = parse_dependency_descriptor(packet, known)
    mask = read.mask
    place = "-" if mask is None else f"{mask.at_bit}/{mask.width}/{mask.is_there:d}/{mask.used_bits}"
    outcome = (
        f"start={read.start_of_frame:d} end={read.end_of_frame:d} template={read.template_id}"
        f" number={read.frame_number} active={_or_none(read.active_decode_targets)} mask={place}"
        f" frame={'-' if read.dependencies is None else _frame(read.dependencies)}"
        f" structure={'-' if read.structure is None else _structure(read.structure)}"
    )
    written = rewrite_dependency_descriptor(
        packet, read, frame_number=FRAME_NUMBER, template_shift=TEMPLATE_SHIFT, active=ACTIVE
    )
    return outcome, written.hex()


def _structure(structure: Structure) -> str:
    resolutions = (f"{width}x{height}" for width, height in structure.resolutions)
    return (
        f"{structure.template_id_offset}/{structure.decode_target_count}"
        f"/{_list(map(_frame, structure.templates))}/{_list(structure.decode_target_protected_by)}"
        f"/{_list(resolutions)}/{_list(structure.temporal_ids())}"
    )


def _frame(frame: FrameDependencies) -> str:
    return (
        f"{frame.spatial_id}.{frame.temporal_id}.{_list(frame.indications)}.{_list(frame.frame_diffs)}"
        f".{_list(frame.chain_diffs)}.{frame.targets}.{frame.switch_targets}"
    )


def _list(items: object) -> str:
    return f"[{','.join(map(str, items))}]"  # type: ignore[call-overload]  # any iterable


def _or_none(value: int | None) -> str:
    return "-" if value is None else str(value)


PARSERS: Final[dict[str, Callable[[str], tuple[str, str]]]] = {
    "packet": _packet,
    "vp8": _vp8,
    "vp9": _vp9,
    "h264": _h264,
    "av1": _av1,
    "extensions": _extensions,
    "rtcp": _rtcp,
    "dependency_descriptor": _dependency_descriptor,
}
