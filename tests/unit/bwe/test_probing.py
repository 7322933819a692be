from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sfu.bwe.aimd import START_BPS
from sfu.bwe.clusters import ProbeResults
from sfu.bwe.probing import (
    FEEL_FACTOR,
    FEEL_LATER_NS,
    FEEL_NS,
    GOAL_MARGIN,
    GREW,
    GREW_GAP_NS,
    KNOWN_BPS,
    MAX_FACTOR,
    MAX_INTERVAL_NS,
    MIN_INTERVAL_NS,
    MIN_PROBE_BYTES,
    PAUSED_INTERVAL_NS,
    START_FACTORS,
    STEP_FACTOR,
    WATCH_NS,
    ProbeNeeds,
    Prober,
)
from sfu.bwe.roster import Move
from sfu.units import NS_PER_S

from .arrays import at_ms, reports_of

if TYPE_CHECKING:
    from sfu.rows import StructArray

IDS = np.array([7], np.uint32)
INTERVAL_S = MIN_INTERVAL_NS / NS_PER_S


class Subscriber:
    """One prober's only subscriber, on a clock of ticks."""

    def __init__(self) -> None:
        self.prober = Prober()
        nothing = np.zeros(0, np.int64)
        self.prober.arrange(Move(1, nothing, nothing))
        self.ms = 0.0
        self.target = 1e6
        self.allocated = 1e6
        self.desired = 3e6
        self.next = 5e5
        self.may_probe = True
        self.is_untried = False
        self.has_reports = True

    def tick(self, *, fell: bool = False, returns: bool = False, outgrew: bool = False) -> StructArray:
        self.ms += 50
        self.prober.clusters.update(at_ms(self.ms), reports_of([]), np.zeros(1))
        needs = ProbeNeeds(
            target_bps=np.array([self.target]),
            allocated_bps=np.array([self.allocated]),
            desired_bps=np.array([self.desired]),
            next_bps=np.array([self.next]),
            may_probe=np.array([self.may_probe]),
            is_untried=np.array([self.is_untried]),
            has_reports=np.array([self.has_reports]),
            fell=np.array([fell]),
            returns=np.array([returns]),
            outgrew=np.array([outgrew]),
        )
        return self.prober.ask(at_ms(self.ms), IDS, needs)

    def wait(self, most_s: float, *, feels: bool = False) -> tuple[float, StructArray]:
        """Tick until there is a probe, a small one (`FEEL_FACTOR`) or else not; how long it took."""
        began = self.ms
        probes = self.tick()
        while not len(probes) or self.prober.table.rows["feels"][0] != feels:
            if len(probes):
                self.ends(1.0, is_full=False, knows_limit=True)
            if self.ms - began >= most_s * 1_000:
                return np.inf, probes
            probes = self.tick()
        return (self.ms - began) / 1_000, probes

    def ends(self, rate_bps: float, *, is_full: bool = True, knows_limit: bool = False) -> float:
        """All that is under way ends with this result; what is proven by it."""
        for name in ("number", "is_probing"):
            self.prober.clusters.table.rows[name] = 0
        results = ProbeResults(np.array([True]), np.array([rate_bps]), np.array([is_full]))
        proven = self.prober.judge(at_ms(self.ms), results, np.array([self.target]), np.array([knows_limit]))
        if np.isfinite(proven[0]):
            self.target = float(proven[0])
        return float(proven[0])

    def started(self) -> Subscriber:
        self.tick()
        self.ends(np.nan, is_full=False)
        self.prober.table.rows["interval_ns"] = MIN_INTERVAL_NS
        self.prober.table.rows["next_at"] = at_ms(self.ms) + MIN_INTERVAL_NS
        return self


def test_it_begins_with_two_probes_once_the_peer_tells_of_packets() -> None:
    subscriber = Subscriber()
    subscriber.may_probe = False
    assert not len(subscriber.tick())
    subscriber.may_probe = True
    probes = subscriber.tick()
    assert probes["rate_bps"].tolist() == [factor * START_BPS for factor in START_FACTORS]
    assert probes["cluster"].tolist() == [1, 2]
    assert (probes["size_bytes"] >= MIN_PROBE_BYTES).all()
    assert not len(subscriber.tick())


def untried() -> Subscriber:
    subscriber = Subscriber()
    subscriber.is_untried, subscriber.may_probe, subscriber.has_reports = True, False, False
    subscriber.allocated = 0
    return subscriber


def test_where_nothing_was_ever_sent_it_begins_as_soon_as_something_is_withheld() -> None:
    subscriber = untried()
    subscriber.next = 0
    assert not len(subscriber.tick())
    subscriber.next = 9e6
    assert subscriber.tick()["rate_bps"].tolist() == [factor * START_BPS for factor in START_FACTORS]
    subscriber.is_untried = False
    assert not len(subscriber.tick())
    subscriber.may_probe = subscriber.has_reports = True
    assert not len(subscriber.tick()), "the first are under way"
    subscriber.ends(2e6)
    assert subscriber.tick()["rate_bps"].tolist() == [STEP_FACTOR * 2e6]


def test_who_told_nothing_of_the_first_is_probed_again_when_it_speaks() -> None:
    subscriber = untried()
    subscriber.tick()
    subscriber.is_untried = False
    subscriber.ends(np.nan, is_full=False)
    assert not len(subscriber.tick())
    subscriber.may_probe = subscriber.has_reports = True
    assert len(subscriber.tick()) == len(START_FACTORS)


def test_where_the_first_say_nothing_the_next_follow_at_once() -> None:
    subscriber = Subscriber()
    subscriber.allocated, subscriber.next = 0, 9e6
    subscriber.tick()
    subscriber.ends(np.nan, is_full=False)
    assert subscriber.tick()["rate_bps"].tolist() == [MAX_FACTOR * 1e6]
    subscriber.ends(np.nan, is_full=False)
    assert not len(subscriber.tick())


def test_at_the_start_it_goes_on_whatever_is_desired_while_probes_pass() -> None:
    subscriber = Subscriber()
    subscriber.desired = subscriber.next = 0
    subscriber.tick()
    subscriber.ends(2e6)
    assert subscriber.tick()["rate_bps"].tolist() == [STEP_FACTOR * 2e6]
    subscriber.ends(4e6)
    assert subscriber.tick()["rate_bps"].tolist() == [KNOWN_BPS]
    subscriber.ends(KNOWN_BPS)
    assert not len(subscriber.tick())
    narrow = Subscriber()
    narrow.desired = narrow.next = 0
    narrow.tick()
    narrow.ends(1.5e6, is_full=False)
    assert not len(narrow.tick())


def test_the_first_may_pass_and_prove_nothing_for_media_had_already() -> None:
    subscriber = Subscriber()
    subscriber.tick()
    subscriber.target = 2.5e6
    assert np.isnan(subscriber.ends(2e6))
    assert subscriber.tick()["rate_bps"].tolist() == [min(STEP_FACTOR * 2.5e6, KNOWN_BPS)]
    assert np.isnan(subscriber.ends(2e6))
    assert not len(subscriber.tick())


def test_after_one_that_passed_it_goes_on_up_to_what_is_desired() -> None:
    subscriber = Subscriber().started()
    assert subscriber.ends(1.8e6) == 1.8e6
    assert subscriber.tick()["rate_bps"].tolist() == [min(STEP_FACTOR * 1.8e6, GOAL_MARGIN * 3e6)]
    subscriber.ends(3.6e6)
    assert not len(subscriber.tick())


def test_after_one_that_was_held_up_it_does_not_go_on() -> None:
    subscriber = Subscriber()
    subscriber.tick()
    assert subscriber.ends(1.8e6, is_full=False) == 1.8e6
    assert not len(subscriber.tick())


def test_where_the_limit_is_known_a_probe_that_was_held_up_proves_nothing() -> None:
    assert np.isnan(Subscriber().started().ends(1.8e6, is_full=False, knows_limit=True))
    assert Subscriber().started().ends(1.8e6, is_full=True, knows_limit=True) == 1.8e6


def test_while_a_step_is_withheld_it_is_tried_for_and_else_not() -> None:
    subscriber = Subscriber().started()
    after_s, probes = subscriber.wait(30)
    assert after_s == pytest.approx(INTERVAL_S, abs=0.1)
    assert probes["rate_bps"].tolist() == [1e6 + GOAL_MARGIN * 5e5]
    content = Subscriber().started()
    content.next = 0
    assert content.wait(60)[0] == np.inf
    room = Subscriber().started()
    room.target = 1e7
    assert room.wait(60)[0] == np.inf


def test_a_step_far_away_is_tried_for_in_parts() -> None:
    subscriber = Subscriber().started()
    subscriber.target, subscriber.allocated, subscriber.next = 4e5, 3e5, 5e6
    assert subscriber.wait(30)[1]["rate_bps"].tolist() == [MAX_FACTOR * 4e5]


def test_each_failure_doubles_the_interval_up_to_the_longest() -> None:
    subscriber = Subscriber().started()
    waits = []
    for _ in range(6):
        waits.append(subscriber.wait(100)[0])
        subscriber.ends(5e5, is_full=False, knows_limit=True)
    assert waits == pytest.approx([3, 6, 12, 24, 30, 30], abs=0.1)
    assert MAX_INTERVAL_NS == 30 * NS_PER_S


def test_a_raise_that_does_not_last_is_a_failure() -> None:
    subscriber = Subscriber().started()
    subscriber.wait(10)
    subscriber.next = 0
    subscriber.desired = 0
    subscriber.ends(3e6)
    subscriber.tick()
    subscriber.target = 1e6
    subscriber.tick()
    subscriber.next = 5e5
    assert subscriber.wait(100)[0] == pytest.approx(2 * INTERVAL_S, abs=0.2)


def test_after_such_a_raise_a_little_more_is_tried_before_the_next_large_probe_is_due() -> None:
    subscriber = Subscriber().started()
    subscriber.prober.table.rows["interval_ns"] = MAX_INTERVAL_NS
    subscriber.wait(10)
    subscriber.next = subscriber.desired = 0
    subscriber.ends(3e6)
    subscriber.tick()
    subscriber.target = 1e6
    subscriber.tick()
    subscriber.next = subscriber.desired = 5e5
    assert subscriber.wait(100, feels=True)[0] == pytest.approx(FEEL_LATER_NS / NS_PER_S, abs=0.2)


def test_a_raise_that_lasts_makes_the_interval_short_again() -> None:
    subscriber = Subscriber().started()
    subscriber.prober.table.rows["interval_ns"] = MAX_INTERVAL_NS
    subscriber.desired = 0
    subscriber.prober.table.rows["next_at"] = at_ms(subscriber.ms)
    subscriber.wait(1)
    subscriber.ends(1.1e6)
    for _ in range(WATCH_NS // (50 * 10**6) + 2):
        subscriber.tick()
    assert subscriber.prober.table.rows["interval_ns"][0] == MIN_INTERVAL_NS


def test_after_a_fall_there_is_a_pause_and_past_the_limit_there_is_none() -> None:
    subscriber = Subscriber().started()
    subscriber.ms += 60_000
    assert not len(subscriber.tick(fell=True))
    assert subscriber.wait(30)[0] == pytest.approx(INTERVAL_S, abs=0.1)
    subscriber.ends(1.0)
    assert len(subscriber.tick(outgrew=True)) == 1


def test_who_fell_for_nothing_is_probed_at_once_however_long_the_interval() -> None:
    subscriber = Subscriber().started()
    subscriber.prober.table.rows["interval_ns"] = MAX_INTERVAL_NS
    subscriber.target = subscriber.allocated = 1e5
    subscriber.tick(fell=True)
    assert len(subscriber.tick(returns=True)) == 1
    assert subscriber.ends(6e5) == 6e5
    assert len(subscriber.tick()) == 1, "it goes on after one that passed"
    subscriber.ends(1.2e6)


def test_what_becomes_of_that_is_not_held_against_other_probes() -> None:
    subscriber = Subscriber().started()
    subscriber.tick(returns=True)
    subscriber.next = subscriber.desired = 0
    subscriber.ends(3e6)
    subscriber.tick()
    subscriber.target = 1e6
    subscriber.tick()
    assert subscriber.prober.table.rows["interval_ns"][0] == MIN_INTERVAL_NS
    held = Subscriber().started()
    held.tick(returns=True)
    held.ends(5e5, is_full=False, knows_limit=True)
    assert held.prober.table.rows["interval_ns"][0] == MIN_INTERVAL_NS


def test_where_all_is_paused_it_is_tried_more_often() -> None:
    subscriber = Subscriber().started()
    subscriber.prober.table.rows["interval_ns"] = MAX_INTERVAL_NS
    subscriber.wait(30)
    subscriber.ends(1.0)
    subscriber.allocated, subscriber.target = 0.0, 5e4
    assert subscriber.wait(100)[0] == pytest.approx(PAUSED_INTERVAL_NS / NS_PER_S, abs=0.1)


def test_no_probe_goes_where_none_may() -> None:
    subscriber = Subscriber().started()
    subscriber.may_probe = False
    assert subscriber.wait(60)[0] == np.inf


def test_a_new_path_is_probed_as_at_the_start_under_new_numbers() -> None:
    subscriber = Subscriber().started()
    subscriber.prober.clear(np.array([True]))
    assert subscriber.tick()["cluster"].tolist() == [3, 4]


def test_who_asks_for_much_more_is_probed_for_at_once() -> None:
    subscriber = Subscriber().started()
    subscriber.prober.table.rows["interval_ns"] = MAX_INTERVAL_NS
    subscriber.prober.table.rows["next_at"] = at_ms(subscriber.ms + 30_000)
    assert subscriber.wait(1)[0] == np.inf
    subscriber.desired *= 1.1 * GREW
    assert len(subscriber.tick()) == 1


def test_who_asks_again_at_once_or_for_a_little_more_is_not() -> None:
    subscriber = Subscriber()
    subscriber.tick()
    subscriber.ends(5e5, is_full=False)
    subscriber.desired *= 1.1 * GREW
    after_s, _ = subscriber.wait(2)
    assert after_s == pytest.approx(GREW_GAP_NS / NS_PER_S, abs=0.1)
    calm = Subscriber().started()
    calm.desired *= 1.1
    assert calm.wait(INTERVAL_S - 0.5)[0] == np.inf


def test_only_the_first_probes_can_say_that_less_passes_than_was_assumed() -> None:
    subscriber = Subscriber()
    held = ProbeResults(np.array([True]), np.array([4e5]), np.array([False]))
    full = ProbeResults(np.array([True]), np.array([4e5]), np.array([True]))
    assert np.isnan(subscriber.prober.disproven(held))
    subscriber.tick()
    assert subscriber.prober.begins
    assert subscriber.prober.disproven(held) == 4e5
    assert np.isnan(subscriber.prober.disproven(full))
    subscriber.ends(4e5, is_full=False)
    assert not subscriber.prober.begins
    assert np.isnan(subscriber.prober.disproven(held))


def test_in_between_a_little_more_than_passes_is_tried() -> None:
    subscriber = Subscriber().started()
    subscriber.prober.table.rows["interval_ns"] = MAX_INTERVAL_NS
    subscriber.wait(10)
    subscriber.ends(1.0, is_full=False, knows_limit=True)
    for _ in range(3):
        after_s, probes = subscriber.wait(30, feels=True)
        assert after_s == pytest.approx(FEEL_NS / NS_PER_S, abs=0.1)
        assert probes["rate_bps"].tolist() == [FEEL_FACTOR * subscriber.target]
        subscriber.ends(1.0, is_full=False, knows_limit=True)
    assert subscriber.prober.table.rows["interval_ns"][0] == MAX_INTERVAL_NS


def test_that_is_also_tried_where_the_next_step_is_in_sight_and_more_is_desired() -> None:
    subscriber = Subscriber().started()
    subscriber.next = 1e5
    subscriber.target = 1.5e6
    took_s, probes = subscriber.wait(6, feels=True)
    assert took_s <= FEEL_NS / NS_PER_S
    assert probes["rate_bps"].tolist() == [FEEL_FACTOR * 1.5e6]
    content = Subscriber().started()
    content.next, content.desired, content.target = 1e5, 1.4e6, 1.5e6
    assert content.wait(6, feels=True)[0] == np.inf


def test_where_a_little_more_passes_larger_probes_follow_at_once() -> None:
    subscriber = Subscriber().started()
    subscriber.prober.table.rows["next_at"] = at_ms(60_000)
    subscriber.wait(10, feels=True)
    subscriber.ends(FEEL_FACTOR * subscriber.target)
    assert subscriber.tick()["rate_bps"].tolist() == [STEP_FACTOR * FEEL_FACTOR * 1e6]


def test_after_a_probe_that_passed_it_goes_on_up_to_the_step_that_is_withheld() -> None:
    subscriber = Subscriber().started()
    subscriber.allocated, subscriber.desired, subscriber.next = 5e5, 1.9e6, 1.8e6
    subscriber.ends(2e6)
    assert subscriber.tick()["rate_bps"].tolist() == [5e5 + GOAL_MARGIN * 1.8e6]
