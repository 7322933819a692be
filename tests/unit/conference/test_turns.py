from __future__ import annotations

from sfu.conference.turns import TURN_MS, YIELDS_TO, Turns
from sfu.units import TransportId

ALICE, BOB = TransportId(1), TransportId(2)
BOTH = {ALICE: 1.0, BOB: YIELDS_TO}
ALONE = {ALICE: 1.0}
STEP_MS = 300


def passed(
    turns: Turns, order: list[TransportId], scores: dict[TransportId, float], duration_ms: int
) -> None:
    for _ in range(-(-duration_ms // STEP_MS)):
        turns.passed(STEP_MS, order, scores)


def test_a_turn_is_over_when_it_has_lasted_beside_another_speaker() -> None:
    turns = Turns()
    passed(turns, [ALICE, BOB], BOTH, TURN_MS - 2 * STEP_MS)
    assert not turns.yields(ALICE, BOB, BOTH)
    passed(turns, [ALICE, BOB], BOTH, 2 * STEP_MS)
    assert turns.yields(ALICE, BOB, BOTH)
    assert not turns.yields(BOB, ALICE, BOTH)


def test_who_speaks_alone_or_beside_a_murmur_has_all_the_time() -> None:
    for scores in (ALONE, {ALICE: 1.0, BOB: YIELDS_TO - 0.01}):
        turns = Turns()
        passed(turns, list(scores), scores, 10 * TURN_MS)
        assert not turns.yields(ALICE, BOB, BOTH)


def test_nobody_yields_to_a_murmur() -> None:
    turns = Turns()
    passed(turns, [ALICE, BOB], BOTH, TURN_MS)
    assert not turns.yields(ALICE, BOB, {ALICE: 1.0, BOB: YIELDS_TO - 0.01})


def test_it_takes_as_long_to_come_back() -> None:
    turns = Turns()
    passed(turns, [ALICE, BOB], BOTH, TURN_MS)
    passed(turns, [BOB, ALICE], BOTH, TURN_MS - 2 * STEP_MS)
    assert turns.yields(ALICE, BOB, BOTH)
    passed(turns, [BOB, ALICE], BOTH, 2 * STEP_MS)
    assert not turns.yields(ALICE, BOB, BOTH)


def test_two_whose_turns_are_over_do_not_yield_to_each_other() -> None:
    turns = Turns()
    passed(turns, [ALICE, BOB], BOTH, TURN_MS)
    scores = {ALICE: 1.0, BOB: 1.0, TransportId(3): 1.0}
    for _ in range(TURN_MS // STEP_MS - 3):
        turns.passed(STEP_MS, [BOB, ALICE], scores)
    turns.passed(TURN_MS, [BOB, ALICE], {ALICE: 1.0, BOB: 1.0} | scores)
    assert not turns.yields(ALICE, BOB, scores)


def test_who_has_left_has_spent_nothing() -> None:
    turns = Turns()
    passed(turns, [ALICE, BOB], BOTH, TURN_MS)
    turns.forget(ALICE)
    assert not turns.yields(ALICE, BOB, BOTH)
    turns.passed(STEP_MS, [], {})
