"""How soon somebody who comes later sees a picture, and what that costs the sender."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from sfu.netem.link import LinkProfile
from sfu.streams.keyframe import MIN_INTERVAL_S
from tests.support.simulation.simulation import Simulation, seconds
from tests.support.simulation.sources import Capture

if TYPE_CHECKING:
    from tests.support.simulation.client import SimClient

VIEWER: Final = Capture(has_microphone=False, camera=())
TILE: Final = (640, 360)
NEAR: Final = LinkProfile(delay_ms=2)
"""So near that the answer to one request seldom serves the next one."""
ROUND_TRIP_MS: Final = 2 * NEAR.delay_ms
FRAME_MS: Final = 50
"""Of the encoding for that tile."""
PACED_MS: Final = 60
"""A key frame takes so long to leave, over a path of which little is known."""
SOON_MS: Final = 3 * ROUND_TRIP_MS + FRAME_MS + PACED_MS
"""The offer and its answer, the request for a key frame and the frame."""
SETTLED_S: Final = 3.0


def call(viewers: int) -> Simulation:
    """Alice is seen by Carol; as many others are there and look at nobody."""
    sim = Simulation()
    sim.add("alice", up=NEAR, down=NEAR, tile=None).join()
    sim.add("carol", up=NEAR, down=NEAR, tile=TILE, capture=VIEWER).join()
    for number in range(viewers):
        sim.add(f"viewer{number}", up=NEAR, down=NEAR, tile=None, capture=VIEWER).join()
    sim.run_until_s(SETTLED_S)
    return sim


def viewers_of(sim: Simulation) -> list[SimClient]:
    return [one for name, one in sim.clients.items() if name.startswith("viewer")]


def waited_ms(sim: Simulation, viewer: SimClient, asked_s: float) -> float:
    """From asking for Alice to her first picture, which is a key frame."""
    frames = viewer.seen(sim["alice"]).between(asked_s, sim.now_s).frames
    assert frames[0].is_key
    return (seconds(frames[0].at) - asked_s) * 1_000


def look(sim: Simulation, viewer: SimClient) -> None:
    viewer.show(sim["alice"], TILE)


def test_a_picture_comes_soon_after_it_was_asked_for() -> None:
    sim = call(1)
    (viewer,) = viewers_of(sim)
    look(sim, viewer)
    sim.run_s(1)
    assert waited_ms(sim, viewer, SETTLED_S) <= SOON_MS
    assert sim.faults() == []


def test_who_comes_just_after_a_key_frame_waits_for_the_next_one_that_may_be_asked_for() -> None:
    sim = call(2)
    first, second = viewers_of(sim)
    look(sim, first)
    sim.run_s(0.15)
    look(sim, second)
    sim.run_s(1)
    assert waited_ms(sim, second, SETTLED_S + 0.15) <= SOON_MS + MIN_INTERVAL_S * 1_000
    assert sim.faults() == []


@pytest.mark.parametrize(("apart_s", "most"), [(0.0, 1), (0.1, round(1 / MIN_INTERVAL_S) + 1)], ids=str)
def test_a_burst_of_joins_makes_few_key_frames_and_everybody_sees_soon(apart_s: float, most: int) -> None:
    sim = call(10)
    before = sim["alice"].sources.key_frames()
    for number, viewer in enumerate(viewers_of(sim)):
        sim.at_s(SETTLED_S + number * apart_s, partial(look, sim, viewer))
    sim.run_s(1.5)
    waited = [
        waited_ms(sim, viewer, SETTLED_S + number * apart_s) for number, viewer in enumerate(viewers_of(sim))
    ]
    assert max(waited) <= SOON_MS + MIN_INTERVAL_S * 1_000
    made = [after - one for after, one in zip(sim["alice"].sources.key_frames(), before, strict=True)]
    assert made[0] == made[2] == 0
    assert 1 <= made[1] <= most
    assert sim["carol"].seen(sim["alice"]).between(SETTLED_S, sim.now_s).longest_freeze_ms <= 2 * FRAME_MS
    assert sim.faults() == []
