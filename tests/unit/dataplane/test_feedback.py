"""What peers say of things that are not there changes nothing, and is no fault of theirs."""

from __future__ import annotations

import pytest

from sfu.plane import DropReason
from sfu.rtp.rtcp import (
    Bye,
    Fir,
    FirEntry,
    Nack,
    Pli,
    RawRtcp,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    Sdes,
    SenderReport,
)
from sfu.rtp.twcc import TransportFeedback
from sfu.units import Ssrc
from tests.support.plane_media import CAMERA, QHF, VIDEO, VIDEO_SSRC, Call, repair_of

GONE = Ssrc(4_711)


@pytest.mark.parametrize(
    "packet",
    [
        SenderReport(GONE, 1, 2, 3, 4, (ReportBlock(GONE, 1, 2, 3, 4),)),
        ReceiverReport(GONE, (ReportBlock(GONE, 1, 2, 3, 4),)),
        Sdes(((GONE, "name"),)),
        Bye((GONE,)),
        Nack(GONE, GONE, (1, 2, 3)),
        Pli(GONE, GONE),
        Fir(GONE, (FirEntry(GONE, 1),)),
        TransportFeedback(GONE, GONE, 0, ((1, 1_000_000),)),
        RawRtcp(204, 0, b"appl"),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_what_is_about_nothing_of_ours_is_ignored(call: Call, packet: RtcpPacket) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.events()
    call.publisher.say(packet)
    call.subscriber.say(packet)
    call.driver.advance(50)
    assert call.driver.events() == ()
    assert call.driver.drops(DropReason.RTCP_MALFORMED) == 0
    call.low.send_frame()
    assert len(call.video()) == 2


def test_a_subscriber_speaks_for_its_own_streams_only(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.publisher.rtcp.clear()
    # The publisher is no subscriber of that stream.
    call.publisher.say(Pli(GONE, VIDEO_SSRC), Nack(GONE, VIDEO_SSRC, (1,)), Bye((VIDEO_SSRC,)))
    call.subscriber.say(Bye((call.low.ssrc,)))
    row = call.driver.route_row(VIDEO)
    assert (row["pli_count"], row["nack_count"]) == (0, 0)
    assert call.driver.encoding_row(CAMERA)["pli_count"] == 0
    call.low.send_frame()
    assert len(call.video()) == 2


def test_a_report_on_a_repair_stream_times_the_repair_stream(call: Call) -> None:
    repair = Ssrc(1_010)
    call.low.send_frame(key=True)
    (lost,) = call.low.frame()
    call.low.send_frame()
    call.publisher.send(repair_of(lost, repair, 1, QHF[0]))
    call.publisher.say(SenderReport(repair, 5 << 16, 2, 3, 4))
    call.driver.advance(200)
    told = {
        block.ssrc: block.last_sender_report
        for report in call.publisher.take_rtcp(ReceiverReport)
        for block in report.reports
    }
    assert told == {call.low.ssrc: 0, repair: 5}


def test_a_sender_report_without_packets_after_it_is_no_reason_to_report(call: Call) -> None:
    call.driver.advance(1_000)
    call.publisher.rtcp.clear()
    call.low.report()
    call.driver.advance(3_000)
    assert call.publisher.rtcp == []
