from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Pli, serialise_compound
from sfu.rtp.vp8 import parse_vp8
from sfu.simulation.encoder import HEADER_BYTES
from sfu.simulation.publisher import (
    SOUND_BPS,
    SOUNDS_PER_S,
    START_BPS,
    Publisher,
    encoding_rates,
    sound_number,
)
from sfu.simulation.scenario import START, Camera, MediaFlow, at_s
from sfu.units import Ssrc

VIDEO, AUDIO = Ssrc(10), Ssrc(9)
LADDER = (100_000, 400_000, 1_600_000)


def publisher(flow: MediaFlow | None = None) -> Publisher:
    flow = flow or MediaFlow()
    pictures = [
        [Ssrc(VIDEO + 10 * number + encoding) for encoding in range(len(camera.layers_bps))]
        for number, camera in enumerate(flow.cameras)
    ]
    return Publisher(flow, pictures or [[VIDEO]], AUDIO, random.Random(1))


def published(one: Publisher, end_s: float) -> list[tuple[float, RtpPacket]]:
    """(second, packet) up to `end_s`, from where it stands."""
    packets = []
    while (at := one.next_timeout()) is not None and at < at_s(end_s):
        packets += [((at - START) / 1e9, RtpPacket.parse(data)) for data in one.poll(at)]
    return packets


def video_bps(packets: list[tuple[float, RtpPacket]], seconds: float, ssrc: Ssrc = VIDEO) -> float:
    """As a subscriber's transport counts it."""
    return sum(8 * (len(one.payload) + HEADER_BYTES) for _, one in packets if one.ssrc == ssrc) / seconds


@pytest.mark.parametrize("target_bps", [300_000, 1_000_000, 5_000_000])
def test_video_and_sound_come_to_the_target(target_bps: float) -> None:
    one = publisher()
    one.set_target(target_bps)
    published(one, 2)
    seen = published(one, 12)
    assert video_bps(seen, 10) == pytest.approx(target_bps - SOUND_BPS, rel=0.03)
    assert sum(packet.ssrc == AUDIO for _, packet in seen) == 10 * SOUNDS_PER_S


def test_without_a_target_it_sends_what_is_safe() -> None:
    one = publisher()
    assert one.video_bps == START_BPS
    one.set_target(1e6)
    one.set_target(math.inf)
    assert one.video_bps == START_BPS


def test_the_source_has_a_least_and_a_most() -> None:
    one = publisher(MediaFlow(max_bps=1_000_000, min_bps=100_000))
    for target_bps, expected in ((5e6, 1_000_000), (10_000, 100_000)):
        one.set_target(target_bps)
        assert one.video_bps == expected


def test_frames_are_what_a_plane_takes_for_vp8() -> None:
    first, *others = (packet for _, packet in published(publisher(), 0.5) if packet.ssrc == VIDEO)
    descriptor = parse_vp8(first.payload)
    assert descriptor.starts_key_frame
    starts = [one for one in others if parse_vp8(one.payload).picture_id != descriptor.picture_id]
    assert not any(parse_vp8(one.payload).starts_key_frame for one in starts)


def test_a_key_frame_comes_when_it_is_asked_for() -> None:
    one = publisher()
    published(one, 0.5)
    one.receive(serialise_compound([Pli(Ssrc(1), VIDEO)]))
    one.receive(b"\x80\xc8nonsense")
    packets = [packet for _, packet in published(one, 1) if packet.ssrc == VIDEO]
    assert sum(parse_vp8(packet.payload).starts_key_frame for packet in packets) == 1


def test_pauses_and_the_end_are_silent() -> None:
    packets = published(publisher(MediaFlow(starts_at_s=1, ends_at_s=5, pauses=((2, 3),))), 9)
    video = [at for at, packet in packets if packet.ssrc == VIDEO]
    sound = [at for at, packet in packets if packet.ssrc == AUDIO]
    assert 1 <= min(video) < 1.1
    assert not any(2 <= at < 3 for at in video)
    assert any(2 <= at < 3 for at in sound)
    assert max(video) < 5
    assert max(sound) < 5


def test_a_camera_has_encodings_of_its_rates_in_three_temporal_layers() -> None:
    one = publisher(MediaFlow(cameras=(Camera(LADDER),)))
    published(one, 1)
    seen = published(one, 11)
    for encoding, bps in enumerate(LADDER):
        assert video_bps(seen, 10, Ssrc(VIDEO + encoding)) == pytest.approx(bps, rel=0.05)
    middle = [packet for _, packet in seen if packet.ssrc == VIDEO + 1]
    layers = Counter[int | None]()
    for packet in middle:
        layers[parse_vp8(packet.payload).temporal_id] += len(packet.payload) + HEADER_BYTES
    parts = [layers[number] / layers.total() for number in range(3)]
    assert parts == pytest.approx([0.4, 0.2, 0.4], abs=0.02)


def test_a_key_frame_begins_the_pattern_of_temporal_layers_anew() -> None:
    one = publisher(MediaFlow(cameras=(Camera(LADDER),)))
    published(one, 0.4)
    one.receive(serialise_compound([Pli(Ssrc(1), VIDEO)]))
    starts = [
        parse_vp8(packet.payload)
        for _, packet in published(one, 0.7)
        if packet.ssrc == VIDEO and parse_vp8(packet.payload).starts_frame
    ]
    assert starts[0].starts_key_frame
    assert [frame.temporal_id for frame in starts[:8]] == [0, 2, 1, 2] * 2
    assert (starts[4].tl0_pic_idx or 0) - (starts[0].tl0_pic_idx or 0) == 1


def test_cameras_join_one_by_one_and_do_not_send_at_the_same_instants() -> None:
    cameras = (Camera(LADDER[:1]), Camera(LADDER[:1], starts_at_s=2))
    packets = published(publisher(MediaFlow(cameras=cameras)), 4)
    first, second = ({at for at, one in packets if one.ssrc == ssrc} for ssrc in (VIDEO, VIDEO + 10))
    assert min(first) == 0
    assert 2 <= min(second) < 2.05
    assert not first & second


@pytest.mark.parametrize(
    ("target_bps", "rates"),
    [
        (10_000, [25_000, 0, 0]),
        (80_000, [80_000, 0, 0]),
        (190_000, [100_000, 0, 0]),
        (250_000, [100_000, 150_000, 0]),
        (1_000_000, [100_000, 400_000, 500_000]),
        (math.inf, [100_000, 400_000, 1_600_000]),
    ],
)
def test_encodings_are_fed_from_the_lowest_on(target_bps: float, rates: list[float]) -> None:
    assert encoding_rates(LADDER, target_bps) == rates


def test_an_encoding_that_comes_back_begins_with_a_key_frame() -> None:
    one = publisher(MediaFlow(cameras=(Camera(LADDER),)))
    published(one, 1)
    one.set_target(LADDER[0])
    assert not [packet for _, packet in published(one, 2) if packet.ssrc == VIDEO + 1]
    one.set_target(math.inf)
    first, *_ = [packet for _, packet in published(one, 3) if packet.ssrc == VIDEO + 1]
    assert parse_vp8(first.payload).starts_key_frame


def test_sound_is_numbered() -> None:
    packets = [packet for _, packet in published(publisher(), 1) if packet.ssrc == AUDIO]
    assert [sound_number(packet.payload) for packet in packets] == list(range(SOUNDS_PER_S))
