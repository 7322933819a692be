from __future__ import annotations

from loadtest.bench.cascade.figures import Round, longest_gap_ms, medians, raw_rounds
from sfu.units import NS_PER_MS, Instant


def at(*moments_ms: float) -> list[Instant]:
    return [Instant(round(moment * NS_PER_MS)) for moment in moments_ms]


def test_a_figure_is_the_median_of_the_rounds_that_have_it() -> None:
    rounds = [Round({"cut_recovery_s": value}) for value in (3.0, 1.0, 1.5)]
    assert medians("cut", [*rounds, Round(faults=("pictures crossed",))]) == {"cut_recovery_s": 1.5}


def test_where_no_round_has_a_figure_there_is_none() -> None:
    assert medians("restart", [Round()]) == {"restart_recovery_s": None, "others_gap_ms": None}


def test_raw_values_and_faults_of_each_round_are_kept() -> None:
    rounds = [Round({"cut_recovery_s": 0.123456}, {"dropped": 7}), Round(faults=("no pictures",))]
    assert raw_rounds(rounds) == [
        {"cut_recovery_s": 0.1235, "dropped": 7, "faults": []},
        {"faults": ["no pictures"]},
    ]


def test_the_longest_gap_is_between_arrivals_of_that_while() -> None:
    since, until = at(100, 200)
    assert longest_gap_ms(at(10, 110, 150, 170, 190, 900), since, until) == 40.0


def test_silence_at_either_end_is_a_gap_too() -> None:
    since, until = at(100, 200)
    assert longest_gap_ms(at(90, 160, 170), since, until) == 60.0
    assert longest_gap_ms(at(110, 120, 300), since, until) == 80.0
    assert longest_gap_ms([], since, until) == 100.0
