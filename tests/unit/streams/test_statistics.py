from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.plane import DropReason
from sfu.streams.statistics import MAX_DROPOUT, WINDOW, ReceiveStatistics, ReplayWindow
from sfu.units import Instant, Ssrc, after_ms, after_s

if TYPE_CHECKING:
    from random import Random

    from sfu.rtp.rtcp import ReportBlock

WRAPS = (0, 2**15 - 1, 2**15, 2**16 - 1)
SSRC = Ssrc(0xCAFE)
START = Instant(10**9)
RATE = 90_000


def fed(*seqs: int) -> ReceiveStatistics:
    statistics = ReceiveStatistics(RATE)
    for seq in seqs:
        statistics.received(START, seq, 0, 100)
    return statistics


def block_of(statistics: ReceiveStatistics, now: Instant = START) -> ReportBlock:
    block = statistics.report_block(now, SSRC)
    assert block is not None
    return block


def test_a_stream_without_packets_has_no_report() -> None:
    statistics = ReceiveStatistics(RATE)
    assert statistics.report_block(START, SSRC) is None
    assert statistics.highest_seq is None
    assert statistics.last_received_at is None
    assert statistics.packets_lost == 0


@given(
    start=st.sampled_from(WRAPS),
    received=st.lists(st.booleans(), max_size=300),
    rng=st.randoms(use_true_random=False),
)
def test_what_did_not_come_is_lost_in_whatever_order_the_rest_came(
    start: int, received: list[bool], rng: Random
) -> None:
    middle = [seq for seq, came in enumerate(received, start + 1) if came]
    rng.shuffle(middle)
    last = start + len(received) + 1
    statistics = fed(start, *middle, last)
    lost = len(received) - len(middle)
    block = block_of(statistics)
    assert statistics.packets_lost == block.packets_lost == lost
    assert block.fraction_lost == 256 * lost // (len(received) + 2)
    assert block.highest_sequence_number == last
    assert statistics.packets_received == len(middle) + 2
    assert statistics.bytes_received == 100 * statistics.packets_received
    assert statistics.last_received_at == START
    assert statistics.highest_seq == last


@pytest.mark.parametrize("turn", [0, 1 << 16, 5 << 16])
def test_cycles_are_counted_from_the_first_packet(turn: int) -> None:
    statistics = fed(turn + 2**16 - 1, turn + 2**16)
    assert block_of(statistics).highest_sequence_number == 0x1_0000


def test_the_fraction_lost_is_of_the_last_interval() -> None:
    statistics = fed(0, 1, 4)
    assert block_of(statistics).fraction_lost == 2 * 256 // 5
    statistics.received(START, 5, 0, 100)
    block = block_of(statistics)
    assert (block.fraction_lost, block.packets_lost) == (0, 2)
    assert statistics.report_block(START, SSRC) is None


def test_late_packets_make_the_fraction_zero_not_negative() -> None:
    statistics = fed(0, 1, 4)
    block_of(statistics)
    statistics.received(START, 2, 0, 100)
    statistics.received(START, 3, 0, 100)
    block = block_of(statistics)
    assert (block.fraction_lost, block.packets_lost) == (0, 0)


def test_packets_from_before_the_first_make_loss_negative_as_the_rfc_has_it() -> None:
    assert block_of(fed(10, 8, 9)).packets_lost == -2


def test_the_fraction_lost_fits_its_byte() -> None:
    statistics = fed(0)
    block_of(statistics)
    statistics.received(START, MAX_DROPOUT - 1, 0, 100)
    assert block_of(statistics).fraction_lost == 255


def test_a_jump_of_a_source_that_started_anew_is_no_loss() -> None:
    statistics = fed(0, 1, 1 + MAX_DROPOUT, 2 + MAX_DROPOUT)
    assert statistics.packets_lost == 0
    assert block_of(statistics).highest_sequence_number == 2 + MAX_DROPOUT
    assert fed(0, 1, MAX_DROPOUT).packets_lost == MAX_DROPOUT - 2


def test_cumulative_loss_stays_in_its_24_bits() -> None:
    statistics = ReceiveStatistics(RATE)
    step = MAX_DROPOUT - 1
    for number in range(2**23 // step + 10):
        statistics.received(START, number * step, 0, 100)
    assert block_of(statistics).packets_lost == 2**23 - 1


@given(start=st.sampled_from(WRAPS), back=st.integers(0, WINDOW - 1))
def test_a_packet_comes_once(start: int, back: int) -> None:
    window = ReplayWindow()
    assert window.check(start) is None
    assert window.check(start + WINDOW) is None
    assert window.check(start + WINDOW - back) == (None if back else DropReason.DUPLICATE)
    assert window.check(start + WINDOW - back) is DropReason.DUPLICATE
    assert window.check(start) is DropReason.TOO_OLD


@given(st.lists(st.integers(0, 3 * WINDOW), max_size=100))
def test_the_window_agrees_with_a_set(seqs: list[int]) -> None:
    window, seen = ReplayWindow(), set[int]()
    for seq in seqs:
        reason = window.check(seq)
        if seen and seq <= max(seen) - WINDOW:
            assert reason is DropReason.TOO_OLD
        else:
            assert reason is (DropReason.DUPLICATE if seq in seen else None)
            seen.add(seq)


def test_a_jump_costs_no_memory() -> None:
    window = ReplayWindow()
    window.check(0)
    assert window.check(1 << 60) is None
    assert window._seen == 1


def test_duplicates_are_refused_and_not_counted() -> None:
    statistics = fed(1, 2)
    assert statistics.received(START, 2, 0, 100) is DropReason.DUPLICATE
    assert statistics.packets_received == 2
    assert statistics.packets_lost == 0


def test_what_is_too_old_is_refused_and_not_counted() -> None:
    statistics = fed(0, 2_999)
    assert statistics.received(START, 1, 0, 100) is DropReason.TOO_OLD
    assert statistics.packets_received == 2


def test_a_repaired_packet_passes_once_and_stays_lost() -> None:
    statistics = fed(1, 3)
    assert statistics.repaired(2) is None
    assert statistics.repaired(2) is DropReason.DUPLICATE
    assert statistics.packets_lost == 1


def test_the_original_behind_its_repair_counts_and_is_not_forwarded() -> None:
    statistics = fed(1, 3)
    statistics.repaired(2)
    assert statistics.received(START, 2, 0, 100) is DropReason.DUPLICATE
    assert statistics.packets_received == 3
    assert statistics.packets_lost == 0


def test_a_repair_nobody_asked_for_is_refused() -> None:
    statistics = ReceiveStatistics(RATE)
    assert statistics.repaired(1) is DropReason.TOO_OLD
    statistics.received(START, 1, 0, 100)
    assert statistics.repaired(1 + MAX_DROPOUT) is DropReason.TOO_OLD
    assert statistics.repaired(2) is None
    assert statistics.received(START, 3, 0, 100) is None


def test_a_steady_stream_has_no_jitter() -> None:
    statistics = ReceiveStatistics(RATE)
    for number in range(50):
        statistics.received(after_ms(START, 20 * number), number, 1_800 * number, 100)
    assert statistics.jitter_ms == 0
    assert block_of(statistics).jitter == 0


def test_jitter_nears_the_mean_difference_in_transit() -> None:
    statistics = ReceiveStatistics(RATE)
    for number in range(500):
        late_ms = 10 * (number % 2)
        statistics.received(after_ms(START, 20 * number + late_ms), number, 1_800 * number, 100)
    assert statistics.jitter_ms == pytest.approx(10, rel=0.01)
    assert block_of(statistics).jitter == pytest.approx(900, rel=0.01)


def test_one_step_of_jitter_is_a_sixteenth() -> None:
    statistics = ReceiveStatistics(RATE)
    statistics.received(START, 0, 0, 100)
    statistics.received(after_ms(START, 36), 1, 1_800, 100)
    assert statistics.jitter_ms == pytest.approx(1.0)


def test_a_clock_that_is_set_is_no_jitter() -> None:
    statistics = ReceiveStatistics(RATE)
    statistics.received(START, 0, 0, 100)
    statistics.received(START, 1, RATE * 6, 100)
    assert statistics.jitter_ms == 0
    statistics.received(START, 2, RATE * 6, 100)
    assert statistics.jitter_ms == 0


def test_the_last_sender_report_is_named_with_its_age() -> None:
    statistics = fed(1)
    assert block_of(statistics).last_sender_report == 0
    statistics.sender_report(START, 0x1122_3344_5566_7788)
    statistics.received(START, 2, 0, 100)
    block = block_of(statistics, after_s(START, 1.5))
    assert block.last_sender_report == 0x3344_5566
    assert block.delay_since_last_sender_report == 65_536 * 3 // 2
    assert block.ssrc == SSRC


def test_a_report_made_at_an_earlier_instant_has_no_negative_delay() -> None:
    statistics = fed(1)
    statistics.sender_report(START, 1)
    assert block_of(statistics, Instant(START - 1)).delay_since_last_sender_report == 0
