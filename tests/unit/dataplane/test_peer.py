"""Feedback to a publisher: arrival times (packet rule 5), and key-frame requests merged and spaced."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sfu.dataplane.reports import FEEDBACK_SSRC
from sfu.plane import RequestKeyframe
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Fir, FirEntry, Pli
from sfu.rtp.twcc import DELTA_NS, TransportFeedback
from sfu.streams.keyframe import MIN_INTERVAL_S, RETRY_S
from sfu.streams.twcc_receiver import FEEDBACK_INTERVAL_MS
from sfu.units import NS_PER_MS, PayloadType, RouteId, Ssrc
from tests.support.plane_driver import PlaneDriver, VirtualPeer
from tests.support.plane_media import (
    CAMERA,
    MICROPHONE,
    QHF,
    VIDEO,
    VIDEO_SSRC,
    Call,
    repair_of,
)


def plis(call: Call) -> list[int]:
    return [pli.media_ssrc for pli in call.publisher.take_rtcp(Pli)]


def feedback(peer: VirtualPeer) -> list[tuple[int, int | None]]:
    return [entry for told in peer.take_rtcp(TransportFeedback) for entry in told.arrivals]


def test_arrivals_of_every_kind_are_fed_back(call: Call) -> None:
    sent_at: dict[int, int] = {}

    def note() -> None:
        sent_at[len(sent_at)] = call.driver.now
        call.driver.advance(3)

    call.low.send_frame(key=True)
    note()
    call.voice.send(call.voice.packet(b"opus"))
    note()
    call.low.send(replace(call.low.packet(b""), padding_bytes=100))
    note()
    (lost,) = call.low.frame()
    repair = repair_of(lost, Ssrc(1_010), 1, QHF[0])
    call.publisher.send(replace(repair, extensions=(*repair.extensions, call.low._stamp())))
    note()
    probe = RtpPacket(PayloadType(97), 1, 1, Ssrc(0), extensions=(call.low._stamp(),), padding_bytes=9)
    call.publisher.send(probe)
    note()
    unknown = RtpPacket(PayloadType(97), 1, 1, Ssrc(4_711), b"?", extensions=(call.low._stamp(),))
    call.publisher.send(unknown)
    note()
    call.driver.advance(FEEDBACK_INTERVAL_MS)
    told = feedback(call.publisher)
    assert [number for number, _ in told] == list(sent_at)
    for number, at in told:
        assert at is not None
        assert abs(at - sent_at[number] % (2**24 * 64 * NS_PER_MS)) <= DELTA_NS


def test_feedback_comes_in_time_and_only_while_there_is_something_to_tell(call: Call) -> None:
    call.low.send_frame(key=True)
    call.driver.advance(FEEDBACK_INTERVAL_MS - 1)
    assert feedback(call.publisher) == []
    call.driver.advance(1)
    assert len(feedback(call.publisher)) == 1
    call.driver.advance(5_000)
    assert feedback(call.publisher) == []


@given(start=st.sampled_from((0, 2**15 - 1, 2**15, 2**16 - 1)), keep=st.lists(st.booleans(), max_size=60))
def test_what_arrived_and_what_did_not_is_told_once(start: int, keep: list[bool]) -> None:
    call = Call.of(PlaneDriver())
    call.publisher._sent = start
    came = []
    for kept in (True, *keep, True):
        number = call.publisher._sent & 0xFFFF
        if kept:
            came.append(number)
            call.voice.send(call.voice.packet(b"opus"))
        else:
            call.publisher.next_transport_number()
        call.driver.advance(7)
    call.driver.advance(100)
    told = feedback(call.publisher)
    assert [number for number, at in told if at is not None] == came


def test_a_target_asks_for_its_key_frame_at_once(call: Call) -> None:
    call.low.send_frame()
    call.driver.aim(VIDEO, 0)
    assert call.publisher.take_rtcp(Pli) == [Pli(FEEDBACK_SSRC, call.low.ssrc)]
    assert call.driver.encoding_row(CAMERA)["pli_count"] == 1


def test_requests_of_engine_and_subscribers_become_one(call: Call) -> None:
    second = call.second_subscriber()
    call.low.send_frame()
    call.driver.aim(VIDEO, 0)
    call.driver.aim(RouteId(11), 0)
    call.driver.apply(RequestKeyframe(CAMERA, 0))
    for peer in (call.subscriber, second):
        peer.say(Pli(Ssrc(9), VIDEO_SSRC))
        peer.say(Fir(Ssrc(9), (FirEntry(VIDEO_SSRC, 1),)))
    call.driver.advance(RETRY_S * 1_000 - 1)
    assert plis(call) == [call.low.ssrc]
    assert call.driver.route_row(VIDEO)["pli_count"] == 2


def test_a_request_is_repeated_while_packets_come_that_are_of_no_use(call: Call) -> None:
    call.low.send_frame()
    call.driver.aim(VIDEO, 0)
    for _ in range(29):
        call.low.send_frame()
        call.driver.advance(50)
    assert plis(call) == [call.low.ssrc] * 3
    call.low.send_frame(key=True)
    for _ in range(30):
        call.low.send_frame()
        call.driver.advance(50)
    assert plis(call) == []


def test_an_encoding_that_does_not_flow_is_not_asked_again_and_again(call: Call) -> None:
    call.low.send_frame()
    call.driver.aim(VIDEO, 0)
    call.driver.aim(VIDEO, 1)
    call.driver.apply(RequestKeyframe(CAMERA, 1), RequestKeyframe(CAMERA, 7))
    for _ in range(20):
        call.driver.advance(250)
        call.driver.alive()
    assert plis(call) == [call.low.ssrc]


def test_who_asks_after_a_key_frame_began_is_served_soon(call: Call) -> None:
    call.low.send_frame()
    call.driver.aim(VIDEO, 0)
    call.driver.advance(80)
    call.low.send_frame(key=True)
    call.driver.advance(10)
    assert plis(call) == [call.low.ssrc]
    call.subscriber.say(Pli(Ssrc(9), VIDEO_SSRC))
    call.driver.advance(MIN_INTERVAL_S * 1_000 - 91)
    assert plis(call) == []
    call.driver.advance(1)
    assert plis(call) == [call.low.ssrc]


def test_a_subscriber_that_lost_the_picture_asks_for_what_flows_to_it(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.middle.send_frame(key=True)
    call.driver.aim(VIDEO, 1)
    call.driver.advance(1_000)
    plis(call)
    call.subscriber.say(Pli(Ssrc(9), VIDEO_SSRC))
    call.driver.advance(0)
    assert plis(call) == [call.low.ssrc]


def test_audio_has_no_key_frames_to_ask_for(call: Call) -> None:
    call.voice.send(call.voice.packet(b"opus"))
    call.driver.apply(RequestKeyframe(MICROPHONE, 0))
    call.driver.advance(1_000)
    assert plis(call) == []
