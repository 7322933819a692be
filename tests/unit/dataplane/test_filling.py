"""Probes and padding: what carries them, and when there are none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sfu.dataplane.filling import NO_PAYLOAD_TYPE, NO_SSRC, PADDING_BYTES
from sfu.dataplane.srtp import LibSrtp, NullSrtp
from sfu.plane import DropReason, Extension, RemoveRoute
from sfu.rtp.rtcp import Nack
from sfu.streams.cache import MAX_AGE_S
from sfu.streams.resend import decapsulate
from sfu.units import NS_PER_MS, RouteId, Ssrc
from tests.support.plane_driver import CORES, PlaneDriver, VirtualPeer
from tests.support.plane_media import (
    AUDIO,
    DOWN_EXTENSIONS,
    DOWN_VP8,
    RTX_SSRC,
    VIDEO,
    VIDEO_SSRC,
    Call,
    audio_route,
    camera,
    microphone,
    video_route,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.config import MediaConfig
    from sfu.dataplane.srtp import SrtpFactory
    from sfu.rtp.packet import RtpPacket
    from tests.support.plane_driver import Core

CLUSTER = 7


@pytest.fixture
def flowing(call: Call) -> Call:
    """The low encoding flows: its key frame has been sent."""
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.advance(10)
    forget(call)
    return call


def forget(call: Call) -> None:
    call.subscriber.rtp.clear()
    call.subscriber.heard.clear()


def probe(call: Call, rate_bps: float = 4_000_000, size_bytes: int = 7_500, cluster: int = CLUSTER) -> None:
    call.driver.probe(call.subscriber.transport, cluster, rate_bps, size_bytes)


def padding_sent(call: Call) -> int:
    return int(call.driver.transport_row(call.subscriber.transport)["padding_bytes_sent"])


def heard_bytes(call: Call) -> int:
    return sum(one.size_bytes for one in call.subscriber.heard)


def is_pure_padding(packet: RtpPacket) -> bool:
    return packet.payload == b"" and packet.padding_bytes == PADDING_BYTES and not packet.marker


def test_a_probe_repeats_payloads_over_rtx_from_the_newest_back_at_its_rate(flowing: Call) -> None:
    for _ in range(12):
        flowing.low.send_frame(size=1_066)
    sent = flowing.video()
    flowing.driver.advance(5)
    forget(flowing)
    start = flowing.driver.now
    probe(flowing)
    flowing.driver.advance(100)
    heard = flowing.subscriber.heard
    assert {one.packet.ssrc for one in heard} == {RTX_SSRC}
    repeated = [decapsulate(one.packet.payload) for one in heard]
    newest_first = [(packet.sequence_number, packet.payload) for packet in reversed(sent)]
    assert repeated == newest_first[: len(repeated)]
    assert [one.packet.timestamp for one in heard] == [p.timestamp for p in reversed(sent)][: len(heard)]
    sizes = [one.size_bytes for one in heard]
    assert sum(sizes[:-1]) < 7_500 <= sum(sizes)
    times_ms = [(one.at - start) / NS_PER_MS for one in heard]
    assert times_ms == pytest.approx([sum(sizes[:at]) * 8 / 4_000 for at in range(len(sizes))])
    assert padding_sent(flowing) == sum(sizes)
    assert flowing.driver.route_row(VIDEO)["retransmitted_packets_sent"] == 0


def test_a_probe_that_has_sent_all_there_is_begins_anew(flowing: Call) -> None:
    flowing.low.send_frame()
    numbers = [packet.sequence_number for packet in flowing.video()]
    probe(flowing, size_bytes=500)
    flowing.driver.advance(100)
    repeated = [decapsulate(packet.payload)[0] for packet in flowing.subscriber.take_rtp()]
    assert repeated[:4] == [numbers[0], numbers[0] - 1, numbers[0], numbers[0] - 1]


def test_what_is_sent_meanwhile_comes_first_again(flowing: Call) -> None:
    probe(flowing, rate_bps=100_000, size_bytes=400)
    flowing.driver.advance(5)
    flowing.low.send_frame()
    (newest,) = flowing.video()
    flowing.driver.advance(100)
    repeated = [decapsulate(packet.payload)[0] for packet in flowing.subscriber.take_rtp()]
    assert newest.sequence_number == repeated[0]


@pytest.mark.parametrize("by_resend", [False, True])
def test_a_probe_that_media_ends_is_followed_by_the_next_when_it_is_paid(
    flowing: Call,
    by_resend: bool,
) -> None:
    flowing.low.send_frame(size=900)
    flowing.driver.advance(1)
    (sent,) = flowing.video()
    forget(flowing)
    start = flowing.driver.now
    probe(flowing, rate_bps=1_000_000, size_bytes=1_500, cluster=1)
    probe(flowing, size_bytes=100, cluster=2)
    if by_resend:
        flowing.subscriber.say(Nack(Ssrc(1), VIDEO_SSRC, (sent.sequence_number,)))
    else:
        flowing.low.send_frame(size=900)
    flowing.driver.advance(100)
    first, second, third, *_ = flowing.subscriber.heard
    assert (first.at, second.at) == (start, start)
    assert third.at - start == (first.size_bytes + second.size_bytes) * 8_000


def test_resends_and_fillers_share_the_numbers_of_the_rtx_stream(flowing: Call) -> None:
    flowing.low.send_frame(parts=3)
    asked = [packet.sequence_number for packet in flowing.video()]
    probe(flowing, size_bytes=300)
    flowing.driver.advance(20)
    flowing.subscriber.say(Nack(Ssrc(1), VIDEO_SSRC, tuple(asked)))
    probe(flowing, size_bytes=300)
    flowing.driver.advance(1_500)
    probe(flowing, size_bytes=600)
    flowing.driver.advance(20)
    packets = [one.packet for one in flowing.subscriber.heard if one.packet.ssrc == RTX_SSRC]
    numbers = [packet.sequence_number for packet in packets]
    assert numbers == [(numbers[0] + index) % 2**16 for index in range(len(numbers))]
    assert {packet.padding_bytes for packet in packets} == {0, PADDING_BYTES}


def test_where_nothing_is_kept_padding_goes_on_the_rtx_stream(flowing: Call) -> None:
    flowing.low.send_frame()
    (newest,) = flowing.video()
    flowing.driver.advance(MAX_AGE_S * 1_000 + 1)
    forget(flowing)
    probe(flowing, size_bytes=600)
    flowing.driver.advance(20)
    packets = flowing.subscriber.take_rtp()
    assert packets
    for packet in packets:
        assert packet.ssrc == RTX_SSRC
        assert packet.payload_type == DOWN_VP8.rtx_payload_type
        assert packet.timestamp == newest.timestamp
        assert is_pure_padding(packet)
        assert packet.extension(DOWN_EXTENSIONS[Extension.MID]) == b"7"
    assert padding_sent(flowing) == heard_bytes(flowing)


def test_padding_may_be_the_first_that_an_rtx_stream_carries(call: Call) -> None:
    probe(call, size_bytes=600)
    call.driver.advance(20)
    packets = call.subscriber.take_rtp()
    assert packets
    assert all(packet.ssrc == RTX_SSRC and is_pure_padding(packet) for packet in packets)
    assert all(packet.timestamp == 0 for packet in packets)


def test_what_grows_too_large_over_rtx_is_no_filler(flowing: Call) -> None:
    # 1,400 bytes with the tag of encryption that is reckoned with: two more do not fit.
    flowing.low.send_frame(size=1_350)
    assert len(flowing.video()) == 1
    probe(flowing, size_bytes=600)
    flowing.driver.advance(20)
    packets = flowing.subscriber.take_rtp()
    assert packets
    assert all(is_pure_padding(packet) or packet.payload for packet in packets)


def only_sound(driver: PlaneDriver) -> Call:
    call = Call.of(driver)
    driver.apply(RemoveRoute(VIDEO))
    return call


def test_where_nothing_has_rtx_padding_goes_on_no_stream_and_says_nothing_but_its_number(
    driver: PlaneDriver,
) -> None:
    call = only_sound(driver)
    call.driver.aim(AUDIO, 0)
    probe(call, size_bytes=800)
    call.driver.advance(5)
    call.voice.send(call.voice.packet(b"sound"))
    call.driver.advance(20)
    packets = call.subscriber.take_rtp()
    blanks = [packet for packet in packets if packet.ssrc == NO_SSRC]
    assert len(blanks) == 3
    assert [packet.sequence_number for packet in blanks] == [0, 1, 2]
    for packet in blanks:
        assert packet.payload_type == NO_PAYLOAD_TYPE
        assert is_pure_padding(packet)
        assert [number for number, _ in packet.extensions] == [DOWN_EXTENSIONS[Extension.TRANSPORT_CC]]
    numbers = [packet.extension(DOWN_EXTENSIONS[Extension.TRANSPORT_CC]) for packet in packets]
    assert numbers == [number.to_bytes(2, "big") for number in range(len(packets))]


class NoBlanks(NullSrtp):
    """Refuses to encrypt what belongs to no stream."""

    def protect(self, packet: bytes) -> bytes | DropReason:
        return DropReason.RTP_MALFORMED if packet[8:12] == bytes(4) else super().protect(packet)


def test_a_filler_that_can_not_be_sent_is_not_tried_for_ever() -> None:
    call = only_sound(PlaneDriver(srtp=NoBlanks))
    probe(call, size_bytes=800)
    call.driver.advance(100)
    assert call.subscriber.heard == []
    assert call.driver.drops(DropReason.RTP_MALFORMED) == 4


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_padding_passes_encryption(core: Callable[[MediaConfig, SrtpFactory], Core]) -> None:
    call = only_sound(PlaneDriver(core, LibSrtp))
    probe(call, size_bytes=3_000)
    call.driver.advance(50)
    assert [one.size_bytes for one in call.subscriber.heard] == [12 + 8 + PADDING_BYTES + 16] * 11


def test_without_a_transport_wide_number_there_are_no_fillers_before_there_is_one(
    driver: PlaneDriver,
) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    unnumbered = dict(DOWN_EXTENSIONS)
    del unnumbered[Extension.TRANSPORT_CC]
    driver.apply(
        camera(publisher.transport),
        microphone(publisher.transport),
        video_route(subscriber.transport, extensions=unnumbered),
    )
    driver.pace(subscriber.transport, padding_bps=100_000)
    driver.probe(subscriber.transport, CLUSTER, 4_000_000, 1_000)
    driver.advance(500)
    assert subscriber.heard == []
    driver.apply(audio_route(subscriber.transport))
    driver.advance(1)
    assert {one.packet.ssrc for one in subscriber.heard} == {NO_SSRC}
    driver.advance(100)
    assert len(subscriber.heard) >= 4


def test_fillers_begin_when_the_peer_can_be_sent_to(driver: PlaneDriver) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.known(driver, 2)
    driver.apply(camera(publisher.transport), video_route(subscriber.transport))
    driver.pace(subscriber.transport, padding_bps=100_000)
    driver.probe(subscriber.transport, CLUSTER, 4_000_000, 1_000)
    driver.advance(100)
    subscriber.check()
    driver.advance(100)
    subscriber.install()
    driver.advance(1)
    assert {one.packet.ssrc for one in subscriber.heard} == {RTX_SSRC}


def test_a_nomination_lets_fillers_begin_too(driver: PlaneDriver) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.known(driver, 2)
    subscriber.check(nominate=False)
    subscriber.install()
    driver.apply(camera(publisher.transport), video_route(subscriber.transport))
    driver.pace(subscriber.transport, padding_bps=100_000)
    driver.advance(100)
    assert subscriber.heard == []
    subscriber.check()
    driver.advance(1)
    assert {one.packet.ssrc for one in subscriber.heard} == {RTX_SSRC}


def test_padding_fills_up_to_its_rate_whatever_the_media(flowing: Call) -> None:
    flowing.driver.pace(flowing.subscriber.transport, padding_bps=200_000)
    flowing.driver.advance(MAX_AGE_S * 1_000)
    forget(flowing)
    flowing.driver.advance(1_000)
    assert heard_bytes(flowing) * 8 == pytest.approx(200_000, rel=0.02)
    forget(flowing)
    for _ in range(20):
        flowing.low.send_frame(size=1_066)
        flowing.driver.advance(50)
    # 22 kB of media alone are 176 kbit/s, and padding makes up the rest.
    assert heard_bytes(flowing) * 8 == pytest.approx(200_000, rel=0.07)
    flowing.driver.pace(flowing.subscriber.transport)
    forget(flowing)
    flowing.driver.advance(1_000)
    assert flowing.subscriber.heard == []


def test_padding_is_paced_itself(flowing: Call) -> None:
    flowing.driver.pace(flowing.subscriber.transport, 100_000, padding_bps=400_000)
    flowing.driver.advance(2_000)
    assert heard_bytes(flowing) * 8 == pytest.approx(200_000, rel=0.05)


def test_routes_without_rtx_of_their_own_leave_fillers_to_others(driver: PlaneDriver) -> None:
    call = Call.of(driver)
    driver.apply(
        RemoveRoute(VIDEO),
        video_route(call.subscriber.transport, RouteId(8), ssrc=Ssrc(8), rtx_ssrc=None),
        video_route(
            call.subscriber.transport,
            RouteId(9),
            ssrc=Ssrc(70_000),
            rtx_ssrc=Ssrc(70_001),
            mid="12",
        ),
    )
    driver.aim(RouteId(8), 0)
    call.low.send_frame(key=True)
    driver.advance(5)
    forget(call)
    probe(call, size_bytes=400)
    driver.advance(20)
    assert {packet.ssrc for packet in call.subscriber.take_rtp()} == {70_001}


def test_a_route_whose_formats_have_lost_rtx_is_no_carrier(flowing: Call) -> None:
    without = replace(DOWN_VP8, rtx_payload_type=None)
    flowing.driver.apply(video_route(flowing.subscriber.transport, formats=(without,)))
    probe(flowing, size_bytes=400)
    flowing.driver.advance(20)
    assert {packet.ssrc for packet in flowing.subscriber.take_rtp()} == {NO_SSRC}
