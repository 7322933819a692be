"""What only happens where a track's subscribers live on another worker than its publisher.

All else of the contract is tested there as well: one of `CORES` is two cores and a trunk.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Final

import pytest

from sfu.config import MediaConfig
from sfu.plane import DropReason, Extension, RemoveRoute, RemoveTrack, RemoveTransport
from sfu.rtp.rtcp import Bye, Nack, Pli, SenderReport
from sfu.units import RouteId, Ssrc, TrackHandle, TransportId
from tests.support.plane_driver import ApartCore, PlaneDriver
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
    microphone,
)

if TYPE_CHECKING:
    from sfu.plane import PlaneOperation

PLACES: Final = 2_048
"""Of a trunk."""
SECOND: Final = RouteId(11)
"""To a second subscriber."""
PUBLISHER: Final = TransportId(1)
SUBSCRIBER: Final = TransportId(2)


class TurnsCore(ApartCore):
    """Peers live on two workers by turns: the first subscriber elsewhere, the second with its publisher."""

    @staticmethod
    def worker_of(transport: TransportId) -> int:
        return transport % 2


@pytest.fixture
def call() -> Call:
    """A publisher on one worker, a subscriber on another; the lowest encoding flows."""
    call = Call.of(PlaneDriver(ApartCore))
    call.driver.aim(VIDEO, 0)
    call.driver.aim(AUDIO, 0)
    call.low.send_frame(key=True)
    assert len(call.video()) == 1
    return call


def test_where_a_trunk_is_full_sound_passes_and_video_comes_when_there_is_room(call: Call) -> None:
    call.driver.stall(ApartCore.FAR, is_stalled=True)
    sent = sum(len(call.low.send_frame(parts=100, size=500)) for _ in range(20))
    for _ in range(50):
        call.voice.send(call.voice.packet(b"opus"))
    assert call.subscriber.take_rtp() == []
    call.driver.advance(100)
    call.driver.stall(ApartCore.FAR, is_stalled=False)
    heard = call.subscriber.take_rtp()
    assert sum(packet.ssrc == AUDIO_SSRC for packet in heard) == 50
    seen = [packet for packet in heard if packet.ssrc == VIDEO_SSRC]
    numbers = sorted(packet.sequence_number for packet in seen)
    assert numbers == list(range(numbers[0], numbers[0] + sent))
    # Each as what it was sent: the last of a frame is where it belongs.
    markers = {packet.sequence_number for packet in seen if packet.marker}
    assert markers == set(numbers[99::100])
    refused = call.driver.drops(DropReason.TRUNK_FULL)
    assert sent - PLACES * 3 / 4 <= refused < sent - PLACES * 3 / 4 + 10


def test_what_has_waited_for_longer_than_a_cache_keeps_it_stays_a_gap(call: Call) -> None:
    call.driver.stall(ApartCore.FAR, is_stalled=True)
    sent = [packet for _ in range(20) for packet in call.low.send_frame(parts=100, size=500)]
    call.driver.advance(1_100)
    call.driver.stall(ApartCore.FAR, is_stalled=False)
    call.low.send_frame()
    numbers = [packet.sequence_number for packet in call.video()]
    refused = call.driver.drops(DropReason.TRUNK_FULL)
    assert len(numbers) == len(sent) + 1 - refused
    assert numbers[-1] - numbers[-2] == 1 + refused > 1


def test_what_nobody_beyond_wants_does_not_cross(call: Call) -> None:
    call.driver.stall(ApartCore.FAR, is_stalled=True)
    for _ in range(40):
        call.high.send_frame(key=True, parts=100, size=500)
    call.low.send_frame()
    call.driver.stall(ApartCore.FAR, is_stalled=False)
    assert len(call.video()) == 1
    assert call.driver.drops(DropReason.TRUNK_FULL) == 0
    assert call.driver.drops(DropReason.OTHER_LAYER) == 40 * 100


def test_home_is_asked_for_what_the_mirror_has_lost() -> None:
    driver = PlaneDriver(ApartCore, config=MediaConfig(packet_cache_bytes=1 << 20))
    call = Call.of(driver)
    driver.aim(VIDEO, 0)
    sent = call.low.send_frame(key=True, parts=3)
    lost = call.video()[1]
    # The subscriber's own camera takes all the room of its worker.
    driver.apply(camera(SUBSCRIBER, SINGLE, track=TrackHandle(9), mid="5"))
    own = VideoSource(call.subscriber, Ssrc(90), VP8.payload_type, elements("5"))
    for _ in range(11):
        own.send_frame(parts=100, size=1_000)
    call.subscriber.say(Nack(Ssrc(9), VIDEO_SSRC, (lost.sequence_number,)))
    (again,) = [packet for packet in call.subscriber.take_rtp() if packet.ssrc == RTX_SSRC]
    assert again.payload[2:] == lost.payload
    assert lost.payload.endswith(sent[1].payload[5:])
    row = driver.route_row(VIDEO)
    assert (row["nack_count"], row["retransmitted_packets_sent"]) == (1, 1)
    # What neither has is not answered.
    driver.advance(1_100)
    call.subscriber.say(Nack(Ssrc(9), VIDEO_SSRC, (lost.sequence_number,)))
    assert [packet for packet in call.subscriber.take_rtp() if packet.ssrc == RTX_SSRC] == []


def test_subscribers_here_and_elsewhere_have_one_key_frame_asked_for_and_see_the_same() -> None:
    call = Call.of(PlaneDriver(TurnsCore))
    near = call.second_subscriber()
    call.low.send_frame()
    call.publisher.rtcp.clear()
    for route in (VIDEO, SECOND):
        call.driver.aim(route, 0)
    assert [type(packet) for packet in call.publisher.rtcp] == [Pli]
    for key in (True, False, False):
        call.low.send_frame(key=key, parts=2)
    there, here = call.video(), near.take_rtp()
    assert len(there) == 6
    assert [packet.payload for packet in there] == [packet.payload for packet in here]
    rows = [call.driver.route_row(route) for route in (VIDEO, SECOND)]
    assert [row["packets_sent"] for row in rows] == [6, 6]
    assert call.driver.encoding_row(CAMERA)["packets_received"] == 7


def test_a_packet_that_waited_for_its_name_has_one_key_frame_asked_for() -> None:
    call = Call.of(PlaneDriver(TurnsCore))
    call.second_subscriber()
    for route in (VIDEO, SECOND):
        call.driver.aim(route, 0)
    # Sections share their ids: names stand elsewhere now, and then where they stood.
    call.driver.apply(replace(microphone(PUBLISHER), extensions={Extension.MID: 14}))
    call.low.send_frame()
    assert call.driver.drops(DropReason.WAITING_FOR_KEYFRAME) == 0
    call.driver.apply(camera(PUBLISHER))
    assert call.driver.drops(DropReason.WAITING_FOR_KEYFRAME) == 2
    for _ in range(3):
        call.driver.advance(250)
        call.driver.alive()
    asked = [packet.media_ssrc for packet in call.publisher.rtcp if isinstance(packet, Pli)]
    assert asked == [call.low.ssrc]


ENDS: Final[dict[str, PlaneOperation]] = {
    "route": RemoveRoute(VIDEO),
    "track": RemoveTrack(CAMERA),
    "publisher": RemoveTransport(PUBLISHER),
    "subscriber": RemoveTransport(SUBSCRIBER),
}


@pytest.mark.parametrize("order", tuple(permutations(ENDS)), ids="-".join)
def test_all_ends_in_any_order_and_can_begin_again(order: tuple[str, ...]) -> None:
    driver = PlaneDriver(ApartCore)
    for _ in range(2):
        call = Call.of(driver)
        driver.aim(VIDEO, 0)
        call.low.send_frame(key=True)
        assert len(call.video()) == 1
        for end in order:
            driver.apply(ENDS[end])
            if driver.core.stats(driver.now).routes.size:
                call.voice.send(call.voice.packet(b"opus"))
        ended = [packet for packet in call.subscriber.rtcp if isinstance(packet, Bye)]
        assert bool(ended) == (order[0] != "subscriber")
        stats = driver.core.stats(driver.now)
        assert [len(rows) for rows in (stats.transports, stats.encodings, stats.routes)] == [0, 0, 0]
        driver.advance(2_000)
        driver.events()


def test_a_mirror_that_is_made_late_knows_the_publishers_clock() -> None:
    call = Call.of(PlaneDriver(ApartCore))
    call.driver.apply(RemoveRoute(VIDEO))
    call.low.send_frame(key=True)
    call.low.report()
    far = call.second_subscriber()
    call.driver.aim(SECOND, 0)
    call.low.send_frame(key=True)
    call.driver.advance(200)
    reports = [packet for packet in far.rtcp if isinstance(packet, SenderReport)]
    assert [packet.ssrc for packet in reports] == [VIDEO_SSRC]
