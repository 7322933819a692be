from __future__ import annotations

from collections import Counter

import pytest

from sfu.simulation.calls import CALLS
from sfu.simulation.figures import SCENARIOS
from sfu.simulation.rfc8867 import CASES
from sfu.simulation.scenario import Bound, Scenario

ALL = (*SCENARIOS, *CALLS, *CASES)
KNOWN = {
    "start_s",
    "steady_use",
    "narrow_overload_s",
    "steady_queue_p95_ms",
    "drop_overload_s",
    "rise_s",
    "loss10_use",
    "policer_loss",
    "jain_2",
    "jain_5",
    "tcp_share",
    "uplink_audio_loss",
    "uplink_shown",
}
"""What the bench is known for."""


def test_names_and_keys_are_unique() -> None:
    names = Counter(scenario.name for scenario in ALL)
    keys = Counter(figure.key for scenario in ALL for figure in scenario.figures)
    assert max(names.values()) == max(keys.values()) == 1


def test_every_figure_that_is_known_has_a_goal() -> None:
    goals = {figure.key for scenario in ALL for figure in scenario.figures if figure.goal is not None}
    assert goals == KNOWN


def test_the_cases_of_the_document_are_all_there() -> None:
    assert [scenario.name for scenario in CASES] == [f"rfc8867_5_{section}" for section in range(1, 9)]


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_a_control_is_another_network_or_other_traffic(scenario: Scenario) -> None:
    control = scenario.as_control()
    assert control.name != scenario.name
    assert (control.forward, control.backward, control.flows, control.tcp) != (
        scenario.forward,
        scenario.backward,
        scenario.flows,
        scenario.tcp,
    )


def test_a_value_that_could_not_be_had_holds_no_bound() -> None:
    assert not Bound().holds(float("nan"))
    assert Bound(low=1).holds(1)
    assert not Bound(high=1).holds(float("inf"))
