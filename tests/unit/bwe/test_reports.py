from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sfu.bwe.reports import is_arrived, sorted_reports
from sfu.bwe.roster import Roster

from .arrays import feedback_of, packet, reports_of


def test_rows_stand_by_subscriber_and_then_as_they_were_sent() -> None:
    reports = reports_of([packet(2, 5, seq=9, row=1), packet(3, 5, seq=4), packet(1, 5, seq=2)], size=2)
    assert list(zip(reports.row.tolist(), reports.seq.tolist(), strict=True)) == [(0, 2), (0, 4), (1, 9)]


def test_transports_nobody_knows_are_left_out() -> None:
    roster = Roster()
    roster.adopt(np.array([4], np.uint32))
    reports = sorted_reports(feedback_of([packet(0, 1, row=3), packet(0, 1, row=4)]), roster)
    assert reports.counts().tolist() == [1]


def test_what_was_told_as_lost_and_as_arrived_has_arrived() -> None:
    for rows in ([packet(0, None), packet(0, 7)], [packet(0, 7), packet(0, None)]):
        assert is_arrived(reports_of(rows)).tolist() == [True]


def test_sums_are_of_each_subscriber() -> None:
    reports = reports_of([packet(1, 5, seq=1, size=10), packet(9, 5, seq=2, size=20)], size=2)
    assert reports.bytes().tolist() == [30, 0]
    assert reports.newest(reports.seq, -7).tolist() == [2, -7]
    assert reports.least(reports.seq, 7).tolist() == [1, 7]


@given(st.integers(0, 10**6))
def test_the_order_in_which_feedback_comes_makes_no_difference(seed: int) -> None:
    rng = random.Random(seed)
    packets = [packet(seq, None if seq % 3 else 5, seq=seq, row=row) for row in range(3) for seq in range(9)]
    shuffled = packets[:]
    rng.shuffle(shuffled)
    first, second = reports_of(packets, 3), reports_of(shuffled, 3)
    assert first.seq.tolist() == second.seq.tolist()
    assert first.arrived_at.tolist() == second.arrived_at.tolist()
