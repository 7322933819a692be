"""The judge of all other tests here: it must see what a forwarder may do wrong, and nothing else."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from sfu.rtp.packet import RtpPacket
from sfu.units import Instant, PayloadType, Ssrc, after_ms
from tests.support.simulation.audio_receiver import AudioReceiver
from tests.support.simulation.clock import START
from tests.support.simulation.encoder import (
    CAMERA,
    AudioEncoder,
    EncodedFrame,
    Numbering,
    VideoEncoder,
)
from tests.support.simulation.label import Source
from tests.support.simulation.observations import TrackObservations
from tests.support.simulation.video_receiver import VideoReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ALICE: Final = 1
BOB: Final = 2
FRAME_MS: Final = 50

Packets = list[RtpPacket]


def encoder(encoding: int = 1, sender: int = ALICE, numbering: Numbering | None = None) -> VideoEncoder:
    return VideoEncoder(CAMERA[encoding], sender, Source.CAMERA, encoding, random.Random(1), numbering)


def frames_of(
    one: VideoEncoder, count: int, first: int = 0, *, spacing_ms: int = FRAME_MS
) -> list[EncodedFrame]:
    return [one.encode(after_ms(START, (first + index) * spacing_ms)) for index in range(count)]


def packets_of(frames: Iterable[EncodedFrame]) -> Packets:
    """One stream, numbered from just below the wrap."""
    packets: Packets = []
    for frame in frames:
        timestamp = (2**32 - 9_000 + (frame.captured_at - START) * 9 // 100_000) % 2**32
        for payload in frame.payloads:
            packets.append(
                RtpPacket(
                    PayloadType(96),
                    (2**16 - 5 + len(packets)) % 2**16,
                    timestamp,
                    Ssrc(1),
                    payload,
                    marker=payload is frame.payloads[-1],
                )
            )
    return packets


def judged(packets: Iterable[RtpPacket]) -> TrackObservations:
    seen = TrackObservations("@alice:example.org", Source.CAMERA)
    receiver = VideoReceiver(Ssrc(1), ALICE, seen)
    for index, packet in enumerate(packets):
        receiver.received(after_ms(START, index), packet)
    return seen


def renumbered(packets: Iterable[RtpPacket]) -> Packets:
    return [replace(packet, sequence_number=number) for number, packet in enumerate(packets)]


def test_a_stream_as_it_was_encoded_has_no_fault() -> None:
    packets = packets_of(frames_of(encoder(), 40))
    seen = judged(packets)
    assert seen.faults == []
    assert [frame.frame for frame in seen.frames] == list(range(40))
    assert seen.packets_received == len(packets)


@pytest.mark.parametrize("start", [0, 2**15 - 10])
def test_numbers_of_the_descriptor_may_wrap(start: int) -> None:
    numbering = Numbering(picture_id=start, tl0_pic_idx=250)
    assert judged(packets_of(frames_of(encoder(numbering=numbering), 40))).faults == []


def without_a_delta_frame(packets: Packets) -> Packets:
    """Left out by a forwarder that closes the gap in sequence numbers."""
    timestamps = sorted({packet.timestamp for packet in packets}, key=[p.timestamp for p in packets].index)
    return renumbered(packet for packet in packets if packet.timestamp != timestamps[8])


def without_one_packet(packets: Packets) -> Packets:
    return renumbered(packets[:1] + packets[2:])


def with_a_frame_of_somebody_else(packets: Packets) -> Packets:
    return renumbered(packets + packets_of(frames_of(encoder(sender=BOB), 1, first=40)))


def with_a_frame_of_another_encoding(packets: Packets) -> Packets:
    other = packets_of(frames_of(encoder(0), 2, first=40))
    return renumbered(packets + [packet for packet in other if packet.timestamp != other[0].timestamp])


def with_a_clock_that_stands(packets: Packets) -> Packets:
    return [replace(packet, timestamp=packets[0].timestamp) for packet in packets]


def with_a_clock_that_is_too_fast(packets: Packets) -> Packets:
    return [replace(packet, timestamp=2 * packet.timestamp % 2**32) for packet in packets]


def with_a_jump_of_picture_ids(packets: Packets) -> Packets:
    other = packets_of(frames_of(encoder(numbering=Numbering(picture_id=500, tl0_pic_idx=99)), 1, first=40))
    return renumbered(packets + other)


@pytest.mark.parametrize(
    "spoil",
    [
        without_a_delta_frame,
        without_one_packet,
        with_a_frame_of_somebody_else,
        with_a_frame_of_another_encoding,
        with_a_clock_that_stands,
        with_a_clock_that_is_too_fast,
        with_a_jump_of_picture_ids,
    ],
)
def test_what_a_forwarder_does_wrong_is_a_fault(spoil: Callable[[Packets], Packets]) -> None:
    packets = packets_of(frames_of(encoder(), 40))
    assert judged(packets).faults == []
    assert judged(spoil(packets)).faults != []


def test_a_real_gap_is_asked_for_again_and_no_fault() -> None:
    packets = packets_of(frames_of(encoder(), 12))
    seen = TrackObservations("@alice:example.org", Source.CAMERA)
    receiver = VideoReceiver(Ssrc(1), ALICE, seen)
    lost = packets.pop(4)
    for index, packet in enumerate(packets):
        receiver.received(after_ms(START, index), packet)
    assert receiver.reception.due_nacks(after_ms(START, 50)) == [lost.sequence_number]
    frames_before = len(seen.frames)
    number = lost.sequence_number.to_bytes(2, "big")
    receiver.repaired(after_ms(START, 60), replace(lost, ssrc=Ssrc(2), payload=number + lost.payload))
    assert frames_before < len(seen.frames) == 12
    assert (seen.packets_repaired, seen.packets_missing, seen.faults) == (1, 0, [])


def test_a_gap_that_stays_ends_in_a_freeze_and_a_request_for_a_key_frame() -> None:
    source = encoder()
    before = frames_of(source, 12)
    source.want_key_frame()
    key_frame = frames_of(source, 1, first=12)
    packets = packets_of(before + key_frame)
    on_the_base_layer = len(packets_of(before[:4]))
    del packets[on_the_base_layer]
    end = len(packets_of(before)) - 1
    seen = TrackObservations("@alice:example.org", Source.CAMERA)
    receiver = VideoReceiver(Ssrc(1), ALICE, seen)
    for index, packet in enumerate(packets[:end]):
        receiver.received(after_ms(START, index), packet)
    assert not receiver.wants_key_frame(after_ms(START, 100))
    assert receiver.wants_key_frame(after_ms(START, 600))
    assert not receiver.wants_key_frame(after_ms(START, 700))
    for packet in packets[end:]:
        receiver.received(after_ms(START, 800), packet)
    assert [frame.frame for frame in seen.frames] == [0, 1, 2, 3, 12]
    assert seen.longest_freeze_ms > 700
    assert seen.faults == []


def test_a_key_frame_that_is_there_as_a_whole_ends_the_wait_for_what_was_before() -> None:
    low, high = frames_of(encoder(0), 6), frames_of(encoder(2), 3, first=6)
    numbering = Numbering(picture_id=6, tl0_pic_idx=2)
    high = frames_of(encoder(2, numbering=numbering), 3, first=6)
    packets = packets_of(low + high)
    del packets[4]
    seen = judged(packets)
    assert seen.encodings == [0, 2]
    assert seen.frames[-1].encoding == 2
    assert seen.packets_given_up == 1
    assert seen.faults == []


def test_a_frame_that_is_cut_by_a_switch_is_counted_and_no_fault() -> None:
    high = frames_of(encoder(2), 3)
    cut = packets_of(high)[:-1]
    low = frames_of(encoder(0, numbering=Numbering(picture_id=3, tl0_pic_idx=1)), 3, first=3)
    seen = judged(packets_of_after(cut, low))
    assert (seen.cut_frames, seen.faults) == (1, [])


def packets_of_after(before: Packets, frames: list[EncodedFrame]) -> Packets:
    first = before[-1].sequence_number + 1
    after = packets_of(frames)
    return before + [
        replace(packet, sequence_number=(first + index) % 2**16) for index, packet in enumerate(after)
    ]


@pytest.mark.parametrize(("count", "is_right"), [(7, True), (9, False)])
def test_a_clock_that_is_ahead_goes_slower_until_it_is_right_and_no_longer(
    *, count: int, is_right: bool
) -> None:
    """After a key frame older than the picture before it (`sfu.streams.rewriter.TimestampMapper`)."""
    before = packets_of(frames_of(encoder(0), 10, spacing_ms=100))
    numbering = Numbering(picture_id=10, tl0_pic_idx=3)
    frames = frames_of(encoder(2, numbering=numbering), count, 6, spacing_ms=100)
    late = packets_of_after(before, frames)[len(before) :]
    first, ahead = late[0].timestamp, before[-1].timestamp + 1
    at_half_speed = [replace(p, timestamp=ahead + (p.timestamp - first) % 2**32 // 2) for p in late]
    seen = judged(before + [replace(p, timestamp=p.timestamp % 2**32) for p in at_half_speed])
    assert seen.steps_back == 1
    assert (seen.faults == []) is is_right


# --- sound ------------------------------------------------------------------------------------------------


def sounds(count: int, *, sender: int = ALICE, silent_from: int | None = None) -> Packets:
    source = AudioEncoder(sender)
    packets: Packets = []
    at = START
    for index in range(count):
        is_silence = silent_from is not None and index >= silent_from
        payload = source.encode(at, is_silence=is_silence)
        timestamp = (2**32 - 4_800 + (at - START) * 6 // 125_000) % 2**32
        packets.append(RtpPacket(PayloadType(111), (2**16 - 3 + index) % 2**16, timestamp, Ssrc(1), payload))
        at = after_ms(at, 400 if is_silence else 20)
    return packets


def heard(packets: Packets, *, until_ms: float = 0) -> TrackObservations:
    seen = TrackObservations("@alice:example.org", Source.MICROPHONE)
    receiver = AudioReceiver(Ssrc(1), ALICE, seen)
    for index, packet in enumerate(packets):
        receiver.received(after_ms(START, index * 20), packet)
    if until_ms:
        receiver.skip_gaps(after_ms(START, until_ms))
    return seen


def test_sound_with_silence_in_between_has_no_fault() -> None:
    seen = heard(sounds(40, silent_from=20))
    assert (len(seen.sounds), seen.faults) == (40, [])


def test_sound_that_was_lost_is_skipped_and_no_fault() -> None:
    packets = sounds(40)
    del packets[10]
    seen = heard(packets, until_ms=1_000)
    assert (len(seen.sounds), seen.packets_given_up, seen.faults) == (39, 1, [])


@pytest.mark.parametrize(
    "packets",
    [
        renumbered(sounds(10)[:5] + sounds(10)[6:]),
        sounds(10, sender=BOB),
        [replace(packet, timestamp=packet.timestamp // 2) for packet in sounds(10)],
    ],
    ids=["a packet left out", "somebody else's", "another clock"],
)
def test_sound_that_was_forwarded_wrongly_is_a_fault(packets: Packets) -> None:
    assert heard(packets).faults != []


def test_freezes_are_counted_by_their_length() -> None:
    seen = judged(packets_of(frames_of(encoder(), 3)))
    at = [START, after_ms(START, 100), after_ms(START, 700)]
    seen.frames = [replace(frame, at=Instant(time)) for frame, time in zip(seen.frames, at, strict=True)]
    assert (seen.freezes(50), seen.freezes(500), seen.freezes(600)) == (2, 1, 0)
