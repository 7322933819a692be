"""What one received RTP stream gets: reports, NACKs with retries, repair by RTX."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.plane import DropReason
from sfu.rtp.rtcp import Nack, Pli, ReceiverReport, ReportBlock
from sfu.streams.nack import DEFAULT_ROUND_TRIP_MS, MAX_MISSING, MAX_TRIES, REORDER_TOLERANCE_MS
from sfu.units import Ssrc
from tests.support.plane_driver import PlaneDriver
from tests.support.plane_media import (
    CAMERA,
    H264,
    MICROPHONE,
    QHF,
    VIDEO,
    Call,
    repair_of,
)

REPAIR = Ssrc(1_010)


def nacked(call: Call) -> list[int]:
    return [number for packet in call.publisher.take_rtcp(Nack) for number in packet.sequence_numbers]


def blocks(call: Call) -> dict[int, ReportBlock]:
    return {
        block.ssrc: block for report in call.publisher.take_rtcp(ReceiverReport) for block in report.reports
    }


def test_a_missing_packet_is_asked_for_after_a_while_and_again_each_round_trip(call: Call) -> None:
    call.low.send_frame(key=True)
    lost = call.low.frame()[0]
    call.low.send_frame()
    call.driver.advance(REORDER_TOLERANCE_MS - 1)
    assert nacked(call) == []
    call.driver.advance(1)
    assert nacked(call) == [lost.sequence_number]
    for _ in range(MAX_TRIES - 1):
        call.driver.advance(DEFAULT_ROUND_TRIP_MS)
        assert nacked(call) == [lost.sequence_number]
    call.driver.advance(5_000)
    assert nacked(call) == []
    assert call.driver.encoding_row(CAMERA)["nack_count"] == MAX_TRIES


def test_a_packet_that_comes_is_not_asked_for_again(call: Call) -> None:
    call.low.send_frame(key=True)
    lost = call.low.frame()
    call.low.send_frame()
    call.driver.advance(15)
    assert len(nacked(call)) == 1
    call.low.send(*lost)
    call.driver.advance(1_000)
    assert nacked(call) == []


def test_missing_numbers_over_the_wrap_are_told_as_16_bits(call: Call) -> None:
    call.low.seq = 2**16 - 2
    call.low.send_frame(key=True)
    for _ in range(3):
        call.low.frame()
    call.low.send_frame()
    call.driver.advance(15)
    assert nacked(call) == [2**16 - 1, 0, 1]


def test_many_missing_numbers_go_in_several_packets_and_none_is_too_long(call: Call) -> None:
    call.low.send_frame(key=True)
    for _ in range(400):
        call.low.frame(parts=2)
        call.low.send_frame()
    call.driver.advance(15)
    numbers = nacked(call)
    assert len(numbers) == 800
    assert len(set(numbers)) == 800


def test_too_much_missing_makes_a_key_frame_the_cure(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.publisher.rtcp.clear()
    call.low.seq += MAX_MISSING + 1
    call.low.send_frame()
    call.driver.advance(50)
    assert call.publisher.take_rtcp(Pli) == [Pli(Ssrc(1), call.low.ssrc)]
    call.driver.advance(1_000)
    assert nacked(call) == []


def test_audio_is_not_asked_for_again(call: Call) -> None:
    call.voice.send(call.voice.packet(b"opus"))
    call.voice.seq += 5
    call.voice.send(call.voice.packet(b"opus"))
    call.driver.advance(1_000)
    assert nacked(call) == []
    assert call.driver.encoding_row(MICROPHONE)["packets_lost"] == 5


def test_a_repair_fills_the_gap_for_subscribers_and_is_told_as_lost_still(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    (lost,) = call.low.frame()
    call.low.send_frame()
    call.driver.advance(15)
    first, third = call.video()
    call.publisher.send(repair_of(lost, REPAIR, 500, QHF[0]))
    (second,) = call.video()
    assert (second.sequence_number - first.sequence_number) % 2**16 == 1
    assert (third.sequence_number - second.sequence_number) % 2**16 == 1
    assert second.payload[6:] == lost.payload[6:]
    assert second.timestamp - first.timestamp == 3_000
    row = call.driver.encoding_row(CAMERA)
    assert (row["packets_received"], row["packets_lost"]) == (2, 1)
    call.driver.advance(1_500)
    told = blocks(call)
    assert told[call.low.ssrc].packets_lost == 1
    assert told[REPAIR].packets_lost == 0


def test_a_repair_of_what_has_come_is_a_duplicate(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    (packet,) = call.low.send_frame(key=True)
    call.publisher.send(repair_of(packet, REPAIR, 500, QHF[0]))
    call.publisher.send(repair_of(packet, REPAIR, 500, QHF[0]))
    assert len(call.video()) == 1
    assert call.driver.drops(DropReason.DUPLICATE) == 2


def test_a_repair_that_makes_up_a_number_does_no_harm(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    (packet,) = call.low.send_frame(key=True)
    for ahead in (20_000, 2 * 20_000, 3 * 20_000):
        made_up = replace(packet, sequence_number=(packet.sequence_number + ahead) % 2**16)
        call.publisher.send(repair_of(made_up, REPAIR, 500 + ahead, QHF[0]))
    call.low.send_frame()
    assert len(call.video()) == 2
    assert call.driver.drops(DropReason.TOO_OLD) == 3
    call.driver.advance(100)
    assert blocks(call)[call.low.ssrc].highest_sequence_number == packet.sequence_number + 1


def test_what_a_repair_shows_to_be_missing_is_asked_for_in_time(call: Call) -> None:
    call.low.send_frame(key=True)
    call.driver.advance(2_000)  # no other timer is due soon
    (missing,), (repaired,) = call.low.frame(), call.low.frame()
    call.publisher.send(repair_of(repaired, REPAIR, 1, QHF[0]))
    call.driver.advance(15)
    assert nacked(call) == [missing.sequence_number]


def test_a_repair_before_the_stream_itself_is_dropped_and_padding_counted(call: Call) -> None:
    call.publisher.send(repair_of(call.low.frame(key=True)[0], REPAIR, 1, QHF[0]))
    empty = replace(repair_of(call.low.frame()[0], REPAIR, 2, QHF[0]), payload=b"", padding_bytes=100)
    call.publisher.send(empty)
    short = replace(empty, sequence_number=3, payload=b"\x00", padding_bytes=0)
    call.publisher.send(short)
    assert call.driver.drops(DropReason.TOO_OLD) == 2
    assert call.driver.drops(DropReason.PADDING_ONLY) == 1
    call.low.send_frame(key=True)
    call.publisher.send(replace(short, sequence_number=4))
    assert call.driver.drops(DropReason.RTX_MALFORMED) == 1


def test_a_payload_that_ends_in_its_descriptor_is_malformed(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.low.send(call.low.packet(b"\x80"))
    assert len(call.video()) == 1
    assert call.driver.drops(DropReason.RTP_MALFORMED) == 1


def test_receiver_reports_say_what_came(call: Call) -> None:
    call.low.seq = 2**16 - 1
    call.low.send_frame(key=True)
    call.low.frame()
    for _ in range(6):
        call.low.send_frame()
    call.low.report()
    call.driver.advance(100)
    block = blocks(call)[call.low.ssrc]
    assert block.packets_lost == 1
    assert block.fraction_lost == 256 // 8
    assert block.highest_sequence_number == 2**16 + 6
    assert block.last_sender_report != 0
    assert abs(block.delay_since_last_sender_report / 65_536 - 0.1) < 0.001
    call.driver.advance(5_000)
    assert blocks(call) == {}


def test_counters_say_frames_and_key_frames(call: Call) -> None:
    call.low.send_frame(key=True, parts=3)
    call.low.send_frame(parts=2)
    call.low.send_frame(key=True)
    row = call.driver.encoding_row(CAMERA)
    assert (row["frames_received"], row["key_frames_received"], row["packets_received"]) == (3, 2, 6)
    assert row["bytes_received"] == sum(len(packet.serialise()) for packet in call.low.sent)
    assert row["last_received_at"] == call.driver.now
    assert row["ssrc"] == call.low.ssrc


def test_what_arrives_is_counted_by_temporal_layer(call: Call) -> None:
    call.low.send_frame(key=True, parts=2)
    call.low.send_frame(temporal=0, size=90)
    call.low.send_frame(temporal=1, parts=2)
    call.low.send_frame(temporal=2)
    call.low.send_frame(temporal=3)
    row = call.driver.encoding_row(CAMERA)
    sizes = [len(packet.serialise()) for packet in call.low.sent]
    assert list(row["temporal_bytes_received"]) == [sum(sizes[:3]), sum(sizes[3:5]), sum(sizes[5:])]
    assert list(row["temporal_frames_received"]) == [2, 1, 2]


def test_parameter_sets_and_picture_are_one_key_frame(call: Call) -> None:
    call.low.payload_type = H264.payload_type
    for _ in range(2):
        call.low.ts += 3_000
        for payload in (b"\x67sps", b"\x68pps", b"\x65idr"):
            call.low.send(call.low.packet(payload, marker=payload[0] == 0x65))
    row = call.driver.encoding_row(CAMERA)
    assert (row["frames_received"], row["key_frames_received"]) == (2, 2)


@pytest.mark.parametrize("start", [0, 2**15 - 1, 2**15, 2**16 - 1])
@given(keep=st.lists(st.booleans(), min_size=1, max_size=30))
def test_whatever_is_lost_what_is_asked_for_is_what_is_missing(start: int, keep: list[bool]) -> None:
    call = Call.of(PlaneDriver())
    call.low.seq = start
    call.low.send_frame(key=True)
    missing = []
    for kept in [*keep, True]:
        frame = call.low.frame()
        if kept:
            call.low.send(*frame)
        else:
            missing.append(frame[0])
    call.driver.advance(15)
    assert nacked(call) == [packet.sequence_number for packet in missing]
    for number, packet in enumerate(missing):
        call.publisher.send(repair_of(packet, REPAIR, number, QHF[0]))
    call.driver.advance(3_000)
    assert nacked(call) == []
