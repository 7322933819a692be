"""From the invite to the first picture, and who never gets one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from loadtest.client import sdp
from loadtest.client.negotiation import LIKE_CHROMIUM, LIKE_FIREFOX, LegNumbers
from sfu.netem.link import LinkProfile
from sfu.netem.loss import RandomLoss
from signalling.focus.settings import CallSettings
from tests.support.simulation.encoder import CAMERA, EncodingPlan
from tests.support.simulation.label import Source
from tests.support.simulation.leg import LegState
from tests.support.simulation.scenario import Member, Scenario
from tests.support.simulation.simulation import GOOD, Simulation, seconds
from tests.support.simulation.sources import Capture

if TYPE_CHECKING:
    from tests.support.simulation.client import SimClient

JOINED_AT_S = 2.0


def first_picture_s(viewer: SimClient, publisher: SimClient) -> float:
    """Since the clock began; infinite where none came."""
    frames = viewer.seen(publisher).frames
    return seconds(frames[0].at) if frames else float("inf")


def joining(line: LinkProfile) -> Simulation:
    """Bob joins while Alice is there."""
    sim = Simulation()
    sim.join("alice")
    sim.run_until_s(JOINED_AT_S)
    sim.add("bob", up=line, down=line).join()
    sim.run_s(5)
    return sim


@pytest.mark.parametrize(
    ("line", "limit_ms"),
    [
        (LinkProfile(delay_ms=5), 500),
        (LinkProfile(delay_ms=100), 1_300),
        (LinkProfile(delay_ms=30, jitter_ms=30, loss=RandomLoss(0.05)), 1_500),
        (LinkProfile(delay_ms=30, jitter_ms=30, loss=RandomLoss(0.2)), 4_000),
    ],
    ids=["next door", "another continent", "5 % loss", "20 % loss"],
)
def test_a_newcomer_sees_the_first_picture_soon_over(line: LinkProfile, limit_ms: float) -> None:
    sim = joining(line)
    waited_ms = (first_picture_s(sim["bob"], sim["alice"]) - JOINED_AT_S) * 1_000
    assert waited_ms <= limit_ms
    assert first_picture_s(sim["alice"], sim["bob"]) - JOINED_AT_S <= limit_ms / 1_000 + 1
    assert sim.faults() == []


def test_a_newcomer_starts_with_a_key_frame_that_was_asked_for_once() -> None:
    sim = Simulation()
    (alice,) = sim.join("alice")
    sim.run_until_s(JOINED_AT_S)
    before = alice.sources.key_frames()
    (bob,) = sim.join("bob")
    sim.run_s(3)
    first = bob.seen(alice).frames[0]
    assert first.is_key
    assert bob.seen(alice).undecodable_frames == 0
    assert bob.seen(alice).pli_count == 0
    made = [after - before for before, after in zip(before, alice.sources.key_frames(), strict=True)]
    assert made == [0, 1, 0], "one, of the encoding that he wants"


def test_everybody_hears_and_sees_everybody_but_themselves() -> None:
    sim = Simulation()
    clients = sim.join("alice", "bob", "carol")
    sim.run_s(4)
    for viewer in clients:
        for publisher in clients:
            if viewer is publisher:
                assert viewer.seen(publisher).frames == []
                continue
            assert len(viewer.seen(publisher).frames) > 30
            assert len(viewer.seen(publisher, Source.MICROPHONE).sounds) > 100
    assert sim.faults() == []


def test_browsers_with_other_numbers_understand_each_other() -> None:
    scenario = Scenario(
        "Chromium and Firefox",
        (
            Member("alice"),
            Member("bob", numbers=LIKE_FIREFOX),
            Member("carol", capture=Capture(camera=(EncodingPlan("", 640, 360, 30, 500_000, 1),))),
        ),
        lambda _: True,
    )
    sim = scenario.play()
    for viewer in sim.clients.values():
        for publisher in sim.clients.values():
            if viewer is not publisher:
                assert len(viewer.seen(publisher).frames) > 30, (viewer.user_id, publisher.user_id)
    assert sim.faults() == []


def test_a_late_joiner_sees_all_eight_of_a_call_within_a_second() -> None:
    sim = Simulation()
    small = tuple(replace(plan, rate_bps=plan.rate_bps // 3) for plan in CAMERA)
    others = [sim.add(f"user{n}", capture=Capture(camera=small), tile=None) for n in range(8)]
    for one in others:
        one.join()
        for talker in others:
            one.listen(talker, wanted=False)
    sim.run_until_s(JOINED_AT_S)
    late = sim.add("late", tile=(320, 180))
    late.join()
    sim.run_s(1.5)
    assert max(first_picture_s(late, one) for one in others) - JOINED_AT_S <= 1.0
    assert all(late.seen(one, Source.MICROPHONE).sounds for one in others)
    assert sim.faults() == []


MUTE: Final = replace(
    LIKE_CHROMIUM,
    extensions={uri: n for uri, n in LIKE_CHROMIUM.extensions.items() if uri != sdp.TRANSPORT_CC},
)
"""A client that tells nothing of what comes to it."""


@pytest.mark.parametrize(
    ("join_s", "numbers", "limit_s"),
    [(0.0, LIKE_CHROMIUM, 2.5), (2.0, LIKE_CHROMIUM, 1.5), (2.0, MUTE, 3.0)],
    ids=["at once", "later", "without feedback"],
)
def test_one_large_encoding_without_any_sound_is_seen_by_all_soon(
    join_s: float, numbers: LegNumbers, limit_s: float
) -> None:
    """Nothing else flows that could tell what paths carry."""
    sim = Simulation()
    screen = Capture(has_microphone=False, camera=(EncodingPlan("", 1920, 1080, 30, 9_000_000, 1),))
    sharer = sim.add("sharer", capture=screen)
    sharer.join()
    sim.run_until_s(join_s)
    nothing = Capture(has_microphone=False, camera=())
    viewers = [sim.add(f"viewer{n}", capture=nothing, tile=(1920, 1080), numbers=numbers) for n in range(3)]
    for viewer in viewers:
        viewer.join()
    sim.run_s(4)
    for viewer in viewers:
        assert first_picture_s(viewer, sharer) - join_s <= limit_s
        assert len(viewer.seen(sharer).between(join_s + 3, join_s + 4).frames) >= 28
    assert sim.faults() == []


# --- who is not in the call -------------------------------------------------------------------------------


def test_until_the_member_event_comes_nothing_is_forwarded_either_way() -> None:
    """The invite may overtake it (protocol: section 2.2)."""
    sim = Simulation()
    (alice,) = sim.join("alice")
    sim.run_until_s(JOINED_AT_S)
    bob = sim.add("bob")
    bob.join(member_event=False)
    sim.run_s(4)
    assert bob.is_connected
    assert bob.session.counts.rtp_packets == 0
    assert alice.announced(bob) == set()
    assert alice.seen(bob).packets_received == 0
    assert bob.wishes.present == {}
    bob.write_member_event()
    sim.run_s(2)
    assert len(bob.seen(alice).frames) > 20
    assert len(alice.seen(bob).frames) > 15
    assert sim.faults() == []


def test_without_a_member_event_a_leg_ends_after_the_grace() -> None:
    sim = Simulation(settings=CallSettings(member_grace_s=2.0))
    (alice,) = sim.join("alice")
    bob = sim.add("bob")
    bob.join(member_event=False)
    sim.run_s(3)
    assert bob.leg is not None
    assert bob.leg.state is LegState.ENDED
    assert bob.session.counts.rtp_packets == 0
    assert alice.is_connected


def test_a_stranger_is_rejected_and_nothing_is_ever_sent_to_them() -> None:
    sim = Simulation()
    sim.join("alice")
    sim.run_until_s(JOINED_AT_S)
    stranger = sim.add("stranger")
    stranger.dial()
    sim.run_s(3)
    assert stranger.leg is not None
    assert stranger.leg.end_reason is not None
    assert stranger.leg.end_reason.startswith("rejected")
    assert stranger.address not in sim.server.watch.rtp_packets_by_address
    assert sim.network.stats(stranger.address)[1].delivered == 0


def test_datagrams_of_who_never_proved_their_address_are_dropped_and_answered_by_nothing() -> None:
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    sim.run_until_s(JOINED_AT_S)
    forger = sim.add("forger")
    ssrc = alice.session.streams("alice-audio")[0].ssrc
    for number in range(50):
        head = bytes((0x80, 111)) + number.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")
        forger.send_datagram(sim.server.address, head + b"loud noise")
        forger.send_datagram(sim.server.address, bytes((22, 1)))
    sim.run_s(2)
    assert sim.network.stats(forger.address)[1].delivered == 0
    assert bob.seen(alice, Source.MICROPHONE).faults == []
    assert alice.is_connected
    assert sim.faults() == []


def test_a_redial_replaces_the_leg_and_media_comes_again() -> None:
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    sim.run_until_s(JOINED_AT_S)
    bob.dial()
    sim.run_s(3)
    assert len(bob.legs) == 2
    assert bob.is_connected
    assert len(sim.server.focus.snapshot()["calls"][0]["members"]) == 2
    assert len(bob.seen(alice).between(3, 5).frames) > 20
    assert len(alice.seen(bob).between(3, 5).frames) > 20
    assert sim.faults() == []


def test_the_same_line_takes_longer_where_it_is_longer() -> None:
    """The control of the limits above: what is measured is the line and not the clock."""
    near, far = joining(GOOD), joining(LinkProfile(delay_ms=200))
    assert first_picture_s(far["bob"], far["alice"]) > first_picture_s(near["bob"], near["alice"]) + 0.5
