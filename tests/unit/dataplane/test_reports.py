"""Sender and receiver reports: one NTP clock per publisher (packet rule 6), round trips, BYE."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from sfu.dataplane.agenda import Agenda
from sfu.dataplane.reports import (
    FEEDBACK_SSRC,
    FIRST_REPORT_MS,
    MAX_NACKED,
    MAX_RTCP_BYTES,
    REPORT_INTERVAL_MS,
    ReportSchedule,
    compounds,
    interval_ns,
    nacks,
    receiver_reports,
)
from sfu.plane import DropReason, RemoveRoute, RemoveTrack, RemoveTransport
from sfu.rtp.ntp import middle_bits, ns_to_ntp
from sfu.rtp.rtcp import (
    MAX_BLOCKS,
    Bye,
    Nack,
    ReceiverReport,
    ReportBlock,
    Sdes,
    SenderReport,
    parse_compound,
    serialise_compound,
)
from sfu.streams.rewriter import MAX_REPORT_WAIT_S
from sfu.units import NS_PER_MS, Instant, RouteId, Ssrc, TransportId, after_ms
from tests.support.plane_driver import START, PlaneDriver, VirtualPeer
from tests.support.plane_media import (
    AUDIO,
    AUDIO_SSRC,
    CAMERA,
    RTX_SSRC,
    SINGLE,
    VIDEO,
    VIDEO_SSRC,
    VP8,
    Call,
    VideoSource,
    camera,
    elements,
    video_route,
)

if TYPE_CHECKING:
    from sfu.rtp.packet import RtpPacket


FRAME_MS = 100 / 3


def block(ssrc: Ssrc, report: SenderReport | None = None, delay_ms: int = 0) -> ReportBlock:
    return ReportBlock(
        ssrc,
        fraction_lost=64,
        packets_lost=7,
        highest_sequence_number=1,
        jitter=900,
        last_sender_report=0 if report is None else middle_bits(report.ntp_timestamp),
        delay_since_last_sender_report=delay_ms * 65_536 // 1_000,
    )


def last_report(call: Call, ssrc: Ssrc) -> SenderReport:
    return [report for report in call.subscriber.take_rtcp(SenderReport) if report.ssrc == ssrc][-1]


def captured_at_ns(packet: RtpPacket, report: SenderReport, clock_rate: int) -> float:
    """When a packet was captured on the publisher's clock, as its receiver works it out (nanoseconds)."""
    ahead = (packet.timestamp - report.rtp_timestamp + 2**31) % 2**32 - 2**31
    return report.ntp_timestamp * 10**9 / 2**32 + ahead * 10**9 / clock_rate


def test_sound_and_picture_share_the_publishers_clock_before_and_after_a_switch(call: Call) -> None:
    driver = call.driver
    driver.aim(VIDEO, 0)
    driver.aim(AUDIO, 0)
    for encoding in range(2):
        captured = driver.now
        for tick in range(60):
            driver.alive()
            captured = driver.now
            call.low.send_frame(key=tick == 0)
            call.middle.send_frame(key=tick % 20 == 0)
            call.voice.ts += 1_600
            call.voice.send(call.voice.packet(b"opus"))
            if tick == 30:
                for source in (call.low, call.middle, call.voice):
                    source.report()
            driver.advance(FRAME_MS)
        assert driver.route_row(VIDEO)["encoding"] == encoding
        packets = call.subscriber.take_rtp()
        reports = call.subscriber.take_rtcp(SenderReport)
        for ssrc, clock_rate in ((VIDEO_SSRC, 90_000), (AUDIO_SSRC, 48_000)):
            packet = [packet for packet in packets if packet.ssrc == ssrc][-1]
            report = [report for report in reports if report.ssrc == ssrc][-1]
            assert abs(captured_at_ns(packet, report, clock_rate) - captured) < NS_PER_MS
        driver.aim(VIDEO, 1)


def test_a_switch_is_exact_by_the_sender_reports_whatever_the_arrival(call: Call) -> None:
    driver = call.driver
    driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.middle.send_frame(key=True)
    call.low.report()
    call.middle.report()
    (first,) = call.video()
    driver.aim(VIDEO, 1)
    driver.advance(400)
    call.middle.send_frame(key=True)  # captured 33 ms after the first, late by the rest
    (second,) = call.video()
    assert (second.timestamp - first.timestamp) % 2**32 == 3_000


def test_a_layer_without_a_report_waits_a_second_and_maps_by_arrival(call: Call) -> None:
    driver = call.driver
    driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.low.report()
    driver.advance(100)
    call.middle.send_frame(key=True)
    driver.aim(VIDEO, 1)
    driver.advance(MAX_REPORT_WAIT_S * 1_000 - 1)
    driver.alive()
    call.middle.send_frame(key=True)
    (first,) = call.video()
    assert driver.drops(DropReason.WAITING_FOR_KEYFRAME) == 1
    driver.advance(1)
    call.middle.send_frame(key=True)
    (second,) = call.video()
    assert (second.timestamp - first.timestamp) % 2**32 == 1_100 * 90


def test_where_nothing_flows_a_picture_does_not_wait_for_reports(call: Call) -> None:
    driver = call.driver
    driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    driver.advance(100)
    replace(call.low, ssrc=Ssrc(77), ts=5).send_frame(key=True)
    first, second = call.video()
    assert (second.timestamp - first.timestamp) % 2**32 == 100 * 90


def test_sender_reports_come_every_second_with_counts_and_a_name(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.report()
    call.low.send_frame(key=True)
    call.low.report()
    reports = []
    for _ in range(100):
        call.low.send_frame(parts=2)
        call.driver.advance(100)
        call.driver.alive()
    rtcp = call.subscriber.rtcp
    reports = [packet for packet in rtcp if isinstance(packet, SenderReport)]
    assert 9 <= len(reports) <= 12
    sent = call.video()
    assert reports[-1].packet_count <= len(sent)
    assert reports[-1].packet_count > len(sent) - 30
    assert reports[-1].octet_count == sum(len(packet.payload) for packet in sent[: reports[-1].packet_count])
    names = {packet for packet in rtcp if isinstance(packet, Sdes)}
    assert Sdes(((VIDEO_SSRC, "publisher"),)) in names


def test_there_is_no_report_before_the_publishers_own_and_one_soon_after(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    for _ in range(30):
        call.driver.advance(100)
        call.low.send_frame()
    assert call.subscriber.take_rtcp(SenderReport) == []
    call.low.report()
    call.driver.advance(FIRST_REPORT_MS)
    assert len(call.subscriber.take_rtcp(SenderReport)) == 1


def test_a_clock_that_becomes_known_is_told_soon_between_other_reports(call: Call) -> None:
    call.driver.aim(AUDIO, 0)
    call.driver.aim(VIDEO, 0)
    call.voice.send(call.voice.packet(b"opus"))
    call.voice.report()
    call.low.send_frame(key=True)
    call.driver.advance(FIRST_REPORT_MS)
    assert [report.ssrc for report in call.subscriber.take_rtcp(SenderReport)] == [AUDIO_SSRC]
    call.low.report()
    call.driver.advance(FIRST_REPORT_MS)
    assert [report.ssrc for report in call.subscriber.take_rtcp(SenderReport)] == [VIDEO_SSRC]


def test_the_clock_of_what_begins_to_flow_is_told_soon_between_other_reports(call: Call) -> None:
    """Whoever forwards it in turn can't switch to it before (packet rule 6)."""
    call.driver.aim(AUDIO, 0)
    call.voice.send(call.voice.packet(b"opus"))
    call.voice.report()
    call.low.send_frame(key=True)
    call.low.report()
    call.driver.advance(FIRST_REPORT_MS)
    assert [report.ssrc for report in call.subscriber.take_rtcp(SenderReport)] == [AUDIO_SSRC]
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True, parts=2)
    call.driver.advance(FIRST_REPORT_MS)
    assert [report.ssrc for report in call.subscriber.take_rtcp(SenderReport)] == [VIDEO_SSRC]
    call.low.send_frame()
    call.driver.advance(FIRST_REPORT_MS)
    assert call.subscriber.take_rtcp(SenderReport) == []


def test_nothing_is_reported_of_what_stands_still(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.low.report()
    call.driver.advance(3_000)
    call.subscriber.rtcp.clear()
    call.publisher.rtcp.clear()
    call.driver.advance(10_000)
    assert call.subscriber.rtcp == []
    assert call.publisher.rtcp == []


def test_receiver_reports_tell_loss_jitter_and_the_round_trip(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.low.report()
    call.driver.advance(FIRST_REPORT_MS)
    report = last_report(call, VIDEO_SSRC)
    call.driver.advance(150)
    call.subscriber.say(ReceiverReport(Ssrc(9), (block(VIDEO_SSRC, report, 100), block(Ssrc(4)))))
    row = call.driver.route_row(VIDEO)
    assert (row["packets_lost"], row["fraction_lost"], row["jitter_ms"]) == (7, 0.25, 10.0)
    assert abs(call.driver.transport_row(call.subscriber.transport)["round_trip_time_ms"] - 50) < 0.1


def test_a_report_that_answers_none_of_ours_tells_no_round_trip(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.low.report()
    call.driver.advance(FIRST_REPORT_MS)
    stranger = SenderReport(VIDEO_SSRC, ns_to_ntp(call.driver.now - 12_345_678), 0, 0, 0)
    call.subscriber.say(ReceiverReport(Ssrc(9), (block(VIDEO_SSRC, stranger), block(VIDEO_SSRC))))
    row = call.driver.transport_row(call.subscriber.transport)
    assert row["round_trip_time_ms"] != row["round_trip_time_ms"]  # NaN


def test_the_measured_round_trip_times_what_a_publisher_is_asked_again(call: Call) -> None:
    # The publisher receives as well: its reports on that tell its round trip.
    driver = call.driver
    driver.apply(camera(call.subscriber.transport, SINGLE, track=CAMERA + 10, mid="3"))  # type: ignore[arg-type]
    driver.apply(
        video_route(call.publisher.transport, RouteId(20), track=CAMERA + 10, ssrc=Ssrc(600), rtx_ssrc=None)  # type: ignore[arg-type]
    )
    driver.aim(RouteId(20), 0)
    back = VideoSource(call.subscriber, Ssrc(30), VP8.payload_type, elements("3"))
    back.send_frame(key=True)
    back.report()
    driver.advance(FIRST_REPORT_MS)
    (report,) = call.publisher.take_rtcp(SenderReport)
    driver.advance(30)
    call.publisher.say(SenderReport(Ssrc(10), 1, 1, 1, 1, (block(Ssrc(600), report),)))
    call.low.send_frame(key=True)
    call.low.frame()
    call.low.send_frame()
    driver.advance(15)
    assert len(call.publisher.take_rtcp(Nack)) == 1
    driver.advance(30)
    assert len(call.publisher.take_rtcp(Nack)) == 1


@pytest.mark.parametrize("removal", [RemoveRoute(VIDEO), RemoveTrack(CAMERA)])
def test_a_route_that_is_gone_says_bye(call: Call, removal: RemoveRoute | RemoveTrack) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.apply(removal)
    assert call.subscriber.take_rtcp(Bye) == [Bye((VIDEO_SSRC, RTX_SSRC))]


def test_a_route_that_sent_nothing_says_nothing(call: Call) -> None:
    call.driver.apply(RemoveRoute(VIDEO))
    assert call.subscriber.take_rtcp(Bye) == []


def test_routes_of_a_publisher_that_is_gone_say_bye(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.apply(RemoveTransport(call.publisher.transport))
    assert call.subscriber.take_rtcp(Bye) == [Bye((VIDEO_SSRC, RTX_SSRC))]
    call.driver.advance(5_000)


def test_everything_we_say_is_a_compound_that_fits_the_path(driver: PlaneDriver) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    sources = []
    for number in range(60):
        mid = str(number)
        track = camera(publisher.transport, SINGLE, track=CAMERA + number, mid=mid)  # type: ignore[arg-type]
        route = RouteId(100 + number)
        driver.apply(
            track,
            replace(
                video_route(subscriber.transport, route, track=track.track, ssrc=Ssrc(9_000 + number)),
                rtx_ssrc=None,
            ),
        )
        source = VideoSource(publisher, Ssrc(10 + number), VP8.payload_type, elements(mid))
        sources.append(source)
        driver.aim(route, 0)
        source.send_frame(key=True)
        source.report()
    driver.advance(1_000)
    for source in sources:
        source.send_frame()
    driver.advance(1_500)
    told = [report for report in publisher.take_rtcp(ReceiverReport) if report.reports]
    assert {one.ssrc for report in told for one in report.reports} == {source.ssrc for source in sources}
    assert all(len(report.reports) <= MAX_BLOCKS for report in told)
    assert {report.ssrc for report in subscriber.take_rtcp(SenderReport)} == {
        Ssrc(9_000 + number) for number in range(60)
    }


def test_units_fill_compounds_in_order_and_none_is_cut() -> None:
    blocks = [block(Ssrc(number)) for number in range(100)]
    units = receiver_reports(blocks, "name") + nacks(Ssrc(5), list(range(0, 20 * MAX_NACKED, 20)))
    packed = list(compounds(units))
    assert [packet for compound in packed for packet in compound] == [
        packet for unit in units for packet in unit
    ]
    sizes = [len(serialise_compound(compound)) for compound in packed]
    assert max(sizes) <= MAX_RTCP_BYTES
    assert all(one + other > MAX_RTCP_BYTES for one, other in pairwise(sizes))
    assert all(parse_compound(serialise_compound(compound)) == compound for compound in packed)
    assert list(compounds([])) == []


def test_the_first_report_is_soon_and_the_others_about_a_second_apart() -> None:
    schedule = ReportSchedule(TransportId(1), Agenda(), 1)
    assert schedule.next_timeout() is None
    assert not schedule.take(START)
    schedule.active(START)
    schedule.active(after_ms(START, 50))
    first_at = after_ms(START, FIRST_REPORT_MS)
    assert schedule.next_timeout() == first_at
    assert not schedule.take(Instant(first_at - 1))
    assert schedule.take(first_at)
    assert schedule.next_timeout() is None
    gaps = set()
    now = first_at
    for _ in range(50):
        schedule.reported(now)
        due_at = schedule.next_timeout()
        assert due_at is not None
        gaps.add(due_at - now)
        now = due_at
        assert schedule.take(now)
    assert min(gaps) >= 0.8 * REPORT_INTERVAL_MS * NS_PER_MS
    assert max(gaps) <= 1.2 * REPORT_INTERVAL_MS * NS_PER_MS
    assert len(gaps) > 10


def test_both_planes_spread_their_reports_alike() -> None:
    at = [Instant(0), Instant(1), Instant(10**13), Instant(2**62)]
    assert [interval_ns(2**64 - 5, TransportId(7), now) for now in at] == [
        927_631_104,
        993_147_411,
        1_144_650_758,
        974_151_538,
    ]


def test_a_hurry_brings_a_report_forward_and_never_puts_it_off() -> None:
    agenda = Agenda()
    schedule = ReportSchedule(TransportId(1), agenda, 1)
    schedule.reported(START)
    schedule.hurry(START)
    soon = after_ms(START, FIRST_REPORT_MS)
    assert schedule.next_timeout() == soon == agenda.next_timeout()
    schedule.hurry(after_ms(START, 20))
    assert schedule.next_timeout() == soon


def test_a_report_counts_what_leaves_with_it(call: Call) -> None:
    driver = call.driver
    driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.low.report()
    driver.advance(3_000)
    driver.pace(call.subscriber.transport, 300_000)
    call.subscriber.take_rtcp(SenderReport)
    call.low.send_frame(parts=2, size=1_100)
    # A timer that is late by much: the second packet and the report are due at once.
    driver.now = after_ms(driver.now, 150)
    driver.advance(0)
    (report,) = call.subscriber.take_rtcp(SenderReport)
    assert report.packet_count == 3


def test_we_speak_as_a_receiver_under_one_ssrc(call: Call) -> None:
    call.low.send_frame(key=True)
    call.driver.advance(200)
    (report,) = call.publisher.take_rtcp(ReceiverReport)
    assert report.ssrc == FEEDBACK_SSRC
