"""What a peer says by RTCP, and who it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

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
)
from sfu.rtp.twcc import TransportFeedback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.dataplane.peer import Peer
    from sfu.dataplane.wire import Transmit
    from sfu.rtp.rtcp import ReportBlock, RtcpPacket
    from sfu.units import Instant, Ssrc


def take(now: Instant, peer: Peer, packets: Sequence[RtcpPacket]) -> list[Transmit]:
    """Act on a compound; what to send at once. What is about streams that are not there is ignored."""
    transmits: list[Transmit] = []
    for packet in packets:
        match packet:
            case SenderReport():
                _take_sender_report(now, peer, packet)
                _take_reports(now, peer, packet.reports)
            case ReceiverReport():
                _take_reports(now, peer, packet.reports)
            case Bye():
                _take_bye(now, peer, packet)
            case Nack():
                transmits += _take_nack(now, peer, packet)
            case Pli():
                _take_picture_loss(now, peer, packet.media_ssrc)
            case Fir():
                for entry in packet.entries:
                    _take_picture_loss(now, peer, entry.ssrc)
            case Remb():
                peer.transport.remb_bps = packet.bitrate_bps
            case TransportFeedback():
                peer.take_feedback(now, packet)
            case Sdes() | RawRtcp():
                pass
            case _:
                assert_never(packet)
    return transmits


def _take_sender_report(now: Instant, peer: Peer, report: SenderReport) -> None:
    stream = peer.demux.stream_of(report.ssrc)
    if stream is None:
        return
    if stream.is_repair:
        if stream.encoding.repair is not None:
            stream.encoding.repair.statistics.sender_report(now, report.ntp_timestamp)
        return
    reception = stream.encoding.reception
    if reception is None:
        return
    is_first = not reception.clock.has_report
    reception.statistics.sender_report(now, report.ntp_timestamp)
    reception.clock.sender_report(now, report.ntp_timestamp, report.rtp_timestamp)
    if is_first:
        stream.track.clock_known(now, stream.encoding)


def _take_reports(now: Instant, peer: Peer, blocks: Sequence[ReportBlock]) -> None:
    for block in blocks:
        route = peer.routes.get(block.ssrc)
        if route is not None:
            route.receiver_report(now, block)


def _take_bye(now: Instant, peer: Peer, bye: Bye) -> None:
    for ssrc in bye.ssrcs:
        stream = peer.demux.stream_of(ssrc)
        if stream is not None and not stream.is_repair:
            stream.track.end(now, stream.encoding)


def _take_nack(now: Instant, peer: Peer, nack: Nack) -> list[Transmit]:
    route = peer.routes.get(nack.media_ssrc)
    return [] if route is None else route.nack(now, nack.sequence_numbers)


def _take_picture_loss(now: Instant, peer: Peer, ssrc: Ssrc) -> None:
    route = peer.routes.get(ssrc)
    if route is not None:
        route.picture_lost(now)
