from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from sfu.allocation.allocate import Allocator
from sfu.allocation.policies.utility import utility
from sfu.errors import ConfigError
from sfu.rows import PAUSED
from sfu.runtime.policies import (
    BUDGET_MS,
    LOGGED_AT_ONCE,
    MAX_OVERRUNS,
    POLICIES,
    REST_MS,
    Guarded,
    PolicyState,
    checked,
    choose_policy,
    state_of,
)
from sfu.units import Instant, TransportId, after_ms
from tests.unit.allocation.arrays import budgets_of, rates_of, table_of, video
from tests.unit.allocation.policies.situations import AUDIO, NOW, Link, Watched, ladder, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.allocation.problem import Problem
    from sfu.allocation.rates import IntArray

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "allocation-policies.md"
PROBLEM = problem_of(Link((Watched(ladder(100, 300)), Watched(AUDIO, is_audio=True)), keep_kbps=500))
NOTHING = [PAUSED, 0]
"""With the sound, which is always given."""


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> Instant:
        return self.now


def nothing(problem: Problem) -> IntArray:
    return np.full(len(problem.rank), PAUSED)


def answers(value: object) -> Callable[[Problem], Any]:
    return lambda _: value


@pytest.mark.parametrize("name", POLICIES)
def test_each_policy_of_a_name_is_to_be_had(name: str) -> None:
    policy = choose_policy(name, Clock())
    assert checked(PROBLEM, policy(PROBLEM))[1] == 0


@pytest.mark.parametrize("wanted", ["best", "utility ", "", "missing.py"])
def test_what_there_is_not_is_refused_with_what_there_is(wanted: str) -> None:
    with pytest.raises(ConfigError, match=r"utility|can't be run"):
        choose_policy(wanted, Clock())


def test_an_operators_file_decides(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\ndef allocate(problem):\n    return np.full(len(problem.rank), -1)\n")
    policy = choose_policy(str(path), Clock())
    assert policy(PROBLEM).tolist() == NOTHING
    assert utility(PROBLEM).tolist() != NOTHING


def test_the_example_of_the_documentation_is_a_policy(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(example)
    policy = choose_policy(str(path), Clock())
    assert policy(PROBLEM).tolist() == [0, 0]
    narrow = Link((Watched(ladder(100, 300)), Watched(AUDIO, is_audio=True)), keep_kbps=60)
    assert policy(problem_of(narrow)).tolist() == NOTHING
    assert state_of(policy) == PolicyState()


def test_where_nothing_is_wanted_nobody_is_asked() -> None:
    guarded = Guarded(answers(None), Clock())
    assert guarded(problem_of()).tolist() == []
    assert guarded.state.failures == 0


@pytest.mark.parametrize("text", ["1 / 0", "def other(problem): ...", "allocate = 5", "def ("])
def test_a_file_that_is_no_policy_is_refused_at_once(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.py"):
        choose_policy(str(path), Clock())


@pytest.mark.parametrize(
    "value",
    [
        None,
        [0, 0],
        np.array([0]),
        np.array([0.0, 0.0]),
        np.array([8, 0]),
        np.array([9, 0]),
        np.array([-2, 0]),
        np.array([10**12, 0]),
    ],
)
def test_nonsense_is_replaced_by_our_own_choice_and_counted(value: object) -> None:
    guarded = Guarded(answers(value), Clock())
    assert guarded(PROBLEM).tolist() == utility(PROBLEM).tolist()
    assert (guarded.state.failures, guarded.state.overruns) == (1, 0)
    assert guarded.state.last_failure.startswith("ConfigError: a policy ")


def test_a_policy_that_raises_ends_nothing() -> None:
    def broken(problem: Problem) -> IntArray:
        raise KeyError(len(problem.rank))

    guarded = Guarded(broken, Clock())
    for ticks in range(1, 4):
        assert guarded(PROBLEM).tolist() == utility(PROBLEM).tolist()
        assert guarded.state.failures == ticks
    assert guarded.state.last_failure == f"KeyError: {len(PROBLEM.rank)}"


def test_sound_is_given_whatever_a_policy_says() -> None:
    guarded = Guarded(nothing, Clock())
    assert guarded(PROBLEM).tolist() == NOTHING
    assert guarded.state.failures == 0


def test_a_policy_that_is_slow_again_and_again_rests_and_is_tried_again() -> None:
    clock, asked = Clock(), count()
    durations = iter([BUDGET_MS, *[BUDGET_MS + 1] * MAX_OVERRUNS, 0])

    def slow(problem: Problem) -> IntArray:
        next(asked)
        clock.now = after_ms(clock.now, next(durations))
        return nothing(problem)

    guarded = Guarded(slow, clock)
    for _ in range(1 + MAX_OVERRUNS):
        assert guarded(PROBLEM).tolist() == NOTHING
    assert guarded.state == PolicyState(overruns=MAX_OVERRUNS, is_resting=True)
    assert guarded(PROBLEM).tolist() == utility(PROBLEM).tolist()
    clock.now = after_ms(clock.now, REST_MS)
    assert not guarded.state.is_resting
    assert guarded(PROBLEM).tolist() == NOTHING
    assert next(asked) == 2 + MAX_OVERRUNS


def test_what_fails_in_every_tick_does_not_fill_the_log() -> None:
    def broken(problem: Problem) -> IntArray:
        raise KeyError(len(problem.rank))

    clock = Clock()
    guarded = Guarded(broken, clock)
    with capture_logs() as lines:
        for _ in range(210):
            guarded(PROBLEM)
            clock.now = after_ms(clock.now, 50)
    assert guarded.state.failures == 210
    assert [line["event"] for line in lines] == ["policy_failed"] * (LOGGED_AT_ONCE + 1)


def test_a_policy_cannot_change_what_it_is_given() -> None:
    def writes(problem: Problem) -> IntArray:
        problem.costs_bps[:] = 1.0
        return nothing(problem)

    guarded = Guarded(writes, Clock())
    before = PROBLEM.costs_bps.copy()
    assert guarded(PROBLEM).tolist() == utility(PROBLEM).tolist()
    assert guarded.state.failures == 1
    assert (PROBLEM.costs_bps == before).all()


@pytest.mark.parametrize("name", POLICIES)
def test_what_is_read_only_is_enough_tick_after_tick(name: str) -> None:
    def unpaced(problem: Problem) -> IntArray:
        return POLICIES[name](problem)

    guarded = Guarded(unpaced, Clock())
    watched, alone = Allocator(guarded), Allocator(unpaced)
    demand = table_of(video(track, subscriber=TransportId(track % 2 + 1)) for track in range(1, 5))
    rates = rates_of({(track, layer): 1e5 * 3**layer for track in range(1, 5) for layer in range(3)})
    for tick in range(6):
        if tick == 3:
            demand.set(video(9, subscriber=TransportId(1)))
        budgets = budgets_of({1: 3e5 * (tick + 1), 2: 4e6 / (tick + 1)})
        given = [one.decide(demand, rates, budgets)["chosen_encoding"].tolist() for one in (watched, alone)]
        assert given[0] == given[1]
    assert guarded.state == PolicyState()


def test_a_policy_of_a_name_has_nothing_to_answer_for(tmp_path: Path) -> None:
    assert state_of(choose_policy("jvb_like", Clock())) == PolicyState()
    path = tmp_path / "mine.py"
    path.write_text("def allocate(problem):\n    return None\n")
    policy = choose_policy(str(path), Clock())
    policy(PROBLEM)
    assert state_of(policy).failures == 1


def test_one_slow_tick_now_and_then_is_forgiven() -> None:
    clock = Clock()
    durations = iter([BUDGET_MS + 1, 0] * (2 * MAX_OVERRUNS))

    def sometimes_slow(problem: Problem) -> IntArray:
        clock.now = after_ms(clock.now, next(durations))
        return nothing(problem)

    guarded = Guarded(sometimes_slow, clock)
    for _ in range(4 * MAX_OVERRUNS):
        assert guarded(PROBLEM).tolist() == NOTHING
    assert guarded.state.overruns == 2 * MAX_OVERRUNS
