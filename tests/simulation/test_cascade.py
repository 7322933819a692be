"""Calls over several foci: who sees whom, and what crosses the lines between them.

Bytes are counted on the lines, never by the foci. A control shows that an effect comes from its cause.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sfu.dataplane.wire import WireProtocol
from sfu.netem.link import LinkProfile
from sfu.netem.loss import RandomLoss
from signalling.focus.cascade.settings import ALONE, CascadeSettings
from tests.support.simulation.encoder import SMALL_CAMERA
from tests.support.simulation.homeserver import FIRST_ROOM, OTHER_ROOM
from tests.support.simulation.label import Source
from tests.support.simulation.meter import Layer, Meter
from tests.support.simulation.simulation import Simulation, seconds
from tests.support.simulation.sources import Capture
from tests.support.simulation.spread import (
    NAMES,
    assert_everybody_is_seen,
    assert_nothing_is_wrong,
    first_picture_s,
    meters,
    pairs,
    picture,
    sound,
    spread,
    states,
)

if TYPE_CHECKING:
    from tests.support.simulation.client import SimClient

SMALL, MEDIUM, LARGE = (320, 180), (640, 360), (1_280, 720)
LOW, MIDDLE, HIGH = 0, 1, 2


# --- who sees whom ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("foci", [2, 3])
def test_everybody_sees_and_hears_everybody_whatever_focus_they_are_on(foci: int) -> None:
    sim = spread(foci, people=foci + 1)
    sim.run_until_s(6)
    assert_everybody_is_seen(sim, 3, 6)
    assert states(sim) == [["up"] * (foci - 1)] * foci
    for viewer, publisher in pairs(sim):
        assert first_picture_s(viewer, publisher) < 2.5


def test_two_calls_between_the_same_foci_do_not_disturb_each_other() -> None:
    rooms = FIRST_ROOM, OTHER_ROOM
    sim = Simulation(foci=2, rooms=rooms)
    for name, room, focus in zip(NAMES, (*rooms, *rooms), (0, 0, 1, 1), strict=False):
        sim.join(name, on=focus, room=room)
    sim.run_until_s(6)
    assert_everybody_is_seen(sim, 3, 6)
    assert states(sim) == [["up", "up"]] * 2
    alice, bob = sim["alice"], sim["bob"]
    assert alice.room != bob.room
    assert alice.announced(bob) == set()
    # And one is not the other's: it goes on when that has ended.
    alice.leave()
    sim["carol"].leave()
    sim.run_s(70)  # longer than a trunk of no use is kept
    assert states(sim) == [["up"]] * 2
    assert picture(bob, sim["dave"], sim.now_s - 1, sim.now_s) >= 18
    assert_nothing_is_wrong(sim)


def test_the_control_is_foci_that_do_not_connect() -> None:
    sim = spread(2, people=3, cascade=ALONE)
    sim.run_until_s(4)
    alice, bob, carol = (sim[name] for name in ("alice", "bob", "carol"))
    assert picture(alice, carol, 3, 4) >= 18
    for one, other in ((alice, bob), (bob, alice)):
        assert one.announced(other) == set()
        assert one.seen(other).frames == []
    assert all(meter.crossings == [] for _, meter in meters(sim))


@pytest.mark.parametrize("is_off", [True, False])
def test_a_focus_that_is_off_is_dialled_once_and_one_that_is_gone_again_and_again(*, is_off: bool) -> None:
    sim = spread(
        2, cascade=[CascadeSettings(enabled=True), ALONE if is_off else CascadeSettings(enabled=True)]
    )
    if not is_off:
        sim.at_s(0.3, sim.servers[1].end)
    sim.run_until_s(40)
    assert (sim.homeserver.counts.to_device["m.call.invite"] == 1) is is_off
    if is_off:
        assert states(sim) == [["backing_off"], []]


def first_picture_of_a_newcomer_ms(focus: int) -> float:
    """Where everybody else is there already, and those on other foci are connected."""
    sim = spread(2, people=3)
    sim.run_until_s(4)
    (dave,) = sim.join("dave", on=focus)
    sim.run_until_s(7)
    return 1_000 * (first_picture_s(dave, sim["alice"]) - 4)


def test_over_a_trunk_that_is_up_the_first_picture_takes_hardly_longer_than_on_the_same_focus() -> None:
    assert first_picture_of_a_newcomer_ms(1) / first_picture_of_a_newcomer_ms(0) <= 1.5


def first_picture_of_the_only_viewer_ms(focus: int) -> float:
    """Where foci are connected and nobody on the other one has looked at anything yet."""
    sim = Simulation(foci=2, seed=1)
    alice = sim.add("alice")
    listener = sim.add("listener", tile=None, capture=Capture(has_microphone=False, camera=()), on=1)
    viewer = sim.add("viewer", tile=LARGE, capture=Capture(has_microphone=False, camera=()), on=focus)
    alice.join()
    listener.join()
    sim.run_until_s(5)
    viewer.join()
    sim.run_until_s(7)
    return 1_000 * (first_picture_s(viewer, alice) - 5)


def test_who_is_the_first_to_look_begins_with_the_first_key_frame_that_crosses() -> None:
    # Another one would come as late as requests are apart: 0.2 s.
    assert first_picture_of_the_only_viewer_ms(1) - first_picture_of_the_only_viewer_ms(0) < 100


def test_mutes_leaving_and_speakers_are_the_same_on_all_foci() -> None:
    sim = spread(3)
    alice, bob, carol = (sim[name] for name in ("alice", "bob", "carol"))
    for one in (bob, carol):
        one.talk(talks=False)
    sim.run_until_s(3)
    alice.mute(Source.CAMERA)
    sim.run_until_s(5)
    for one in (bob, carol):
        assert one.mutes(alice)[-1] == (False, True)
        assert one.speakers[-1][1] == (alice.user_id,)
    alice.leave()
    sim.run_until_s(7)
    for one, other in ((bob, carol), (carol, bob)):
        assert one.announced(alice) == set()
        assert picture(one, other, 6, 7) >= 18
    assert_nothing_is_wrong(sim)


# --- what crosses -----------------------------------------------------------------------------------------


def watched(viewers: int, *tiles: tuple[int, int]) -> tuple[Simulation, Meter, Meter]:
    """Alice on one focus, viewers on another: what came from her, and what went over the line."""
    sim = Simulation(foci=2)
    alice = sim.add("alice")
    uplink = sim.count_uplink(alice)
    alice.join()
    for number in range(viewers):
        tile = tiles[number % len(tiles)]
        viewer = sim.add(f"viewer{number}", tile=tile, capture=Capture(has_microphone=False, camera=()), on=1)
        viewer.join()
    sim.run_until_s(14)
    assert_nothing_is_wrong(sim)
    return sim, uplink.between(6, 14), sim.meter(0, 1).between(6, 14)


def carried(line: Meter) -> int:
    """All RTP, with repairs and padding."""
    return line.bytes_by_protocol()[WireProtocol.RTP]


@pytest.mark.parametrize(
    ("tiles", "encodings"),
    [((SMALL,), {LOW}), ((MEDIUM,), {MIDDLE}), ((SMALL, LARGE), {LOW, HIGH})],
    ids=["small", "medium", "small_and_large"],
)
def test_what_is_wanted_crosses_once_and_nothing_else(
    tiles: tuple[tuple[int, int], ...], encodings: set[int]
) -> None:
    sim, uplink, line = watched(4, *tiles)
    wanted = {Layer(sim["alice"].number, Source.CAMERA, encoding) for encoding in encodings}
    wanted.add(Layer(sim["alice"].number, Source.MICROPHONE))
    assert line.bytes_by_layer().keys() == wanted
    assert all(len(line.streams_of(layer)) == 1 for layer in wanted)
    published = uplink.bytes_by_layer()
    assert 0.95 <= carried(line) / sum(published[layer] for layer in wanted) <= 1.05
    assert len(published) == 4  # the control: all layers are there to be had


def test_twenty_viewers_cost_as_much_as_one() -> None:
    one, twenty = (carried(watched(viewers, MEDIUM)[2]) for viewers in (1, 20))
    assert 0.98 <= twenty / one <= 1.02


def test_nobody_who_looks_is_nothing_that_crosses() -> None:
    sim = Simulation(foci=2)
    sim.join("alice")
    sim.add("bob", tile=None, on=1).join()
    sim.run_until_s(8)
    layers = sim.meter(0, 1).between(4, 8).bytes_by_layer()
    assert set(layers) == {Layer(sim["alice"].number, Source.MICROPHONE)}


@pytest.mark.parametrize("grows", [True, False])
def test_layers_follow_a_tile_within_half_a_second(*, grows: bool) -> None:
    sim = spread(2)
    alice, bob = sim["alice"], sim["bob"]
    bob.wishes.show(alice.user_id, Source.CAMERA, SMALL)
    sim.run_until_s(8)
    high = Layer(alice.number, Source.CAMERA, HIGH)
    assert sim.meter(0, 1).between(5, 8).bytes_by_layer()[high] == 0
    if grows:
        bob.show(alice, LARGE)
    sim.run_until_s(10)
    crossed_at = sim.meter(0, 1).between(8, 10).first_at(high)
    assert (crossed_at is not None) is grows
    if crossed_at is not None:
        assert seconds(crossed_at) - 8 < 0.5
        shown = bob.seen(alice).between(8, 10)
        # The focus behind the line waits for the first sender report of the layer, to switch in step, and
        # then for a key frame.
        shown_at = next(frame.at for frame in shown.frames if frame.encoding == HIGH)
        assert seconds(shown_at) - seconds(crossed_at) < 0.3
        assert shown.longest_freeze_ms < 150
    assert_nothing_is_wrong(sim)


def test_what_is_wanted_no_more_stops_after_a_while() -> None:
    sim = spread(2)
    alice, bob = sim["alice"], sim["bob"]
    bob.wishes.show(alice.user_id, Source.CAMERA, LARGE)
    sim.run_until_s(8)
    bob.show(alice, SMALL)
    sim.run_until_s(16)
    layers = sim.meter(0, 1).between(13, 16).bytes_by_layer()
    assert {layer.encoding for layer in layers if layer.source is Source.CAMERA} == {LOW}
    assert bob.seen(alice).between(8, 16).longest_freeze_ms < 150


def told_layers(publisher: SimClient) -> tuple[str, ...]:
    """What a publisher was told last to send of the camera."""
    return [rids for _, track_id, rids in publisher.layers if track_id.endswith("video")][-1]


def test_publishers_are_told_what_people_behind_a_trunk_want() -> None:
    sim = spread(2)
    alice, bob = sim["alice"], sim["bob"]
    bob.wishes.show(alice.user_id, Source.CAMERA, SMALL)
    sim.run_until_s(8)
    assert told_layers(alice) == ("q",)
    bob.show(alice, LARGE)
    sim.run_until_s(9)
    assert "f" in told_layers(alice)


def key_frames(viewers: int) -> int:
    """That a publisher made of its lowest encoding because of people who join at once behind a trunk."""
    sim = spread(2)
    alice = sim["alice"]
    sim.run_until_s(3)
    before = alice.sources.key_frames()[LOW]
    for number in range(viewers):
        sim.add(f"viewer{number}", tile=SMALL, capture=Capture(has_microphone=False, camera=()), on=1).join()
    sim.run_until_s(5)
    return alice.sources.key_frames()[LOW] - before


def test_key_frames_for_many_behind_a_trunk_are_asked_for_once() -> None:
    assert key_frames(0) == 0
    assert 1 <= key_frames(1) <= 2
    assert key_frames(10) == key_frames(1)


@pytest.mark.parametrize(("budget_bps", "encoding"), [(200_000, LOW), (0, HIGH)])
def test_a_trunk_has_a_budget_of_its_own_with_sound_first(budget_bps: int, encoding: int) -> None:
    sim = spread(2, cascade=CascadeSettings(enabled=True, budget_bps=budget_bps))
    alice, bob = sim["alice"], sim["bob"]
    bob.wishes.show(alice.user_id, Source.CAMERA, LARGE)
    sim.run_until_s(10)
    assert set(bob.seen(alice).between(7, 10).encodings) == {encoding}
    assert sound(bob, alice, 7, 10) >= 147
    assert bool(budget_bps) is (carried(sim.meter(0, 1).between(7, 10)) * 8 / 3 <= 200_000)
    assert_nothing_is_wrong(sim)


# --- the same again ---------------------------------------------------------------------------------------


def trace(seed: int) -> str:
    """Of a call over three foci that loses packets and a focus."""
    lossy = LinkProfile(delay_ms=20, jitter_ms=10, loss=RandomLoss(0.03))
    sim = spread(3, seed=seed, between=lossy, is_traced=True)
    sim.at_s(1.5, lambda: sim["bob"].show(sim["alice"], LARGE))
    sim.at_s(2, lambda: sim.end_server(2))
    sim.at_s(2.5, lambda: sim.restart_server(2))
    sim.at_s(3, sim["carol"].dial)
    sim.run_until_s(4)
    return sim.trace


def test_the_same_seed_gives_the_same_packets_whatever_the_order_of_hashes() -> None:
    code = "from tests.simulation.test_cascade import trace; print(trace(1))"
    root = Path(__file__).parents[2]
    told = {
        subprocess.run(  # noqa: S603  # this interpreter, and our own code
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{trace(1)}\n"}
    assert trace(1) != trace(2)


# --- many -------------------------------------------------------------------------------------------------


def test_ten_foci_in_a_mesh_serve_everybody_who_joins_at_once_and_nothing_comes_twice() -> None:
    sim = Simulation(foci=10)
    nothing = Capture(has_microphone=False, camera=())
    people = [
        sim.add(
            f"user{number}",
            capture=Capture(camera=SMALL_CAMERA) if number < 10 else nothing,
            tile=SMALL,
            on=number % 10,
        )
        for number in range(20)
    ]
    for one in people:
        one.join()
    sim.run_until_s(3)
    assert states(sim) == [["up"] * 9] * 10
    for publisher in people[:10]:
        for viewer in people:
            if viewer is not publisher:
                assert first_picture_s(viewer, publisher) < 2
    assert_nothing_is_wrong(sim)


def test_many_people_on_three_foci() -> None:
    sim = Simulation(foci=3)
    capture = Capture(camera=SMALL_CAMERA)
    for number in range(12):
        sim.add(f"user{number}", capture=capture, tile=SMALL, on=number % 3).join()
    sim.run_until_s(8)
    for viewer, publisher in pairs(sim):
        assert picture(viewer, publisher, 5, 8) >= 21
        assert sound(viewer, publisher, 5, 8) >= 147
    assert_nothing_is_wrong(sim)
