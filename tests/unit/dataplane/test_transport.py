"""The bytes of one peer: keys that come late, limits, counters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.dataplane.srtp import LibSrtp
from sfu.dataplane.transport import MAX_EARLY, MAX_SSRCS
from sfu.plane import DropReason
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Pli, Remb
from sfu.rtp.twcc import TransportFeedback
from sfu.units import PayloadType, Ssrc
from tests.support.plane_driver import CORES, PROFILE, PlaneDriver, VirtualPeer
from tests.support.plane_media import (
    CAMERA,
    SINGLE,
    VIDEO,
    VP8,
    Call,
    VideoSource,
    camera,
    elements,
    video_route,
)


@pytest.fixture(params=CORES)
def encrypted(request: pytest.FixtureRequest) -> PlaneDriver:
    """A core with real cryptography."""
    return PlaneDriver(CORES[request.param], LibSrtp)


def test_packets_before_the_keys_wait_for_them_with_their_times(driver: PlaneDriver) -> None:
    publisher, subscriber = VirtualPeer.known(driver, 1), VirtualPeer.joined(driver, 2)
    publisher.check()
    driver.apply(camera(publisher.transport, SINGLE), video_route(subscriber.transport))
    driver.aim(VIDEO, 0)
    publisher.session = driver.srtp(PROFILE, b"", b"")
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    source.send_frame(key=True, parts=2)
    sent_at = driver.now
    driver.advance(100)
    source.send_frame()
    assert subscriber.take_rtp() == []
    publisher.install()
    assert len(subscriber.take_rtp()) == 3
    driver.advance(100)
    (feedback,) = publisher.take_rtcp(TransportFeedback)
    arrivals = [at for _, at in feedback.arrivals if at is not None]
    assert abs(arrivals[0] - sent_at % (2**24 * 64_000_000)) < 250_000
    assert abs(arrivals[2] - arrivals[0] - 100_000_000) < 500_000


def test_packets_that_wait_for_keys_are_bounded(driver: PlaneDriver) -> None:
    publisher = VirtualPeer.known(driver, 1)
    publisher.check()
    driver.apply(camera(publisher.transport, SINGLE))
    publisher.session = driver.srtp(PROFILE, b"", b"")
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    for _ in range(MAX_EARLY + 5):
        source.send_frame(key=True)
    assert driver.drops(DropReason.EARLY_QUEUE_FULL) == 5
    publisher.install()
    assert driver.encoding_row(CAMERA)["packets_received"] == MAX_EARLY


def test_what_is_not_authentic_is_refused_and_a_replay_too(encrypted: PlaneDriver) -> None:
    publisher = VirtualPeer.joined(encrypted, 1)
    encrypted.apply(camera(publisher.transport, SINGLE))
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    assert publisher.session is not None
    data = publisher.session.protect(source.frame(key=True)[0].serialise())
    assert isinstance(data, bytes)
    encrypted.feed(publisher.address, data[:-1] + b"?")
    encrypted.feed(publisher.address, data)
    encrypted.feed(publisher.address, data)
    encrypted.feed(publisher.address, b"\x80\xc9" + bytes(30))
    assert encrypted.drops(DropReason.SRTP_AUTHENTICATION) == 2
    assert encrypted.drops(DropReason.SRTP_REPLAY) == 1
    assert encrypted.encoding_row(CAMERA)["packets_received"] == 1


def test_media_and_reports_pass_encrypted_end_to_end(encrypted: PlaneDriver) -> None:
    call = Call.of(encrypted)
    encrypted.aim(VIDEO, 0)
    call.low.send_frame(key=True, parts=3)
    call.low.report()
    encrypted.advance(300)
    assert len(call.video()) == 3
    assert call.publisher.rtcp
    assert call.subscriber.rtcp
    call.subscriber.say(Pli(Ssrc(9), call.subscriber.rtcp[0].ssrc))  # type: ignore[union-attr]
    encrypted.advance(300)
    assert call.publisher.take_rtcp(Pli)


def test_ssrcs_of_one_peer_are_bounded_whatever_they_are(driver: PlaneDriver) -> None:
    publisher = VirtualPeer.joined(driver, 1)
    for number in range(MAX_SSRCS + 7):
        publisher.send(RtpPacket(PayloadType(96), 1, 1, Ssrc(number + 1), b""))
    publisher.say(Pli(Ssrc(10**6), Ssrc(1)))
    assert driver.drops(DropReason.TOO_MANY_SSRCS) == 8
    publisher.send(RtpPacket(PayloadType(96), 2, 1, Ssrc(5), b""))
    assert driver.drops(DropReason.TOO_MANY_SSRCS) == 8


def test_new_keys_begin_with_no_ssrcs_and_nothing_held(driver: PlaneDriver) -> None:
    publisher = VirtualPeer.known(driver, 1)
    publisher.check()
    driver.apply(camera(publisher.transport, SINGLE))
    publisher.session = driver.srtp(PROFILE, b"", b"")
    source = VideoSource(publisher, Ssrc(10**6), VP8.payload_type, elements("0"))
    source.send_frame(key=True)
    publisher.install()
    for number in range(MAX_SSRCS + 1):
        publisher.send(RtpPacket(PayloadType(96), 1, 1, Ssrc(number + 1), b""))
    assert driver.drops(DropReason.TOO_MANY_SSRCS) == 2
    publisher.install()
    replace(source, ssrc=Ssrc(10**6 + 1)).send_frame()
    assert driver.drops(DropReason.TOO_MANY_SSRCS) == 2
    assert driver.drops(DropReason.DUPLICATE) == 0
    assert driver.encoding_row(CAMERA)["packets_received"] == 2


def test_ssrcs_that_fail_authentication_use_none_up(encrypted: PlaneDriver) -> None:
    publisher = VirtualPeer.joined(encrypted, 1)
    encrypted.apply(camera(publisher.transport, SINGLE))
    for number in range(MAX_SSRCS + 7):
        encrypted.feed(publisher.address, b"\x80\x60" + bytes(6) + number.to_bytes(4, "big") + bytes(30))
    VideoSource(publisher, Ssrc(10**6), VP8.payload_type, elements("0")).send_frame(key=True)
    assert encrypted.drops(DropReason.TOO_MANY_SSRCS) == 0
    assert encrypted.encoding_row(CAMERA)["packets_received"] == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80\x60", DropReason.RTP_MALFORMED),
        (b"\x80\x60" + bytes(9), DropReason.RTP_MALFORMED),
        (b"\xb0\x60" + bytes(10), DropReason.RTP_MALFORMED),
        (b"\x80\xc9\x00", DropReason.RTCP_MALFORMED),
        (b"\x80\xc9\x00\x07\x00\x00\x00\x01", DropReason.RTCP_MALFORMED),
    ],
)
def test_what_can_not_be_read_is_malformed(driver: PlaneDriver, data: bytes, reason: DropReason) -> None:
    peer = VirtualPeer.joined(driver, 1)
    driver.feed(peer.address, data)
    assert driver.drops(reason) == 1


def test_counters_of_a_transport_are_of_datagrams(call: Call) -> None:
    before = call.driver.transport_row(call.subscriber.transport)
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True, parts=3)
    row = call.driver.transport_row(call.subscriber.transport)
    assert row["packets_sent"] - before["packets_sent"] == 3
    assert row["bytes_sent"] - before["bytes_sent"] == sum(map(len, call.subscriber.encrypted))
    up = call.driver.transport_row(call.publisher.transport)
    assert up["packets_received"] == 1 + 3


def test_what_the_peer_tells_of_is_counted_apart(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True, parts=3)
    call.driver.advance(2_000)
    assert call.driver.transport_row(call.subscriber.transport)["numbered_packets_sent"] == 3
    reported_to = call.driver.transport_row(call.publisher.transport)
    assert reported_to["packets_sent"] > 0
    assert reported_to["numbered_packets_sent"] == 0


def test_it_is_told_whether_anything_can_be_sent(driver: PlaneDriver) -> None:
    peer = VirtualPeer.known(driver, 1)
    assert not driver.transport_row(peer.transport)["can_send"]
    peer.check()
    assert not driver.transport_row(peer.transport)["can_send"]
    peer.install()
    assert driver.transport_row(peer.transport)["can_send"]


def test_the_last_word_of_remb_counts(call: Call) -> None:
    assert call.driver.transport_row(call.subscriber.transport)["remb_bps"] == 0
    for bitrate in (5_000_000, 250_000):
        call.subscriber.say(Remb(Ssrc(9), bitrate, (Ssrc(1),)))
    assert call.driver.transport_row(call.subscriber.transport)["remb_bps"] == 250_000
