"""An operator's ceilings: whom they are for gets no more and is told so, and nobody else notices."""

from __future__ import annotations

import re
from typing import Final

import pytest

from sfu.config import AllocationConfig, ConferenceConfig, SfuConfig
from signalling.focus.caps import CapRule
from tests.support.simulation.label import Source
from tests.support.simulation.simulation import Simulation
from tests.support.simulation.sources import Capture

TILE: Final = (1_280, 720)
LINES: Final = (180, 360, 720)
"""Of each encoding of a camera."""
JOIN_S: Final = 3.0
"""When it is known what the senders' layers take."""
SETTLED_S: Final = 12.0
SENDERS: Final = ("alice", "bob")
VIEWERS: Final = ("carol", "dave")
NO_MEDIA: Final = Capture(has_microphone=False, camera=())
CAROL: Final = "@carol:example.org"

Shown = dict[str, tuple[int, str, str]]
"""Of each sender: the lines of its picture, 0 for none, and cause and sentence as they were last told."""

AS_USUAL: Final = dict.fromkeys(SENDERS, (720, "size"))


def played(*caps: CapRule, config: SfuConfig | None = None) -> Simulation:
    """Two who send, and two who come later and want to see them in large tiles."""
    sim = Simulation(config=config, caps=caps)
    for name in SENDERS:
        sim.add(name, tile=None).join()
    for name in VIEWERS:
        sim.at_s(JOIN_S, sim.add(name, tile=TILE, capture=NO_MEDIA).join)
    sim.run_until_s(SETTLED_S)
    assert sim.faults() == []
    return sim


def shown(sim: Simulation, viewer: str) -> Shown:
    told = {why.track_id: why for _, why in sim[viewer].reasons}
    found = {}
    for name in SENDERS:
        frames = sim[viewer].seen(sim[name]).between(SETTLED_S - 0.5, SETTLED_S).frames
        why = told[f"{name}-video"]
        found[name] = (LINES[frames[-1].encoding] if frames else 0, why.cause, why.text)
        heard = sim[viewer].seen(sim[name], Source.MICROPHONE).between(SETTLED_S - 0.5, SETTLED_S).sounds
        assert heard, f"{viewer} does not hear {name}"
    return found


def lines_and_causes(found: Shown) -> dict[str, tuple[int, str]]:
    return {name: (lines, cause) for name, (lines, cause, _) in found.items()}


@pytest.mark.parametrize(
    ("rule", "expected", "said"),
    [
        (CapRule(user=CAROL, max_height=400), {(360, "ceiling")}, "this server gives you at most 400 lines"),
        (
            CapRule(user=CAROL, max_videos=1),
            {(720, "size"), (0, "last_n")},
            "this server gives you at most 1 picture at a time",
        ),
        (
            CapRule(user=CAROL, max_bps=1_000_000),
            {(360, "cap")},
            "this server gives you at most 1,000 kbit/s",
        ),
    ],
)
def test_a_ceiling_holds_for_whom_it_is_for_and_is_told(
    rule: CapRule, expected: set[tuple[int, str]], said: str
) -> None:
    sim = played(rule)
    given = shown(sim, "carol")
    assert set(lines_and_causes(given).values()) == expected
    assert any(re.search(said, text) for _, _, text in given.values())
    ever = [frame.encoding for name in SENDERS for frame in sim["carol"].seen(sim[name]).frames]
    assert LINES[max(ever)] == max(lines for lines, _ in expected), "not even for a moment"
    assert lines_and_causes(shown(sim, "dave")) == AS_USUAL


def test_without_a_ceiling_all_is_as_usual() -> None:
    sim = played(CapRule(user="@somebody:example.org", max_height=180))
    assert [lines_and_causes(shown(sim, viewer)) for viewer in VIEWERS] == [AS_USUAL, AS_USUAL]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SfuConfig(conference=ConferenceConfig(max_height=200)), (180, "ceiling")),
        (SfuConfig(allocation=AllocationConfig(max_bps=200_000)), (180, "cap")),
    ],
)
def test_a_ceiling_for_everybody_is_not_lifted_by_one_for_somebody(
    config: SfuConfig, expected: tuple[int, str]
) -> None:
    sim = played(CapRule(user=CAROL, max_height=720, max_bps=9_000_000), config=config)
    for viewer in VIEWERS:
        assert set(lines_and_causes(shown(sim, viewer)).values()) == {expected}
