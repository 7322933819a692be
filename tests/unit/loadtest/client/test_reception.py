from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.client.reception import (
    MAX_JUMP,
    MAX_MISSING,
    NACK_RETRY_MS,
    NACK_TRIES,
    ReceptionLog,
    SequenceUnwrapper,
    nack_runs,
)
from sfu.units import Instant, after_ms

T0 = Instant(10**12)
WRAPS = (0, 2**15 - 1, 2**15, 2**16 - 1)


@given(st.sampled_from(WRAPS), st.lists(st.integers(-100, 100), max_size=300))
def test_a_sequence_number_unwraps_to_the_nearest(start: int, steps: list[int]) -> None:
    unwrapper = SequenceUnwrapper()
    first = unwrapper.unwrap(start)
    highest, at = 0, 0
    for step in steps:
        at = highest + step
        assert unwrapper.unwrap((start + at) % 2**16) - first == at
        highest = max(highest, at)


@given(st.sampled_from(WRAPS), st.lists(st.booleans(), min_size=1, max_size=300))
def test_what_does_not_arrive_is_missing_and_lost(start: int, arrives: list[bool]) -> None:
    log = ReceptionLog(90_000)
    seqs = [start + n for n, there in enumerate([True, *arrives, True]) if there]
    for seq in seqs:
        assert log.note(T0, seq, 0, wants_resend=True)
    lost = sorted(set(range(seqs[0], seqs[-1] + 1)) - set(seqs))
    assert log.missing(T0) == lost
    assert (log.packets_received, log.packets_lost) == (len(seqs), len(lost))
    assert log.report().packets_lost == len(lost)


def test_a_missing_packet_is_asked_for_again_but_not_for_ever() -> None:
    log = ReceptionLog(90_000)
    log.note(T0, 1, 0, wants_resend=True)
    log.note(T0, 3, 0, wants_resend=True)
    asked = sum(log.missing(after_ms(T0, n)) == [2] for n in range(NACK_RETRY_MS * (NACK_TRIES + 3)))
    assert asked == NACK_TRIES
    assert log.nacks_sent == NACK_TRIES


def test_a_repair_ends_the_asking_and_still_counts_as_lost() -> None:
    log = ReceptionLog(90_000)
    log.note(T0, 1, 0, wants_resend=True)
    log.note(T0, 3, 0, wants_resend=True)
    assert log.note_repair(2)
    assert not log.note_repair(2)
    assert log.missing(T0) == []
    assert (log.packets_repaired, log.packets_lost, log.duplicates) == (1, 1, 1)


def test_a_duplicate_is_counted_once() -> None:
    log = ReceptionLog(90_000)
    assert log.note(T0, 1, 0, wants_resend=True)
    assert not log.note(T0, 1, 0, wants_resend=True)
    assert (log.packets_received, log.duplicates) == (1, 1)


def test_a_leap_is_no_loss_to_ask_for() -> None:
    log = ReceptionLog(90_000)
    log.note(T0, 1, 0, wants_resend=True)
    log.note(T0, 1 + MAX_MISSING + 2, 0, wants_resend=True)
    assert log.missing(T0) == []


def test_what_is_remembered_is_bounded() -> None:
    log = ReceptionLog(90_000)
    for n in range(0, 4 * MAX_JUMP, 2):
        log.note(T0, n, 0, wants_resend=True)
        log.missing(T0)
    assert len(log.missing(after_ms(T0, NACK_RETRY_MS))) <= MAX_MISSING


def test_a_report_covers_what_came_since_the_one_before() -> None:
    log = ReceptionLog(90_000)
    for seq in (1, 2, 4, 5):
        log.note(T0, seq, 0, wants_resend=False)
    first = log.report()
    assert (first.fraction_lost, first.packets_lost, first.highest_seq) == (256 // 5, 1, 5)
    log.note(T0, 6, 0, wants_resend=False)
    assert log.report().fraction_lost == 0


@pytest.mark.parametrize(("late_ms", "jitter"), [(0, 0), (40, 40 * 90 // 16)])
def test_jitter_is_the_change_of_transit(late_ms: int, jitter: int) -> None:
    log = ReceptionLog(90_000)
    log.note(T0, 1, 0, wants_resend=False)
    log.note(after_ms(T0, 100 + late_ms), 2, 9_000, wants_resend=False)
    assert log.report().jitter == pytest.approx(jitter, abs=1)


def test_numbers_to_ask_for_are_wire_values_in_order() -> None:
    assert nack_runs([2**16 + 1, 2**16 - 1]) == [2**16 - 1, 1]
