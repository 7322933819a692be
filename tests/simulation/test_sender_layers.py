"""What publishers need not send, what viewers are told of it, and that nobody sees the seams."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from sfu.conference.sender_layers import OFF_AFTER_S
from sfu.config import ConferenceConfig, SfuConfig
from tests.support.simulation.label import Source
from tests.support.simulation.scenario import Cause, Member, Scenario, Step
from tests.support.simulation.simulation import Simulation, seconds

if TYPE_CHECKING:
    from tests.support.simulation.observations import TrackObservations

SMALL, LARGE = (320, 180), (1_280, 720)
LOW, MIDDLE, HIGH = 0, 1, 2
SWITCHED_AT_S: Final = 7.0
"""Long after the layers that nobody wants were given up and have stalled."""


def picture(sim: Simulation) -> TrackObservations:
    return sim["bob"].seen(sim["alice"])


def at(moment_s: float, size: tuple[int, int]) -> Step:
    return Step(moment_s, lambda sim: sim["bob"].show(sim["alice"], size))


def first_s(sim: Simulation, encoding: int) -> float:
    """When a viewer first saw an encoding."""
    return seconds(next(frame.at for frame in picture(sim).frames if frame.encoding == encoding))


def rids(sim: Simulation) -> list[str]:
    """What alice was told to send, one after the other."""
    return ["".join(active) for _, _, active in sim["alice"].layers]


def causes(sim: Simulation) -> list[str]:
    """Why bob got what he got of her camera, one after the other."""
    return [why.cause for _, why in sim["bob"].reasons if why.track_id == "alice-video"]


def sent(sim: Simulation, rid: str) -> int:
    return next(s.octets_sent for s in sim["alice"].session.streams("alice-video") if s.rid == rid)


def plis(sim: Simulation) -> int:
    return sum(stream.pli_count for stream in sim["alice"].session.streams("alice-video"))


def nobody_sees_the_seams(sim: Simulation) -> None:
    seen = picture(sim)
    assert (seen.nack_count, seen.packets_given_up, seen.undecodable_frames, seen.duplicates) == (0, 0, 0, 0)
    assert seen.longest_freeze_ms < 150
    # One when it began, one for the switch.
    assert plis(sim) <= 2


def comes_soon(sim: Simulation) -> None:
    nobody_sees_the_seams(sim)
    assert first_s(sim, HIGH) - SWITCHED_AT_S < 0.5
    assert rids(sim) == ["qhf", "q", "qf"]
    assert causes(sim)[-2:] == ["switched_off", "size"]


def is_as_quick_as_ever(sim: Simulation) -> None:
    nobody_sees_the_seams(sim)
    assert first_s(sim, HIGH) - SWITCHED_AT_S < 0.3
    assert "switched_off" not in causes(sim)


def flickers(sim: Simulation) -> None:
    """The browser gives up its top layer although it is wanted, and tries it again."""
    camera = sim["alice"].sources.camera
    assert camera is not None
    camera.stopped_rids.symmetric_difference_update({"f"})
    camera.encoders["f"].want_key_frame()


def stays_low(sim: Simulation) -> None:
    # It was back for eight tenths of a second: too short to be shown.
    assert picture(sim).encodings == [LOW, HIGH, LOW]
    assert causes(sim)[-3:] == ["size", "waiting", "layer_not_sent"]


SCENARIOS: Final = (
    Scenario(
        "a layer that was switched off is there half a second after it is wanted",
        (Member("alice", obeys_layers=True), Member("bob", tile=SMALL)),
        lambda sim: picture(sim).encodings == [LOW, HIGH],
        comes_soon,
        seconds=9,
        script=(at(SWITCHED_AT_S, LARGE),),
        cause=Cause.SCRIPT,
    ),
    Scenario(
        "a client that knows nothing of layers goes on sending all of them",
        (Member("alice"), Member("bob", tile=SMALL)),
        lambda sim: picture(sim).encodings == [LOW, HIGH],
        is_as_quick_as_ever,
        seconds=9,
        script=(at(SWITCHED_AT_S, LARGE),),
        cause=Cause.SCRIPT,
    ),
    Scenario(
        "a layer that failed while it was wanted moves nobody when it is back for a moment",
        (Member("alice", obeys_layers=True), Member("bob", tile=SMALL)),
        lambda sim: picture(sim).encodings == [LOW, HIGH, LOW],
        stays_low,
        seconds=14,
        script=(
            at(SWITCHED_AT_S, LARGE),
            Step(9, flickers),
            Step(12, flickers),
            Step(12.8, flickers),
        ),
        cause=Cause.SCRIPT,
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_scenario(scenario: Scenario) -> None:
    sim = scenario.play()
    assert sim.faults() == []
    assert scenario.shows(sim)
    scenario.expect(sim)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_control(scenario: Scenario) -> None:
    sim = scenario.control().play()
    assert sim.faults() == []
    assert not scenario.shows(sim)
    nobody_sees_the_seams(sim)
    assert picture(sim).encodings == [LOW]
    assert rids(sim) == ["qhf", "q"]
    assert causes(sim)[-1] == "size"


def test_what_nobody_wants_is_not_sent_and_nobody_calls_it_a_fault() -> None:
    sim = Simulation()
    alice, bob = sim.add("alice"), sim.add("bob", tile=SMALL)
    alice.obeys_layers = True
    alice.join()
    bob.join()
    sim.run_until_s(1 + OFF_AFTER_S)
    before = {rid: sent(sim, rid) for rid in "qhf"}
    sim.run_until_s(8)
    assert (sent(sim, "h"), sent(sim, "f")) == (before["h"], before["f"])
    assert sent(sim, "q") > before["q"]
    assert picture(sim).encodings == [LOW]
    assert picture(sim).longest_freeze_ms < 150
    assert causes(sim)[-1] == "size"
    assert sim.server.warnings() == []
    assert sim.faults() == []


def test_for_tiles_that_are_out_of_sight_nothing_but_the_lowest_is_sent() -> None:
    sim = Simulation()
    alice, bob = sim.add("alice"), sim.add("bob", tile=LARGE)
    alice.obeys_layers = True
    alice.join()
    bob.join()
    sim.run_until_s(5)
    assert rids(sim)[-1] == "qf"
    bob.scroll(alice, in_sight=False)
    sim.run_until_s(9 + OFF_AFTER_S)
    assert rids(sim)[-1] == "q"
    assert causes(sim)[-1] == "not_visible"
    bob.scroll(alice, in_sight=True)
    sim.run_until_s(14)
    assert rids(sim)[-1] == "qf"
    assert picture(sim).encodings[-2:] == [LOW, HIGH]
    assert sim.faults() == []


def test_whoever_joins_gets_a_picture_at_once_from_somebody_whom_nobody_watched() -> None:
    sim = Simulation()
    alice = sim.add("alice")
    alice.obeys_layers = True
    alice.join()
    sim.run_until_s(8)
    assert rids(sim) == ["qhf", "q"]
    bob = sim.add("bob", tile=LARGE)
    bob.join()
    sim.run_until_s(10)
    seen = picture(sim)
    assert seen.encodings[-1] == HIGH
    assert seen.encodings in ([HIGH], [LOW, HIGH], [LOW, MIDDLE, HIGH])
    joined_s = 8.0
    assert seconds(seen.frames[0].at) - joined_s < 1.5
    assert first_s(sim, HIGH) - joined_s < 1.8
    assert sim.faults() == []


def test_where_the_operator_wants_it_everybody_sends_everything() -> None:
    sim = Simulation(config=SfuConfig(conference=ConferenceConfig(sender_layers=False)))
    alice, bob = sim.add("alice"), sim.add("bob", tile=SMALL)
    alice.obeys_layers = True
    alice.join()
    bob.join()
    sim.run_until_s(5)
    before = sent(sim, "f")
    sim.run_until_s(6)
    assert rids(sim) == []
    assert sent(sim, "f") > before
    assert causes(sim)[-1] == "size"


def test_of_a_muted_camera_a_viewer_is_told_so_and_its_layers_stay_wanted() -> None:
    sim = Simulation()
    alice, bob = sim.add("alice"), sim.add("bob", tile=LARGE)
    alice.obeys_layers = True
    alice.join()
    bob.join()
    sim.run_until_s(5)
    alice.mute(Source.CAMERA)
    sim.run_until_s(9)
    assert causes(sim)[-2:] == ["size", "muted"]
    assert rids(sim)[-1] == "qf"
    alice.mute(Source.CAMERA, muted=False)
    sim.run_until_s(11)
    assert causes(sim)[-1] == "size"
    assert picture(sim).frames[-1].encoding == HIGH
    assert sim.faults() == []


def test_reasons_come_at_a_bounded_rate_however_often_the_tile_changes() -> None:
    sim = Simulation()
    sim.join("alice", "bob")
    for index in range(20):
        step = at(3 + index / 10, (LARGE, SMALL)[index % 2])
        sim.at_s(step.at_s, partial(step.action, sim))
    sim.run_until_s(7)
    times = sorted({seconds(moment) for moment, _ in sim["bob"].reasons})
    assert len([moment for moment in times if 3 <= moment < 5.2]) >= 4
    assert all(later - earlier > 0.2 for earlier, later in pairwise(times))
    assert causes(sim)[-1] == "size"
