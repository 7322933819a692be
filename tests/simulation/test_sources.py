"""What people switch on and off in the middle of a call, and what the others see and hear of it."""

from __future__ import annotations

import pytest

from tests.support.simulation.label import Source
from tests.support.simulation.simulation import GOOD, Simulation, seconds
from tests.support.simulation.sources import Capture

MICROPHONE_ONLY = Capture(camera=())
NOTHING = Capture(has_microphone=False, camera=())


def test_a_muted_microphone_is_told_and_sends_comfort_noise_only() -> None:
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    sim.run_until_s(3)
    alice.mute(Source.MICROPHONE)
    sim.run_until_s(6)
    alice.mute(Source.MICROPHONE, muted=False)
    sim.run_until_s(8)
    heard = bob.seen(alice, Source.MICROPHONE)
    silence = heard.between(3.1, 6).sounds
    assert 5 <= len(silence) <= 9
    assert all(sound.is_silence for sound in silence)
    assert len(heard.between(6.1, 8).sounds) >= 90
    assert heard.packets_given_up == heard.duplicates == 0
    assert [muted for muted, _ in bob.mutes(alice)] == [False, True, False]
    assert len(bob.seen(alice).between(3, 6).frames) >= 55
    assert sim.faults() == []


def test_a_camera_that_is_muted_stops_at_once_and_comes_back_without_negotiation() -> None:
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    sim.run_until_s(3)
    offers = bob.session.agreements
    alice.mute(Source.CAMERA)
    sim.run_until_s(6)
    alice.mute(Source.CAMERA, muted=False)
    sim.run_until_s(8)
    seen = bob.seen(alice)
    assert seen.between(3.1, 6).frames == []
    assert len(seen.between(6.5, 8).frames) >= 25
    assert seen.undecodable_frames == seen.nack_count == 0
    assert [muted for _, muted in bob.mutes(alice)] == [False, True, False]
    assert bob.session.agreements == offers
    assert sim.faults() == []


def test_discontinuous_transmission_is_silence_and_no_stall() -> None:
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    sim.run_until_s(2)
    alice.talk(talks=False)
    sim.run_until_s(7)
    alice.talk(talks=True)
    sim.run_until_s(9)
    heard = bob.seen(alice, Source.MICROPHONE)
    assert len(heard.between(2.1, 7).sounds) < 20
    assert len(heard.between(7.1, 9).sounds) >= 90
    assert bob.seen(alice).longest_freeze_ms < 100
    assert sim.faults() == []


def test_everybody_is_told_who_speaks_and_when_that_changes() -> None:
    sim = Simulation()
    alice, bob, carol = sim.join("alice", "bob", "carol")
    for one in (alice, bob, carol):
        one.talk(talks=one is alice)
    sim.run_until_s(5)
    alice.talk(talks=False)
    bob.talk(talks=True)
    sim.run_until_s(10)
    for listener in (alice, bob, carol):
        told = [(seconds(at), who) for at, who in listener.speakers]
        assert [who for at, who in told if at < 5][-1] == (alice.user_id,)
        assert told[-1][1] == (bob.user_id,)
        changed_at = next(at for at, who in told if bob.user_id in who)
        assert 5 < changed_at < 6.5
    assert sim.faults() == []


def test_nobody_speaks_where_all_are_silent() -> None:
    """The control of the test above."""
    sim = Simulation()
    clients = sim.join("alice", "bob")
    for one in clients:
        one.talk(talks=False)
    sim.run_until_s(5)
    assert all(who == () for one in clients for _, who in one.speakers)


def test_a_screen_is_shared_stopped_and_shared_again() -> None:
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    bob.show(alice, (1_920, 1_080), Source.SCREEN)
    sim.run_until_s(2)
    assert bob.announced(alice) == {Source.MICROPHONE, Source.CAMERA}
    for start_s, stop_s in ((2, 5), (6, 9)):
        alice.share_screen()
        sim.run_until_s(stop_s)
        shown = bob.seen(alice, Source.SCREEN).between(start_s, stop_s)
        assert bob.announced(alice) == {Source.MICROPHONE, Source.CAMERA, Source.SCREEN}
        assert len(shown.frames) >= 45
        assert shown.encodings[-1] == 2
        alice.stop_screen()
        sim.run_until_s(stop_s + 1)
        assert bob.announced(alice) == {Source.MICROPHONE, Source.CAMERA}
        assert bob.seen(alice, Source.SCREEN).between(stop_s + 0.3, stop_s + 1).frames == []
    assert bob.seen(alice, Source.SCREEN).undecodable_frames == 0
    assert bob.seen(alice).longest_freeze_ms < 100
    assert sim.faults() == []


@pytest.mark.parametrize("rides", [True, False])
def test_a_camera_that_is_turned_on_later_may_ride_on_a_section_of_the_focus(*, rides: bool) -> None:
    """Clients of the dialect take the first that is free, and have no rids there (protocol: section 7.4)."""
    sim = Simulation()
    alice = sim.add("alice", capture=MICROPHONE_ONLY)
    alice.rides = rides
    alice.join()
    bob, carol = sim.join("bob", "carol")
    sim.run_until_s(3)
    alice.open_camera()
    sim.run_until_s(6)
    mids = {stream.section.mid for stream in alice.session.streams("alice-video")}
    assert mids <= {section.mid for section, _ in alice.session.receivers()} or not rides
    assert len(mids) == 1
    assert len(alice.session.streams("alice-video")) == (1 if rides else 3)
    for viewer in (bob, carol):
        assert len(viewer.seen(alice).between(4, 6).frames) >= 35
    alice.close_camera()
    sim.run_until_s(8)
    for viewer in (bob, carol):
        assert viewer.announced(alice) == {Source.MICROPHONE}
        assert viewer.seen(alice).between(6.3, 8).frames == []
        assert len(alice.seen(viewer).between(6, 8).frames) >= 36
    carol.leave()
    sim.run_until_s(9)
    alice.open_camera()
    sim.run_until_s(11)
    assert len(bob.seen(alice).between(9.5, 11).frames) >= 25
    assert alice.seen(bob).longest_freeze_ms < 100
    assert sim.faults() == []


def test_who_publishes_nothing_at_all_sees_and_hears_everybody() -> None:
    sim = Simulation()
    watcher = sim.add("watcher", capture=NOTHING)
    watcher.join()
    alice, bob = sim.join("alice", "bob")
    sim.run_until_s(4)
    for one in (alice, bob):
        assert len(watcher.seen(one).frames) > 40
        assert len(watcher.seen(one, Source.MICROPHONE).sounds) > 100
        assert one.announced(watcher) == set()
    assert sim.faults() == []


def test_a_track_that_ends_is_gone_for_the_others_and_comes_back_under_its_old_name() -> None:
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    sim.run_until_s(3)
    alice.close_camera()
    sim.run_until_s(5)
    assert bob.announced(alice) == {Source.MICROPHONE}
    assert bob.seen(alice).between(3.3, 5).frames == []
    alice.open_camera()
    sim.run_until_s(8)
    assert bob.announced(alice) == {Source.MICROPHONE, Source.CAMERA}
    assert len(bob.seen(alice).between(6, 8).frames) >= 35
    assert sim.faults() == []


@pytest.mark.parametrize("is_crossing", [True, False])
def test_offers_that_cross_on_the_way_are_both_fulfilled(*, is_crossing: bool) -> None:
    """The client ignores the focus's offer, which gives way and comes again (protocol: section 7.6)."""
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    for one, other in ((alice, bob), (bob, alice)):
        one.show(other, (1_280, 720), Source.SCREEN)
    sim.run_until_s(3)
    assert bob.leg is not None
    alice.share_screen()
    said = bob.leg.subscriptions
    while bob.leg.subscriptions == said:
        sim.run_s(0.001)
    sim.run_s(GOOD.delay_ms / 1_000 if is_crossing else 1)  # the focus offers when it has his wish
    bob.share_screen()
    sim.run_until_s(7)
    assert bob.leg.offers_ignored == (1 if is_crossing else 0)
    assert len(bob.seen(alice, Source.SCREEN).between(5, 7).frames) >= 28
    assert len(alice.seen(bob, Source.SCREEN).between(5, 7).frames) >= 28
    assert sim.faults() == []
