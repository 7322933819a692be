from __future__ import annotations

from typing import Any

import pytest

from sfu.allocation.decision import Cause
from sfu.conference.outcomes import Outcomes
from sfu.conference.routes import Routes
from sfu.rows import PAUSED
from sfu.units import RouteId, TransportId
from tests.unit.conference.test_outcomes import counted, decided

BOB, CAROL = TransportId(2), TransportId(3)
IDS = ("stream", "track")


def outcomes(*decisions: dict[str, Any]) -> Outcomes:
    return Outcomes(decided(*decisions), counted())


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
    assert routes.wanted_layers(decisions) == {}


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
    assert routes.wanted_layers(decisions) == {1: 0b011, 2: 0b100}


@pytest.mark.parametrize(
    "cause", [Cause.BUDGET, Cause.CAP, Cause.PINNED_FIRST, Cause.SCREEN_FIRST, Cause.SPEAKER]
)
def test_where_less_can_be_given_every_lower_layer_is_a_step(cause: Cause) -> None:
    routes = two_routes()
    decisions = outcomes(
        {"route": 4, "track": 1, "allowed_encoding": 2, "cause": cause},
        {"route": 5, "track": 2, "allowed_encoding": 1, "cause": cause},
    )
    routes.report(decisions)
    assert routes.wanted_layers(decisions) == {1: 0b111, 2: 0b011}


@pytest.mark.parametrize("cause", [Cause.NOT_VISIBLE, Cause.LAST_N])
def test_of_what_nobody_sees_no_layer_is_wanted(cause: Cause) -> None:
    routes = two_routes()
    decisions = outcomes(
        {"route": 4, "track": 1, "allowed_encoding": 2, "cause": cause},
        {"route": 5, "track": 2, "allowed_encoding": 1},
    )
    routes.report(decisions)
    assert routes.wanted_layers(decisions) == {2: 0b010}


def test_before_any_report_nothing_is_wanted() -> None:
    assert Routes().wanted_layers(outcomes()) == {}
    assert Routes().demanded_layers(outcomes()) == {}


def demanded(*decisions: dict[str, Any]) -> dict[int, int]:
    routes = two_routes()
    found = outcomes(*decisions)
    routes.report(found)
    return {int(track): bits for track, bits in routes.demanded_layers(found).items()}


def test_demanded_of_another_focus_is_what_fits_and_what_is_given_in_its_place() -> None:
    fits = {"route": 4, "track": 1, "allowed_encoding": 1, "chosen_encoding": 1}
    lower = {"route": 5, "track": 1, "allowed_encoding": 2, "chosen_encoding": 2}
    assert demanded(fits, lower) == {1: 0b110}
    assert demanded(fits | {"chosen_encoding": 0}) == {1: 0b011}
    assert demanded(fits | {"chosen_encoding": 2}) == {1: 0b010}


def test_where_nothing_flows_or_less_can_be_given_every_lower_layer_is_demanded() -> None:
    paused = {"route": 4, "track": 1, "allowed_encoding": 2, "chosen_encoding": PAUSED, "cause": Cause.PAUSED}
    short = {"route": 5, "track": 2, "allowed_encoding": 1, "chosen_encoding": 1, "cause": Cause.BUDGET}
    assert demanded(paused, short) == {1: 0b111, 2: 0b011}


def test_what_is_not_seen_is_known_to_be_wished_for_and_no_layer_of_it_is_demanded() -> None:
    paused = {"route": 4, "track": 1, "allowed_encoding": 2, "chosen_encoding": PAUSED, "cause": Cause.PAUSED}
    assert demanded(paused | {"is_unseen": True}) == {1: 0}


def test_a_route_for_one_encoding_wants_that_one_whatever_becomes_of_it() -> None:
    routes = Routes()
    for number in range(3):
        routes.set(RouteId(4 + number), BOB, IDS, is_fixed=True)
    found = outcomes(
        {"route": 4, "track": 1, "allowed_encoding": 0},
        {"route": 5, "track": 1, "allowed_encoding": 1, "is_unseen": True, "cause": Cause.PAUSED},
        {"route": 6, "track": 1, "allowed_encoding": 2, "chosen_encoding": PAUSED, "cause": Cause.BUDGET},
    )
    routes.report(found)
    assert routes.wanted_layers(found) == routes.demanded_layers(found) == {1: 0b101}
    routes.drop(RouteId(6))
    routes.report(found)
    assert routes.wanted_layers(found) == {1: 0b001}
