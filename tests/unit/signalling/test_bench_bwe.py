from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from xml.etree.ElementTree import fromstring

import pytest
from rich.console import Console

from sfu.netem.link import PERFECT
from sfu.simulation.figures import STEADY
from sfu.simulation.measures import loss, time_to_use, use
from sfu.simulation.scenario import Bound, Control, Effect, Figure
from signalling.cli.bench.bwe import ALL, measure, table
from signalling.cli.bench.plots import draw

if TYPE_CHECKING:
    from sfu.simulation.scenario import Scenario

SHORT = replace(
    STEADY,
    name="short",
    duration_s=3,
    figures=(
        Figure("short_use", partial(use, begin_s=1, end_s=3), Bound(low=0.2)),
        Figure("short_time", partial(time_to_use, share=5, since_s=0), Bound(high=1)),
        Figure("short_loss", partial(loss, flow=0, begin_s=0, end_s=2)),
    ),
    effect=Effect(partial(use, begin_s=1, end_s=3), Bound(low=0.1)),
    control=Control(forward=PERFECT),
)


def of(scenario: Scenario) -> tuple[dict[str, float | None], list[str], str]:
    """Values, faults, and the table in words."""
    outcome = measure([scenario], 2, lambda _: None)
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table(outcome))
    return outcome.values, outcome.faults, captured.get()


def test_figures_stand_beside_their_goals() -> None:
    values, faults, words = of(SHORT)
    assert faults == []
    use_now = values["short_use"]
    assert use_now is not None
    assert 0.2 < use_now < 1
    # What never came is no number, and misses its goal.
    assert values["short_time"] is None
    assert values["audio_hurt_packets"] == 0
    lines = {line.split()[0]: line for line in words.splitlines() if line}
    assert lines["short_use"].rstrip().endswith("met")
    assert lines["short_time"].rstrip().endswith("missed")
    assert not lines["short_loss"].rstrip().endswith(("met", "missed"))


def test_an_effect_that_is_missing_or_not_the_causes_is_a_fault() -> None:
    _, faults, _ = of(replace(SHORT, effect=Effect(SHORT.effect.measure, Bound(low=2))))
    assert faults == [f"short, seed {seed}: does not show its effect" for seed in range(2)]
    _, faults, _ = of(replace(SHORT, control=Control()))
    assert faults == ["short: its control shows the effect"]


def test_a_run_is_drawn() -> None:
    outcome = measure([SHORT], 1, lambda _: None)
    drawn = fromstring(draw(outcome.recordings[0]))  # noqa: S314  # our own
    namespace = "{http://www.w3.org/2000/svg}"
    # Capacity, target, what arrived, queue.
    curves = drawn.findall(f"{namespace}polyline")
    assert len(curves) == 4
    assert all(len(curve.attrib["points"].split()) > 20 for curve in curves)
    assert "short: " in "".join(drawn.itertext())


@pytest.mark.parametrize("name", ["steady", "rfc8867_5_7"])
def test_scenarios_go_by_name(name: str) -> None:
    assert ALL[name].name == name
