"""Whose connection it is that limits a picture from another focus: the reason must be the reason.

Each row changes the number that the cause names and sees the decision change with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from sfu.config import MediaConfig, SfuConfig
from sfu.netem.link import LinkProfile
from signalling.events.ours import OtherFocus
from signalling.focus.cascade.settings import CascadeSettings, RelayRule
from tests.support.simulation.encoder import CAMERA
from tests.support.simulation.label import Source
from tests.support.simulation.simulation import Simulation
from tests.support.simulation.sites import site_of
from tests.support.simulation.sources import Capture
from tests.support.simulation.spread import assert_nothing_is_wrong, spread

if TYPE_CHECKING:
    from signalling.events.ours import TrackWhy
    from tests.support.simulation.client import SimClient

LARGE: Final = (1_280, 720)
LOW, MIDDLE, HIGH = 0, 1, 2
ORIGIN: Final = OtherFocus(site_of(0).focus.user_id, site_of(0).focus.device_id)


def told(viewer: SimClient, publisher: SimClient) -> TrackWhy:
    """The last that was said of somebody's camera."""
    ids = {
        ids
        for ids, track in viewer.wishes.announced.items()
        if (track.publisher, track.source) == (publisher.user_id, Source.CAMERA)
    }
    return [one for _, one in viewer.reasons if (one.stream_id, one.track_id) in ids][-1]


def two_foci(
    budget_bps: int = 0, line_bps: int | None = None, down_bps: int | None = None, camera: int = 3
) -> tuple[SimClient, SimClient, Simulation]:
    """Alice on one focus, and Bob on another, who wants her as large as she comes; after a while."""
    sim = Simulation(
        foci=2,
        cascade=CascadeSettings(enabled=True, budget_bps=budget_bps),
        between=LinkProfile(rate_bps=line_bps, delay_ms=10, queue_ms=200),
    )
    alice = sim.add("alice", capture=Capture(camera=CAMERA[:camera]))
    bob = sim.add("bob", down=LinkProfile(rate_bps=down_bps, delay_ms=10, queue_ms=200), on=1)
    bob.wishes.show(alice.user_id, Source.CAMERA, LARGE)
    for one in (alice, bob):
        one.join()
    sim.run_until_s(20)
    assert_nothing_is_wrong(sim)
    return alice, bob, sim


@pytest.mark.parametrize(
    ("budget_bps", "cause", "encoding"),
    [(200_000, "hop", LOW), (600_000, "hop", MIDDLE), (3_000_000, "size", HIGH), (0, "size", HIGH)],
)
def test_a_trunk_that_may_carry_no_more_is_the_reason_and_with_more_it_is_not(
    budget_bps: int, cause: str, encoding: int
) -> None:
    alice, bob, _ = two_foci(budget_bps)
    why = told(bob, alice)
    assert (why.cause, bob.seen(alice).between(15, 20).encodings) == (cause, [encoding])
    assert (why.hop is not None) is (cause == "hop")
    if why.hop is not None:
        assert (why.hop.focus, why.hop.cause) == (ORIGIN, "cap")
        assert why.hop.limit is not None
        assert why.hop.limit.bitrate == budget_bps
        assert f"only {budget_bps // 1_000} kbit/s for everything" in why.text


@pytest.mark.parametrize(("line_bps", "cause"), [(300_000, "hop"), (5_000_000, "size"), (None, "size")])
def test_a_line_between_foci_that_carries_no_more_is_the_reason_and_a_wider_one_is_not(
    line_bps: int | None, cause: str
) -> None:
    alice, bob, _ = two_foci(line_bps=line_bps)
    why = told(bob, alice)
    assert why.cause == cause
    if why.hop is not None:
        assert line_bps is not None
        assert (why.hop.focus, why.hop.cause) == (ORIGIN, "budget")
        assert why.hop.limit is not None
        assert 0.3 * line_bps < why.hop.limit.bitrate < 1.2 * line_bps
        assert "the connection between the servers carries only" in why.text


@pytest.mark.parametrize("camera", [1, 2])
def test_what_the_sender_does_not_send_is_no_matter_of_the_hop(camera: int) -> None:
    alice, bob, _ = two_foci(camera=camera)
    assert told(bob, alice).cause == "size"


def test_what_ones_own_line_does_not_carry_is_no_matter_of_the_hop() -> None:
    alice, bob, _ = two_foci(budget_bps=3_000_000, down_bps=300_000)
    why = told(bob, alice)
    assert (why.cause, why.hop) == ("budget", None)
    assert why.limit is not None


def test_a_sender_that_ceases_to_send_a_layer_is_told_of_as_the_sender() -> None:
    alice, bob, sim = two_foci()
    alice.sources.want_layers(told(bob, alice).track_id, ("q",))
    alice.obeys_layers = False
    sim.run_s(10)
    assert told(bob, alice).cause == "layer_not_sent"


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_trunk_that_is_gone_is_the_reason_that_nothing_comes(*, is_cut: bool) -> None:
    sim = spread(2, config=SfuConfig(media=MediaConfig(consent_timeout_s=5.0)))
    alice, bob = sim["alice"], sim["bob"]
    sim.run_until_s(5)
    if is_cut:
        sim.cut(0, 1)
    sim.run_until_s(16)
    why = told(bob, alice)
    assert (why.cause == "hop") is is_cut
    if is_cut:
        assert why.hop is not None
        assert (why.hop.focus, why.hop.cause, why.sent) == (ORIGIN, None, None)
    sim.heal(0, 1)
    sim.run_until_s(60)
    assert told(bob, alice).cause == "size"


def test_behind_a_relay_the_nearest_hop_is_named_and_says_that_it_is_none_of_its_own() -> None:
    relay = RelayRule(site_of(1).focus.user_id, site_of(1).focus.device_id)
    settings = CascadeSettings(enabled=True, max_hops=2, relays=(relay,))
    sim = Simulation(foci=3, cascade=settings, between=LinkProfile(delay_ms=10, queue_ms=200))
    people = [sim.add(name, on=number) for number, name in enumerate(("alice", "bob", "carol"))]
    alice, _, carol = people
    carol.wishes.show(alice.user_id, Source.CAMERA, LARGE)
    sim.cut(0, 2)
    one, other = (sim.servers[number].address for number in (0, 1))
    sim.backbone.change(one, other, LinkProfile(rate_bps=300_000, delay_ms=10, queue_ms=200))
    for person in people:
        person.join()
    sim.run_until_s(20)
    why = told(carol, alice)
    assert why.cause == "hop"
    assert why.hop is not None
    assert (why.hop.focus.user_id, why.hop.cause) == (relay.user_id, "hop")
    assert "a connection between other servers carries only" in why.text
    sim.backbone.change(one, other, LinkProfile(delay_ms=10))
    sim.run_until_s(50)
    assert told(carol, alice).cause == "size"
