from __future__ import annotations

from typing import Any, Final

import pytest

from sfu.allocation.decision import DECISION_DTYPE
from sfu.conference.leg_stats import MAX_EVERY_MS, MAX_PER_TICK, MIN_EVERY_MS, StatsRequest
from sfu.conference.turn import SetDemand
from sfu.conference.values import LegStats, Wish
from sfu.rows import PAUSED, ROUTE_DTYPE, TRANSPORT_DTYPE
from sfu.units import Instant, TransportId, after_ms
from tests.unit.conference.caller import Call, Caller, of_type, report_of
from tests.unit.conference.test_outcomes import rows_of

NOW: Final = Instant(1_000_000_000)
VIDEO = Wish("alice-stream", "alice-video", 640, 360)
AUDIO = Wish("alice-stream", "alice-audio")


def two() -> tuple[Call, TransportId, SetDemand]:
    """Bob watches Alice, and wishes for somebody who is not there."""
    call = Call()
    call.join(Caller.with_media("alice"))
    bob = call.join(Caller.with_media("bob"))
    demands = of_type(call.subscribe(bob, VIDEO, Wish("no", "such")), SetDemand)
    return call, bob, demands[0]


def report(
    call: Call, route: dict[str, Any], *, transport: dict[str, Any], budget_bps: float
) -> list[LegStats]:
    decision = {"route": route["route"], "budget_bps": budget_bps}
    return of_type(
        call.conference.report(
            call.now,
            report_of(
                call.now,
                transports=rows_of(TRANSPORT_DTYPE, (transport,)),
                routes=rows_of(ROUTE_DTYPE, (route,)),
                decisions=rows_of(DECISION_DTYPE, (decision,)),
            ),
        ),
        LegStats,
    )


@pytest.mark.parametrize(
    ("asked_ms", "given_ms"),
    [(1, MIN_EVERY_MS), (1_000, 1_000), (10**9, MAX_EVERY_MS)],
)
def test_how_often_is_brought_into_the_legal_range(asked_ms: int, given_ms: int) -> None:
    request = StatsRequest.asked(NOW, asked_ms)
    assert request is not None
    assert request.due_at == after_ms(NOW, given_ms)
    request.told(after_ms(NOW, 5))
    assert request.due_at == after_ms(NOW, 5 + given_ms)


def test_zero_asks_for_none() -> None:
    assert StatsRequest.asked(NOW, 0) is None


def test_figures_come_as_often_as_they_were_asked_for_and_end_when_they_are_not() -> None:
    call, bob, demand = two()
    call.conference.ask_stats(call.now, bob, 200)
    told: list[int] = []
    for number in range(12):
        call.pass_ms(50)
        row = {"route": demand.route}
        if report(call, row, transport={"transport": bob}, budget_bps=float("inf")):
            told.append(number)
    assert told == [3, 7, 11]
    call.conference.ask_stats(call.now, bob, 0)
    for _ in range(12):
        call.pass_ms(50)
        assert not report(call, {"route": demand.route}, transport={"transport": bob}, budget_bps=0.0)


def test_figures_are_those_of_the_legs_own_routes_and_path() -> None:
    call, bob, demand = two()
    call.conference.ask_stats(call.now, bob, 1_000)
    told: list[LegStats] = []
    for number in range(21):
        route = {
            "route": demand.route,
            "encoding": 1,
            "bytes_sent": number * 1_875,
            "packets_sent": number,
            "packets_lost": 3,
        }
        transport = {"transport": bob, "round_trip_time_ms": 25.0}
        told += report(call, route, transport=transport, budget_bps=2_000_000.0)
        call.pass_ms(50)
    (stats,) = told
    assert (stats.leg, stats.estimate_bps, stats.round_trip_time_ms, stats.packets_lost) == (
        bob,
        2_000_000.0,
        25.0,
        3,
    )
    (track,) = stats.tracks
    assert (track.stream_id, track.track_id, track.rid) == ("alice-stream", "alice-video", "h")
    assert (track.packets_sent, track.packets_lost) == (20, 3)
    assert track.bitrate_bps == pytest.approx(300_000)


def test_what_is_not_known_is_none_and_never_a_negative_number() -> None:
    call, bob, demand = two()
    call.conference.ask_stats(call.now, bob, 200)
    call.pass_ms(1_000)
    route = {"route": demand.route, "encoding": PAUSED, "bytes_sent": 5_000, "packets_lost": -2}
    transport = {"transport": bob, "round_trip_time_ms": float("nan")}
    (first,) = report(call, route, transport=transport, budget_bps=float("inf"))
    assert (first.estimate_bps, first.round_trip_time_ms, first.packets_lost) == (None, None, 0)
    assert (first.tracks[0].rid, first.tracks[0].bitrate_bps) == (None, 0.0)
    call.pass_ms(1_000)
    (second,) = report(call, route | {"bytes_sent": 10}, transport={"transport": 99}, budget_bps=0.0)
    assert second.round_trip_time_ms is None
    assert second.tracks[0].bitrate_bps == 0.0


def test_a_leg_that_receives_nothing_has_figures_without_tracks() -> None:
    call, bob, _ = two()
    call.conference.ask_stats(call.now, bob, 200)
    call.unsubscribe(bob, ("alice-stream", "alice-video"))
    call.pass_ms(200)
    (stats,) = report(call, {"route": 99}, transport={"transport": bob}, budget_bps=1.0)
    assert (stats.tracks, stats.estimate_bps, stats.packets_lost) == ((), None, 0)


def test_in_one_tick_few_are_told_and_the_others_in_the_next_ones() -> None:
    call = Call()
    legs = [call.join(Caller.with_media(f"p{number}", "audio")) for number in range(2 * MAX_PER_TICK + 1)]
    for leg in legs:
        call.conference.ask_stats(call.now, leg, 1_000)
    call.pass_ms(1_000)
    told: list[list[TransportId]] = []
    for _ in range(4):
        outputs = call.conference.report(call.now, report_of(call.now))
        told.append([one.leg for one in of_type(outputs, LegStats)])
        call.pass_ms(50)
    assert told == [legs[:MAX_PER_TICK], legs[MAX_PER_TICK : 2 * MAX_PER_TICK], legs[2 * MAX_PER_TICK :], []]
