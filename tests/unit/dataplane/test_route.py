"""One track to one subscriber: packet rules 1, 3, 6 and 11 of the contract."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from sfu.dataplane.srtp import TAG_BYTES
from sfu.dataplane.wire import MAX_PACKET_BYTES
from sfu.plane import Codec, DropReason, Extension, PayloadFormat
from sfu.rows import PAUSED
from sfu.rtp.packet import ONE_BYTE_PROFILE, TWO_BYTE_PROFILE, RtpPacket
from sfu.rtp.rtcp import Pli
from sfu.rtp.vp8 import parse_vp8
from sfu.units import PayloadType, Ssrc
from tests.support.plane_driver import PlaneDriver, VirtualPeer
from tests.support.plane_media import (
    AUDIO,
    AUDIO_SSRC,
    CAMERA,
    DOWN_EXTENSIONS,
    DOWN_VP8,
    EXTENSIONS,
    H264,
    SINGLE,
    VIDEO,
    VIDEO_SSRC,
    VP8,
    Call,
    VideoSource,
    audio_route,
    camera,
    elements,
    video_route,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def picture_ids(packets: Sequence[RtpPacket]) -> list[int | None]:
    return [parse_vp8(packet.payload).picture_id for packet in packets]


def steps(numbers: Sequence[int], modulus: int) -> list[int]:
    return [(after - before) % modulus for before, after in pairwise(numbers)]


def seq_steps(packets: Sequence[RtpPacket]) -> list[int]:
    return steps([packet.sequence_number for packet in packets], 2**16)


def ts_steps(packets: Sequence[RtpPacket]) -> list[int]:
    return steps([packet.timestamp for packet in packets], 2**32)


def test_nothing_is_sent_before_a_target_chooses_an_encoding(call: Call) -> None:
    call.low.send_frame(key=True)
    call.voice.send(call.voice.packet(b"opus"))
    assert call.subscriber.take_rtp() == []
    assert call.driver.drops(DropReason.OTHER_LAYER) == 2


def test_a_target_starts_at_a_key_frame_and_goes_on_without_gaps(call: Call) -> None:
    call.low.send_frame()
    call.driver.aim(VIDEO, 0)
    call.low.send_frame()
    assert call.video() == []
    assert call.driver.drops(DropReason.WAITING_FOR_KEYFRAME) == 1
    call.low.send_frame(key=True, parts=3)
    call.low.send_frame(parts=2)
    packets = call.video()
    assert seq_steps(packets) == [1, 1, 1, 1]
    assert ts_steps(packets) == [0, 0, 3_000, 0]
    assert [packet.marker for packet in packets] == [False, False, True, False, True]
    assert [packet.payload[6:] for packet in packets] == [packet.payload[6:] for packet in call.low.sent[-5:]]


def test_the_numbers_are_those_of_the_subscribers_leg(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    level = (EXTENSIONS[Extension.VIDEO_ORIENTATION], b"\x02")
    unknown = (13, b"of another leg")
    packet = replace(call.low.frame(key=True)[0])
    call.low.send(replace(packet, extensions=(*packet.extensions, level, unknown)))
    (sent,) = call.video()
    assert sent.payload_type == DOWN_VP8.payload_type
    assert sent.ssrc == VIDEO_SSRC
    assert sent.extension(DOWN_EXTENSIONS[Extension.MID]) == b"7"
    assert sent.extension(DOWN_EXTENSIONS[Extension.VIDEO_ORIENTATION]) == b"\x02"
    assert {number for number, _ in sent.extensions} == {
        DOWN_EXTENSIONS[uri]
        for uri in (
            Extension.MID,
            Extension.VIDEO_ORIENTATION,
            Extension.TRANSPORT_CC,
            Extension.ABS_SEND_TIME,
        )
    }


def test_one_transport_wide_counter_spans_audio_and_video(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.driver.aim(AUDIO, 0)
    for key in (True, False):
        call.low.send_frame(key=key, parts=2)
        call.voice.send(call.voice.packet(b"opus"))
    numbers = [
        packet.extension(DOWN_EXTENSIONS[Extension.TRANSPORT_CC]) for packet in call.subscriber.take_rtp()
    ]
    assert numbers == [number.to_bytes(2, "big") for number in range(6)]


def test_a_packet_without_the_extension_uses_no_transport_wide_number_up(call: Call) -> None:
    call.driver.apply(replace(audio_route(call.subscriber.transport), extensions={Extension.MID: 9}))
    call.driver.aim(VIDEO, 0)
    call.driver.aim(AUDIO, 0)
    for key in (True, False):
        call.low.send_frame(key=key)
        call.voice.send(call.voice.packet(b"opus"))
    ids = DOWN_EXTENSIONS[Extension.TRANSPORT_CC]
    numbers = [packet.extension(ids) for packet in call.subscriber.take_rtp()]
    assert numbers == [b"\x00\x00", None, b"\x00\x01", None]


def test_abs_send_time_is_that_of_sending(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.advance(500)
    call.low.send_frame()
    times = [
        int.from_bytes(packet.extension(DOWN_EXTENSIONS[Extension.ABS_SEND_TIME]) or b"", "big")
        for packet in call.video()
    ]
    assert steps(times, 2**24) == [2**17]


@pytest.mark.parametrize("wide", [True, False])
def test_a_layer_switch_leaves_no_gap_in_numbers_timestamps_and_picture_ids(
    call: Call, *, wide: bool
) -> None:
    call.low.wide_picture_id = wide
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.middle.send_frame(key=True)
    call.low.report()
    call.middle.report()
    call.low.send_frame(parts=2)
    call.driver.aim(VIDEO, 1)
    call.low.send_frame(parts=2)
    call.middle.send_frame(parts=2)
    call.driver.advance(33)
    call.middle.send_frame(key=True, parts=2)
    call.low.send_frame()
    call.middle.send_frame()
    packets = call.video()
    assert len(packets) == 8
    assert set(seq_steps(packets)) == {1}
    assert all(step < 10_000 for step in ts_steps(packets))
    ids = [number for number in picture_ids(packets) if number is not None]
    assert len(ids) == len(packets)
    assert steps(ids, 2**15) == [1, 0, 1, 0, 1, 0, 1]
    row = call.driver.route_row(VIDEO)
    assert (row["encoding"], row["target_encoding"], row["switches"]) == (1, 1, 1)


def test_the_old_encoding_flows_until_the_key_frame_of_the_new_one(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.middle.send_frame(key=True)
    call.driver.aim(VIDEO, 1)
    for _ in range(3):
        call.low.send_frame()
        call.middle.send_frame()
    assert len(call.video()) == 4
    row = call.driver.route_row(VIDEO)
    assert (row["encoding"], row["target_encoding"], row["switches"]) == (0, 1, 0)


def test_pausing_stops_at_once_and_coming_back_waits_for_a_key_frame(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.aim(VIDEO, PAUSED)
    call.low.send_frame(parts=5)
    call.driver.aim(VIDEO, 0)
    call.low.send_frame()
    call.low.send_frame(key=True)
    packets = call.video()
    assert seq_steps(packets) == [1]
    assert ts_steps(packets) == [9_000]
    assert picture_ids(packets) == [1, 2]


def test_temporal_layers_above_the_target_close_up(call: Call) -> None:
    call.driver.aim(VIDEO, 0, 0)
    call.low.send_frame(key=True)
    for temporal in (2, 1, 2, 0):
        call.low.send_frame(temporal=temporal, sync=True, parts=2)
    packets = call.video()
    assert seq_steps(packets) == [1, 1]
    assert ts_steps(packets) == [12_000, 0]
    assert picture_ids(packets) == [1, 2, 2]
    assert call.driver.drops(DropReason.TEMPORAL_LAYER) == 6
    assert call.driver.route_row(VIDEO)["temporal"] == 0


def test_a_loss_on_the_way_to_us_stays_a_gap_and_the_late_packet_fills_it(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    first, lost, last = call.low.frame(parts=3)
    call.low.send(first, last)
    assert seq_steps(call.video()) == [1, 2]
    call.low.send(lost)
    (late,) = call.video()
    assert late.payload[6:] == lost.payload[6:]
    call.low.send_frame()
    (after,) = call.video()
    assert seq_steps([late, after]) == [2]


def test_duplicates_are_not_forwarded(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    (packet,) = call.low.send_frame(key=True)
    call.publisher.send(packet)
    assert len(call.video()) == 1
    assert call.driver.drops(DropReason.DUPLICATE) == 1


def test_numbers_go_on_over_every_wrap(call: Call) -> None:
    call.low.seq, call.low.ts, call.low.picture_id = 2**16 - 10, 2**32 - 30_000, 2**15 - 10
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    for _ in range(40):
        call.low.send_frame(parts=2)
    packets = call.video()
    assert len(packets) == 81
    assert set(seq_steps(packets)) == {1}
    assert set(ts_steps(packets)) == {0, 3_000}
    assert all(step in (0, 1) for step in steps([number or 0 for number in picture_ids(packets)], 2**15))


def test_outgoing_numbers_wrap_as_well(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    for _ in range(200):
        call.low.seq += 899  # as if so many were lost on the way to us
        call.low.send_frame()
    packets = call.video()
    assert packets[0].sequence_number < 2**15
    assert set(seq_steps(packets)) == {900}


def test_padding_of_the_publisher_is_for_nobody(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.low.send(replace(call.low.packet(b""), padding_bytes=200))
    call.low.send_frame()
    assert seq_steps(call.video()) == [1]
    assert call.driver.drops(DropReason.PADDING_ONLY) == 1


def test_a_codec_that_the_subscriber_cannot_decode_is_not_sent(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    other = replace(call.low.packet(b"\x65idr"), payload_type=H264.payload_type)
    call.low.send(other)
    call.low.send_frame(key=True)
    assert seq_steps(call.video()) == [1]
    assert call.driver.drops(DropReason.CODEC_NOT_NEGOTIATED) == 1


def test_the_same_codec_is_found_under_any_number(driver: PlaneDriver) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    theirs = PayloadFormat("H264", Codec.H264, PayloadType(45), 90_000, PayloadType(46))
    driver.apply(
        camera(publisher.transport, SINGLE), video_route(subscriber.transport, formats=(DOWN_VP8, theirs))
    )
    driver.aim(VIDEO, 0)
    source = VideoSource(publisher, Ssrc(10), H264.payload_type, elements("0"))
    source.send(source.packet(b"\x65idr"), source.packet(b"\x41delta"))
    assert [(packet.payload_type, packet.payload) for packet in subscriber.take_rtp()] == [
        (45, b"\x65idr"),
        (45, b"\x41delta"),
    ]


def test_silence_of_opus_is_no_end(call: Call) -> None:
    call.driver.aim(AUDIO, 0)
    for _ in range(3):
        call.voice.send(call.voice.packet(b"opus"))
        call.voice.ts += 960
    call.driver.advance(400)
    call.voice.ts += 19_200 - 960
    call.voice.send(call.voice.packet(b"\x01"))
    packets = call.subscriber.take_rtp()
    assert [packet.payload for packet in packets] == [b"opus"] * 3 + [b"\x01"]
    assert {packet.ssrc for packet in packets} == {AUDIO_SSRC}
    assert seq_steps(packets) == [1, 1, 1]
    assert ts_steps(packets) == [960, 960, 19_200]


def test_no_packet_is_longer_than_the_path_allows(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    for size in range(1_330, 1_400):
        call.low.send(*call.low.frame(size=size))
    packets = call.video()
    assert 1 < len(packets) < 71
    assert call.driver.drops(DropReason.TOO_LARGE) == 71 - len(packets)
    assert max(len(packet.serialise()) for packet in packets) == MAX_PACKET_BYTES - TAG_BYTES
    # What was too large is lost: half a frame must not look like a whole one.
    call.low.send_frame()
    (after,) = call.video()
    assert seq_steps([packets[-1], after]) == [72 - len(packets)]


def profile_of(packet: bytes) -> int:
    return int.from_bytes(packet[12:14], "big")


def descriptor(bits: str, size: int) -> bytes:
    """A dependency descriptor of a whole frame, number 0, with these bits behind the mandatory ones."""
    return int(("11" + "0" * 22 + bits).ljust(8 * size, "0"), 2).to_bytes(size, "big")


LONG = descriptor("1" + "0" * 4 + "0" * 6 + "0" * 5 + "11" + "10" + "0" * 3, 40)
"""With the structure that makes it a key frame's."""


@pytest.mark.parametrize(
    ("ids", "mixed", "profiles"),
    [
        ({Extension.MID: 9}, False, [ONE_BYTE_PROFILE, ONE_BYTE_PROFILE]),
        ({Extension.MID: 15}, False, [TWO_BYTE_PROFILE, TWO_BYTE_PROFILE]),
        ({Extension.DEPENDENCY_DESCRIPTOR: 9}, False, [TWO_BYTE_PROFILE, TWO_BYTE_PROFILE]),
        ({Extension.DEPENDENCY_DESCRIPTOR: 9}, True, [TWO_BYTE_PROFILE, ONE_BYTE_PROFILE]),
    ],
)
def test_the_two_byte_form_is_used_where_it_must_and_mixed_only_where_it_may(
    driver: PlaneDriver, ids: dict[Extension, int], *, mixed: bool, profiles: list[int]
) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    up = {**EXTENSIONS, Extension.DEPENDENCY_DESCRIPTOR: 12}
    driver.apply(
        camera(publisher.transport, SINGLE, extensions=up),
        video_route(subscriber.transport, extensions=ids, mixed_extensions=mixed),
    )
    driver.aim(VIDEO, 0)
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    first, second = source.frame(key=True)[0], source.frame()[0]
    source.send(
        replace(first, extensions=(*first.extensions, (12, LONG))),
        replace(second, extensions=(*second.extensions, (12, b"\x00\x00\x02"))),
    )
    assert [profile_of(packet) for packet in subscriber.encrypted] == profiles
    if Extension.DEPENDENCY_DESCRIPTOR in ids:
        assert [packet.extension(9) for packet in subscriber.take_rtp()] == [LONG, b"\x00\x00\x02"]


def test_a_value_that_fits_no_form_the_subscriber_takes_is_left_out(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    (packet,) = call.low.frame(key=True)
    orientation = EXTENSIONS[Extension.VIDEO_ORIENTATION]
    call.low.send(replace(packet, extensions=(*packet.extensions, (orientation, bytes(17)))))
    assert profile_of(call.subscriber.encrypted[-1]) == ONE_BYTE_PROFILE
    assert call.video()[0].extension(DOWN_EXTENSIONS[Extension.VIDEO_ORIENTATION]) is None


def test_setting_a_route_again_changes_numbers_and_not_the_stream(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    other = PayloadFormat("VP8", Codec.VP8, PayloadType(35), 90_000, PayloadType(36))
    call.driver.apply(
        video_route(call.subscriber.transport, formats=(other,), extensions={Extension.MID: 2}, mid="x")
    )
    call.low.send_frame()
    packets = call.video()
    assert [packet.payload_type for packet in packets] == [DOWN_VP8.payload_type, 35]
    assert packets[1].extensions == ((2, b"x"),)
    assert seq_steps(packets) == [1]
    assert call.driver.route_row(VIDEO)["packets_sent"] == 2


def test_a_key_frame_whose_first_packet_comes_late_starts_with_all_that_came_of_it(call: Call) -> None:
    call.low.send_frame(key=True)
    call.driver.aim(VIDEO, 0)
    first, *rest = call.low.frame(key=True, parts=4)
    call.low.send(*rest)
    call.low.send_frame()
    assert call.video() == []
    call.low.send(first)
    call.low.send_frame()
    packets = call.video()
    assert [packet.payload[6:] for packet in packets] == [
        packet.payload[6:] for packet in (first, *rest, *call.low.sent[-3:-2], *call.low.sent[-1:])
    ]
    assert seq_steps(packets) == [1] * 5
    assert call.driver.drops(DropReason.WAITING_FOR_KEYFRAME) == 4


def test_counters_of_a_route_say_what_was_sent(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True, parts=3)
    call.driver.advance(40)
    call.low.send_frame()
    sent_at = call.driver.now
    call.driver.advance(40)
    row = call.driver.route_row(VIDEO)
    assert (row["track"], row["transport"]) == (CAMERA, call.subscriber.transport)
    assert row["packets_sent"] == 4
    assert row["bytes_sent"] == sum(map(len, call.subscriber.encrypted))
    assert row["last_sent_at"] == sent_at


def test_nothing_is_sent_to_who_has_no_keys(driver: PlaneDriver) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.known(driver, 2)
    driver.apply(camera(publisher.transport, SINGLE), video_route(subscriber.transport))
    driver.aim(VIDEO, 0)
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
    source.send_frame(key=True)
    subscriber.check()
    source.send_frame(key=True)
    assert driver.drops(DropReason.NO_SELECTED_PAIR) == 2
    subscriber.install()
    source.send_frame()
    driver.advance(0)
    assert len(publisher.take_rtcp(Pli)) == 1
    source.send_frame(key=True)
    # The packets before were no part of the stream: it begins with a key frame.
    assert len(subscriber.take_rtp()) == 1


def test_the_example_of_the_design_comes_out_as_it_says(call: Call) -> None:
    low, middle, driver = call.low, call.middle, call.driver
    low.wide_picture_id = False
    low.seq, low.ts, low.picture_id = 65_535, 2**32 - 6_000, 126
    middle.seq, middle.ts, middle.picture_id = 500, 67_000, 9_000
    driver.aim(VIDEO, 0, 0)
    low.send_frame(key=True)
    low.send_frame()
    low.report()
    driver.aim(VIDEO, 1, 0)
    middle.send_frame()
    middle.report()  # where the low encoding stands at 0, this one stands at 70,000
    low.send_frame(temporal=1)
    middle.seq, middle.ts, middle.picture_id = 520, 76_000, 9_019
    middle.send_frame(key=True)
    middle.frame()
    middle.send_frame()
    packets = call.video()
    assert seq_steps(packets) == [1, 1, 2]
    assert ts_steps(packets) == [3_000, 9_000, 6_000]
    assert picture_ids(packets) == [127, 128, 129, 131]
    assert driver.drops(DropReason.WAITING_FOR_KEYFRAME) == 1
    assert driver.drops(DropReason.TEMPORAL_LAYER) == 1
