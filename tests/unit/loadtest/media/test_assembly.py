from __future__ import annotations

import random

from loadtest.media.assembly import MAX_GAP_MS, MAX_HELD_PACKETS, MAX_KEY_FRAME_PACKETS, FrameAssembler
from loadtest.media.vp8_packetiser import Vp8Packetiser, Vp8Payload, depacketise
from sfu.units import Instant, after_ms

T0 = Instant(10**9)
Arrival = tuple[int, Vp8Payload | None, int, bool]


def stream(frames: int, packets_each: int = 3, first_seq: int = 65_000) -> tuple[list[bytes], list[Arrival]]:
    packetiser = Vp8Packetiser()
    sent, arrivals, seq = [], [], first_seq
    for n in range(frames):
        head = b"\x10" if n == 0 else b"\x11"
        frame = head + bytes((n % 256,)) * (packets_each * 1_100 - 1)
        sent.append(frame)
        payloads = packetiser.payloads(frame, is_key=n == 0)
        for index, payload in enumerate(payloads):
            arrivals.append((seq, depacketise(payload), n * 6_000, index == len(payloads) - 1))
            seq += 1
    return sent, arrivals


def feed(assembler: FrameAssembler, arrivals: list[Arrival], now: Instant = T0) -> list[bytes]:
    whole = []
    for seq, payload, timestamp, marker in arrivals:
        whole += assembler.insert(now, seq, payload, timestamp=timestamp, marker=marker)
    return [frame.data for frame in whole]


def test_frames_come_out_as_they_went_in() -> None:
    sent, arrivals = stream(10)
    assembler = FrameAssembler()
    assert feed(assembler, arrivals) == sent
    assert assembler.id_jumps == 0


def test_reordered_packets_come_out_in_order() -> None:
    sent, arrivals = stream(40)
    rng = random.Random(3)
    shuffled = arrivals[:3] + sorted(arrivals[3:], key=lambda a: a[0] + rng.randrange(6))
    assert feed(FrameAssembler(), shuffled) == sent


def test_duplicates_change_nothing() -> None:
    sent, arrivals = stream(5)
    assert feed(FrameAssembler(), [a for a in arrivals for _ in range(2)]) == sent


def test_a_late_resend_fills_its_gap() -> None:
    sent, arrivals = stream(5)
    assembler = FrameAssembler()
    lost = arrivals.pop(4)
    assert feed(assembler, arrivals) == sent[:1]
    assert feed(assembler, [lost]) == sent[1:]


def test_a_gap_that_stays_ends_the_stream_until_a_key_frame() -> None:
    sent, arrivals = stream(4)
    assembler = FrameAssembler()
    assert feed(assembler, arrivals[:4] + arrivals[5:]) == sent[:1]
    assert not assembler.wants_key_frame
    assert assembler.poll(after_ms(T0, MAX_GAP_MS - 1)) == []
    assert not assembler.wants_key_frame
    assert assembler.poll(after_ms(T0, MAX_GAP_MS)) == []
    assert assembler.wants_key_frame
    again, more = stream(2, first_seq=65_012)
    frames = [
        frame
        for seq, payload, timestamp, marker in more
        for frame in assembler.insert(T0, seq, payload, timestamp=timestamp, marker=marker)
    ]
    assert [frame.data for frame in frames] == again
    assert [frame.after_gap for frame in frames] == [True, False]


def test_nothing_comes_before_the_first_key_frame() -> None:
    _, arrivals = stream(4)
    assembler = FrameAssembler()
    assert feed(assembler, arrivals[3:]) == []
    assert assembler.wants_key_frame


def test_packets_without_media_fill_their_place() -> None:
    sent, arrivals = stream(3)
    padded = [*arrivals[:3], (65_003, None, 0, False)]
    padded += [(seq + 1, payload, timestamp, marker) for seq, payload, timestamp, marker in arrivals[3:]]
    assembler = FrameAssembler()
    assert feed(assembler, padded) == sent
    assert assembler.id_jumps == 0


def test_a_jump_of_the_picture_id_without_loss_is_counted() -> None:
    _, arrivals = stream(3, packets_each=1)
    _, others = stream(4, packets_each=1)
    spliced = [*arrivals[:2], (65_002, *others[3][1:])]
    assembler = FrameAssembler()
    feed(assembler, spliced)
    assert assembler.id_jumps == 2  # the picture id and the TL0 index


def test_a_frame_without_its_beginning_is_left_out() -> None:
    sent, arrivals = stream(3)
    # The rewriter lost a packet but closed the numbers up.
    closed = arrivals[:3]
    closed += [(seq - 1, payload, timestamp, marker) for seq, payload, timestamp, marker in arrivals[4:]]
    assembler = FrameAssembler()
    whole = feed(assembler, closed)
    assert whole == [sent[0], sent[2]]


def test_a_frame_that_is_cut_off_is_never_decoded_and_the_next_key_frame_is() -> None:
    """Who can't keep up is sent no more of a frame; numbers go on without a gap with a key frame."""
    sent, arrivals = stream(3)
    begun = arrivals[:5]  # a whole frame, and two packets of the three of the next
    again = [(seq + 2, payload, 90_000, marker) for seq, payload, _, marker in arrivals[:3]]
    again = [(begun[-1][0] + 1 + index, *one[1:]) for index, one in enumerate(again)]
    assembler = FrameAssembler()
    assert feed(assembler, [*begun, *again]) == [sent[0], sent[0]]
    assert (assembler.cut_frames, assembler.id_jumps) == (1, 0)


def test_after_a_frame_that_is_cut_off_others_wait_for_a_key_frame() -> None:
    sent, arrivals = stream(3)
    begun = arrivals[:5]
    later = [(seq - 1, payload, timestamp, marker) for seq, payload, timestamp, marker in arrivals[6:]]
    assembler = FrameAssembler()
    assert feed(assembler, [*begun, *later]) == sent[:1]
    assert assembler.wants_key_frame


def test_old_packets_are_ignored() -> None:
    sent, arrivals = stream(2)
    assembler = FrameAssembler()
    assert feed(assembler, arrivals) == sent
    assert feed(assembler, arrivals) == []


def test_packets_held_are_bounded() -> None:
    _, arrivals = stream(MAX_HELD_PACKETS, packets_each=1)
    assembler = FrameAssembler()
    feed(assembler, arrivals[:1] + arrivals[2:])
    assert not assembler.wants_key_frame
    feed(assembler, [(arrivals[-1][0] + n, arrivals[-1][1], 0, True) for n in range(1, 4)])
    assert assembler.wants_key_frame


def test_packets_held_for_a_key_frame_are_bounded() -> None:
    sent, arrivals = stream(MAX_KEY_FRAME_PACKETS + 5, packets_each=1)
    assembler = FrameAssembler()
    assert feed(assembler, arrivals[1:]) == []
    again, more = stream(1, first_seq=70_000)
    assert feed(assembler, more) == again
    assert len(sent) > MAX_KEY_FRAME_PACKETS
