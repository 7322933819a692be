"""Several routes of one track to one transport, as a trunk has them: a stream for each encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from sfu.plane import Extension, RemoveRoute
from sfu.rtp.rtcp import Bye, Nack, Pli, SenderReport
from sfu.streams.resend import decapsulate
from sfu.units import RouteId, Ssrc
from tests.support.plane_media import (
    CAMERA,
    DOWN_EXTENSIONS,
    RTX_SSRC,
    VIDEO,
    VIDEO_SSRC,
    Call,
    video_route,
)

if TYPE_CHECKING:
    from tests.support.plane_driver import PlaneDriver

OTHER: Final = RouteId(21)
OTHER_SSRC: Final = Ssrc(60_000)
OTHER_RTX_SSRC: Final = Ssrc(60_001)


@pytest.fixture
def call(driver: PlaneDriver) -> Call:
    """The lowest encoding and the highest go to one subscriber under one mid; both have begun."""
    call = Call.of(driver)
    route = video_route(call.subscriber.transport, OTHER, ssrc=OTHER_SSRC, rtx_ssrc=OTHER_RTX_SSRC)
    driver.apply(route)
    for source in (call.low, call.high):
        source.send_frame(key=True)
    driver.aim(VIDEO, 0)
    driver.aim(OTHER, 2)
    for source in (call.low, call.high):
        source.send_frame(key=True)
    call.publisher.rtcp.clear()
    return call


def heard(call: Call, ssrc: Ssrc) -> list[int]:
    """Numbers of the packets of one stream so far."""
    return [one.packet.sequence_number for one in call.subscriber.heard if one.packet.ssrc == ssrc]


def test_each_has_the_encoding_of_its_target_under_one_mid(call: Call) -> None:
    call.subscriber.take_rtp()
    low, middle, high = (source.send_frame(parts=2) for source in (call.low, call.middle, call.high))
    packets = call.subscriber.take_rtp()
    assert [packet.ssrc for packet in packets] == [VIDEO_SSRC] * 2 + [OTHER_SSRC] * 2
    assert [packet.payload[-30:] for packet in packets] == [sent.payload[-30:] for sent in low + high]
    mids = {dict(packet.extensions)[DOWN_EXTENSIONS[Extension.MID]] for packet in packets}
    assert mids == {b"7"}
    for ssrc in (VIDEO_SSRC, OTHER_SSRC):
        numbers = heard(call, ssrc)
        assert numbers == list(range(numbers[0], numbers[0] + 3))
    rows = [call.driver.route_row(route) for route in (VIDEO, OTHER)]
    assert [(row["encoding"], row["packets_sent"]) for row in rows] == [(0, 3), (2, 3)]
    assert len(middle) == 2


def test_what_is_lost_of_one_is_sent_again_over_its_own_rtx(call: Call) -> None:
    for source in (call.low, call.high):
        source.send_frame(parts=3)
    for ssrc, rtx_ssrc in ((VIDEO_SSRC, RTX_SSRC), (OTHER_SSRC, OTHER_RTX_SSRC)):
        lost = [one.packet for one in call.subscriber.heard if one.packet.ssrc == ssrc][2]
        call.subscriber.take_rtp()
        call.subscriber.say(Nack(Ssrc(9), ssrc, (lost.sequence_number,)))
        (again,) = call.subscriber.take_rtp()
        assert again.ssrc == rtx_ssrc
        assert decapsulate(again.payload) == (lost.sequence_number, lost.payload)
    rows = [call.driver.route_row(route) for route in (VIDEO, OTHER)]
    assert [(row["nack_count"], row["retransmitted_packets_sent"]) for row in rows] == [(1, 1), (1, 1)]


@pytest.mark.parametrize(("ssrc", "encoding"), [(VIDEO_SSRC, 0), (OTHER_SSRC, 2)])
def test_a_key_frame_is_asked_for_of_the_encoding_of_that_stream(
    call: Call, ssrc: Ssrc, encoding: int
) -> None:
    for _ in range(3):
        call.driver.advance(300)
        call.driver.alive()
    call.publisher.rtcp.clear()
    call.subscriber.say(Pli(Ssrc(9), ssrc))
    call.driver.advance(0)
    asked = [packet.media_ssrc for packet in call.publisher.rtcp if isinstance(packet, Pli)]
    assert asked == [(call.low, call.middle, call.high)[encoding].ssrc]


def test_each_has_reports_and_a_goodbye_of_its_own(call: Call) -> None:
    for source in (call.low, call.high):
        source.report()
    call.driver.advance(1_000)
    reported = {packet.ssrc for packet in call.subscriber.rtcp if isinstance(packet, SenderReport)}
    assert reported == {VIDEO_SSRC, OTHER_SSRC}
    call.subscriber.rtcp.clear()
    call.driver.apply(RemoveRoute(OTHER))
    (ended,) = [packet for packet in call.subscriber.rtcp if isinstance(packet, Bye)]
    assert ended.ssrcs == (OTHER_SSRC, OTHER_RTX_SSRC)
    call.subscriber.take_rtp()
    for source in (call.low, call.high):
        source.send_frame()
    assert [packet.ssrc for packet in call.subscriber.take_rtp()] == [VIDEO_SSRC]
    assert call.driver.encoding_row(CAMERA, 2)["packets_received"] > 0


def test_one_switches_and_the_other_goes_on(call: Call) -> None:
    for source in (call.low, call.high):
        source.report()
    call.driver.aim(VIDEO, 2)
    call.high.send_frame(key=True)
    call.low.send_frame()
    call.high.send_frame()
    rows = [call.driver.route_row(route) for route in (VIDEO, OTHER)]
    assert [(row["encoding"], row["switches"]) for row in rows] == [(2, 1), (2, 0)]
    for ssrc in (VIDEO_SSRC, OTHER_SSRC):
        numbers = heard(call, ssrc)
        assert numbers == list(range(numbers[0], numbers[0] + 3))
