"""Many people in one call."""

from __future__ import annotations

from tests.support.simulation.encoder import SMALL_CAMERA
from tests.support.simulation.label import Source
from tests.support.simulation.simulation import Simulation
from tests.support.simulation.sources import Capture

PEOPLE = 20
TALKERS = 2
TILE = (320, 180)


def test_twenty_people_see_and_hear_each_other_for_ten_seconds() -> None:
    sim = Simulation()
    capture = Capture(camera=SMALL_CAMERA)
    people = [sim.add(f"user{number}", capture=capture, tile=TILE) for number in range(PEOPLE)]
    for number, one in enumerate(people):
        one.talk(talks=number < TALKERS)
        sim.at_s(number * 0.1, one.join)
    sim.run_until_s(10)
    pairs = [(viewer, publisher) for viewer in people for publisher in people if viewer is not publisher]
    for viewer, publisher in pairs:
        seen, heard = viewer.seen(publisher), viewer.seen(publisher, Source.MICROPHONE)
        assert seen.encodings == [0]
        assert len(seen.between(4, 10).frames) >= 6 * 8 - 2
        # While people join, what the first paths carry is found out with what the first pictures take.
        assert seen.between(4, 10).longest_freeze_ms < 200
        assert seen.longest_freeze_ms < 1_000
        assert len(heard.between(4, 10).sounds) >= (295 if publisher in people[:TALKERS] else 14)
        assert seen.nack_count == heard.packets_given_up == 0
        assert seen.pli_count <= 3
    talkers = {one.user_id for one in people[:TALKERS]}
    assert all(set(one.speakers[-1][1]) == talkers for one in people)
    # Nineteen newcomers need one key frame each of the lowest layer; those who come together share it.
    assert all(one.sources.key_frames()[0] <= PEOPLE for one in people)
    assert all(max(one.sources.key_frames()[1:]) <= 2 for one in people)
    assert sim.faults() == []


def test_ten_join_in_the_same_moment_and_nobody_is_left_out() -> None:
    sim = Simulation()
    people = [
        sim.add(f"user{number}", capture=Capture(camera=SMALL_CAMERA), tile=TILE) for number in range(10)
    ]
    for one in people:
        one.talk(talks=False)
        one.join()
    sim.run_until_s(4)
    for viewer in people:
        for publisher in people:
            if viewer is not publisher:
                assert len(viewer.seen(publisher).between(2, 4).frames) >= 14
    assert sim.faults() == []
