"""What publishers need not send, what viewers are told of it, and that nobody sees the seams."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

import pytest

from sfu.conference.sender_layers import OFF_AFTER_S
from sfu.config import ConferenceConfig, SfuConfig
from sfu.netem.link import LinkProfile
from tests.support.simulation.label import Source
from tests.support.simulation.scenario import Cause, Member, Scenario, Step
from tests.support.simulation.simulation import Simulation, seconds

if TYPE_CHECKING:
    from tests.support.simulation.meter import Meter
    from tests.support.simulation.observations import TrackObservations

SMALL, LARGE = (320, 180), (1_280, 720)
LOW, MIDDLE, HIGH = 0, 1, 2
NARROW: Final = LinkProfile(rate_bps=500_000, delay_ms=15, queue_ms=300)
"""Carries the two lower encodings of a camera, and not the highest with any frame rate."""
WIDE: Final = LinkProfile(rate_bps=6_000_000, delay_ms=15, queue_ms=300)
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
    assert causes(sim)[-2:] == ["waiting", "size"]


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
    assert picture(sim).encodings == [LOW, HIGH, LOW, MIDDLE]
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
        lambda sim: picture(sim).encodings == [LOW, HIGH, LOW, MIDDLE],
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


# --- what no path carries -----------------------------------------------------------------------------------


def widens(moment_s: float) -> Step:
    return Step(moment_s, lambda sim: sim.change_line(sim["bob"], down=WIDE))


def is_told_the_numbers(sim: Simulation) -> None:
    """Long after it was switched off, the reason is bob's connection, and what it would have to carry."""
    told = [
        (why.cause, why.limit)
        for at, why in sim["bob"].reasons
        if why.track_id == "alice-video" and 21 < seconds(at) < 22
    ]
    ((cause, limit),) = told
    assert cause == "budget"
    assert limit is not None
    # With the fewest frames.
    assert 500_000 < limit.next < 900_000


def returns_soon(sim: Simulation) -> None:
    is_told_the_numbers(sim)
    assert rids(sim) == ["qhf", "qh", "qhf", "qf"]
    assert seconds(sim["alice"].layers[2][0]) > 25
    assert causes(sim)[-1] == "size"


WITHHELD: Final = Scenario(
    "a layer that no path carries is switched off, and is back soon when one does",
    (Member("alice", obeys_layers=True), Member("bob", tile=LARGE, down=NARROW)),
    lambda sim: "qh" in rids(sim),
    returns_soon,
    seconds=36,
    script=(at(21, (1_200, 700)), widens(25)),
)


WITHHELD_ROWS: Final = (
    WITHHELD,
    replace(
        WITHHELD,
        title="a client that knows nothing of layers goes on sending what no path carries",
        members=(Member("alice"), WITHHELD.members[1]),
        expect=is_told_the_numbers,
    ),
)


@pytest.mark.parametrize("scenario", WITHHELD_ROWS, ids=str)
def test_withheld(scenario: Scenario) -> None:
    sim = scenario.play()
    assert sim.faults() == []
    assert scenario.shows(sim)
    scenario.expect(sim)
    assert picture(sim).longest_freeze_ms < 250
    assert picture(sim).undecodable_frames == 0
    assert first_s(sim, HIGH) - 25 < 6


def test_the_control_of_what_is_withheld_is_a_line_that_carries_it() -> None:
    sim = WITHHELD.control().play()
    assert sim.faults() == []
    assert not WITHHELD.shows(sim)
    assert rids(sim) == ["qhf", "qf"]
    assert first_s(sim, HIGH) < 3
    assert "budget" not in causes(sim)[-2:]


@pytest.mark.parametrize(("line", "told"), [(WIDE, ["qhf", "qh", "qhf"]), (NARROW, ["qhf", "qh"])])
def test_who_joins_is_given_a_layer_that_was_withheld_at_once_if_their_line_carries_it(
    line: LinkProfile, told: list[str]
) -> None:
    sim = Simulation()
    alice, bob, carol = (
        sim.add("alice"),
        sim.add("bob", down=NARROW, tile=LARGE),
        sim.add("carol", down=line, tile=LARGE),
    )
    alice.obeys_layers = True
    alice.join()
    bob.join()
    sim.run_until_s(20)
    assert rids(sim) == ["qhf", "qh"]
    carol.join()
    sim.run_until_s(22)
    assert rids(sim) == told
    seen = carol.seen(alice)
    assert seconds(seen.frames[0].at) - 20 < 1
    sharp = [seconds(frame.at) for frame in seen.frames if frame.encoding == HIGH]
    assert bool(sharp) is (line is WIDE)
    assert all(at < 21 for at in sharp[:1])
    assert sim.faults() == []


def test_a_line_that_comes_and_goes_does_not_switch_the_layer_each_time() -> None:
    sim = Simulation()
    alice, bob = sim.add("alice"), sim.add("bob", down=NARROW, tile=LARGE)
    alice.obeys_layers = True
    alice.join()
    bob.join()
    for begin_s in (20, 50, 80):
        sim.at_s(begin_s, partial(sim.change_line, bob, down=WIDE))
        sim.at_s(begin_s + 10, partial(sim.change_line, bob, down=NARROW))
    sim.run_until_s(105)
    has_highest = ["f" in active for active in rids(sim)]
    assert [is_on for is_on, _ in groupby(has_highest)] == [True, False, True]
    # In each of the three wide times it was seen all the same.
    seen_s = [seconds(frame.at) for frame in picture(sim).frames if frame.encoding == HIGH]
    assert {int(moment_s - 20) // 30 for moment_s in seen_s} == {0, 1, 2}
    assert sim.faults() == []


def carried(line: Meter, begin_s: float, end_s: float) -> int:
    """Bytes that crossed between two foci."""
    return sum(one.size_bytes for one in line.crossings if begin_s <= seconds(one.at) < end_s)


def test_a_trunk_is_asked_for_what_somebody_behind_it_can_be_given() -> None:
    sim = Simulation(foci=2)
    alice, bob = sim.add("alice"), sim.add("bob", down=NARROW, tile=LARGE, on=1)
    alice.obeys_layers = True
    alice.join()
    bob.join()
    line = sim.meter(0, 1)
    sim.run_until_s(14)
    with_highest = carried(line, 10, 14)
    # It is given up there after a while, and then here, as nobody wants it any more.
    sim.run_until_s(20 + OFF_AFTER_S)
    assert rids(sim) == ["qhf", "qh"]
    sim.run_until_s(24 + OFF_AFTER_S)
    assert carried(line, 20 + OFF_AFTER_S, 24 + OFF_AFTER_S) < with_highest / 3
    assert causes(sim)[-1] == "budget"
    sim.change_line(bob, down=WIDE)
    sim.run_until_s(36)
    assert first_s(sim, HIGH) - 24 - OFF_AFTER_S < 6
    assert "f" in rids(sim)[-1]
    assert causes(sim)[-1] == "size"
    assert "hop" not in causes(sim)
    assert picture(sim).longest_freeze_ms < 250
    assert sim.faults() == []


def test_what_a_trunk_does_not_carry_is_not_sent_and_its_viewer_is_told_of_the_trunk() -> None:
    sim = Simulation(foci=2, between=NARROW)
    alice, bob = sim.add("alice"), sim.add("bob", tile=LARGE, on=1)
    alice.obeys_layers = True
    alice.join()
    bob.join()
    sim.run_until_s(25)
    assert "f" not in rids(sim)[-1]
    told = [why for _, why in bob.reasons if why.track_id == "alice-video"][-1]
    assert told.cause == "hop"
    assert told.hop is not None
    assert told.hop.limit is not None
    assert sim.faults() == []
