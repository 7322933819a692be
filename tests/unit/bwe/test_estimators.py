from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.bwe.aimd import MIN_BPS, START_BPS
from sfu.bwe.estimate import ESTIMATE_DTYPE, WISH_DTYPE, BweUpdate, EstimateState
from sfu.bwe.estimators import UNANSWERED_S, Estimators
from sfu.rows import TRANSPORT_DTYPE, StructArray
from sfu.units import TransportId

from .arrays import SIZE, at_ms, feedback_of, packet, transports_of

NO_FEEDBACK = feedback_of([])
NO_WISHES = np.zeros(0, WISH_DTYPE)


def wish_of(*ids: int, next_bps: float = 0.0) -> StructArray:
    wishes = np.zeros(len(ids), WISH_DTYPE)
    wishes["transport"], wishes["allocated_bps"], wishes["next_bps"] = ids, 3e5, next_bps
    wishes["desired_bps"] = 3e5 + next_bps
    return wishes


def play(
    estimators: Estimators, begin_ms: int, end_ms: int, *, transport: int = 7, next_bps: float = 0.0
) -> BweUpdate:
    """A subscriber to whom a packet goes each 10 ms, of which it tells 50 ms later."""

    def tick(ms: int) -> BweUpdate:
        told = [
            packet(ms - 100 + i, 20, seq=(ms - 100 + i) // 10, row=transport, reported_ms=ms)
            for i in range(0, 50, 10)
        ]
        row = transports_of(transport, bytes_sent=ms // 10 * SIZE, packets=ms // 10)
        return estimators.update(at_ms(ms), feedback_of(told), row, wish_of(transport, next_bps=next_bps))

    *_, last = [tick(ms) for ms in range(begin_ms, end_ms, 50)]
    return last


def test_of_nobody_nothing_is_said() -> None:
    update = Estimators().update(at_ms(0), NO_FEEDBACK, transports_of(), NO_WISHES)
    assert update.estimates.dtype == ESTIMATE_DTYPE
    assert not len(update.estimates) + len(update.pacing) + len(update.probes)


def test_who_says_nothing_gets_little_at_first_and_then_all() -> None:
    estimators = Estimators()
    for ms in range(0, 4_000, 50):
        update = estimators.update(at_ms(ms), NO_FEEDBACK, transports_of(3, packets=ms + 1), NO_WISHES)
        is_waited_for = ms < UNANSWERED_S * 1_000
        assert update.estimates["target_bps"][0] == (START_BPS if is_waited_for else np.inf)
        assert update.estimates["state"][0] == EstimateState.UNKNOWN
        assert not len(update.probes)


def test_remb_stands_in_for_feedback_and_is_shown_what_is_withheld() -> None:
    estimators = Estimators()
    row = transports_of(3, packets=9, remb_bps=8e5)
    update = estimators.update(at_ms(0), NO_FEEDBACK, row, wish_of(3, next_bps=5e5))
    assert update.estimates["target_bps"][0] == 8e5
    assert update.estimates["state"][0] == EstimateState.REMB
    assert update.pacing["padding_bps"].tolist() == [8e5]
    update = estimators.update(at_ms(50), NO_FEEDBACK, row, wish_of(3))
    assert update.pacing["padding_bps"].tolist() == [0]


def test_remb_bounds_what_we_estimate() -> None:
    estimators = Estimators()
    play(estimators, 100, 1_100)
    row = transports_of(7, bytes_sent=110 * SIZE, packets=110, remb_bps=1e5)
    update = estimators.update(at_ms(1_100), NO_FEEDBACK, row, NO_WISHES)
    assert update.estimates["target_bps"][0] == 1e5
    assert update.estimates["state"][0] == EstimateState.REMB


def test_a_remb_of_nearly_nothing_still_leaves_sound() -> None:
    row = transports_of(3, packets=9, remb_bps=1.0)
    update = Estimators().update(at_ms(0), NO_FEEDBACK, row, NO_WISHES)
    assert update.estimates["target_bps"][0] == MIN_BPS


def test_first_feedback_starts_the_estimate_and_its_probes() -> None:
    update = play(Estimators(), 100, 150)
    assert update.estimates["target_bps"][0] == pytest.approx(START_BPS)
    assert update.estimates["state"][0] == EstimateState.NORMAL
    assert update.estimates["is_probing"][0]
    assert len(update.probes) == 2


def test_a_path_to_which_nothing_was_sent_is_tried_when_something_is_withheld_from_it() -> None:
    estimators, wish = Estimators(), wish_of(7, next_bps=9e6)
    unready = transports_of(7, can_send=False)
    assert not len(estimators.update(at_ms(0), NO_FEEDBACK, unready, wish).probes)
    assert not len(estimators.update(at_ms(50), NO_FEEDBACK, transports_of(7), NO_WISHES).probes)
    assert len(estimators.update(at_ms(100), NO_FEEDBACK, transports_of(7), wish).probes) == 2
    for ms in range(150, 6_000, 50):
        update = estimators.update(at_ms(ms), NO_FEEDBACK, transports_of(7), wish)
        assert not len(update.probes)
        is_waited_for = ms < 100 + UNANSWERED_S * 1_000
        assert update.estimates["target_bps"][0] == (START_BPS if is_waited_for else np.inf)
        assert update.estimates["stable_bps"][0] == update.estimates["target_bps"][0]


def test_what_arrives_and_the_round_trip_are_told() -> None:
    update = play(Estimators(), 100, 3_100)
    assert update.estimates["acked_bps"][0] == pytest.approx(SIZE * 8 * 100, rel=0.05)
    assert update.estimates["round_trip_time_ms"][0] == pytest.approx(60, abs=1)
    assert update.estimates["queue_ms"][0] == 0
    assert update.estimates["loss"][0] == 0


def test_who_is_silent_gets_less_until_it_speaks_again() -> None:
    estimators = Estimators()
    update = play(estimators, 100, 2_100)
    before = update.estimates["target_bps"][0]
    for ms in range(2_100, 6_100, 50):
        row = transports_of(7, bytes_sent=ms // 10 * SIZE, packets=ms // 10)
        update = estimators.update(at_ms(ms), NO_FEEDBACK, row, NO_WISHES)
    assert update.estimates["state"][0] == EstimateState.SILENT
    assert update.estimates["target_bps"][0] < before / 2
    assert play(estimators, 6_100, 6_150).estimates["state"][0] == EstimateState.NORMAL


def test_who_is_sent_less_than_the_target_is_limited_by_us() -> None:
    estimators = Estimators()
    play(estimators, 100, 5_100)
    rows = estimators.update(at_ms(5_100), NO_FEEDBACK, transports_of(7), NO_WISHES).estimates
    assert rows["is_limited_by_us"][0]


def test_what_a_new_path_carries_is_not_known() -> None:
    estimators = Estimators()
    play(estimators, 100, 3_100)
    assert play(estimators, 3_100, 3_150).estimates["target_bps"][0] > 1.05 * START_BPS
    estimators.route_changed([TransportId(7), TransportId(99)])
    update = play(estimators, 3_150, 3_200)
    assert update.estimates["target_bps"][0] == pytest.approx(START_BPS)
    assert update.probes["cluster"].min() > 2


def test_who_is_gone_is_forgotten_and_the_others_are_not() -> None:
    estimators = Estimators()
    grown = play(estimators, 100, 3_100).estimates["target_bps"][0]
    update = estimators.update(at_ms(3_100), NO_FEEDBACK, transports_of(2, 7), NO_WISHES)
    assert update.estimates["target_bps"][1] == pytest.approx(grown, rel=0.01)
    estimators.update(at_ms(3_150), NO_FEEDBACK, transports_of(2), NO_WISHES)
    update = estimators.update(at_ms(3_200), NO_FEEDBACK, transports_of(2, 7), NO_WISHES)
    assert update.estimates["state"].tolist() == [EstimateState.UNKNOWN] * 2


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_many_together_get_what_each_gets_alone(seed: int, count: int) -> None:
    rng = random.Random(seed)
    together, alone = Estimators(), [Estimators() for _ in range(count)]
    sent = [0] * count
    for tick in range(25):
        now_ms = 50 * tick
        packets: list[list[tuple[int, ...]]] = [[] for _ in range(count)]
        rows = np.zeros(count, TRANSPORT_DTYPE)
        rows["transport"] = 10 * np.arange(count)
        rows["round_trip_time_ms"] = np.nan
        for one in range(count):
            for _ in range(rng.choice([0, 3, 12])):
                delay = None if rng.random() < 0.1 else rng.uniform(10, 15 + 4 * tick * (one % 2))
                sent_ms, cluster = now_ms - rng.uniform(20, 70), rng.choice([0, 0, 1, 2])
                packets[one].append(
                    packet(sent_ms, delay, seq=sent[one], row=10 * one, cluster=cluster, reported_ms=now_ms)
                )
                sent[one] += 1
            rows["bytes_sent"][one], rows["numbered_packets_sent"][one] = SIZE * sent[one], sent[one]
            rows["remb_bps"][one] = rng.choice([0, 0, 4e5])
        order = rng.sample(range(count), count)
        wishes = wish_of(*(10 * one for one in order), next_bps=5e5)
        mixed = [row for one in order for row in packets[one]]
        whole = together.update(at_ms(now_ms), feedback_of(mixed), rows[order], wishes)
        for one, estimators in enumerate(alone):
            part = estimators.update(
                at_ms(now_ms), feedback_of(packets[one]), rows[one : one + 1], wish_of(10 * one, next_bps=5e5)
            )
            for name in ("estimates", "pacing", "probes"):
                of_whole, of_part = getattr(whole, name), getattr(part, name)
                ours = of_whole[of_whole["transport"] == 10 * one]
                assert np.array_equal(_plain(ours), _plain(of_part), equal_nan=True)


def _plain(rows: StructArray) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    names = rows.dtype.names or ()
    return np.concatenate([rows[name].astype(np.float64) for name in names])
