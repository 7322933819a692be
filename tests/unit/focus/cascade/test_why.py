"""What people are told of a connection between foci that keeps them from more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.conference.turn import SendData
from sfu.plane import SetRoute
from sfu.rows import ROUTE_DTYPE, StructArray
from signalling.events import ours
from signalling.events.data_channel import parse_message
from tests.unit.conference.caller import of_type, report_of
from tests.unit.focus.cascade.circle import ALICE_VIDEO, Circle, focus_of, two

if TYPE_CHECKING:
    from tests.unit.focus.cascade.circle import Site
    from tests.unit.focus.stage import Client

NARROW: Final = ours.Limit(450_000, 1_700_000)
A: Final = ours.OtherFocus(focus_of("a").user_id, focus_of("a").device_id)


def decided(site: Site, client: Client) -> None:
    """The lowest layer is all that has come, and is given."""
    (route,) = [one for one in of_type(site.outputs, SetRoute) if one.transport == client.leg]
    decisions: StructArray = np.zeros(1, DECISION_DTYPE)
    decisions["route"], decisions["wanted_encoding"], decisions["allowed_encoding"] = route.route, 1, 1
    decisions["cause"] = Cause.LAYER_NOT_SENT
    routes: StructArray = np.zeros(1, ROUTE_DTYPE)
    routes["route"] = route.route
    site.give(report_of(site.now, routes=routes, decisions=decisions))


def whys(site: Site, leg: object) -> list[ours.TrackWhy]:
    """Everything that a leg was told."""
    read = [parse_message(one.text) for one in of_type(site.outputs, SendData) if one.leg == leg]
    return [track for one in read if isinstance(one, ours.Why) for track in one.tracks]


def far(cause: str, layer: str | None = "h", limit: ours.Limit | None = NARROW) -> ours.Why:
    """The focus of Alice explains itself."""
    return ours.Why((ours.TrackWhy(*ALICE_VIDEO, 640, 360, None, cause, "", layer, limit),))


def watched() -> tuple[Circle, Client]:
    """Bob, on the other focus, gets less of Alice than fits."""
    circle, _, bob = two()
    circle.subscribe("b", bob, ALICE_VIDEO)
    circle.pass_s(1)
    decided(circle["b"], bob)
    circle.pass_s(1)
    return circle, bob


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (far("budget"), "hop"),
        (far("cap", layer=None), "hop"),
        (far("budget", layer="f"), None),
        (far("paused", limit=None), None),
        (far("something_new"), None),
    ],
)
def test_what_another_focus_withholds_is_told_with_its_name_and_its_numbers(
    said: ours.Why, cause: str | None
) -> None:
    circle, bob = watched()
    circle.tell("a", "b", said)
    decided(circle["b"], bob)
    circle.pass_s(1)
    told = whys(circle["b"], bob.leg)[-1]
    if cause is None:
        assert (told.cause in {"layer_not_sent", "switched_off"}, told.hop) == (True, None)
        return
    assert told.cause == cause
    assert told.hop == ours.Hop(A, said.tracks[0].cause, NARROW)
    assert "450 kbit/s" in told.text


def test_a_hop_before_that_one_is_told_of_with_the_numbers_that_it_gave() -> None:
    circle, bob = watched()
    before = ours.Hop(ours.OtherFocus("@focus:z", "FOCUS"), "budget", NARROW)
    circle.tell(
        "a", "b", ours.Why((ours.TrackWhy(*ALICE_VIDEO, 640, 360, None, "hop", "", "h", hop=before),))
    )
    decided(circle["b"], bob)
    assert whys(circle["b"], bob.leg)[-1].hop == ours.Hop(A, "hop", NARROW)


def test_it_is_shown_to_operators() -> None:
    circle, bob = watched()
    circle.tell("a", "b", far("budget"))
    decided(circle["b"], bob)
    (call,) = circle["b"].focus.snapshot()["calls"]
    (wish,) = call["members"][0]["subscriptions"]
    assert (wish["cause"], wish["hop"]) == (
        "hop",
        {"user_id": A.user_id, "device_id": A.device_id, "cause": "budget"},
    )
    assert json.loads(json.dumps(call)) == call


def test_a_client_has_nothing_to_explain() -> None:
    circle, bob = watched()
    circle.say("b", bob, far("budget"))
    decided(circle["b"], bob)
    assert whys(circle["b"], bob.leg)[-1].hop is None


def test_a_trunk_that_is_gone_is_told_of_until_there_is_another() -> None:
    circle, bob = watched()
    circle.cut.add(frozenset("ab"))
    circle.lose("a", "b")
    for _ in range(3):
        circle["b"].tick()
        circle.pass_s(1)
    told = whys(circle["b"], bob.leg)[-1]
    assert (told.cause, told.sent, told.hop) == ("hop", None, ours.Hop(A, None))
