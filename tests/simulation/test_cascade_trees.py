"""Foci that are connected as a tree by configuration: what crosses, who dials, and what a mistake costs.

Bytes and pieces of media are counted on the lines, never by the foci.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from signalling.focus.cascade.dialling import IDLE_S
from signalling.focus.cascade.settings import CascadeSettings
from tests.support.simulation.crowd import measure
from tests.support.simulation.label import Source
from tests.support.simulation.meter import Layer
from tests.support.simulation.simulation import Simulation
from tests.support.simulation.sites import site_of
from tests.support.simulation.sources import Capture
from tests.support.simulation.spread import (
    duplicates,
    first_picture_s,
    pairs,
    picture,
    sound,
    states,
    tree,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STAR = {0: 3, 1: 3, 2: 3}
"""Three foci, and a relay that nobody is on."""
DEEP = {0: 4, 1: 4, 2: 5, 3: 5, 4: 6, 5: 6}
"""Four foci, two relays, and a relay of these."""


def spread_over(
    cascade: CascadeSettings | Sequence[CascadeSettings], foci: int, people: Mapping[str, int]
) -> Simulation:
    sim = Simulation(foci=foci, cascade=cascade)
    for name, number in people.items():
        sim.join(name, on=number)
    return sim


def assert_all_see_all(sim: Simulation, begin_s: float, end_s: float) -> None:
    """In those seconds, and until then nothing was wrong."""
    for viewer, publisher in pairs(sim):
        whose = f"{viewer.user_id} of {publisher.user_id}"
        assert picture(viewer, publisher, begin_s, end_s) >= 18 * (end_s - begin_s), whose
        assert sound(viewer, publisher, begin_s, end_s) >= 47 * (end_s - begin_s), whose
    assert_clean(sim)


def assert_clean(sim: Simulation) -> None:
    """No rule is broken, nobody is there twice, and no media comes to a focus twice or back."""
    assert sim.faults() == []
    assert [one.doubles for one in sim.clients.values() if one.doubles] == []
    assert [note for server in sim.servers for note in server.warnings()] == []
    assert duplicates(sim) == 0


def lines_in_use(sim: Simulation) -> set[frozenset[int]]:
    """Pairs of foci between which anything has come through."""
    numbers = range(len(sim.servers))
    return {
        frozenset((one, other))
        for one in numbers
        for other in numbers
        if one != other and sim.meter(one, other).crossings
    }


@pytest.mark.parametrize(
    ("parents", "hops", "people"),
    [
        (STAR, 2, {"alice": 0, "bob": 1, "carol": 2}),
        (DEEP, 4, {"alice": 0, "bob": 1, "carol": 2, "dave": 3}),
        (DEEP, 4, {"alice": 0, "bob": 4, "carol": 6, "dave": 3}),
    ],
    ids=["depth_2", "depth_3", "people_on_relays"],
)
def test_over_a_tree_all_see_all_and_only_its_branches_are_trunks(
    parents: dict[int, int], hops: int, people: dict[str, int]
) -> None:
    foci = max(parents.values()) + 1
    sim = spread_over(tree(parents, hops), foci, people)
    sim.run_until_s(6)
    for viewer, publisher in pairs(sim):
        assert first_picture_s(viewer, publisher) < 3
    assert_all_see_all(sim, 3, 6)
    branches = {frozenset(branch) for branch in parents.items()}
    assert lines_in_use(sim) <= branches
    if set(people.values()) == set(parents) - set(parents.values()):
        assert lines_in_use(sim) == branches


def test_the_control_is_foci_that_know_of_no_tree() -> None:
    """A relay that nobody is on is dialled by nobody, and the others are a mesh."""
    settings = CascadeSettings(enabled=True, max_hops=2, relays=tree(STAR, 2).relays)
    sim = spread_over(settings, 4, {"alice": 0, "bob": 1, "carol": 2})
    sim.run_until_s(6)
    assert_all_see_all(sim, 3, 6)
    assert lines_in_use(sim) == {frozenset(pair) for pair in ((0, 1), (0, 2), (1, 2))}


def test_of_what_many_foci_want_the_origin_sends_one_copy() -> None:
    sim = spread_over(tree(STAR, 2), 4, {"alice": 0, "bob": 1, "carol": 2})
    sim.run_until_s(6)
    camera = Layer(sim["alice"].number, Source.CAMERA, 1)
    up, *down = (sim.meter(*way).between(4, 6).bytes_by_layer()[camera] for way in ((0, 3), (3, 1), (3, 2)))
    assert up > 0
    assert all(0.9 <= copy / up <= 1.1 for copy in down)
    # Nothing that nobody wants goes on, and nothing of somebody goes back.
    assert sim.meter(3, 0).senders == {sim["bob"].number, sim["carol"].number}


def test_a_child_dials_its_parent_at_once_whatever_their_names_are() -> None:
    """Of two foci that know of no tree the one with the higher name waits for five seconds."""
    parent = site_of(3).focus.user_id
    assert {site_of(child).focus.user_id < parent for child in STAR} == {True}
    upside_down = {3: 0}
    sims = [
        spread_over(tree(STAR, 2), 4, {"alice": 0, "bob": 1, "carol": 2}),
        spread_over(tree(upside_down, 2), 4, {"alice": 0, "bob": 3}),
    ]
    for sim in sims:
        sim.run_until_s(1)
    assert states(sims[0]) == [["up"], ["up"], ["up"], ["up"] * 3]
    assert states(sims[1]) == [["up"], [], [], ["up"]]
    assert [sim.homeserver.counts.to_device["m.call.invite"] for sim in sims] == [3, 1]


def test_a_focus_outside_the_tree_is_in_the_call_by_trunks_of_its_own() -> None:
    inside, outside = tree(STAR, 2), CascadeSettings(enabled=True)
    people = {"alice": 0, "bob": 1, "carol": 2, "erin": 4}
    sim = spread_over([inside, inside, inside, inside, outside], 5, people)
    sim.run_until_s(10)
    assert_all_see_all(sim, 8, 10)
    assert lines_in_use(sim) == {frozenset(pair) for pair in ((0, 3), (1, 3), (2, 3), (0, 4), (1, 4), (2, 4))}


# --- what a mistake costs ---------------------------------------------------------------------------------


def ring() -> list[CascadeSettings]:
    """Lists that are trees each, and a circle together: every focus leaves out another branch."""
    branches = {0: 1, 1: 2, 2: 3, 3: 0}
    relays = tree(branches, 4).relays
    lists = [{child: branches[child] for child in branches if child != (own - 1) % 4} for own in range(4)]
    return [replace(tree(one, 4), relays=relays) for one in lists]


def contradiction() -> list[CascadeSettings]:
    """Each knows of its own parent only, and takes the other two for foci outside of the tree."""
    relays = tree({0: 1, 1: 2, 2: 0}, 3).relays
    return [replace(tree({own: (own + 1) % 3}, 3), relays=relays) for own in range(3)]


@pytest.mark.parametrize(
    ("settings", "people"),
    [
        (ring(), {"alice": 0, "bob": 1, "carol": 2, "dave": 3}),
        (contradiction(), {"alice": 0, "bob": 1, "carol": 2}),
    ],
    ids=["ring", "contradiction"],
)
def test_where_lists_make_a_circle_nothing_goes_round_and_nothing_comes_twice(
    settings: list[CascadeSettings], people: dict[str, int]
) -> None:
    sim = spread_over(settings, len(settings), people)
    sim.run_until_s(14)
    numbers = range(len(settings))
    circle = {frozenset((number, (number + 1) % len(settings))) for number in numbers}
    assert circle <= lines_in_use(sim)  # or this would show nothing
    assert_all_see_all(sim, 11, 14)
    # Nobody even announces what would go round: none of it had to be refused.
    for server in sim.servers:
        assert not [name for name in server.record.counts if "loop" in name]


# --- what ends --------------------------------------------------------------------------------------------


def test_a_relay_that_dies_parts_its_foci_and_no_others_and_they_meet_when_it_is_back() -> None:
    sim = spread_over(tree(STAR, 2), 4, {"alice": 0, "bob": 1, "carol": 0, "dave": 2})
    alice, bob, carol = (sim[name] for name in ("alice", "bob", "carol"))
    sim.run_until_s(5)
    sim.end_server(3)
    sim.run_until_s(11)
    assert picture(alice, bob, 6, 11) == picture(bob, alice, 6, 11) == 0
    for one, other in ((alice, carol), (carol, alice)):
        assert one.seen(other).between(3, 11).longest_freeze_ms < 200
    assert alice.announced(bob) == {Source.MICROPHONE, Source.CAMERA}
    sim.restart_server(3)
    sim.run_until_s(25)
    for one, other in ((alice, bob), (bob, alice)):
        assert first_picture_s(one, other, since_s=11) - 11 < 10
    assert_all_see_all(sim, 22, 25)


def test_relays_have_no_trunk_that_nobody_behind_them_needs() -> None:
    sim = Simulation(foci=7, cascade=tree(DEEP, 4))
    for name, number in (("alice", 0), ("bob", 1), ("carol", 2)):
        sim.add(name, capture=Capture(camera=()), on=number).join()
    sim.run_until_s(3)
    assert states(sim)[4:] == [["up"] * 3, ["up"] * 2, ["up"] * 2]
    sim["carol"].leave()
    sim.run_until_s(4 + IDLE_S)
    # Nobody is behind the second relay any more.
    assert states(sim)[4:] == [["up"] * 3, [], ["up", "idle"]]
    sim.run_until_s(5 + 2 * IDLE_S)
    # And so nobody needs the third.
    assert states(sim)[4:] == [["up"] * 2 + ["idle"], [], []]
    assert sound(sim["alice"], sim["bob"], 3, 5 + 2 * IDLE_S) >= 49 * 2 * IDLE_S
    sim.add("dave", capture=Capture(camera=()), on=3).join()
    sim.run_until_s(9 + 2 * IDLE_S)
    assert sound(sim["dave"], sim["alice"], 8 + 2 * IDLE_S, 9 + 2 * IDLE_S) >= 49
    for one in sim.clients.values():
        one.leave()
    sim.run_until_s(12 + 2 * IDLE_S)
    assert [server.focus.snapshot()["calls"] for server in sim.servers] == [[]] * 7
    assert [len(server.stats().transports) for server in sim.servers] == [0] * 7
    assert_clean(sim)


# --- many -------------------------------------------------------------------------------------------------


def test_ten_foci_serve_a_crowd_over_a_mesh_and_over_a_tree() -> None:
    """The short version of `scripts/cascade_crowd.py`."""
    figures = measure(people=20, mesh_people=10, seconds=4)
    values = figures.values
    assert figures.faults == ()
    for key in ("mesh10_converge_s", "mesh10_of_one_converge_s", "tree10_converge_s"):
        assert (values[key] or 99) <= 3
    assert values["mesh10_duplicates"] == values["tree10_duplicates"] == 0
    assert (values["mesh10_trunks"], values["tree10_trunks"]) == (45, 9)
    # One copy for each other focus, in either shape; from the origin's line nine, or one.
    assert 0.95 <= (values["tree10_bytes_ratio"] or 0) <= 1.05
    assert 0.1 <= (values["tree10_origin_bytes_ratio"] or 0) <= 0.12
