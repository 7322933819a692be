"""Calls over several foci: who sees whom, what crosses the lines between them, and what faults cost.

Bytes are counted on the lines, never by the foci. A control shows that an effect comes from its cause.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sfu.config import MediaConfig, SfuConfig
from sfu.dataplane.wire import WireProtocol
from sfu.netem.link import LinkProfile
from sfu.netem.loss import RandomLoss
from signalling.focus.cascade.settings import ALONE, CascadeSettings, RelayRule
from tests.support.simulation.encoder import SMALL_CAMERA
from tests.support.simulation.label import Source
from tests.support.simulation.leg import LegState
from tests.support.simulation.meter import Layer, Meter
from tests.support.simulation.simulation import Simulation, seconds
from tests.support.simulation.sites import site_of
from tests.support.simulation.sources import Capture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.simulation.client import SimClient

SMALL, MEDIUM, LARGE = (320, 180), (640, 360), (1_280, 720)
LOW, MIDDLE, HIGH = 0, 1, 2
SHORT_CONSENT = SfuConfig(media=MediaConfig(consent_timeout_s=5.0))
NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")


def spread(foci: int, people: int = 0, **options: object) -> Simulation:
    """People, as many as there are foci if not said otherwise, in turn on each."""
    sim = Simulation(foci=foci, **options)  # type: ignore[arg-type]  # as given
    for number, name in enumerate(NAMES[: people or foci]):
        sim.join(name, on=number % foci)
    return sim


def pairs(sim: Simulation) -> Iterable[tuple[SimClient, SimClient]]:
    return permutations(sim.clients.values(), 2)


def picture(viewer: SimClient, publisher: SimClient, begin_s: float, end_s: float) -> int:
    return len(viewer.seen(publisher).between(begin_s, end_s).frames)


def sound(viewer: SimClient, publisher: SimClient, begin_s: float, end_s: float) -> int:
    return len(viewer.seen(publisher, Source.MICROPHONE).between(begin_s, end_s).sounds)


def first_picture_s(viewer: SimClient, publisher: SimClient, since_s: float = 0.0) -> float:
    """When the first picture was shown since then."""
    return next(at for frame in viewer.seen(publisher).frames if (at := seconds(frame.at)) >= since_s)


def meters(sim: Simulation) -> list[tuple[int, Meter]]:
    """Every direction of every line, with the focus that it comes from."""
    numbers = range(len(sim.servers))
    return [(source, sim.meter(source, there)) for source, there in permutations(numbers, 2)]


def states(sim: Simulation) -> list[list[str]]:
    """How far the trunks of each focus are."""
    return [
        [trunk["state"] for call in server.focus.snapshot()["calls"] for trunk in call["trunks"]]
        for server in sim.servers
    ]


def assert_everybody_is_seen(sim: Simulation, begin_s: float, end_s: float) -> None:
    """In those seconds each hears all others without a gap, and sees as much as cameras give."""
    length_s = end_s - begin_s
    for viewer, publisher in pairs(sim):
        whose = f"{viewer.user_id} of {publisher.user_id}"
        assert viewer.announced(publisher) == {Source.MICROPHONE, Source.CAMERA}, whose
        assert picture(viewer, publisher, begin_s, end_s) >= 18 * length_s, whose
        assert sound(viewer, publisher, begin_s, end_s) >= 49 * length_s, whose
        assert viewer.seen(publisher).between(begin_s, end_s).longest_freeze_ms < 150, whose
    assert_nothing_is_wrong(sim)


def assert_nothing_is_wrong(sim: Simulation) -> None:
    """No rule is broken, nobody is there twice, and between foci nothing comes twice or back."""
    assert sim.faults() == []
    assert [one.doubles for one in sim.clients.values() if one.doubles] == []
    for server in sim.servers:
        assert server.warnings() == []
    for source, meter in meters(sim):
        own = {one.number for one in sim.clients.values() if one.focus == sim.servers[source].site.focus}
        assert meter.senders <= own
        assert meter.duplicates == 0


# --- who sees whom ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("foci", [2, 3])
def test_everybody_sees_and_hears_everybody_whatever_focus_they_are_on(foci: int) -> None:
    sim = spread(foci, people=foci + 1)
    sim.run_until_s(6)
    assert_everybody_is_seen(sim, 3, 6)
    assert states(sim) == [["up"] * (foci - 1)] * foci
    for viewer, publisher in pairs(sim):
        assert first_picture_s(viewer, publisher) < 2.5


def test_the_control_is_foci_that_do_not_connect() -> None:
    sim = spread(2, people=3, cascade=ALONE)
    sim.run_until_s(4)
    alice, bob, carol = (sim[name] for name in ("alice", "bob", "carol"))
    assert picture(alice, carol, 3, 4) >= 18
    for one, other in ((alice, bob), (bob, alice)):
        assert one.announced(other) == set()
        assert one.seen(other).frames == []
    assert all(meter.crossings == [] for _, meter in meters(sim))


def first_picture_of_a_newcomer_ms(focus: int) -> float:
    """Where everybody else is there already, and those on other foci are connected."""
    sim = spread(2, people=3)
    sim.run_until_s(4)
    (dave,) = sim.join("dave", on=focus)
    sim.run_until_s(7)
    return 1_000 * (first_picture_s(dave, sim["alice"]) - 4)


def test_over_a_trunk_that_is_up_the_first_picture_takes_hardly_longer_than_on_the_same_focus() -> None:
    assert first_picture_of_a_newcomer_ms(1) / first_picture_of_a_newcomer_ms(0) <= 1.5


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
        # The focus behind the line waits for the first sender report of the layer, to switch in step.
        assert next(seconds(frame.at) for frame in shown.frames if frame.encoding == HIGH) - 8 < 1.25
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


# --- faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_cut", [True, False])
def test_after_a_cut_of_five_seconds_pictures_are_back_within_two(*, is_cut: bool) -> None:
    sim = spread(2, people=3)
    alice, bob, carol = (sim[name] for name in ("alice", "bob", "carol"))
    sim.run_until_s(4)
    if is_cut:
        sim.cut(0, 1)
    sim.run_until_s(9)
    assert (picture(bob, alice, 5, 9) == 0) is is_cut
    sim.heal(0, 1)
    sim.run_until_s(14)
    for one, other in ((bob, alice), (alice, bob), (bob, carol), (carol, bob)):
        assert first_picture_s(one, other, since_s=9) - 9 < 2
        assert sound(one, other, 11, 14) >= 140
    for one, other in ((alice, carol), (carol, alice)):
        assert one.seen(other).between(3, 14).longest_freeze_ms < 200
    assert_everybody_is_seen(sim, 11, 14)


def test_a_cut_that_ends_the_trunk_is_got_over_too_and_people_stay_listed() -> None:
    sim = spread(2, people=3, config=SHORT_CONSENT)
    alice, bob = sim["alice"], sim["bob"]
    sim.run_until_s(3)
    sim.cut(0, 1)
    sim.run_until_s(20)
    assert [state for (state,) in states(sim)] != ["up", "up"]
    assert alice.announced(bob) == bob.announced(alice) == {Source.MICROPHONE, Source.CAMERA}
    assert picture(sim["carol"], alice, 3, 20) >= 17 * 18
    sim.heal(0, 1)
    sim.run_until_s(32)
    assert_everybody_is_seen(sim, 30, 32)


@pytest.mark.parametrize("crosses", [True, False])
def test_when_both_have_dialled_one_trunk_goes_on(*, crosses: bool) -> None:
    sim = spread(2)
    homes = site_of(0).domain, site_of(1).domain
    if crosses:
        # Each hears of the other's person, and no invite gets through until both are out.
        sim.at_s(0.05, lambda: sim.homeserver.part(*homes))
        sim.at_s(6, lambda: sim.homeserver.rejoin(*homes))
    sim.run_until_s(12)
    assert states(sim) == [["up"], ["up"]]
    invites = [one for one in sim.homeserver.counts.to_device.items() if one[0] == "m.call.invite"]
    assert invites == [("m.call.invite", 2 if crosses else 1)]
    ups = [note for server in sim.servers for note in server.record.notes if note.event == "trunk_up"]
    assert len(ups) == 2
    assert_everybody_is_seen(sim, 9, 12)


@pytest.mark.parametrize("warned", [True, False], ids=["asked", "killed"])
def test_a_focus_that_ends_and_comes_again_is_in_the_call_again(*, warned: bool) -> None:
    sim = spread(3)
    alice, bob, carol = (sim[name] for name in ("alice", "bob", "carol"))
    sim.run_until_s(4)
    sim.end_server(1, warned=warned)
    sim.run_until_s(6)
    assert picture(alice, bob, 5, 6) == 0
    sim.restart_server(1)
    sim.run_until_s(6.5)
    assert bob.leg is not None
    assert bob.leg.state is LegState.ENDED
    bob.dial()
    sim.run_until_s(20)
    for one, other in ((alice, bob), (carol, bob), (bob, alice), (bob, carol)):
        assert first_picture_s(one, other, since_s=6.5) - 6 < 10
    for one, other in ((alice, carol), (carol, alice)):
        assert one.seen(other).between(3, 20).longest_freeze_ms < 200
    assert_everybody_is_seen(sim, 17, 20)


def test_who_moves_to_another_focus_is_there_once_and_seen_from_everywhere() -> None:
    sim = spread(3)
    alice = sim["alice"]
    sim.run_until_s(4)
    alice.move_to(site_of(1))
    sim.run_until_s(9)
    for viewer, publisher in pairs(sim):
        assert picture(viewer, publisher, 7, 9) >= 36
    assert [one.doubles for one in sim.clients.values() if one.doubles] == []
    assert sim.faults() == []
    # Nobody is left on the first focus, and nothing of her comes from there any more.
    assert sim.meter(0, 2).between(5, 9).senders == set()
    assert sim.meter(1, 2).between(5, 9).senders == {alice.number, sim["bob"].number}
    assert all(meter.duplicates == 0 for _, meter in meters(sim))


def test_who_moves_is_there_once_even_where_that_is_heard_of_late() -> None:
    sim = spread(3)
    alice, bob, carol = (sim[name] for name in ("alice", "bob", "carol"))
    sim.run_until_s(4)
    sim.homeserver.part(site_of(0).domain, site_of(2).domain)
    alice.move_to(site_of(1))
    sim.run_until_s(9)
    # By what Carol's focus knows, nobody but the first may speak for Alice; it has nothing of her any more.
    assert picture(bob, alice, 7, 9) >= 36
    assert picture(carol, alice, 7, 9) == 0
    assert picture(alice, carol, 7, 9) >= 36
    sim.homeserver.rejoin(site_of(0).domain, site_of(2).domain)
    sim.run_until_s(12)
    assert picture(carol, alice, 10, 12) >= 36
    assert [one.doubles for one in sim.clients.values() if one.doubles] == []
    assert sim.faults() == []


def test_homeservers_that_can_not_reach_each_other_do_not_stop_what_flows() -> None:
    sim = spread(2)
    sim.run_until_s(3)
    sim.homeserver.part(site_of(0).domain, site_of(1).domain)
    sim.run_until_s(10)
    assert_everybody_is_seen(sim, 3, 10)


@pytest.mark.parametrize("is_lossy", [True, False])
def test_what_is_lost_between_foci_is_repaired_between_them(*, is_lossy: bool) -> None:
    loss = LinkProfile(delay_ms=10, loss=RandomLoss(0.03)) if is_lossy else LinkProfile(delay_ms=10)
    sim = spread(2, between=loss)
    alice, bob = sim["alice"], sim["bob"]
    sim.run_until_s(8)
    repairs = sum(one.is_repair for one in sim.meter(0, 1).between(3, 8).crossings)
    assert (repairs > 0) is is_lossy
    assert picture(bob, alice, 4, 8) >= 72
    assert bob.seen(alice).between(4, 8).longest_freeze_ms < 400
    assert sim.faults() == []


def test_when_everybody_has_left_nothing_is_left() -> None:
    sim = spread(3, people=4)
    sim.run_until_s(3)
    assert all(len(server.stats().transports) >= 3 for server in sim.servers)
    for one in sim.clients.values():
        one.leave()
    sim.run_until_s(6)
    for server in sim.servers:
        assert server.focus.snapshot()["calls"] == []
        assert len(server.stats().transports) == len(server.stats().routes) == 0
        assert server.record.kept == {}
    crossed = [len(meter.crossings) for _, meter in meters(sim)]
    sim.run_until_s(40)
    assert [len(meter.crossings) for _, meter in meters(sim)] == crossed
    assert_nothing_is_wrong(sim)


def test_a_line_that_flaps_leaves_one_trunk_and_nothing_beside_it() -> None:
    sim = spread(2, config=SHORT_CONSENT)
    for round_s in range(3, 30, 9):
        sim.at_s(round_s, lambda: sim.cut(0, 1))
        sim.at_s(round_s + 7, lambda: sim.heal(0, 1))
    sim.run_until_s(45)
    assert states(sim) == [["up"], ["up"]]
    assert [len(server.stats().transports) for server in sim.servers] == [2, 2]
    assert_everybody_is_seen(sim, 43, 45)


def test_where_two_foci_have_no_line_a_relay_brings_each_the_people_of_the_other() -> None:
    relay = RelayRule(site_of(1).focus.user_id, site_of(1).focus.device_id)
    settings = CascadeSettings(enabled=True, max_hops=2, relays=(relay,))
    seen = {}
    for cascade in (settings, CascadeSettings(enabled=True)):
        sim = spread(3, cascade=cascade)
        alice, carol = sim["alice"], sim["carol"]
        sim.cut(0, 2)
        sim.run_until_s(8)
        seen[cascade.max_hops] = picture(alice, carol, 5, 8), picture(carol, alice, 5, 8)
        assert sim.faults() == []
        assert [one.doubles for one in sim.clients.values() if one.doubles] == []
        assert all(meter.duplicates == 0 for _, meter in meters(sim))
    assert min(seen[2]) >= 54
    assert seen[1] == (0, 0)


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
