"""Calls over several foci: what a cut, a crossed dial, a restart or a move costs, and that it costs no more.

A control shows that an effect comes from its cause.
"""

from __future__ import annotations

import pytest

from sfu.config import MediaConfig, SfuConfig
from sfu.netem.link import LinkProfile
from sfu.netem.loss import RandomLoss
from signalling.focus.cascade.settings import CascadeSettings, RelayRule
from tests.support.simulation.label import Source
from tests.support.simulation.leg import LegState
from tests.support.simulation.sites import site_of
from tests.support.simulation.spread import (
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

SHORT_CONSENT = SfuConfig(media=MediaConfig(consent_timeout_s=5.0))


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
