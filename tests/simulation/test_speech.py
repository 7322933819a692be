"""Whose sound is forwarded in a large call, and whose picture where only some are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sfu.config import AllocationConfig, ConferenceConfig, SfuConfig
from tests.support.simulation.encoder import SMALL_CAMERA
from tests.support.simulation.label import Source
from tests.support.simulation.simulation import GOOD, Simulation, seconds
from tests.support.simulation.sources import Capture

if TYPE_CHECKING:
    from tests.support.simulation.client import SimClient

PEOPLE: Final = 10
PLACES: Final = 3
TICK_MS: Final = 50
FRAME_MS: Final = 20
MICROPHONE: Final = Capture(camera=(), silence_level=80)
"""In a room that is quiet, and not silent."""


def large_call(loudest: int) -> Simulation:
    """Everybody with a microphone; of the first six each has spoken for a second, one after the other."""
    sim = Simulation(config=SfuConfig(conference=ConferenceConfig(loudest=loudest, loudest_from=PEOPLE)))
    for number in range(PEOPLE):
        one = sim.add(f"user{number}", capture=MICROPHONE, tile=None)
        one.hears_the_loudest = loudest > 0
        one.talk(talks=False)
        one.join()
    for number in range(6):
        sim.at_s(2 + number, partial(talk, sim, number))
    sim.at_s(8, lambda: talk(sim))
    sim.run_until_s(10)
    return sim


def talk(sim: Simulation, *talkers: int) -> None:
    """These talk now, and nobody else."""
    for number, one in enumerate(sim.clients.values()):
        if one.sources.microphone is not None:
            one.talk(talks=number in talkers)


def heard_by(viewer: SimClient, sim: Simulation, begin_s: float) -> set[int]:
    """Whose packets, of speech or of comfort noise, have come since then."""
    people = enumerate(sim.clients.values())
    return {
        number
        for number, one in people
        if one is not viewer and viewer.seen(one, Source.MICROPHONE).between(begin_s, sim.now_s).sounds
    }


def test_in_a_large_call_only_those_who_spoke_last_are_heard() -> None:
    sim = large_call(PLACES)
    people = list(sim.clients.values())
    assert all(heard_by(one, sim, 9) == {3, 4, 5} - {number} for number, one in enumerate(people))
    for viewer in people:
        told = {why.track_id: (why.cause, why.text) for _, why in viewer.reasons}
        silent = {f"{one.user_id[1:6]}-audio" for one in people[:3] + people[6:] if one is not viewer}
        assert {track for track, (cause, _) in told.items() if cause == "unheard"} == silent
        assert all("others are louder" in told[track][1] for track in silent)
    assert sim.faults() == []


def test_without_the_limit_everybody_is() -> None:
    sim = large_call(0)
    people = list(sim.clients.values())
    for number, one in enumerate(people):
        assert heard_by(one, sim, 9) == set(range(PEOPLE)) - {number}
        assert all(why.cause != "unheard" for _, why in one.reasons)
    assert sim.faults() == []


def test_who_begins_to_talk_is_heard_by_all_within_a_tick() -> None:
    sim = large_call(PLACES)
    talker = sim["user9"]
    talk(sim, 9)
    begun_s = sim.now_s
    sim.run_s(2)
    limit_ms = 2 * GOOD.delay_ms + TICK_MS + 2 * FRAME_MS
    for viewer in sim.clients.values():
        if viewer is talker:
            continue
        sounds = viewer.seen(talker, Source.MICROPHONE).between(begun_s, sim.now_s).sounds
        first = next(sound for sound in sounds if not sound.is_silence)
        assert (seconds(first.at) - begun_s) * 1_000 <= limit_ms
        assert seconds(first.captured_at) - begun_s <= (TICK_MS + GOOD.delay_ms + 2 * FRAME_MS) / 1_000
        assert len(sounds) >= 1_900 / FRAME_MS - 5, "and from then on without a gap"
    assert sim.faults() == []


def test_where_one_picture_is_given_it_is_that_of_who_spoke_last() -> None:
    sim = Simulation(config=SfuConfig(allocation=AllocationConfig(max_videos=1)))
    for number in range(3):
        one = sim.add(f"user{number}", capture=Capture(camera=SMALL_CAMERA), tile=None)
        one.talk(talks=False)
        one.join()
    viewer = sim.add("viewer", capture=Capture(has_microphone=False, camera=()), tile=(320, 180))
    viewer.join()
    for talker in (2, 1, 2):
        talk(sim, talker)
        sim.run_s(3)
        begun_s = sim.now_s - 0.5
        pictures = [
            viewer.seen(sim[f"user{number}"]).between(begun_s, sim.now_s).frames for number in range(3)
        ]
        assert [bool(frames) for frames in pictures] == [number == talker for number in range(3)]
        told = {why.track_id: why.cause for _, why in viewer.reasons if why.track_id.endswith("video")}
        assert {track for track, cause in told.items() if cause != "last_n"} == {f"user{talker}-video"}
    assert sim.faults() == []
