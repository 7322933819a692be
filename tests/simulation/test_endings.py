"""How people leave, willingly or not, and what becomes of those who stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.config import MediaConfig, SfuConfig
from sfu.netem.link import LinkProfile
from signalling.focus.settings import CallSettings
from tests.support.simulation.label import Source
from tests.support.simulation.leg import LegState
from tests.support.simulation.simulation import GOOD, Simulation

SHORT_CONSENT = SfuConfig(media=MediaConfig(consent_timeout_s=5.0))
DEAD = LinkProfile(rate_bps=0, queue_ms=0)


def call_of_three(config: SfuConfig | None = None, settings: CallSettings | None = None) -> Simulation:
    sim = Simulation(config=config, settings=settings)
    sim.join("alice", "bob", "carol")
    sim.run_until_s(3)
    return sim


def assert_bob_is_gone(sim: Simulation, since_s: float) -> None:
    """The others are told, hear nothing of him any more, and see each other as before."""
    alice, bob, carol = sim["alice"], sim["bob"], sim["carol"]
    now_s = sim.now_s
    for one, other in ((alice, carol), (carol, alice)):
        assert one.announced(bob) == set()
        assert one.seen(bob).between(since_s, now_s).frames == []
        assert one.announced(other) == {Source.MICROPHONE, Source.CAMERA}
        assert one.seen(other).longest_freeze_ms < 100
        assert len(one.seen(other).between(now_s - 1, now_s).frames) >= 18
    (call,) = sim.server.focus.snapshot()["calls"]
    assert {member["user_id"] for member in call["members"]} == {alice.user_id, carol.user_id}
    assert sim.faults() == []


def test_who_leaves_is_gone_for_the_others_at_once() -> None:
    sim = call_of_three()
    sim["bob"].leave()
    sim.run_until_s(6)
    assert_bob_is_gone(sim, since_s=3.3)


def test_who_is_kicked_gets_nothing_more_within_two_seconds() -> None:
    sim = call_of_three()
    bob = sim["bob"]
    sim.homeserver.kick(bob.user_id)
    sim.run_until_s(3.2)
    received = bob.session.counts.rtp_packets
    sim.run_until_s(6)
    assert bob.session.counts.rtp_packets == received
    assert bob.leg is not None
    assert bob.leg.state is LegState.ENDED
    assert_bob_is_gone(sim, since_s=3.3)
    bob.dial()
    sim.run_s(2)
    assert bob.leg.end_reason is not None
    assert bob.leg.end_reason.startswith("rejected")


def test_a_device_that_is_taken_out_of_the_member_event_is_gone() -> None:
    sim = call_of_three()
    sim.homeserver.put_member(sim["bob"].user_id, {"m.calls": []})
    sim.run_until_s(6)
    assert_bob_is_gone(sim, since_s=3.3)


def test_who_falls_silent_is_gone_when_their_consent_has_run_out() -> None:
    sim = call_of_three(SHORT_CONSENT)
    sim["bob"].vanish()
    sim.run_until_s(7.5)
    assert sim["alice"].announced(sim["bob"]) != set()
    sim.run_until_s(10)
    assert_bob_is_gone(sim, since_s=3.2)


def test_who_answers_no_ping_is_hung_up_and_told_why() -> None:
    sim = call_of_three(settings=CallSettings(ping_interval_s=1.0, pong_timeout_s=2.0))
    bob = sim["bob"]
    assert sim["alice"].leg is not None
    assert sim["alice"].leg.pings >= 2
    bob.answers_pings = False
    sim.run_until_s(8)
    assert bob.leg is not None
    assert bob.leg.end_reason == "keep_alive_timeout"
    assert_bob_is_gone(sim, since_s=7)


def test_when_the_call_is_ended_everybody_is() -> None:
    sim = call_of_three()
    sim.homeserver.end_call()
    sim.run_until_s(5)
    assert all(client.leg is not None for client in sim.clients.values())
    assert {client.leg.state for client in sim.clients.values() if client.leg} == {LegState.ENDED}
    assert sim.server.focus.snapshot()["calls"] == []
    sent = sim.server.watch.rtp_packets
    sim.run_until_s(6)
    assert sim.server.watch.rtp_packets == sent
    assert sim.faults() == []


def test_the_control_of_all_these_is_a_call_in_which_nothing_happens() -> None:
    sim = call_of_three(SHORT_CONSENT, CallSettings(ping_interval_s=1.0, pong_timeout_s=2.0))
    sim.run_until_s(10)
    assert all(client.is_connected for client in sim.clients.values())
    assert len(sim.server.focus.snapshot()["calls"][0]["members"]) == 3
    assert sim.faults() == []


# --- moving -----------------------------------------------------------------------------------------------


def test_after_a_change_of_address_media_is_back_within_two_seconds() -> None:
    sim = call_of_three()
    alice, bob = sim["alice"], sim["bob"]
    bob.move()
    sim.run_until_s(7)
    assert len(bob.seen(alice).between(5, 7).frames) >= 36
    assert len(alice.seen(bob).between(5, 7).frames) >= 36
    assert bob.seen(alice).longest_freeze_ms < 2_000
    assert bob.is_connected
    assert len(bob.legs) == 1
    assert sim.faults() == []


def test_an_ice_restart_by_to_device_brings_media_back_over_another_address() -> None:
    sim = call_of_three()
    alice, bob = sim["alice"], sim["bob"]
    bob.move()
    assert bob.leg is not None
    bob.leg.restart_ice()
    sim.run_until_s(8)
    assert len(bob.seen(alice).between(5, 8).frames) >= 55
    assert len(alice.seen(bob).between(5, 8).frames) >= 55
    assert len(bob.legs) == 1
    assert sim.faults() == []


@pytest.mark.parametrize("outage_s", [0.0, 2.0])
def test_a_line_that_is_dead_for_two_seconds_loses_nobody(outage_s: float) -> None:
    sim = call_of_three(SHORT_CONSENT)
    alice, bob = sim["alice"], sim["bob"]
    if outage_s:
        sim.change_line(bob, up=replace(GOOD, rate_bps=0, queue_ms=0), down=DEAD)
    sim.run_s(outage_s)
    sim.change_line(bob, up=GOOD, down=GOOD)
    sim.run_until_s(9)
    assert bob.is_connected
    assert (bob.seen(alice).longest_freeze_ms > 1_500) is bool(outage_s)
    assert (alice.seen(bob).longest_freeze_ms > 1_500) is bool(outage_s)
    assert len(bob.seen(alice).between(7, 9).frames) >= 36
    assert len(alice.seen(bob).between(7, 9).frames) >= 36
    assert sim.faults() == []
