"""NACKs of a subscriber: over RTX, or by the same bytes (packet rule 3)."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from sfu.config import MediaConfig
from sfu.dataplane.core import PlaneCore
from sfu.dataplane.resending import MAX_SENT
from sfu.dataplane.srtp import LibSrtp, NullSrtp
from sfu.plane import Extension, RemoveRoute, RemoveTrack, RemoveTransport
from sfu.rtp.rtcp import Nack
from sfu.rtp.vp8 import parse_vp8
from sfu.streams.cache import MAX_AGE_S
from sfu.streams.resend import MAX_RESENDS, RESEND_BURST_BYTES, decapsulate
from sfu.units import Ssrc, TransportId
from tests.support.plane_driver import CORES, PlaneDriver, VirtualPeer
from tests.support.plane_media import (
    AUDIO,
    CAMERA,
    DOWN_EXTENSIONS,
    DOWN_VP8,
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
    from sfu.plane import PayloadFormat, PlaneOperation
    from sfu.rtp.packet import RtpPacket


def nack(peer: VirtualPeer, *packets: RtpPacket) -> None:
    numbers = tuple(packet.sequence_number for packet in packets)
    peer.say(Nack(Ssrc(99), packets[0].ssrc, numbers))


def flowing(call: Call) -> list[RtpPacket]:
    """The first packets of the low encoding, as the subscriber got them."""
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True, parts=3)
    call.low.send_frame(parts=3)
    return call.video()


def test_a_lost_packet_is_sent_again_over_rtx(call: Call) -> None:
    packets = flowing(call)
    nack(call.subscriber, packets[1], packets[4])
    again = call.subscriber.take_rtp()
    assert {packet.ssrc for packet in again} == {RTX_SSRC}
    assert {packet.payload_type for packet in again} == {DOWN_VP8.rtx_payload_type}
    for lost, packet in zip((packets[1], packets[4]), again, strict=True):
        assert decapsulate(packet.payload) == (lost.sequence_number, lost.payload)
        assert (packet.timestamp, packet.marker) == (lost.timestamp, lost.marker)
        mid = DOWN_EXTENSIONS[Extension.MID]
        assert packet.extension(mid) == lost.extension(mid)
    assert again[1].sequence_number - again[0].sequence_number == 1
    row = call.driver.route_row(VIDEO)
    assert (row["nack_count"], row["retransmitted_packets_sent"], row["packets_sent"]) == (2, 2, 6)


def test_what_is_sent_again_is_counted_by_the_same_transport_wide_counter(call: Call) -> None:
    packets = flowing(call)
    nack(call.subscriber, packets[0])
    (again,) = call.subscriber.take_rtp()
    assert again.extension(DOWN_EXTENSIONS[Extension.TRANSPORT_CC]) == (6).to_bytes(2, "big")


def test_a_packet_from_before_a_switch_is_made_again_as_it_was(call: Call) -> None:
    packets = flowing(call)
    call.low.report()
    call.middle.send_frame(key=True)
    call.middle.report()
    call.driver.aim(VIDEO, 1)
    call.middle.send_frame(key=True, parts=2)
    packets += call.video()
    for packet in packets:
        nack(call.subscriber, packet)
    again = call.subscriber.take_rtp()
    assert [decapsulate(packet.payload)[1] for packet in again] == [packet.payload for packet in packets]
    assert len({parse_vp8(packet.payload).picture_id for packet in packets}) == 3


def test_numbers_before_a_wrap_are_found_after_it(call: Call) -> None:
    packets = flowing(call)
    while (left := 2**16 - 1 - packets[-1].sequence_number) > 0:
        call.low.seq += min(left, 900) - 1  # as if so many were lost on the way to us
        call.low.send_frame()
        packets += call.video()
    call.low.send_frame(parts=20)
    assert call.video()[-1].sequence_number == 19
    after = call.low.send_frame()
    (first_after,) = call.video()
    nack(call.subscriber, packets[-1], first_after)
    before_wrap, after_wrap = call.subscriber.take_rtp()
    assert decapsulate(before_wrap.payload) == (2**16 - 1, packets[-1].payload)
    assert decapsulate(after_wrap.payload) == (20, first_after.payload)
    assert first_after.payload[6:] == after[0].payload[6:]


def test_what_was_never_sent_or_is_too_old_is_not_sent_again(call: Call) -> None:
    packets = flowing(call)
    call.subscriber.say(Nack(Ssrc(99), VIDEO_SSRC, ((packets[-1].sequence_number + 1) & 0xFFFF,)))
    call.subscriber.say(Nack(Ssrc(99), Ssrc(4), (packets[0].sequence_number,)))
    call.driver.advance(1_000 * MAX_AGE_S + 1)
    nack(call.subscriber, *packets)
    assert call.subscriber.take_rtp() == []
    assert call.driver.route_row(VIDEO)["nack_count"] == 7


def test_a_packet_is_sent_again_a_few_times_and_not_at_once(call: Call) -> None:
    packets = flowing(call)
    for _ in range(3):
        nack(call.subscriber, packets[0])
    assert len(call.subscriber.take_rtp()) == 1
    for _ in range(6):
        call.driver.advance(101)
        nack(call.subscriber, packets[0])
    assert len(call.subscriber.take_rtp()) == MAX_RESENDS - 1


def test_a_number_far_back_is_not_mistaken_for_a_newer_one(call: Call) -> None:
    packets = flowing(call)
    for _ in range(MAX_SENT // 100 + 1):
        call.low.send(*call.low.frame(parts=100, size=2))
    newest = call.video()[-1].sequence_number
    for back in (MAX_SENT, MAX_SENT + 50):
        call.subscriber.say(Nack(Ssrc(99), VIDEO_SSRC, ((newest - back) & 0xFFFF,)))
    nack(call.subscriber, packets[0])
    assert call.subscriber.take_rtp() == []


@pytest.mark.parametrize("rtx_ssrc", [RTX_SSRC, None])
def test_who_asks_for_everything_does_not_multiply_its_traffic(
    driver: PlaneDriver, rtx_ssrc: Ssrc | None
) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    driver.apply(camera(publisher.transport, SINGLE), video_route(subscriber.transport, rtx_ssrc=rtx_ssrc))
    driver.aim(VIDEO, 0)
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    sent_bytes = resent_bytes = 0
    for number in range(12):
        driver.advance(33)
        source.send(*source.frame(key=number == 0, parts=50, size=1_000))
        packets = subscriber.take_rtp()
        sent_bytes += sum(len(packet.payload) for packet in packets)
        nack(subscriber, *packets)
        resent_bytes += sum(len(packet.payload) for packet in subscriber.take_rtp())
    assert sent_bytes > 2 * RESEND_BURST_BYTES
    assert RESEND_BURST_BYTES < resent_bytes < RESEND_BURST_BYTES + 0.6 * sent_bytes


@pytest.mark.parametrize("make", CORES.values(), ids=CORES)
def test_without_rtx_the_identical_bytes_are_repeated(make: object) -> None:
    assert callable(make)
    driver = PlaneDriver(make, LibSrtp)
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    driver.apply(camera(publisher.transport, SINGLE), video_route(subscriber.transport, rtx_ssrc=None))
    driver.aim(VIDEO, 0)
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    source.send_frame(key=True, parts=2)
    first, second = subscriber.take_rtp()
    driver.advance(20)
    nack(subscriber, first, second)
    # The peer's own replay protection refuses them, having got them before.
    assert subscriber.take_rtp() == []
    assert subscriber.encrypted[2:] == subscriber.encrypted[:2]
    assert driver.route_row(VIDEO)["retransmitted_packets_sent"] == 2
    driver.advance(1_000 * MAX_AGE_S + 1)
    nack(subscriber, first)
    assert len(subscriber.encrypted) == 4


def test_sound_is_not_kept_and_not_sent_again(call: Call) -> None:
    call.driver.aim(AUDIO, 0)
    call.voice.send(call.voice.packet(b"opus"))
    packets = call.subscriber.take_rtp()
    call.driver.advance(20)
    nack(call.subscriber, *packets)
    assert call.subscriber.take_rtp() == []
    assert call.driver.route_row(AUDIO)["nack_count"] == 1


@pytest.mark.parametrize("make", CORES.values(), ids=CORES)
def test_a_subscriber_that_takes_rtx_out_and_back_in_is_sent_packets_again_all_along(make: object) -> None:
    assert callable(make)
    driver = PlaneDriver(make, LibSrtp)
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    driver.apply(camera(publisher.transport, SINGLE))

    def negotiate(form: PayloadFormat) -> RtpPacket:
        driver.apply(video_route(subscriber.transport, formats=(form,)))
        driver.aim(VIDEO, 0)
        source.send_frame(key=True)
        (packet,) = subscriber.take_rtp()
        driver.advance(20)
        nack(subscriber, packet)
        return packet

    first = negotiate(DOWN_VP8)
    (over_rtx,) = subscriber.take_rtp()
    negotiate(replace(DOWN_VP8, rtx_payload_type=None))
    assert subscriber.take_rtp() == []  # Refused as a replay:
    assert subscriber.encrypted[-1] == subscriber.encrypted[-2]
    nack(subscriber, first)
    assert len(subscriber.encrypted) == 4
    last = negotiate(DOWN_VP8)
    (again,) = subscriber.take_rtp()
    assert decapsulate(again.payload) == (last.sequence_number, last.payload)
    assert again.sequence_number == over_rtx.sequence_number + 1


@pytest.mark.parametrize("make", CORES.values(), ids=CORES)
def test_what_is_sent_again_over_rtx_can_be_decrypted(make: object) -> None:
    assert callable(make)
    driver = PlaneDriver(make, LibSrtp)
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    driver.apply(camera(publisher.transport, SINGLE), video_route(subscriber.transport))
    driver.aim(VIDEO, 0)
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    source.send_frame(key=True)
    (first,) = subscriber.take_rtp()
    for _ in range(MAX_RESENDS):
        driver.advance(101)
        nack(subscriber, first)
    assert [decapsulate(packet.payload)[1] for packet in subscriber.take_rtp()] == [
        first.payload
    ] * MAX_RESENDS
    assert len(set(subscriber.encrypted)) == 1 + MAX_RESENDS


def test_an_encoding_that_is_gone_is_not_sent_again(call: Call) -> None:
    packets = flowing(call)
    call.driver.apply(camera(call.publisher.transport, (camera(call.publisher.transport).encodings[1],)))
    nack(call.subscriber, packets[0])
    assert call.subscriber.take_rtp() == []
    assert call.driver.core.stats(call.driver.now).encodings["track"].tolist() == []
    assert call.driver.route_row(VIDEO)["track"] == CAMERA


@pytest.mark.parametrize(
    "removal", [RemoveRoute(VIDEO), RemoveTrack(CAMERA), RemoveTransport(TransportId(2))]
)
def test_what_was_kept_for_a_route_that_is_gone_is_given_back(removal: PlaneOperation) -> None:
    core = PlaneCore(MediaConfig(), Random(1), NullSrtp)
    driver = PlaneDriver(lambda *_: core)
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    driver.apply(camera(publisher.transport, SINGLE), video_route(subscriber.transport, rtx_ssrc=None))
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    source.send_frame(key=True)
    upstream_bytes = core._program._budget.used_bytes
    driver.aim(VIDEO, 0)
    source.send_frame(key=True)
    assert core._program._budget.used_bytes > 2 * upstream_bytes > 0
    driver.apply(removal)
    kept_bytes = 0 if isinstance(removal, RemoveTrack) else 2 * upstream_bytes
    assert core._program._budget.used_bytes == kept_bytes
