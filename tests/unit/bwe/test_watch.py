"""What of feedback is worth a closer look, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from sfu.bwe.watch import AMISS_LOST, AMISS_MS, Watch
from sfu.rows import FEEDBACK_DTYPE, LOST
from sfu.units import NS_PER_MS

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
    assert Watch().is_amiss(feedback_of(rows)) is is_worth_a_look


def test_a_queue_that_grows_slowly_is_amiss_once_it_is_one() -> None:
    watch = Watch()
    found = [watch.is_amiss(feedback_of([packet(20 + 4 * number, report=number)] * 3)) for number in range(6)]
    assert found == [False] * 4 + [True] * 2


def test_two_reports_at_once_are_held_against_each_other() -> None:
    rows = [packet(20), packet(21), packet(40, report=1), packet(41, report=1)]
    assert Watch().is_amiss(feedback_of(rows))


def test_a_late_packet_of_each_report_is_no_queue() -> None:
    watch = Watch()
    for number in range(20):
        rows = [packet(20 + 10 * (number % 2), report=number), packet(33, report=number)]
        assert not watch.is_amiss(feedback_of(rows))


def test_after_a_look_what_was_seen_then_is_usual() -> None:
    watch = Watch()
    assert not watch.is_amiss(feedback_of([packet(20)]))
    assert watch.is_amiss(feedback_of([packet(60, report=1)]))
    watch.looked(NOBODY)
    assert not watch.is_amiss(feedback_of([packet(60, report=2)]))


def test_the_first_word_of_a_peer_is_worth_a_look() -> None:
    watch = Watch()
    watch.looked(np.array([2], np.uint32))
    assert not watch.is_amiss(feedback_of([packet(20, leg=1)]))
    assert watch.is_amiss(feedback_of([packet(20, leg=1), packet(20, leg=2)]))


def test_another_path_is_no_reason() -> None:
    watch = Watch()
    for number, delay_ms in enumerate((20, 80, 50)):
        assert not watch.is_amiss(feedback_of([packet(delay_ms, leg=3 - number)]))
    assert watch.is_amiss(feedback_of([packet(80, leg=1), packet(50, leg=3), packet(90, leg=2, report=1)]))
