from __future__ import annotations

from typing import Any

import pytest

from sfu.allocation.decision import Cause
from sfu.conference.outcomes import Outcomes
from sfu.conference.routes import Routes
from sfu.conference.sender_layers import WantedEncodings
from sfu.rows import PAUSED
from sfu.units import RouteId, TrackHandle, TransportId
from tests.unit.conference.test_outcomes import counted, decided

BOB, CAROL = TransportId(2), TransportId(3)
IDS = ("stream", "track")


def outcomes(*decisions: dict[str, Any]) -> Outcomes:
    return Outcomes(decided(*decisions), counted())


def wanted(needed: dict[int, int], withheld: dict[int, int]) -> WantedEncodings:
    return WantedEncodings(
        *({TrackHandle(track): bits for track, bits in one.items()} for one in (needed, withheld))
    )


def two_routes() -> Routes:
    routes = Routes()
    routes.set(RouteId(5), CAROL, IDS)
    routes.set(RouteId(4), BOB, IDS)
    return routes


def test_only_what_was_decided_otherwise_is_reported() -> None:
    routes = two_routes()
    both = {"route": 4}, {"route": 5}
    assert routes.report(outcomes(*both)) == [(BOB, IDS), (CAROL, IDS)]
    assert routes.report(outcomes(*both)) is None
    changed = outcomes({"route": 4}, {"route": 5, "chosen_encoding": 1})
    assert routes.report(changed) == [(CAROL, IDS)]


def test_of_other_calls_nothing_is_reported() -> None:
    routes = two_routes()
    routes.report(outcomes({"route": 4}))
    assert routes.report(outcomes({"route": 4}, {"route": 9})) is None


def test_a_route_that_ends_is_a_change_about_nobody() -> None:
    routes = two_routes()
    decisions = outcomes({"route": 4, "track": 1, "allowed_encoding": 2})
    routes.report(decisions)
    routes.drop(RouteId(4))
    assert routes.is_stale
    assert routes.report(decisions) == []
    assert not routes.is_stale
    assert routes.wanted_layers(decisions).needed == {}


def test_others_routes_keep_what_was_decided_when_one_comes() -> None:
    routes = two_routes()
    routes.report(outcomes({"route": 4}, {"route": 5}))
    routes.set(RouteId(6), BOB, ("other", "track"))
    decisions = outcomes({"route": 4}, {"route": 5}, {"route": 6})
    assert routes.report(decisions) == [(BOB, ("other", "track"))]


def test_wanted_is_what_anybody_may_have_of_a_track() -> None:
    routes = two_routes()
    routes.set(RouteId(6), BOB, ("other", "track"))
    decisions = outcomes(
        {"route": 4, "track": 1, "wanted_encoding": 2, "allowed_encoding": 1, "chosen_encoding": 0},
        {"route": 5, "track": 1, "allowed_encoding": 0},
        {"route": 6, "track": 2, "allowed_encoding": 2, "chosen_encoding": 0},
        {"route": 7, "track": 1, "allowed_encoding": 2},
    )
    routes.report(decisions)
    assert routes.wanted_layers(decisions) == wanted({1: 0b011, 2: 0b101}, {1: 0, 2: 0})


@pytest.mark.parametrize(
    "cause", [Cause.BUDGET, Cause.CAP, Cause.PINNED_FIRST, Cause.SCREEN_FIRST, Cause.SPEAKER]
)
def test_where_less_can_be_given_every_lower_layer_is_a_step(cause: Cause) -> None:
    routes = two_routes()
    decisions = outcomes(
        {"route": 4, "track": 1, "allowed_encoding": 2, "chosen_encoding": 1, "cause": cause},
        {"route": 5, "track": 2, "allowed_encoding": 1, "chosen_encoding": PAUSED, "cause": cause},
    )
    routes.report(decisions)
    assert routes.wanted_layers(decisions) == wanted({1: 0b011, 2: 0b001}, {1: 0b111, 2: 0b011})


def test_what_flows_is_needed_until_what_was_chosen_does() -> None:
    routes = two_routes()
    short = {"track": 1, "allowed_encoding": 2, "chosen_encoding": 0, "cause": Cause.BUDGET}
    flows = {"route": 4, "encoding": 1}, {"route": 5, "encoding": 2}
    found = Outcomes(decided({"route": 4} | short), counted(*flows))
    routes.report(found)
    assert routes.wanted_layers(found).needed == routes.demanded_layers(found).needed == {1: 0b011}


@pytest.mark.parametrize("cause", [Cause.NOT_VISIBLE, Cause.LAST_N])
def test_of_what_nobody_sees_no_layer_is_wanted(cause: Cause) -> None:
    routes = two_routes()
    decisions = outcomes(
        {"route": 4, "track": 1, "allowed_encoding": 2, "chosen_encoding": PAUSED, "cause": cause},
        {"route": 5, "track": 2, "allowed_encoding": 1, "chosen_encoding": 1},
    )
    routes.report(decisions)
    assert routes.wanted_layers(decisions) == wanted({2: 0b010}, {2: 0})


def test_before_any_report_nothing_is_wanted() -> None:
    assert Routes().wanted_layers(outcomes()) == wanted({}, {})
    assert Routes().demanded_layers(outcomes()) == wanted({}, {})


def demanded(*decisions: dict[str, Any]) -> dict[int, int]:
    routes = two_routes()
    found = outcomes(*decisions)
    routes.report(found)
    return {int(track): bits for track, bits in routes.demanded_layers(found).needed.items()}


def test_demanded_of_another_focus_is_what_fits_and_what_is_given_in_its_place() -> None:
    fits = {"route": 4, "track": 1, "allowed_encoding": 1, "chosen_encoding": 1}
    lower = {"route": 5, "track": 1, "allowed_encoding": 2, "chosen_encoding": 2}
    assert demanded(fits, lower) == {1: 0b110}
    assert demanded(fits | {"chosen_encoding": 0}) == {1: 0b011}
    assert demanded(fits | {"chosen_encoding": 2}) == {1: 0b110}


def test_where_nothing_flows_every_lower_layer_is_demanded_and_where_less_can_be_given_what_is() -> None:
    paused = {"route": 4, "track": 1, "allowed_encoding": 2, "chosen_encoding": PAUSED, "cause": Cause.PAUSED}
    short = {"route": 5, "track": 2, "allowed_encoding": 2, "chosen_encoding": 1, "cause": Cause.BUDGET}
    assert demanded(paused, short) == {1: 0b111, 2: 0b011}


def test_what_is_not_seen_is_known_to_be_wished_for_and_no_layer_of_it_is_demanded() -> None:
    paused = {"route": 4, "track": 1, "allowed_encoding": 2, "chosen_encoding": PAUSED, "cause": Cause.PAUSED}
    assert demanded(paused | {"is_unseen": True}) == {1: 0}


def test_a_route_for_one_encoding_wants_that_one_and_needs_it_if_it_is_given_or_the_lowest() -> None:
    routes = Routes()
    for number in range(3):
        routes.set(RouteId(4 + number), BOB, IDS, is_fixed=True)
    short = {"track": 1, "chosen_encoding": PAUSED, "cause": Cause.BUDGET}
    unseen = {"chosen_encoding": PAUSED, "is_unseen": True, "cause": Cause.PAUSED}
    found = outcomes(
        {"route": 4, "allowed_encoding": 0} | short,
        {"route": 5, "track": 1, "allowed_encoding": 1} | unseen,
        {"route": 6, "allowed_encoding": 2} | short,
    )
    routes.report(found)
    expected = wanted({1: 0b001}, {1: 0b101})
    assert routes.wanted_layers(found) == routes.demanded_layers(found) == expected
    routes.drop(RouteId(6))
    routes.report(found)
    assert routes.wanted_layers(found) == wanted({1: 0b001}, {1: 0b001})
