"""When packets leave: at which rate, in which order, and what a slow receiver is spared."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfu.plane import ConsentLost, DropReason, Extension, RemoveRoute, RemoveTransport
from sfu.rows import PACING_DTYPE, PAUSED, PROBE_DTYPE
from sfu.rtp.extensions import abs_send_time
from sfu.rtp.rtcp import Nack, Pli
from sfu.rtp.vp8 import parse_vp8
from sfu.streams.pacer import MAX_QUEUED
from sfu.units import NS_PER_MS, NS_PER_S, RouteId, Ssrc, TransportId, after_ms
from tests.support.plane_driver import CORES, PlaneDriver
from tests.support.plane_media import (
    AUDIO,
    AUDIO_SSRC,
    DOWN_EXTENSIONS,
    RTX_SSRC,
    VIDEO,
    VIDEO_SSRC,
    Call,
    video_route,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.config import MediaConfig
    from sfu.dataplane.srtp import SrtpFactory
    from sfu.rtp.packet import RtpPacket
    from tests.support.plane_driver import Core, VirtualPeer

NOTHING_LEAVES_BPS = 30_000
"""A packet of 1,400 bytes takes 373 ms."""

HEAD_BYTES = 28
"""What goes in front of a payload to the subscriber, where nothing is encrypted."""
FULL = 1_100 - HEAD_BYTES - 6
KILO = 1_000 - HEAD_BYTES - 6
"""Sizes of video that make datagrams of 1,100 and 1,000 bytes, VP8 descriptor and all."""


@pytest.fixture
def paced(call: Call) -> Call:
    """The low encoding flows, its key frame has been sent, and nothing is owed for it."""
    call.driver.aim(VIDEO, 0)
    call.driver.aim(AUDIO, 0)
    call.low.send_frame(key=True)
    call.driver.advance(50)
    call.subscriber.heard.clear()
    call.subscriber.rtp.clear()
    call.publisher.take_rtcp(Pli)
    return call


def pace(call: Call, rate_bps: float, queue_limit_ms: float = 250) -> None:
    call.driver.pace(call.subscriber.transport, rate_bps, queue_limit_ms=queue_limit_ms)


def since_ms(call: Call, start: int, ssrc: Ssrc = VIDEO_SSRC) -> list[float]:
    """When packets of a stream came."""
    return [(one.at - start) / NS_PER_MS for one in call.subscriber.heard if one.packet.ssrc == ssrc]


def queued(call: Call) -> int:
    row = call.driver.transport_row(call.subscriber.transport)
    return int(row["queue_packets"])


def is_gapless(packets: list[RtpPacket]) -> bool:
    numbers = [packet.sequence_number for packet in packets]
    return all((after - before) % 2**16 == 1 for before, after in pairwise(numbers))


def element(packet: RtpPacket, extension: Extension) -> bytes:
    value = packet.extension(DOWN_EXTENSIONS[extension])
    assert value is not None
    return value


def transport_numbers(peer: VirtualPeer) -> list[int]:
    return [
        int.from_bytes(element(one.packet, Extension.TRANSPORT_CC), "big")
        for one in peer.heard
        if one.packet.extension(DOWN_EXTENSIONS[Extension.TRANSPORT_CC]) is not None
    ]


def test_before_python_sets_a_rate_everything_leaves_at_once(paced: Call) -> None:
    start = paced.driver.now
    paced.low.send_frame(parts=30, size=1_100)
    assert since_ms(paced, start) == [0] * 30
    assert queued(paced) == 0


def test_a_frame_is_spread_by_the_rate_and_a_key_frame_too(paced: Call) -> None:
    pace(paced, 2_000_000)
    start = paced.driver.now
    paced.low.send_frame(key=True, parts=4, size=FULL)
    assert queued(paced) == 3
    paced.driver.advance(100)
    assert since_ms(paced, start) == [0, 3.4, 7.8, 12.2]
    assert queued(paced) == 0
    assert is_gapless(paced.video())


def test_sound_does_not_wait_and_is_charged(paced: Call) -> None:
    pace(paced, 1_000_000)
    start = paced.driver.now
    paced.low.send_frame(parts=3, size=KILO)
    paced.voice.send(paced.voice.packet(b"s" * (500 - HEAD_BYTES)))
    paced.driver.advance(100)
    assert since_ms(paced, start, AUDIO_SSRC) == [0]
    # Without it the second would have left after 7 ms; 500 bytes are 4 ms more.
    assert since_ms(paced, start) == [0, 11, 19]


def test_numbers_and_times_are_those_of_the_departure(paced: Call) -> None:
    pace(paced, 1_000_000)
    paced.low.send_frame(parts=4, size=KILO)
    paced.voice.send(paced.voice.packet(b"sound"))
    paced.driver.advance(100)
    heard = paced.subscriber.heard
    assert [one.packet.ssrc for one in heard] == [VIDEO_SSRC, AUDIO_SSRC, VIDEO_SSRC, VIDEO_SSRC, VIDEO_SSRC]
    numbers = transport_numbers(paced.subscriber)
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    for one in heard:
        assert element(one.packet, Extension.ABS_SEND_TIME) == abs_send_time(one.at)
    assert len({one.packet.timestamp for one in heard if one.packet.ssrc == VIDEO_SSRC}) == 1


def test_another_rate_holds_at_once_for_what_waits(paced: Call) -> None:
    pace(paced, NOTHING_LEAVES_BPS)
    paced.low.send_frame(parts=5, size=KILO)
    assert queued(paced) == 4
    start = paced.driver.now
    pace(paced, float("inf"))
    assert since_ms(paced, start) == [0] * 5


def test_a_rate_is_of_one_transport(paced: Call) -> None:
    other = paced.second_subscriber()
    paced.driver.aim(video_route(other.transport).route, 0)
    pace(paced, NOTHING_LEAVES_BPS)
    paced.driver.pace(TransportId(77), 1)
    paced.low.send_frame(parts=3, size=KILO)
    assert len(other.heard) == 0  # it waits for a key frame
    assert queued(paced) == 2
    row = paced.driver.transport_row(other.transport)
    assert row["queue_packets"] == 0


def test_several_rows_are_taken_in_one_call(paced: Call) -> None:
    rows = [(TransportId(77), 1.0, 0, 250), (paced.subscriber.transport, 2_000_000.0, 0, 250)]
    paced.driver.core.set_pacing(paced.driver.now, np.array(rows, PACING_DTYPE))
    paced.driver.core.probe(paced.driver.now, np.array([(77, 1, 1e6, 1_000)], PROBE_DTYPE))
    paced.driver.advance(0)
    paced.low.send_frame(parts=3, size=KILO)
    assert queued(paced) == 2


def test_how_much_waits_and_for_how_long_is_told(paced: Call) -> None:
    pace(paced, NOTHING_LEAVES_BPS)
    paced.low.send_frame(parts=3, size=KILO)
    paced.driver.advance(40)
    paced.low.send_frame(parts=2, size=KILO)
    row = paced.driver.transport_row(paced.subscriber.transport)
    assert (row["queue_packets"], row["queue_ms"]) == (4, 40)


def test_resends_go_before_video_and_are_charged(paced: Call) -> None:
    paced.low.send_frame(parts=3, size=KILO)
    asked = [packet.sequence_number for packet in paced.video()]
    paced.driver.advance(50)
    paced.subscriber.heard.clear()
    pace(paced, 1_000_000)
    start = paced.driver.now
    paced.low.send_frame(parts=3, size=KILO)
    paced.subscriber.say(Nack(Ssrc(1), VIDEO_SSRC, tuple(asked)))
    assert queued(paced) == 2 + 3
    paced.driver.advance(100)
    ssrcs = [one.packet.ssrc for one in paced.subscriber.heard]
    assert ssrcs == [VIDEO_SSRC, RTX_SSRC, RTX_SSRC, RTX_SSRC, VIDEO_SSRC, VIDEO_SSRC]
    assert since_ms(paced, start) == pytest.approx([0, 31, 39], abs=0.2)
    assert paced.driver.route_row(VIDEO)["retransmitted_packets_sent"] == 3


def test_ciphertexts_that_are_sent_again_wait_as_well(driver: PlaneDriver) -> None:
    call = Call.of(driver)
    driver.apply(RemoveRoute(VIDEO), video_route(call.subscriber.transport, RouteId(9), rtx_ssrc=None))
    driver.aim(RouteId(9), 0)
    call.low.send_frame(key=True, parts=3, size=KILO)
    sent = list(call.subscriber.encrypted)
    driver.advance(50)
    pace(call, 1_000_000)
    call.low.send_frame(parts=2, size=KILO)
    call.subscriber.encrypted.clear()
    call.subscriber.say(
        Nack(Ssrc(1), VIDEO_SSRC, tuple(packet.sequence_number for packet in call.video()[:3]))
    )
    assert call.subscriber.encrypted == []
    driver.advance(100)
    assert call.subscriber.encrypted[:3] == sent


def test_resends_that_wait_are_bounded(paced: Call) -> None:
    for _ in range(10):
        paced.low.send_frame(parts=100, size=20)
    paced.driver.advance(10)
    asked = [packet.sequence_number for packet in paced.video()]
    pace(paced, NOTHING_LEAVES_BPS)
    paced.low.send_frame(size=KILO)
    for _ in range(2):
        for at in range(0, len(asked), 100):
            paced.subscriber.say(Nack(Ssrc(1), VIDEO_SSRC, tuple(asked[at : at + 100])))
        paced.driver.advance(100)
    waiting = queued(paced)
    assert waiting <= MAX_QUEUED
    sent = int(paced.driver.route_row(VIDEO)["retransmitted_packets_sent"])
    assert paced.driver.drops(DropReason.SLOW_RECEIVER) == 2_000 - waiting - sent


def test_a_slow_receiver_is_spared_all_up_to_a_key_frame_which_is_asked_for(paced: Call) -> None:
    pace(paced, 300_000)
    before = paced.driver.route_row(VIDEO)["packets_sent"]
    for _ in range(20):
        paced.low.send_frame(parts=2, size=FULL)
        paced.voice.send(paced.voice.packet(b"sound"))
        paced.driver.advance(1_000 / 30)
    dropped = paced.driver.drops(DropReason.SLOW_RECEIVER)
    assert dropped > 10
    sent = int(paced.driver.route_row(VIDEO)["packets_sent"] - before)
    assert sent + dropped + queued(paced) == 40
    assert paced.publisher.take_rtcp(Pli)
    # Whatever comes now is of no use, until a key frame comes.
    paced.driver.advance(500)
    paced.video()
    paced.low.send_frame(parts=2)
    assert queued(paced) == 0
    assert paced.video() == []
    paced.low.send_frame(key=True, parts=2)
    paced.low.send_frame(parts=2)
    paced.driver.advance(100)
    assert len(paced.video()) == 4
    sound = [one for one in paced.subscriber.heard if one.packet.ssrc == AUDIO_SSRC]
    assert len(sound) == 20
    everything = [one.packet for one in paced.subscriber.heard if one.packet.ssrc == VIDEO_SSRC]
    assert is_gapless(everything)
    pictures = [parse_vp8(packet.payload).picture_id for packet in everything if packet.payload[0] & 0x10]
    assert [number for number in pictures if number is not None] == sorted(set(pictures))  # type: ignore[type-var]


def test_a_link_that_is_too_narrow_by_half_is_cut_as_the_design_says(paced: Call) -> None:
    pace(paced, 300_000)
    start = paced.driver.now
    for _ in range(17):
        paced.low.send_frame(parts=2, size=FULL)
        paced.driver.advance(1_000 / 30)
        if paced.driver.drops(DropReason.SLOW_RECEIVER):
            break
    assert paced.driver.now - start == pytest.approx(17 / 30 * NS_PER_S, abs=100)
    assert len(since_ms(paced, start)) == 9 * 2 + 1
    assert since_ms(paced, start)[-1] < 550
    assert paced.driver.drops(DropReason.SLOW_RECEIVER) == 1 + 7 * 2


def test_a_key_frame_that_waits_already_is_where_it_goes_on(paced: Call) -> None:
    pace(paced, 300_000, queue_limit_ms=100)
    paced.low.send_frame(parts=6, size=FULL)
    paced.driver.advance(90)
    paced.low.send_frame(key=True, parts=2, size=FULL)
    paced.low.send_frame(size=FULL)
    paced.driver.advance(200)
    # At 29 ms a packet, four of the first frame are gone when its fifth has waited for 100.
    packets = paced.video()
    assert len(packets) == 4 + 3
    assert is_gapless(packets)
    assert [packet.marker for packet in packets] == [False] * 5 + [True] * 2
    assert paced.driver.drops(DropReason.SLOW_RECEIVER) == 2
    assert paced.publisher.take_rtcp(Pli) == []


@pytest.mark.parametrize(
    ("limit_ms", "left", "dropped"), [(150, [0, 2, 2, 0], 1), (100, [0, 2, 0], 2), (400, [0, 2, 2, 1, 0], 0)]
)
def test_frames_above_the_base_are_dropped_alone_until_their_layer_can_come_back(
    paced: Call, limit_ms: float, left: list[int], dropped: int
) -> None:
    pace(paced, 60_000, limit_ms)
    paced.low.send_frame(temporal=0, size=400)
    paced.low.send_frame(temporal=2, parts=2, size=400)
    paced.low.send_frame(temporal=1, size=400)
    paced.driver.advance(60)
    paced.low.send_frame(temporal=0, size=400)
    # 62 ms a packet: what waits is due after 61, 123, 185 and 247 ms.
    paced.driver.advance(240)
    packets = paced.video()
    heads = [parse_vp8(packet.payload) for packet in packets]
    assert [head.temporal_id for head in heads] == left
    assert is_gapless(packets)
    pictures = [head.picture_id or 0 for head in heads]
    assert pictures == [pictures[0] + sorted(set(pictures)).index(one) for one in pictures]
    assert paced.driver.drops(DropReason.SLOW_RECEIVER) == dropped
    assert paced.publisher.take_rtcp(Pli) == []
    pace(paced, float("inf"))
    came_back = 3 if dropped == 0 else 2
    paced.low.send_frame(temporal=1, size=40)
    paced.low.send_frame(temporal=0, size=40)
    paced.low.send_frame(temporal=1, sync=True, size=40)
    packets = paced.video()
    assert len(packets) == came_back
    assert is_gapless(packets)


def test_the_queue_is_bounded_in_packets(paced: Call) -> None:
    pace(paced, NOTHING_LEAVES_BPS, queue_limit_ms=10_000)
    for _ in range(MAX_QUEUED // 64):
        paced.low.send_frame(parts=64)
    paced.low.send_frame(parts=10)
    assert queued(paced) <= MAX_QUEUED
    assert paced.driver.drops(DropReason.SLOW_RECEIVER) >= MAX_QUEUED
    assert paced.driver.drops(DropReason.SLOW_RECEIVER) + queued(paced) == MAX_QUEUED + 10 - 1


def test_a_pause_takes_what_waits_away(paced: Call) -> None:
    pace(paced, NOTHING_LEAVES_BPS)
    paced.low.send_frame(parts=5, size=KILO)
    paced.driver.aim(VIDEO, PAUSED)
    assert queued(paced) == 0
    assert paced.driver.drops(DropReason.OTHER_LAYER) == 4
    pace(paced, float("inf"))
    paced.driver.aim(VIDEO, 0)
    paced.low.send_frame(key=True)
    paced.driver.advance(10)
    assert is_gapless(paced.video())


def test_what_is_asked_for_during_a_pause_waits_whoever_is_alive(paced: Call) -> None:
    paced.low.send_frame(parts=3, size=KILO)
    asked = tuple(packet.sequence_number for packet in paced.video())
    pace(paced, NOTHING_LEAVES_BPS)
    paced.low.send_frame(size=KILO)
    paced.driver.aim(VIDEO, PAUSED)
    paced.driver.advance(600)
    paced.subscriber.say(Nack(Ssrc(1), VIDEO_SSRC, asked))
    before = queued(paced)
    assert before > 0
    paced.driver.alive()
    assert queued(paced) == before


def test_what_waits_goes_with_its_route_and_its_transport(paced: Call) -> None:
    pace(paced, NOTHING_LEAVES_BPS)
    paced.low.send_frame(parts=5, size=KILO)
    paced.driver.apply(RemoveRoute(VIDEO))
    assert queued(paced) == 0
    paced.driver.apply(video_route(paced.subscriber.transport, ssrc=Ssrc(60_000), rtx_ssrc=Ssrc(60_001)))
    paced.driver.aim(VIDEO, 0)
    paced.low.send_frame(key=True, parts=5, size=KILO)
    assert queued(paced) == 5
    paced.driver.apply(RemoveTransport(paced.subscriber.transport))
    paced.driver.advance(1_000)
    assert paced.driver.lost == []


def test_a_switch_of_encodings_goes_on_in_the_queue(paced: Call) -> None:
    paced.middle.send_frame(key=True)
    paced.low.report()
    paced.middle.report()
    paced.driver.advance(200)
    paced.video()
    pace(paced, 500_000)
    paced.low.send_frame(parts=4, size=KILO)
    paced.driver.aim(VIDEO, 1)
    paced.middle.send_frame(key=True, parts=2, size=KILO)
    paced.low.send_frame()
    paced.middle.send_frame()
    paced.driver.advance(200)
    packets = paced.video()
    assert len(packets) == 7
    assert is_gapless(packets)
    pictures = [parse_vp8(packet.payload).picture_id for packet in packets]
    assert pictures[3:] == [pictures[0], pictures[0] + 1, pictures[0] + 1, pictures[0] + 2]  # type: ignore[operator]


def test_layers_that_are_left_out_while_others_wait_close_up_in_their_place(paced: Call) -> None:
    paced.driver.aim(VIDEO, 0, 0)
    pace(paced, 500_000)
    for temporal in (0, 1, 0, 1, 0):
        paced.low.send_frame(temporal=temporal, parts=2, size=400)
    paced.driver.advance(200)
    packets = paced.video()
    assert len(packets) == 6
    assert is_gapless(packets)
    pictures = [parse_vp8(packet.payload).picture_id for packet in packets]
    assert pictures[0] is not None
    assert pictures == [pictures[0] + index // 2 for index in range(6)]


def test_a_loss_upstream_stays_a_gap_and_its_repair_fills_it_from_the_queue(paced: Call) -> None:
    pace(paced, 500_000)
    first, second, third = paced.low.frame(parts=3, size=KILO)
    paced.low.send(first, third)
    paced.low.send_frame()
    paced.low.send(second)
    paced.driver.advance(200)
    numbers = [packet.sequence_number for packet in paced.video()]
    assert [number - numbers[0] for number in numbers] == [0, 2, 3, 1]


def test_without_a_pair_what_waits_is_not_sent(paced: Call) -> None:
    pace(paced, NOTHING_LEAVES_BPS, queue_limit_ms=10_000)
    for _ in range(3):
        paced.driver.advance(9_900)
        paced.publisher.check()
    paced.low.send_frame(parts=5, size=KILO)
    before = paced.driver.drops(DropReason.NO_SELECTED_PAIR)
    paced.driver.advance(1_000)
    assert ConsentLost(paced.subscriber.transport) in paced.driver.events()
    assert paced.driver.drops(DropReason.NO_SELECTED_PAIR) - before >= 3
    assert queued(paced) == 0


def test_a_key_frame_whose_first_packet_comes_late_lets_a_slow_receiver_go_on(paced: Call) -> None:
    pace(paced, NOTHING_LEAVES_BPS, queue_limit_ms=50)
    paced.low.send_frame(parts=3, size=KILO)
    paced.driver.advance(60)
    pace(paced, float("inf"))
    paced.video()
    first, second, third = paced.low.frame(key=True, parts=3)
    paced.low.send(second, third)
    paced.low.send_frame()
    assert paced.video() == []
    paced.low.send(first)
    assert [packet.payload[4:] for packet in paced.video()] == [
        packet.payload[4:] for packet in (first, second, third, paced.low.sent[-2])
    ]


@pytest.mark.parametrize("has_picture_id", [True, False])
def test_what_comes_late_from_before_a_cut_is_too_old(paced: Call, has_picture_id: bool) -> None:
    def frame(*, key: bool = False, parts: int = 1) -> list[RtpPacket]:
        packets = paced.low.frame(key=key, parts=parts, size=KILO)
        bare = [replace(packet, payload=packet.payload[:1] + packet.payload[6:]) for packet in packets]
        return (
            packets
            if has_picture_id
            else [
                replace(packet, payload=bytes((packet.payload[0] & 0x10,)) + packet.payload[1:])
                for packet in bare
            ]
        )

    pace(paced, NOTHING_LEAVES_BPS, queue_limit_ms=50)
    first, late, third = frame(parts=3)
    paced.low.send(first, third)
    paced.driver.advance(40)
    paced.low.send(*frame(key=True))
    paced.driver.advance(20)
    pace(paced, float("inf"))
    paced.low.send(late)
    packets = paced.video()
    assert [packet.payload[-KILO + 1 :] for packet in packets] == [first.payload[-KILO + 1 :]] * 2
    assert is_gapless(packets)
    assert paced.driver.drops(DropReason.TOO_OLD) == 1


def test_what_waits_when_its_codec_is_taken_away_closes_up(paced: Call) -> None:
    pace(paced, NOTHING_LEAVES_BPS, queue_limit_ms=10_000)
    paced.low.send_frame(parts=3, size=KILO)
    paced.driver.apply(video_route(paced.subscriber.transport, formats=()))
    pace(paced, float("inf"))
    assert paced.driver.drops(DropReason.CODEC_NOT_NEGOTIATED) == 2
    paced.driver.apply(video_route(paced.subscriber.transport))
    paced.low.send_frame()
    packets = paced.video()
    assert len(packets) == 2
    assert is_gapless(packets)


def test_room_is_made_for_what_is_left_out_too(paced: Call) -> None:
    paced.driver.aim(VIDEO, 0, 0)
    pace(paced, NOTHING_LEAVES_BPS, queue_limit_ms=10_000)
    paced.low.send_frame(size=KILO)
    paced.low.send_frame(size=KILO)
    for _ in range(MAX_QUEUED - 2):
        paced.low.send_frame(temporal=1)
    paced.low.send_frame(key=True)
    assert queued(paced) == 2
    paced.low.send_frame(temporal=1)
    assert queued(paced) == 1
    paced.low.send_frame(temporal=1)
    pace(paced, float("inf"))
    packets = paced.video()
    assert len(packets) == 2
    assert is_gapless(packets)


def test_ciphertexts_that_wait_when_the_pair_is_lost_are_not_sent(driver: PlaneDriver) -> None:
    call = Call.of(driver)
    unnumbered = dict(DOWN_EXTENSIONS)
    del unnumbered[Extension.TRANSPORT_CC]
    bare = video_route(call.subscriber.transport, RouteId(9), rtx_ssrc=None, extensions=unnumbered)
    driver.apply(RemoveRoute(VIDEO), bare)
    driver.aim(RouteId(9), 0)
    for _ in range(3):
        driver.advance(9_950)
        call.publisher.check()
    call.low.send_frame(key=True, parts=3, size=KILO)
    asked = tuple(packet.sequence_number for packet in call.video())
    call.subscriber.say(Nack(Ssrc(1), VIDEO_SSRC, asked[:1]))
    assert len(call.subscriber.encrypted) == 4
    pace(call, NOTHING_LEAVES_BPS)
    call.subscriber.say(Nack(Ssrc(1), VIDEO_SSRC, asked[1:]))
    driver.advance(1_000)
    assert len(call.subscriber.encrypted) == 5
    assert driver.drops(DropReason.NO_SELECTED_PAIR) == 1


FRAMES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 12), st.booleans(), st.integers(20, 1_200)),
    min_size=1,
    max_size=25,
)


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
@given(frames=FRAMES, rate_bps=st.integers(100_000, 20_000_000), limit_ms=st.integers(20, 400))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_comes_the_subscriber_sees_no_gap_and_never_more_than_the_rate(
    core: Callable[[MediaConfig, SrtpFactory], Core],
    frames: list[tuple[int, int, bool, int]],
    rate_bps: int,
    limit_ms: int,
) -> None:
    call = Call.of(PlaneDriver(core))
    call.driver.aim(VIDEO, 0)
    call.driver.aim(AUDIO, 0)
    pace(call, rate_bps, limit_ms)
    for wait_ms, parts, key, size in frames:
        call.low.send_frame(key=key, parts=parts, size=size)
        before = len(call.subscriber.heard)
        call.voice.send(call.voice.packet(b"s" * 20))
        assert call.subscriber.heard[before].packet.ssrc == AUDIO_SSRC
        call.driver.advance(wait_ms)
    call.driver.advance(1_000)
    heard = call.subscriber.heard
    numbers = transport_numbers(call.subscriber)
    assert numbers == list(range(len(heard)))
    assert is_gapless([one.packet for one in heard if one.packet.ssrc == VIDEO_SSRC])
    video = [one for one in heard if one.packet.ssrc == VIDEO_SSRC]
    for first in range(len(video)):
        total = 0
        for one in video[first:]:
            total += one.size_bytes
            elapsed_ns = one.at - video[first].at
            burst = max(rate_bps // 8 * 5 // 1_000, 1_400 + rate_bps // 8_000)
            assert total <= rate_bps // 8 * elapsed_ns // NS_PER_S + burst + 64


def test_what_has_waited_too_long_is_not_sent_because_a_timer_is_late(call: Call) -> None:
    driver = call.driver
    driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    driver.advance(1_000)
    driver.pace(call.subscriber.transport, 300_000, queue_limit_ms=100)
    call.low.send_frame(parts=4, size=1_100)
    call.video()
    driver.now = after_ms(driver.now, 400)
    call.low.send_frame()
    driver.advance(0)
    assert call.video() == []
    assert driver.drops(DropReason.SLOW_RECEIVER) == 4
