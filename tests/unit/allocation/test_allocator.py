"""Many ticks of one allocator: what it remembers, what the operator caps, and why somebody is short."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from sfu.allocation.allocate import Allocator
from sfu.allocation.budgets import CAPS_DTYPE, NO_BUDGETS, NO_CAPS
from sfu.allocation.decision import Cause
from sfu.allocation.first import AT_ONCE, EVERY
from sfu.allocation.policies.lowest_layers_first import lowest_layers_first
from sfu.allocation.policies.utility import utility
from sfu.allocation.problem import NEVER, Problem
from sfu.allocation.rates import EncodingRates
from sfu.allocation.speech import NO_SPEECH, speech_of
from sfu.rows import ALL_TEMPORAL, MAX_TEMPORAL, PAUSED, StructArray
from sfu.runtime.policies import POLICIES
from sfu.units import NS_PER_S, RouteId, TrackHandle, TransportId, after_ms
from tests.unit.allocation.arrays import AUDIO, NOW, VIDEO, budgets_of, rates_of, stats_of, table_of, video

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.allocation.problem import Policy
    from sfu.allocation.rates import BoolArray, IntArray
    from sfu.conference.turn import SetDemand

LADDER: Final = (100_000.0, 300_000.0, 1_500_000.0)


def ladders(*tracks: int) -> EncodingRates:
    return rates_of({(track, encoding): rate for track in tracks for encoding, rate in enumerate(LADDER)})


def layered(track: int = 1) -> EncodingRates:
    """One encoding of 200 kbit/s in three temporal layers: 80, 40 and 80, of 7.5, 7.5 and 15 frames."""
    rates = rates_of({(track, 0): 0.0})
    for second in range(1, 6):
        stats = stats_of(after_ms(NOW, 1_000 + 1_000 * second), {(track, 0): 25_000 * second})
        stats.encodings["temporal_bytes_received"] = np.array([[10_000, 5_000, 10_000]]) * second
        stats.encodings["temporal_frames_received"] = np.array([[15, 15, 30]]) * second // 2
        rates.update(stats)
    return rates


def caps_of(**caps: float) -> StructArray:
    array = np.zeros(1, CAPS_DTYPE)
    array["transport"] = 1
    array["max_bps"] = np.inf
    for name, value in caps.items():
        array[name] = value
    return array


def one(decisions: StructArray, route: int = 1) -> Mapping[str, float]:
    row = decisions[decisions["route"] == route][0]
    return {name: row[name] for name in row.dtype.names or ()}


# --- temporal layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [utility, lowest_layers_first])
@pytest.mark.parametrize(
    ("budget_bps", "temporal", "rate_bps", "next_bps"),
    [
        (90_000.0, 0, 80_000.0, 120_000.0),
        (130_000.0, 1, 120_000.0, 200_000.0),
        (220_000.0, ALL_TEMPORAL, 200_000.0, 0.0),
    ],
)
def test_frames_are_left_out_where_a_budget_is_between_two_layers(
    policy: Policy, budget_bps: float, temporal: int, rate_bps: float, next_bps: float
) -> None:
    table = table_of([video(1, encodings=1)])
    found = one(Allocator(policy).decide(table, layered(), budgets_of({1: budget_bps})))
    assert (found["chosen_encoding"], found["temporal"]) == (0, temporal)
    assert found["rate_bps"] == pytest.approx(rate_bps, rel=0.01)
    assert found["next_rate_bps"] == pytest.approx(next_bps, rel=0.01)
    assert found["best_rate_bps"] == pytest.approx(200_000, rel=0.01)
    assert found["cause"] == (Cause.SIZE if temporal == ALL_TEMPORAL else Cause.BUDGET)


def test_a_record_says_how_many_frames_a_second_are_given() -> None:
    table = table_of([video(1, encodings=1)])
    rates = layered()
    assert one(Allocator().decide(table, rates, budgets_of({1: 130_000.0})))["frame_rate"] == pytest.approx(
        15, 0.1
    )
    assert one(Allocator().decide(table, rates))["frame_rate"] == pytest.approx(30, 0.1)


def test_a_temporal_layer_that_begins_later_is_no_change() -> None:
    seen: list[Problem] = []

    def watched(problem: Problem) -> IntArray:
        seen.append(problem)
        return utility(problem)

    allocator, table = Allocator(watched), table_of([video(1, encodings=1)])
    allocator.decide(table, rates_of({(1, 0): 200_000.0}))
    allocator.decide(table, layered())
    assert [int(problem.previous[0]) for problem in seen] == [PAUSED, MAX_TEMPORAL - 1]
    assert seen[1].previous_at[0] == seen[0].now


# --- memory -----------------------------------------------------------------------------------------------


def test_a_policy_is_told_what_it_gave_and_since_when() -> None:
    seen: list[Problem] = []
    answers = iter([[3, PAUSED], [3, 0], [0, 0], [0, 0]])

    def scripted(problem: Problem) -> IntArray:
        seen.append(problem)
        return np.array(next(answers))

    allocator, table, rates = Allocator(scripted), table_of([video(1), video(2)]), ladders(1, 2)
    counted = {(track, encoding): 0 for track in (1, 2) for encoding in range(3)}
    for tick in range(4):
        rates.update(stats_of(after_ms(NOW, 2_000 + 50 * tick), counted))
        allocator.decide(table, rates)
    at = [problem.now for problem in seen]
    assert [problem.previous.tolist() for problem in seen] == [[PAUSED] * 2, [3, PAUSED], [3, 0], [0, 0]]
    assert seen[0].previous_at.tolist() == [NEVER, NEVER]
    assert seen[3].previous_at.tolist() == [at[2], at[1]]
    assert seen[3].lowered_at.tolist() == [at[2], NEVER]
    assert [problem.changed.tolist() for problem in seen] == [[True, True], *[[False, False]] * 3]
    assert [problem.decided_at.tolist() for problem in seen] == [[NEVER], [at[0]], [at[1]], [at[2]]]


def test_a_policy_that_lets_decisions_stand_is_told_when_it_decided() -> None:
    seen: list[Problem] = []

    class Rare:
        def __call__(self, problem: Problem, /) -> IntArray:
            seen.append(problem)
            return lowest_layers_first(problem)

        def due(self, problem: Problem, /) -> BoolArray:
            return problem.now - problem.decided_at >= NS_PER_S

    allocator, table, rates = Allocator(Rare()), table_of([video(1)]), ladders(1)
    for tick in range(4):
        rates.update(stats_of(after_ms(NOW, 2_000 + 600 * tick), {(1, encoding): 0 for encoding in range(3)}))
        allocator.decide(table, rates, budgets_of({1: 400_000.0 + tick}))
    at = [problem.now for problem in seen]
    assert [int(problem.decided_at[0]) for problem in seen] == [NEVER, at[0], at[0], at[2]]
    assert [float(problem.decided_bps[0]) for problem in seen] == [0, 400_000, 400_000, 400_002]


def test_what_is_remembered_follows_its_row_when_others_come_and_go() -> None:
    seen: list[Problem] = []

    def watched(problem: Problem) -> IntArray:
        seen.append(problem)
        return np.where(problem.track == 2, 3, 0)

    allocator, table, rates = Allocator(watched), table_of([video(1), video(2)]), ladders(1, 2, 3)
    allocator.decide(table, rates)
    table.drop(RouteId(1))
    table.set(video(3))
    table.set(replace(video(4, subscriber=TransportId(2)), track=TrackHandle(3)))
    allocator.decide(table, rates)
    assert dict(zip(seen[1].track.tolist(), seen[1].previous.tolist(), strict=True)) == {2: 3, 3: PAUSED}
    assert seen[1].reordered.tolist() == [True, True]
    allocator.decide(table, rates)
    assert seen[2].reordered.tolist() == [False, False]


def test_the_layout_follows_speakers_pins_and_sizes() -> None:
    seen: list[Problem] = []

    def watched(problem: Problem) -> IntArray:
        seen.append(problem)
        return lowest_layers_first(problem)

    allocator, table, rates = Allocator(watched), table_of([video(1), video(2)]), ladders(1, 2)
    speech = speech_of([((2,), ())])
    allocator.decide(table, rates)
    allocator.decide(table, rates, speech=speech)
    table.set(video(1, is_pinned=True))
    allocator.decide(table, rates, speech=speech)
    table.set(video(2, height=100))
    allocator.decide(table, rates, speech=speech)
    assert [problem.track.tolist() for problem in seen] == [[1, 2], [2, 1], [1, 2], [1, 2]]
    assert [bool(problem.reordered[0]) for problem in seen] == [True] * 4
    assert seen[1].speaker[0] == 0


# --- caps -------------------------------------------------------------------------------------------------


def test_an_operators_caps_lower_what_is_given_and_are_the_reason() -> None:
    table, rates = table_of([video(1), video(2)]), ladders(1, 2)

    def decided(caps: StructArray, budgets: StructArray = NO_BUDGETS) -> list[tuple[int, Cause]]:
        rows = Allocator(lowest_layers_first).decide(table, rates, budgets, caps)
        return [(int(row["chosen_encoding"]), Cause(int(row["cause"]))) for row in rows]

    best = (2, Cause.SIZE)
    assert decided(NO_CAPS) == [best, best]
    assert decided(caps_of(max_bps=700_000)) == [(1, Cause.CAP), (1, Cause.CAP)]
    assert decided(caps_of(max_bps=3_100_000)) == [best, best]
    assert decided(caps_of(max_bps=700_000), budgets_of({1: 600_000.0})) == [
        (1, Cause.BUDGET),
        (1, Cause.BUDGET),
    ]
    assert decided(caps_of(max_videos=1)) == [best, (PAUSED, Cause.LAST_N)]
    assert decided(caps_of(max_videos=2)) == [best, best]
    assert decided(caps_of(max_height=400)) == [(1, Cause.CEILING), (1, Cause.CEILING)]


def test_the_last_n_are_those_that_come_first_and_can_be_seen() -> None:
    table = table_of([replace(AUDIO, route=RouteId(9)), video(1), video(2), video(3, is_visible=False)])
    speech = speech_of([((2,), ())])
    rows = Allocator().decide(table, ladders(1, 2, 3), caps=caps_of(max_videos=1), speech=speech)
    causes = {int(row["route"]): Cause(int(row["cause"])) for row in rows}
    assert causes == {9: Cause.SIZE, 1: Cause.LAST_N, 2: Cause.SIZE, 3: Cause.NOT_VISIBLE}
    assert set(rows["max_videos"].tolist()) == {1}
    unseen = Cause.LAST_N, Cause.NOT_VISIBLE
    assert (rows["is_unseen"] == np.isin(rows["cause"], unseen)).all()


def test_what_is_out_of_sight_is_not_given() -> None:
    found = one(Allocator().decide(table_of([video(1, is_visible=False)]), ladders(1)))
    assert (found["chosen_encoding"], found["cause"]) == (PAUSED, Cause.NOT_VISIBLE)
    assert one(Allocator().decide(table_of([VIDEO]), ladders(1)))["cause"] == Cause.SIZE


@pytest.mark.parametrize(("was_visible", "expected"), [(True, 1), (False, 2)])
def test_what_stopped_while_nobody_looked_counts_as_soon_as_it_flows(
    expected: int, *, was_visible: bool
) -> None:
    rates, allocator, chosen = EncodingRates(), Allocator(utility), [PAUSED]
    received, last_at = (
        dict.fromkeys(((1, 0), (1, 1), (1, 2)), 0),
        dict.fromkeys(((1, 0), (1, 1), (1, 2)), NOW),
    )
    for tick in range(53):
        now = after_ms(NOW, 100 * tick)
        for key in received:
            if key != (1, 2) or not 20 <= tick < 50:
                received[key] += 10_000
                last_at[key] = now
        rates.update(stats_of(now, received, last_at))
        table = table_of([video(1, is_visible=was_visible or tick >= 50)])
        chosen = allocator.decide(table, rates)["chosen_encoding"].tolist()
    assert chosen == [expected]


def test_sound_that_is_unheard_is_not_given_and_in_another_call_it_is() -> None:
    table = table_of([replace(AUDIO, route=RouteId(9)), video(1), replace(AUDIO, track=TrackHandle(3))])
    rows = Allocator().decide(table, ladders(1), speech=speech_of([((1,), (2,)), ((), ())]))
    causes = {int(row["route"]): Cause(int(row["cause"])) for row in rows}
    assert causes == {9: Cause.UNHEARD, 1: Cause.SIZE, 2: Cause.SIZE}
    assert set(rows["chosen_encoding"][rows["route"] == 9]) == {PAUSED}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_no_policy_gives_sound_that_is_unheard(policy: Policy) -> None:
    rows = Allocator(policy).decide(table_of([AUDIO]), ladders(1), speech=speech_of([((), (2,))]))
    assert [(row["chosen_encoding"], row["cause"]) for row in rows] == [(PAUSED, Cause.UNHEARD)]


# --- who comes first --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [utility, lowest_layers_first])
@pytest.mark.parametrize(
    ("first", "spoke", "cause"),
    [
        ({"is_pinned": True}, [], Cause.PINNED_FIRST),
        ({"screen_share": True, "width": 640, "height": 360}, [], Cause.SCREEN_FIRST),
        ({}, [2], Cause.SPEAKER),
    ],
)
def test_who_comes_first_is_the_reason_where_it_is_and_only_there(
    policy: Policy, first: dict[str, int], spoke: list[int], cause: Cause
) -> None:
    rates, speech = ladders(1, 2), speech_of([(spoke, ())])

    def decided(other: SetDemand, speech: StructArray, budget_bps: float) -> Cause:
        rows = Allocator(policy).decide(
            table_of([video(1), other]), rates, budgets_of({1: budget_bps}), speech=speech
        )
        return Cause(int(rows[0]["cause"]))

    tight = 450_000.0
    assert decided(video(2, **first), speech, tight) is cause
    assert decided(video(2), NO_SPEECH, tight) is not cause
    assert decided(video(2, **first), speech, 50_000.0) is Cause.BUDGET
    assert decided(video(2, **first), speech, 9_000_000.0) is Cause.SIZE


def test_in_a_crowd_reasons_are_found_in_turn_and_stay_until_the_next() -> None:
    count = 2 * AT_ONCE // 3
    rates = ladders(1, 2, 3)
    table = table_of(
        replace(
            video(3 * number + track, subscriber=TransportId(number), is_pinned=track == 2),
            track=TrackHandle(track),
        )
        for number in range(count)
        for track in (1, 2, 3)
    )
    allocator, budgets = Allocator(), budgets_of(dict.fromkeys(range(count), 550_000.0))
    told = []
    for tick in range(40 * EVERY):
        seconds = 1 + tick / 20
        counted = {
            (track, encoding): int(rate / 8 * seconds)
            for track in (1, 2, 3)
            for encoding, rate in enumerate(LADDER)
        }
        rates.update(stats_of(after_ms(NOW, int(1_000 * seconds)), counted))
        causes = allocator.decide(table, rates, budgets)["cause"]
        told.append(int((causes == Cause.PINNED_FIRST).sum()))
    assert told[0] < told[-1] == count
    assert sorted(told) == told
