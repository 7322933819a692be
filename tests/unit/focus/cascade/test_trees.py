"""Foci that are connected as a tree, among them relays that nobody is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signalling.events.data_channel import TrackSubscription
from signalling.events.to_device import Hangup, Invite
from signalling.focus.cascade.dialling import IDLE_S
from signalling.focus.cascade.settings import BranchRule, CascadeSettings, RelayRule
from tests.unit.focus.cascade.circle import Circle, disbelieved, endings, focus_of

if TYPE_CHECKING:
    from tests.unit.focus.cascade.circle import Site

PARENTS: Final = {"a": "c", "b": "d", "c": "e", "d": "e"}
ALICE_VIDEO: Final = ("alice-stream", "alice-video")


def tree() -> Circle:
    """People are on a and b; c, d and e pass on."""
    return Circle(
        "abcde",
        CascadeSettings(
            enabled=True,
            max_hops=4,
            relays=tuple(RelayRule(f"@focus:{name}", "FOCUS") for name in "cde"),
            tree=tuple(
                BranchRule(f"@focus:{name}", "FOCUS", f"@focus:{parent}", "FOCUS")
                for name, parent in PARENTS.items()
            ),
        ),
    )


def trunks(circle: Circle) -> set[str]:
    """Pairs of foci between which there is one, by both."""
    names = sorted(circle.sites)
    return {
        f"{one}{other}"
        for one in names
        for other in names
        if one < other and is_up(circle[one], circle[other]) and is_up(circle[other], circle[one])
    }


def is_up(one: Site, other: Site) -> bool:
    ids = [trunk["user_id"] for trunk in one.trunks() if trunk["state"] == "up"]
    return focus_of(other.name).user_id in ids


def test_people_see_each_other_through_relays_that_nobody_is_on() -> None:
    circle = tree()
    alice, bob = circle.join("a", "alice"), circle.join("b", "bob")
    circle.pass_s(3)
    assert set(circle["a"].seen(alice)) == {"bob-stream"}
    assert set(circle["b"].seen(bob)) == {"alice-stream"}
    assert trunks(circle) == {"ac", "bd", "ce", "de"}
    assert all(disbelieved(site) == [] for site in circle.sites.values())
    dials = {name: sum(isinstance(one, Invite) for one in site.post) for name, site in circle.sites.items()}
    assert dials == {"a": 0, "b": 0, "c": 1, "d": 1, "e": 2}


def test_what_is_asked_for_goes_the_whole_way() -> None:
    circle = tree()
    circle.join("a", "alice")
    bob = circle.join("b", "bob")
    circle.pass_s(3)
    circle.subscribe("b", bob, ALICE_VIDEO)
    circle.pass_s(2)
    asked = [one for _, one in circle["a"].heard if isinstance(one, TrackSubscription)]
    assert [one.track_id for one in asked[-1].subscribe] == ["alice-video"]


def test_a_relay_that_nobody_is_behind_lets_go_of_its_trunk_after_a_while() -> None:
    circle = tree()
    alice, bob = circle.join("a", "alice"), circle.join("b", "bob")
    circle.pass_s(3)
    circle.state(circle.leaves(bob))
    circle["b"].send(bob, Hangup(bob.envelope()))
    circle.settle()
    circle.pass_s(1)
    assert trunks(circle) == {"ac", "ce", "de"}
    circle.pass_s(IDLE_S + 1)
    assert trunks(circle) == {"ac", "ce"}
    assert "idle" in endings(circle["d"])
    circle.pass_s(IDLE_S + 1)
    assert "ce" not in trunks(circle)
    circle.join("b", "bart")
    circle.pass_s(3)
    assert set(circle["a"].seen(alice)) == {"bart-stream"}
