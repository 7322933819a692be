"""What of feedback is worth a closer look, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from sfu.bwe.watch import AMISS_LOST, AMISS_MS, UNANSWERED_MS, UNANSWERED_PACKETS, Watch
from sfu.rows import FEEDBACK_DTYPE, LOST, TRANSPORT_DTYPE
from sfu.units import NS_PER_MS, Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.rows import StructArray

START: Final = 500_000 * NS_PER_MS
REPORT_MS: Final = 100
NOBODY: Final = np.zeros(0, np.uint32)


def packet(delay_ms: float | None, *, leg: int = 1, report: int = 0) -> tuple[int, ...]:
    """Feedback of one packet; without a delay it was lost."""
    sent_at = START + report * REPORT_MS * NS_PER_MS
    arrived_at = LOST if delay_ms is None else sent_at + round(delay_ms * NS_PER_MS)
    return leg, 0, 0, 1_000, sent_at, arrived_at, sent_at + 60 * NS_PER_MS


def watch_of(*legs: int, unheard: tuple[int, ...] = ()) -> Watch:
    """One that has just looked."""
    watch = Watch()
    watch.looked(at_ms(0), sent_to(*legs or (1,)), np.array(unheard, np.uint32))
    return watch


def at_ms(ms: float) -> Instant:
    return after_ms(Instant(START), round(ms))


def sent_to(*legs: int, packets: int = 0) -> StructArray:
    rows = np.zeros(len(legs), TRANSPORT_DTYPE)
    rows["transport"], rows["numbered_packets_sent"] = legs, packets
    return rows


def is_amiss(watch: Watch, rows: Iterable[tuple[int, ...]], *legs: int) -> bool:
    """Of feedback alone: nothing more was sent."""
    return watch.is_amiss(at_ms(50), sent_to(*legs or (1,)), feedback_of(rows))


def feedback_of(rows: Iterable[tuple[int, ...]]) -> StructArray:
    return np.array(list(rows), FEEDBACK_DTYPE)


@pytest.mark.parametrize(
    ("rows", "is_worth_a_look"),
    [
        ([], False),
        ([packet(20), packet(20 + AMISS_MS - 1)], False),
        ([packet(20), packet(20 + AMISS_MS + 1)], True),
        # Of two paths, one is longer.
        ([packet(20, leg=1), packet(21, leg=1), packet(90, leg=2), packet(91, leg=2)], False),
        ([packet(20, leg=1), packet(20, leg=2), packet(60, leg=2)], True),
        ([packet(20), packet(None)], False),
        ([packet(20), packet(None), packet(20 + AMISS_MS + 1)], True),
        ([packet(None, leg=1), packet(None, leg=2)], False),
        ([packet(None)] * AMISS_LOST, True),
    ],
)
def test_amiss_are_a_queue_and_losses_on_one_path(
    rows: list[tuple[int, ...]], *, is_worth_a_look: bool
) -> None:
    assert is_amiss(watch_of(1, 2), rows, 1, 2) is is_worth_a_look


def test_a_queue_that_grows_slowly_is_amiss_once_it_is_one() -> None:
    watch = watch_of()
    found = [is_amiss(watch, [packet(20 + 4 * number, report=number)] * 3) for number in range(6)]
    assert found == [False] * 4 + [True] * 2


def test_two_reports_at_once_are_held_against_each_other() -> None:
    rows = [packet(20), packet(21), packet(40, report=1), packet(41, report=1)]
    assert is_amiss(watch_of(), rows)


def test_a_late_packet_of_each_report_is_no_queue() -> None:
    watch = watch_of()
    for number in range(20):
        rows = [packet(20 + 10 * (number % 2), report=number), packet(33, report=number)]
        assert not is_amiss(watch, rows)


def test_after_a_look_what_was_seen_then_is_usual() -> None:
    watch = watch_of()
    assert not is_amiss(watch, [packet(20)])
    assert is_amiss(watch, [packet(60, report=1)])
    watch.looked(at_ms(0), sent_to(1), NOBODY)
    assert not is_amiss(watch, [packet(60, report=2)])


def test_the_first_word_of_a_peer_is_worth_a_look() -> None:
    watch = watch_of(1, 2, unheard=(2,))
    assert not is_amiss(watch, [packet(20, leg=1)], 1, 2)
    assert is_amiss(watch, [packet(20, leg=1), packet(20, leg=2)], 1, 2)


def test_somebody_else_is_worth_a_look() -> None:
    assert is_amiss(Watch(), [], 1)
    assert not is_amiss(watch_of(1, 2), [], 1, 2)
    assert is_amiss(watch_of(1, 2), [], 1, 3)
    assert is_amiss(watch_of(1, 2), [], 1)


def test_what_is_said_of_who_is_gone_is_nothing() -> None:
    assert not is_amiss(watch_of(1), [packet(20, leg=7), packet(21, leg=7)], 1)


def test_another_path_is_no_reason() -> None:
    watch = watch_of(1, 2, 3)
    for number, delay_ms in enumerate((20, 80, 50)):
        assert not is_amiss(watch, [packet(delay_ms, leg=3 - number)], 1, 2, 3)
    rows = [packet(80, leg=1), packet(50, leg=3), packet(90, leg=2, report=1)]
    assert is_amiss(watch, rows, 1, 2, 3)


@pytest.mark.parametrize(
    ("packets", "after", "is_worth_a_look"),
    [
        (UNANSWERED_PACKETS, UNANSWERED_MS, True),
        (UNANSWERED_PACKETS - 1, UNANSWERED_MS, False),
        (UNANSWERED_PACKETS, UNANSWERED_MS - 1, False),
    ],
)
def test_a_peer_that_says_nothing_of_what_is_sent_is_looked_at(
    packets: int, after: int, *, is_worth_a_look: bool
) -> None:
    found = watch_of().is_amiss(at_ms(after), sent_to(1, packets=packets), feedback_of([]))
    assert found is is_worth_a_look


def test_of_a_peer_that_never_spoke_nothing_is_awaited() -> None:
    watch = watch_of(1, unheard=(1,))
    assert not watch.is_amiss(at_ms(UNANSWERED_MS), sent_to(1, packets=UNANSWERED_PACKETS), feedback_of([]))


def test_a_peer_that_speaks_is_not_gone() -> None:
    watch = watch_of(2, 1)
    for number in range(1, 9):
        said = feedback_of([packet(20, report=number, leg=1), packet(20, report=number, leg=2)])
        assert not watch.is_amiss(at_ms(100 * number), sent_to(2, 1, packets=100 * number), said)
    quiet = feedback_of([packet(20, report=9, leg=2)])
    assert watch.is_amiss(at_ms(800 + UNANSWERED_MS), sent_to(2, 1, packets=1_100), quiet)
